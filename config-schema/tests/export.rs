//! What is exported reads back as the same configuration; secrets leave only sealed or not at all.

use config_schema::{Config, Secret, SecretMode, SecretSources};

const GOLDEN: &str = include_str!("golden/v1.toml");
/// What stands in each secret of the golden file, and nowhere else.
const SECRETS: [&str; 6] = [
    "$argon2id$v=19$m=19456",
    "PRIVATE KEY",
    "the application's secret",
    "GEZDGNBVGY3TQOJQ",
    "directory password",
    "client~secret~8",
];

fn assert_no_secret(text: &str) {
    for secret in SECRETS {
        assert!(GOLDEN.contains(secret) && !text.contains(secret), "{secret}: {text}");
    }
}

fn golden() -> Config {
    Config::parse("v1.toml", GOLDEN).unwrap_or_else(|mistakes| panic!("{mistakes}"))
}

#[test]
fn a_plain_export_reads_back_as_the_same() {
    let config = golden();
    let text = config.export(&SecretMode::Plain).unwrap();
    let back = Config::parse("export", &text).unwrap_or_else(|mistakes| panic!("{mistakes}\n{text}"));
    assert_eq!(back, config);
    assert_eq!(back.export(&SecretMode::Plain).unwrap(), text);
}

#[test]
fn a_sealed_export_shows_no_secret_and_opens_by_its_passphrase_only() {
    let passphrase = Secret::new("correct horse battery");
    let text = golden().export(&SecretMode::Sealed(passphrase.clone())).unwrap();
    assert_no_secret(&text);

    let open = |passphrase: &Secret| {
        Config::parse_with("export", &text, &SecretSources::none().with_passphrase(passphrase))
    };
    assert_eq!(open(&passphrase).unwrap(), golden());
    assert!(open(&Secret::new("incorrect horse")).is_err());
    let mistakes = Config::parse("export", &text).unwrap_err();
    assert_eq!(mistakes.iter().count(), 11, "{mistakes}");
}

#[test]
fn an_export_without_secrets_says_where_each_is_missing() {
    let text = golden().export(&SecretMode::LeftOut).unwrap();
    assert_no_secret(&text);
    let mistakes = Config::parse("export", &text).unwrap_err();
    let paths: Vec<&str> = mistakes.iter().map(|mistake| mistake.path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "realm[0].client.key",
            "user-lookup[0].bind-password",
            "user-lookup[1].secret",
            "user-lookup[2].key",
            "user-lookup[5].secret",
            "user-lookup[6].key",
            "tls.key",
            "administrator[0].password-hash",
            "administrator[1].password-hash",
            "user[0].password-hash",
            "user[0].totp-secret",
        ]
    );
}

#[test]
fn secrets_may_come_from_files() {
    let text = GOLDEN.replace("key = \"\"\"", "key = { file = \"mx.key\" }\nunused = \"\"\"");
    let text = text.replace(
        "unused = \"\"\"\n-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n\"\"\"\n",
        "",
    );
    let read = |name: &str| match name {
        "mx.key" => Ok("-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n".to_owned()),
        _ => Err("no such file".to_owned()),
    };
    let sources = SecretSources::none().with_files(&read);
    assert_eq!(Config::parse_with("v1.toml", &text, &sources).unwrap(), golden());

    let missing = text.replace("mx.key", "my.key");
    let mistakes = Config::parse_with("v1.toml", &missing, &sources).unwrap_err();
    assert!(
        mistakes.to_string().contains("tls.key: the file `my.key` cannot be read (no such file)"),
        "{mistakes}"
    );
    let mistakes = Config::parse("v1.toml", &text).unwrap_err();
    assert!(mistakes.to_string().contains("tls.key: no file can be read from here"), "{mistakes}");
}

#[test]
fn a_configuration_never_prints_its_secrets() {
    let printed = format!("{:?}", golden());
    assert_no_secret(&printed);
}
