//! From an address to a stream, and how often it is counted.

use std::{process::Command, time::Duration};

use serde_json::Value;

use crate::{
    configuration::{ROOMY, with_domains},
    control::{ask, checked, control, counted, map, queued},
    cuts::load_until_cut,
    dialogue::send_to,
    lab::{HOST, Lab, executable, text},
    next_hop::{NextHop, listen},
    requirements::available,
};

const HOP: u16 = 2526;
/// Nobody listens there.
const NOBODY: u16 = 2599;

/// Domains of one realm whose recipients a table knows, and others with one trait each.
fn configuration() -> String {
    format!(
        r#"version = 1
[network]
hostname = "mx.example.com"
address = ["10.77.0.2/24"]
gateway = ["{HOST}"]
dns = ["{HOST}"]
{ROOMY}
[recipients]
probe-time = "2 s"

[[realm]]
name = "base"
[[realm.setting]]
id = "S-300"
value = 6

[[realm]]
name = "example"
valid-recipients = [
    "info@example.com", "info@example.net", "ann@example.org", "ann+list@exact.example", "ann@xn--bcher-kva.example",
    "jürgen@example.org", '"two words"@example.org',
]
[[realm.setting]]
id = "S-700"
value = true
[[realm.stream]]
name = "ann@example.org"
[[realm.stream.setting]]
id = "S-100"
value = 50

[[realm]]
name = "branch"
parent = "example"
[[realm.setting]]
id = "S-700"
value = false

[[realm]]
name = "closed"
suspended = true

[[domain]]
name = "example.com"
realm = "example"
route = ["[{HOST}]:{HOP}"]
mapping = "chop-domain"

[[domain]]
name = "example.net"
realm = "example"
route = ["[{HOST}]:{HOP}"]
mapping = "chop-domain"

[[domain]]
name = "example.org"
realm = "example"
route = ["[{HOST}]:{HOP}"]

[[domain]]
name = "exact.example"
realm = "example"
route = ["[{HOST}]:{HOP}"]
plus-addresses = "exact"

[[domain]]
name = "bücher.example"
realm = "example"
route = ["[{HOST}]:{HOP}"]

[[domain]]
name = "branch.example"
realm = "branch"
route = ["[{HOST}]:{HOP}"]
verification-server = "[{HOST}]:{NOBODY}"

[[domain]]
name = "closed.example"
realm = "closed"
route = ["[{HOST}]:{HOP}"]

[[address-mapping]]
address = "boss@branch.example"
stream = "branch:office"
"#
    )
}

/// What has come to the streams, by their names without the realm.
fn rows(of: &[(&str, u64)]) -> Vec<(String, u64)> {
    of.iter().map(|(name, messages)| (format!("example:{name}"), *messages)).collect()
}

fn codes(replies: &[String]) -> Vec<&str> {
    replies.iter().map(|reply| reply.get(..9).unwrap_or(reply).trim_end()).collect()
}

