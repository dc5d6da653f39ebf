//! Which recipients are real, as real verification servers and tables say, and whose they are.

use image::exchange::{Exchange, Recipients, Refusal, Script, Tenant};
use serde_json::Value;

use crate::{
    configuration::ROOMY,
    control::{ask, checked, control, map},
    lab::{HOST, Lab, wait_for},
    postfix::Postfix,
    requirements::available,
    swaks::{accepted, refused, send},
};

const PORT: u16 = 2526;

/// One domain whose route is also its verification server; `more` lines belong to the realm.
fn configuration(realm: &str) -> String {
    format!(
        r#"version = 1
[network]
hostname = "mx.example.com"
address = ["10.77.0.2/24"]
gateway = ["{HOST}"]
dns = ["{HOST}"]
{ROOMY}
[recipients]
probe-time = "5 s"

[[realm]]
name = "example"
{realm}
[[domain]]
name = "example.com"
realm = "example"
route = ["[{HOST}]:{PORT}"]
verification-server = "[{HOST}]:{PORT}"
"#
    )
}

/// Postfix with these settings beside a mailbox domain.
fn postfix<'a>(lab: &'a Lab, settings: &str) -> Postfix<'a> {
    Postfix::start(lab, PORT, &format!("virtual_mailbox_domains = example.com\n{settings}"))
}

const TWO_MAILBOXES: &str =
    "recipient_delimiter = +\nvirtual_mailbox_maps = inline:{ann@example.com=all/, bob@example.com=all/}";

#[test]
fn a_server_that_knows_its_recipients_is_believed_and_outlived() {
    if !available(&["postfix", "swaks"]) {
        return;
    }
    let lab = Lab::new();
    let server = postfix(&lab, TWO_MAILBOXES);
    let appliance = lab.start(&configuration(""));
    accepted(&lab, "Ann@Example.com");
    accepted(&lab, "ann+tag@example.com");
    refused(&lab, "nobody@example.com", "550 5.1.1");
    accepted(&lab, "postmaster@example.com");

    let known = ask(&lab, &["map", "ann@example.com"]);
    assert_eq!(known["mapping"]["outcome"], "accepted", "{known}");
    assert_eq!(known["mapping"]["stream"], "example:ann@example.com", "{known}");
    let unknown = ask(&lab, &["map", "nobody@example.com"]);
    assert_eq!(unknown["mapping"]["outcome"], "refused", "{unknown}");
    assert!(unknown["mapping"]["trace"].to_string().contains("verification server"), "{unknown}");

    let domain = checked(&lab, "example.com");
    assert_eq!(domain["check"]["validated"], true, "{domain}");
    assert_eq!(domain["mx"], "mx.example.com", "{domain}");
    assert!(domain["check"]["evidence"].to_string().contains("550"), "{domain}");

    // The server is gone: who was valid stays so, and nobody is refused for good.
    drop(server);
    accepted(&lab, "ann@example.com");
    refused(&lab, "bob@example.com", "451 4.4.3");
    assert!(appliance.stop().success());
    let _appliance = lab.start(&configuration(""));
    accepted(&lab, "ann@example.com");
    refused(&lab, "carl@example.com", "451 4.4.3");
    let counts = ask(&lab, &["provisioning"]);
    let ann = counts["provisioning"]["streams"].as_array().unwrap().iter();
    let ann: Vec<&Value> = ann.filter(|row| row["stream"] == "example:ann@example.com").collect();
    assert_eq!(ann.len(), 1, "{counts}");
    assert_eq!(ann[0]["messages"], 4, "{counts}");
    assert_eq!(counts["provisioning"]["domains"][0]["streams"], 2, "ann and postmaster's: {counts}");
}

#[test]
fn a_server_that_takes_everybody_is_found_out_and_a_table_helps() {
    if !available(&["postfix", "swaks"]) {
        return;
    }
    let lab = Lab::new();
    let _server = postfix(&lab, "virtual_mailbox_maps = static:all/");
    let appliance = lab.start(&configuration(""));
    let domain = checked(&lab, "example.com");
    assert_eq!(domain["check"]["reason"], "accepts-all", "{domain}");
    assert_eq!((&domain["check"]["validated"], &domain["mx"]), (&Value::Bool(false), &Value::Null));
    assert!(domain["check"]["remedy"].as_str().unwrap().contains("Authoritative"), "{domain}");
    accepted(&lab, "ann@example.com");
    let counts = ask(&lab, &["provisioning"]);
    assert_eq!(counts["provisioning"]["domains"][0]["streams"], Value::Null, "{counts}");
    assert!(appliance.stop().success());

    // S-700: the table decides.
    let _appliance = lab.start(&configuration("[[realm.setting]]\nid = \"S-700\"\nvalue = true\n"));
    refused(&lab, "ann@example.com", "550 5.1.1");
    let csv = lab.folder.join("recipients.csv");
    std::fs::write(&csv, "address\nann@example.com\nnot an address\nann@elsewhere.example\n").unwrap();
    let import = ["valid-recipient", "import", "--stream", "example:default", csv.to_str().unwrap()];
    let nothing = control(&lab, &import);
    assert_eq!(nothing.status.code(), Some(1));
    let nothing: Value = serde_json::from_slice(&nothing.stdout).unwrap();
    assert_eq!(nothing["import"]["imported"], false, "{nothing}");
    let mistakes = nothing["import"]["mistakes"].to_string();
    assert!(mistakes.contains("line 3: ") && mistakes.contains("line 4: "), "{mistakes}");
    refused(&lab, "ann@example.com", "550 5.1.1");
    std::fs::write(&csv, "address\r\nann@example.com\r\n\"bob@example.com\"\r\n").unwrap();
    assert_eq!(ask(&lab, &import)["import"]["added"], 2);
    accepted(&lab, "ann@example.com");
    accepted(&lab, "postmaster@example.com");
    refused(&lab, "carl@example.com", "550 5.1.1");
    let one = |word: &str, address: &str| {
        control(&lab, &["valid-recipient", word, "--stream", "example:default", address]).status.code()
    };
    assert_eq!((one("add", "carl@elsewhere.example"), one("add", "carl@example.com")), (Some(1), Some(0)));
    accepted(&lab, "carl@example.com");
    assert_eq!((one("remove", "carl@example.com"), one("remove", "carl@example.com")), (Some(0), Some(1)));
    refused(&lab, "carl@example.com", "550 5.1.1");
    let domain = checked(&lab, "example.com");
    assert_eq!(domain["check"]["validated"], true, "{domain}");
    let why = ask(&lab, &["stream", "settings", "example:ann@example.com", "S-700"]);
    assert_eq!(why["settings"][0]["from"], "example:default", "{why}");
    let table = control(&lab, &["valid-recipient", "export"]);
    let table: Value = serde_json::from_slice(&table.stdout).unwrap();
    assert!(table["csv"].as_str().unwrap().contains("bob@example.com,example:default\r\n"), "{table}");
}

