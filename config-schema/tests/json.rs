//! The API's JSON has the keys of the file, and no secret in it.

use config_schema::Config;
use serde_json::{Value, json};

fn golden() -> Config {
    Config::parse("v1.toml", include_str!("golden/v1.toml")).expect("the golden file is right")
}

fn lines(json: &Value, present: Option<&Config>) -> Vec<String> {
    Config::from_json(json, present).err().map(|mistakes| mistakes.lines()).unwrap_or_default()
}

#[test]
fn what_is_read_and_written_back_is_the_same() {
    let config = golden();
    let json = config.to_json();
    assert!(!json.to_string().contains("PRIVATE KEY") && !json.to_string().contains("$argon2id$"), "{json}");
    assert_eq!(json["administrator"][0]["password-hash"], json!({ "left-out": true }));
    assert_eq!(Config::from_json(&json, Some(&config)).unwrap(), config);
}

#[test]
fn a_secret_stays_with_the_name_that_it_belongs_to() {
    let config = golden();
    let mut json = config.to_json();
    let list = json["administrator"].as_array_mut().unwrap();
    list.remove(0);
    let changed = Config::from_json(&json, Some(&config)).unwrap();
    assert_eq!(changed.administrators, config.administrators[1..]);
    json["administrator"][0]["name"] = json!("stranger");
    let wrong = lines(&json, Some(&config));
    assert_eq!(wrong.len(), 1, "{wrong:?}");
    assert!(
        wrong[0].starts_with("configuration: administrator[0].password-hash: the secret was left out"),
        "{wrong:?}"
    );
}

#[test]
fn mistakes_have_a_path_and_no_line() {
    assert_eq!(
        lines(&json!([]), None),
        ["configuration: not an object, expected one with the keys of the file"]
    );
    let network = json!({ "hostname": "mx.example.com", "address": "dhcp", "dns": null });
    let json = json!({ "version": 1, "network": network, "limits": { "recipients": 5 }, "domain": [null], "x": 1.5 });
    assert_eq!(
        lines(&json, None),
        [
            "configuration: domain: array, expected [[domain]]",
            "configuration: x: unknown key, expected one of version, network, realm, user-lookup, domain, verification-server, address-mapping, known-network, limits, recipients, provisioning, delivery, time, tls, administrator, user",
            "configuration: limits.recipients: 5, expected a number from 100 to 10000",
        ]
    );
}

#[test]
fn deep_json_is_refused() {
    let mut deep = json!(1);
    for _ in 0..100 {
        deep = json!({ "a": deep });
    }
    assert!(!lines(&deep, None).is_empty());
}