#[test]
fn each_address_has_the_stream_that_its_mapping_says() {
    if !available(&[]) {
        return;
    }
    let lab = Lab::new();
    let next_hop = NextHop::start(listen(&lab, HOP));
    let _appliance = lab.start(&configuration());
    let check =
        Command::new(executable()).args(["config", "check"]).arg(lab.folder.join("postern.toml")).output();
    let check = check.unwrap();
    assert!(
        check.status.success() && text(&check).contains("share the stream `example:info`"),
        "{}",
        text(&check)
    );

    // One message, one stream: it counts once, whatever its recipients are.
    let both = send_to(&lab, &["Info@example.com", "info@EXAMPLE.net", "nobody@example.com"]);
    assert_eq!(codes(&both), ["250 2.1.5", "250 2.1.5", "550 5.1.1"]);
    let own = [
        "ann@example.org",
        "ann+tag@example.org",
        "\"ann\"@example.org",
        "\"two words\"@example.org",
        "jürgen@example.org",
        "JÜRGEN@example.org",
        "ann@bücher.example",
        "ann@xn--bcher-kva.example",
        "ann+list@exact.example",
        "ann+other@exact.example",
        "someone@closed.example",
    ];
    let mut expected = ["250 2.1.5"; 11];
    (expected[9], expected[10]) = ("550 5.1.1", "550 5.7.1");
    for (address, expected) in own.into_iter().zip(expected) {
        assert_eq!(codes(&send_to(&lab, &[address])), [expected], "{address}");
    }
    for domain in ["example.com", "example.net", "example.org", "exact.example", "bücher.example"] {
        let domain = checked(&lab, domain);
        assert_eq!(domain["check"]["validated"], true, "{domain}");
    }
    assert_eq!(
        counted(&lab),
        rows(&[
            ("\"two words\"@example.org", 1),
            ("ann+list@exact.example", 1),
            ("ann@example.org", 3),
            ("ann@xn--bcher-kva.example", 2),
            ("info", 1),
            ("info", 1),
            ("jürgen@example.org", 2),
        ]),
        "a row for each domain of a stream"
    );
    let counts = ask(&lab, &["provisioning"])["provisioning"].clone();
    let of = |list: &str, name: &str| {
        let rows = counts[list].as_array().unwrap().iter();
        rows.filter(|row| row["name"] == name).map(|row| row["streams"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(of("domains", "example.com"), [1]);
    assert_eq!(of("realms", "example"), [6], "{counts}");
    assert_eq!(of("domains", "branch.example"), [Value::Null], "nobody validates it: {counts}");
    assert!(next_hop.take().recipients.iter().all(|recipient| recipient.to_lowercase().starts_with("info@")));
}

#[test]
fn what_is_mapped_by_itself_is_vouched_for_and_delivered_as_before() {
    if !available(&[]) {
        return;
    }
    let lab = Lab::new();
    let next_hop = NextHop::start(listen(&lab, HOP));
    let appliance = lab.start(&configuration());
    let said = send_to(&lab, &["boss@branch.example", "clerk@branch.example", "postmaster@branch.example"]);
    assert_eq!(codes(&said), ["250 2.1.5", "451 4.4.3", "250 2.1.5"]);
    let mut arrived = next_hop.take().recipients;
    arrived.sort();
    assert_eq!(arrived, ["boss@branch.example", "postmaster@branch.example"]);
    let boss = map(&lab, "boss@branch.example");
    assert_eq!(boss["stream"], "branch:office", "{boss}");
    assert!(boss["trace"].to_string().contains("address mapping"), "{boss}");

    let closed = map(&lab, "someone@closed.example");
    assert!(closed["outcome"] == "refused" && closed["reply"].to_string().contains("suspended"), "{closed}");
    let stranger = map(&lab, "someone@elsewhere.example");
    assert!(stranger["reply"].to_string().contains("550 5.7.1"), "{stranger}");

    // Where a value comes from: the stream, its realm, the realms above, or nowhere.
    let setting = |stream: &str, id: &str| {
        let said = ask(&lab, &["stream", "settings", stream, id])["settings"][0].clone();
        (said["value"].as_str().unwrap().to_owned(), said["from"].as_str().unwrap().to_owned())
    };
    for (stream, id, value, from) in [
        ("example:ann@example.org", "S-100", "50", "example:ann@example.org"),
        ("example:bob@example.org", "S-100", "20", "built-in"),
        ("example:bob@example.org", "S-700", "true", "example:default"),
        ("branch:office", "S-700", "false", "branch:default"),
        ("branch:office", "s-300", "6", "base:default"),
    ] {
        assert_eq!(setting(stream, id), (value.to_owned(), from.to_owned()), "{stream} {id}");
    }
    let all = ask(&lab, &["stream", "settings", "branch:office"]);
    assert!(all["settings"].as_array().unwrap().len() > 10, "{all}");

    // A stream may be there before its first mail.
    assert_eq!(ask(&lab, &["stream", "prepare", "branch:new@branch.example"]), "done");
    let list = ask(&lab, &["stream", "list", "--realm", "branch"]);
    let row = |name: &str| {
        let streams = list["streams"].as_array().unwrap().iter();
        streams.filter(|row| row["stream"] == name).cloned().collect::<Vec<_>>()
    };
    assert_eq!(row("branch:new@branch.example")[0]["last_mail_at"], Value::Null, "{list}");
    assert!(row("branch:office")[0]["last_mail_at"].is_string(), "{list}");
    assert_eq!(ask(&lab, &["stream", "remove", "branch:new@branch.example"]), "done");
    for (wrong, code) in [
        (&["stream", "prepare", "nowhere:x"][..], 1),
        (&["stream", "remove", "branch:none"], 1),
        (&["stream", "settings", "branch:office", "S-1"], 1),
        (&["domain", "check", "elsewhere.example"], 1),
        (&["provisioning", "2026-13"], 1),
        (&["map", "no address"], 1),
        (&["lookup", "sync", "none"], 1),
        (&["stream", "prepare"], 2),
        (&["domain", "chek"], 2),
    ] {
        let refused = control(&lab, wrong);
        assert_eq!(refused.status.code(), Some(code), "{wrong:?}: {}", text(&refused));
        let said: Option<Value> = serde_json::from_slice(&refused.stdout).ok();
        assert_eq!(
            said.is_some_and(|said| said["refused"].is_object()),
            code == 1,
            "{wrong:?}: {}",
            text(&refused)
        );
    }
    assert!(appliance.stop().success());

    // A known network forces the stream of its realm's mail, and of no other's.
    let known =
        format!("[[known-network]]\nname = \"scanner\"\nnetwork = [\"{HOST}\"]\nstream = \"branch:scans\"\n");
    let _appliance = lab.start(&(configuration() + &known));
    assert_eq!(
        codes(&send_to(&lab, &["boss@branch.example", "ann@example.org"])),
        ["250 2.1.5", "250 2.1.5"]
    );
    let forced = ask(&lab, &["map", "boss@branch.example", "--client", &HOST.to_string()])["mapping"].clone();
    assert_eq!(forced["stream"], "branch:scans", "{forced}");
    let free = ask(&lab, &["map", "ann@example.org", "--client", &HOST.to_string()])["mapping"].clone();
    assert_eq!(free["stream"], "example:ann@example.org", "{free}");
    let list = ask(&lab, &["stream", "list"])["streams"].to_string();
    assert!(list.contains("\"branch:scans\"") && list.contains("\"example:ann@example.org\""), "{list}");
}

#[test]
fn counts_are_exact_whenever_all_processes_are_killed() {
    const CUTS: u64 = 3;
    if !available(&[]) {
        return;
    }
    let lab = Lab::new();
    // Nobody takes the mail, so that all of it stays in the queue.
    let configuration = with_domains(&[("example.com", NOBODY)], ROOMY).replace(
        "name = \"example\"\n",
        "name = \"example\"\nvalid-recipients = [\"user@example.com\"]\n\
         [[realm.setting]]\nid = \"S-700\"\nvalue = true\n",
    );
    let mut acknowledged = 0;
    for cut in 0..CUTS {
        let moment = Duration::from_millis(100 * cut);
        acknowledged += load_until_cut(&lab, lab.start(&configuration), cut, moment).len() as u64;
    }
    let _appliance = lab.start(&configuration);
    assert_eq!(checked(&lab, "example.com")["check"]["validated"], true);
    let (queued, counted) = (queued(&lab), counted(&lab));
    // What was made durable and not acknowledged any more is in the queue, too.
    assert_eq!(counted, [("example:user@example.com".to_owned(), queued)]);
    let most = acknowledged + CUTS * crate::cuts::SENDERS;
    assert!((acknowledged..=most).contains(&queued), "{acknowledged} acknowledged, {queued} queued");
}