#[test]
fn a_server_that_will_not_say_refuses_nobody() {
    if !available(&["postfix", "swaks"]) {
        return;
    }
    let lab = Lab::new();
    let server = postfix(
        &lab,
        &format!(
            "{TWO_MAILBOXES}\nsmtpd_delay_reject = no\n\
             smtpd_recipient_restrictions = check_recipient_access inline:{{ \
             {{bob@example.com = 450 4.2.0 Greylisted}} }}, permit"
        ),
    );
    let appliance = lab.start(&configuration(""));
    accepted(&lab, "ann@example.com");
    refused(&lab, "bob@example.com", "451 4.4.3");
    drop(server);

    // The null sender is refused: postmaster asks instead.
    let server = postfix(
        &lab,
        &format!(
            "{TWO_MAILBOXES}\nsmtpd_delay_reject = no\nsmtpd_null_access_lookup_key = <>\n\
             smtpd_sender_restrictions = check_sender_access inline:{{<>=REJECT}}, permit"
        ),
    );
    let forgotten = ask(&lab, &["verification", "forget"]);
    assert!(forgotten["forgotten"]["addresses"].as_u64() >= Some(1), "{forgotten}");
    // After a server was away it is given a moment before it is asked again.
    wait_for("bob is known", || send(&lab, "bob@example.com").status.success().then_some(()));
    refused(&lab, "nobody@example.com", "550 5.1.1");
    let status = ask(&lab, &["status"]);
    assert!(status["status"]["alarms"].to_string().contains("null sender"), "{status}");
    drop(server);

    // It refuses us, whoever the recipient: that is no answer about the recipient.
    let _server = postfix(
        &lab,
        &format!(
            "{TWO_MAILBOXES}\nsmtpd_client_restrictions = check_client_access \
             inline:{{ {{10.77.0.2 = 554 5.7.1 Service unavailable; Client host blocked using Spamhaus}} }}, permit"
        ),
    );
    assert_eq!(ask(&lab, &["verification", "forget", "ann@example.com"])["forgotten"]["addresses"], 0);
    refused(&lab, "carl@example.com", "451 4.4.3");
    accepted(&lab, "bob@example.com");
    assert!(appliance.stop().success());
}

/// Exchange Online's double: its directory-based edge blocking, and what it says when it refuses us instead.
#[test]
fn an_exchange_online_that_refuses_us_refuses_no_recipient() {
    if !available(&["swaks"]) {
        return;
    }
    let lab = Lab::new();
    let exchange = lab.inside(|| {
        let known = ["ann@example.com", "bob@example.com"].map(str::to_owned);
        let tenant =
            Tenant { domains: vec!["example.com".into()], recipients: Recipients::Listed(known.into()) };
        Exchange::listen((HOST, PORT).into(), tenant).unwrap()
    });
    let _appliance = lab.start(&configuration(""));
    accepted(&lab, "ann@example.com");
    refused(&lab, "nobody@example.com", "550 5.1.1");
    let domain = checked(&lab, "example.com");
    assert_eq!(domain["check"]["validated"], true, "{domain}");
    exchange.organisation().play(Script { older_text: true, ..Script::default() });
    refused(&lab, "none@example.com", "550 5.1.1");

    // These are 550, too, and say nothing about the recipient.
    for (refusal, code) in [
        (Refusal::TenantAttribution, "5.7.64"),
        (Refusal::ConnectorNotMatched, "5.7.51"),
        (Refusal::BannedAddress, "5.7.606"),
    ] {
        exchange.organisation().play(Script { refuses: Some(refusal), ..Script::default() });
        wait_for(&format!("{code} is said"), || {
            let bob = map(&lab, "bob@example.com");
            assert_eq!(bob["outcome"], "deferred", "{bob}");
            bob["trace"].to_string().contains(code).then_some(())
        });
        refused(&lab, "bob@example.com", "451 4.4.3");
        accepted(&lab, "ann@example.com");
    }
    exchange.organisation().play(Script::default());
    wait_for("bob is known", || send(&lab, "bob@example.com").status.success().then_some(()));
}
