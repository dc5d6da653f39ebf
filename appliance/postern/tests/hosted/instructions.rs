//! What an administrator of Office 365 is told to do, in the order in which it is told: routing, recipient
//! verification, the MX to publish, user counts, aliases.

use std::collections::BTreeSet;

use image::exchange::{Exchange, Recipients, Tenant};
use serde_json::Value;

use crate::{
    configuration::ROOMY,
    control::{ask, checked, counted, map},
    lab::{HOST, Lab, wait_for},
    requirements::available,
    swaks::{accepted, refused},
};

const PORT: u16 = 2526;
const LISTED: &str = "[[realm.setting]]\nid = \"S-700\"\nvalue = true\n";
const ALIAS: &str =
    "\n[[address-mapping]]\naddress = \"info@example.com\"\nstream = \"example:ann@example.com\"\n";

/// The domain, routed to the tenant; `realm` and `domain` are lines of theirs.
fn configuration(realm: &str, domain: &str) -> String {
    format!(
        "version = 1\n[network]\nhostname = \"mx.example.com\"\naddress = [\"10.77.0.2/24\"]\n\
         gateway = [\"{HOST}\"]\ndns = [\"{HOST}\"]\n{ROOMY}\n[recipients]\nprobe-time = \"5 s\"\n\
         [[realm]]\nname = \"example\"\n{realm}[[domain]]\nname = \"example.com\"\nrealm = \"example\"\n\
         route = [\"[{HOST}]:{PORT}\"]\n{domain}"
    )
}

fn verified() -> String {
    format!("verification-server = \"[{HOST}]:{PORT}\"\n")
}

/// The domain's streams of this billing cycle; none while it is not validated.
fn streams(lab: &Lab) -> Option<u64> {
    let counts = ask(lab, &["provisioning"]);
    let domains = counts["provisioning"]["domains"].as_array().unwrap().clone();
    let domain = domains.iter().find(|row| row["name"] == "example.com");
    domain.unwrap_or_else(|| panic!("{counts}"))["streams"].as_u64()
}

/// Ann, Bob and the address for questions are known, or everybody is.
fn tenant(authoritative: bool) -> Tenant {
    let known = ["ann", "bob", "info"].map(|name| format!("{name}@example.com"));
    let known: BTreeSet<String> = known.into();
    let recipients = if authoritative { Recipients::Listed(known) } else { Recipients::Everybody };
    Tenant { domains: vec!["example.com".into()], recipients }
}

#[test]
fn directory_based_edge_blocking_makes_a_domain_valid() {
    if !available(&["swaks"]) {
        return;
    }
    let lab = Lab::new();
    let exchange = lab.inside(|| Exchange::listen((HOST, PORT).into(), tenant(false)).unwrap());
    let appliance = lab.start(&configuration("", &verified()));

    // By default Office 365 does not validate recipients: an error prevents the MX from being shown.
    let domain = checked(&lab, "example.com");
    assert_eq!(
        (&domain["check"]["reason"], &domain["mx"]),
        (&"accepts-all".into(), &Value::Null),
        "{domain}"
    );
    assert!(domain["check"]["remedy"].as_str().unwrap().contains("Authoritative"), "{domain}");
    accepted(&lab, "whoever@example.com");
    assert_eq!(streams(&lab), None, "users are not validated");

    // "Authoritative" takes time; checking again before that gives the same answer, afterwards the MX.
    assert_eq!(checked(&lab, "example.com")["mx"], Value::Null);
    exchange.organisation().become_at(std::time::SystemTime::UNIX_EPOCH, tenant(true));
    let domain = checked(&lab, "example.com");
    assert_eq!((&domain["check"]["validated"], &domain["mx"]), (&true.into(), &"mx.example.com".into()));

    // A stream for every address: an alias cannot be known.
    for name in ["ann", "Bob", "info", "ann"] {
        accepted(&lab, &format!("{name}@example.com"));
    }
    refused(&lab, "nobody@example.com", "550 5.1.1");
    let names: Vec<String> = counted(&lab).into_iter().map(|(name, _)| name).collect();
    for name in ["ann", "bob", "info"] {
        assert!(names.contains(&format!("example:{name}@example.com")), "{names:?}");
    }
    let before = streams(&lab).unwrap();
    assert!(appliance.stop().success());

    // An address mapping makes it one: no further stream is used from then on.
    let _appliance = lab.start(&configuration("", &(verified() + ALIAS)));
    accepted(&lab, "info@example.com");
    assert_eq!(map(&lab, "info@example.com")["stream"], "example:ann@example.com");
    assert_eq!(streams(&lab), Some(before));
}

#[test]
fn the_table_of_valid_recipients_needs_nothing_of_office_365() {
    if !available(&["swaks"]) {
        return;
    }
    let lab = Lab::new();
    let _exchange = lab.inside(|| Exchange::listen((HOST, PORT).into(), tenant(false)).unwrap());
    let _appliance = lab.start(&configuration(LISTED, &verified()));
    for name in ["ann", "bob"] {
        let words = ["valid-recipient", "add", "--stream", "example:default", &format!("{name}@example.com")];
        assert_eq!(ask(&lab, &words), "done");
    }
    accepted(&lab, "ann@example.com");
    refused(&lab, "whoever@example.com", "550 5.1.1");
    wait_for("the domain is validated", || {
        (checked(&lab, "example.com")["check"]["validated"] == true).then_some(())
    });
    assert_eq!(streams(&lab), Some(1));
}
