//! The schema takes what is read, and says no to what is not.

use config_schema::command;
use serde_json::Value;

fn json(toml: &str) -> Value {
    toml_edit::de::from_str(toml).expect("it is TOML")
}

fn validator() -> jsonschema::Validator {
    let schema: Value = serde_json::from_str(&command::schema()).expect("a schema");
    jsonschema::meta::validate(&schema).expect("a schema");
    jsonschema::validator_for(&schema).expect("a schema")
}

#[test]
fn the_example_and_every_key_of_the_version_are_valid() {
    let validator = validator();
    for text in [command::example().as_str(), include_str!("golden/v1.toml")] {
        let errors: Vec<String> = validator.iter_errors(&json(text)).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{errors:?}");
    }
}

#[test]
fn what_is_no_configuration_is_not_valid() {
    let validator = validator();
    let golden = include_str!("golden/v1.toml");
    for (right, wrong) in [
        ("version = 1", "version = 2"),
        ("version = 1", ""),
        ("hostname = ", "hostnam = "),
        ("tls = \"required\"", "tls = \"requird\""),
        ("relay = true", "relay = \"yes\""),
        ("connections = 20000", "connections = 1"),
        ("name = \"admin\"", ""),
    ] {
        assert!(golden.contains(right), "{right}");
        assert!(!validator.is_valid(&json(&golden.replacen(right, wrong, 1))), "{wrong}");
    }
}

#[test]
fn the_schema_has_a_name_and_tells_what_limits_mean() {
    let schema: Value = serde_json::from_str(&command::schema()).unwrap();
    assert_eq!(schema["$id"], "urn:postern:configuration:1");
    let limit = &schema["properties"]["limits"]["properties"]["message-size"];
    assert_eq!(limit["default"], "150 MB");
    let tcp = &schema["properties"]["limits"]["properties"]["tcp"]["properties"];
    assert!(tcp["syn-sent"]["description"].as_str().is_some_and(|text| text.contains("From \"1 s\"")));
}

#[test]
fn a_key_that_two_methods_share_takes_the_words_of_both() {
    let schema: Value = serde_json::from_str(&command::schema()).unwrap();
    let words = &schema["properties"]["user-lookup"]["items"]["properties"]["security"]["enum"];
    for word in ["ldaps", "tls", "starttls", "plain"] {
        assert!(words.as_array().unwrap().contains(&word.into()), "{word}: {words}");
    }
}
