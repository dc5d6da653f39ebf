//! Recipients and their streams as a Microsoft 365 tenant has them, in a copy that outlives the tenant's absence.

use base64::{Engine, engine::general_purpose::STANDARD};
use image::entra::{Collection, Entra, Entry, Removed, Tenant};
use serde_json::Value;

use crate::{
    certificates::trusted,
    configuration::{ROOMY, with_domains},
    control::{ask, checked, counted, map},
    lab::{HOST, Lab, wait_for},
    names,
    next_hop::{NextHop, listen},
    requirements::available,
    swaks::{accepted, refused},
};

const HOP: u16 = 2526;
const HTTPS: u16 = 8443;
const NAME: &str = "graph.example.net";
/// Users of two addresses each.
const USERS: usize = 20;

/// The tenant, on the peers' end.
fn tenant(lab: &Lab) -> Entra {
    lab.inside(|| Entra::listen_at((HOST, HTTPS).into(), NAME, fill).unwrap())
}

fn id(number: usize) -> String {
    format!("10000000-0000-4000-8000-{number:012x}")
}

fn fill(tenant: &mut Tenant) {
    tenant.populate(USERS, "example.com");
    let group = Entry {
        name: Some("Sales".into()),
        mail: Some("sales@example.com".into()),
        proxies: vec!["SMTP:sales@example.com".into(), "smtp:vertrieb@example.com".into()],
        mail_enabled: Some(true),
        ..Entry::default()
    };
    tenant.set(Collection::Groups, &id(1), group);
    let shared = Entry {
        name: Some("Info desk".into()),
        mail: Some("info@example.com".into()),
        proxies: vec!["SMTP:info@example.com".into()],
        enabled: Some(false),
        ..Entry::default()
    };
    tenant.set(Collection::Users, &id(2), shared);
}

fn configuration(entra: &Entra) -> String {
    let tenant = entra.tenant();
    let root = STANDARD.encode(entra.root());
    let lines: Vec<&str> =
        root.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    let root = format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"));
    let lookup = format!(
        r#"mapping = "tenant"

[[user-lookup]]
name = "tenant"
realm = "example"
method = "entra-id"
tenant = "{}"
client = "{}"
secret = "{}"
secret-expires = "2099-12-31"
login-host = "{NAME}:{HTTPS}"
graph-host = "{NAME}:{HTTPS}"
"#,
        tenant.id,
        tenant.client,
        tenant.secret.clone().unwrap()
    );
    with_domains(&[("example.com", HOP)], &format!("{ROOMY}{}", trusted(&root))) + &lookup
}

fn sync(lab: &Lab) -> Value {
    ask(lab, &["lookup", "sync", "tenant"])["lookups"][0].clone()
}

#[test]
fn a_tenant_is_copied_and_outlived() {
    if !available(&["swaks"]) {
        return;
    }
    let lab = Lab::new();
    names::serve(&lab);
    let _next_hop = NextHop::start(listen(&lab, HOP));
    let entra = tenant(&lab);
    let configuration = configuration(&entra);
    let appliance = lab.start(&configuration);
    let lookup = sync(&lab);
    assert!(lookup["synced_at"].is_string() && lookup["held"].is_null(), "{lookup}");
    for address in [
        "user1@example.com",
        "U1@example.com",
        "u1+tag@example.com",
        "vertrieb@example.com",
        "info@example.com",
    ] {
        accepted(&lab, address);
    }
    refused(&lab, "new@example.com", "550 5.1.1");
    let alias = map(&lab, "u1@example.com");
    assert_eq!(alias["stream"], "example:user1@example.com", "{alias}");
    let domain = checked(&lab, "example.com");
    assert_eq!(domain["check"]["reason"], "directory-validates", "{domain}");
    let streams = ["info@example.com", "sales@example.com", "user1@example.com"];
    let streams = streams.map(|stream| format!("example:{stream}"));
    assert_eq!(counted(&lab), streams.into_iter().zip([1, 1, 3]).collect::<Vec<_>>());

    let new = Entry { proxies: vec!["SMTP:new@example.com".into()], ..Entry::default() };
    entra.tenant().set(Collection::Users, &id(3), new);
    sync(&lab);
    accepted(&lab, "new@example.com");

    // Nobody loses half of his people in ten minutes: that waits for an administrator.
    for number in USERS / 2..USERS {
        entra.tenant().remove(
            Collection::Users,
            &format!("00000000-0000-4000-8000-{number:012x}"),
            Removed::Deleted,
        );
    }
    let lookup = sync(&lab);
    let held = lookup["held"].as_str().unwrap_or_default();
    assert!(held.contains("20 of 44 addresses of example.com"), "{lookup}");
    let status = ask(&lab, &["status"]);
    assert!(status["status"]["alarms"].to_string().contains("waits to be confirmed"), "{status}");
    accepted(&lab, "user19@example.com");
    let lookup = ask(&lab, &["lookup", "confirm", "tenant"])["lookups"][0].clone();
    assert!(lookup["held"].is_null(), "{lookup}");
    wait_for("what was confirmed is in use", || {
        (map(&lab, "user18@example.com")["outcome"] == "refused").then_some(())
    });
    refused(&lab, "user17@example.com", "550 5.1.1");

    drop(entra);
    accepted(&lab, "user2@example.com");
    assert!(appliance.stop().success());
    let _appliance = lab.start(&configuration);
    accepted(&lab, "new@example.com");
    accepted(&lab, "sales@example.com");
    refused(&lab, "nobody@example.com", "550 5.1.1");
}

#[test]
fn a_tenant_that_was_never_read_refuses_nobody() {
    if !available(&["swaks"]) {
        return;
    }
    let lab = Lab::new();
    names::serve(&lab);
    let _next_hop = NextHop::start(listen(&lab, HOP));
    let entra = tenant(&lab);
    let configuration = configuration(&entra);
    entra.tenant().sign_in_error = Some((7_000_222, "The provided client secret keys are expired.".into()));
    let _appliance = lab.start(&configuration);
    refused(&lab, "user1@example.com", "451 4.4.3");
    refused(&lab, "nobody@example.com", "451 4.4.3");
    accepted(&lab, "postmaster@example.com");
    let alarms = wait_for("the alarm", || {
        let alarms = ask(&lab, &["status"])["status"]["alarms"].to_string();
        alarms.contains("directory tenant").then_some(alarms)
    });
    assert!(alarms.contains("expired"), "{alarms}");
    entra.tenant().sign_in_error = None;
    sync(&lab);
    accepted(&lab, "user1@example.com");
    refused(&lab, "nobody@example.com", "550 5.1.1");
}
