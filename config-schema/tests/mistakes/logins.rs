//! Mistakes in what says who may log in.

use crate::{DOMAIN, lines};

#[test]
fn in_lookups_of_mail_servers() {
    let lookup = |rest: &str| format!("[[user-lookup]]\nname = \"m\"\nmethod = \"imap\"\n{rest}\n");
    let mail = "servers = \"imap.example.com\"";
    assert_eq!(lines(&lookup(mail)), [""; 0]);
    for (rest, line) in [
        (
            "security = \"tls\"".to_owned(),
            "f:6:1: user-lookup[0].servers: missing, expected at least one mail server, such as [\"imap.example.com\"]",
        ),
        (
            "servers = []".to_owned(),
            "f:9:11: user-lookup[0].servers: an empty list, expected at least one mail server",
        ),
        (
            "servers = \"mx.example.com\"".to_owned(),
            "f:9:11: user-lookup[0].servers: `mx.example.com` is our own host name, expected the next hop's",
        ),
        (
            "servers = [\"[127.0.0.1]:143\"]".to_owned(),
            "f:9:12: user-lookup[0].servers[0]: `[127.0.0.1]:143` is no address that mail can be sent to, expected the next hop's",
        ),
        (
            format!("{mail}\nsecurity = \"none\""),
            "f:10:12: user-lookup[0].security: `none`, expected \"tls\" or \"starttls\"",
        ),
        (
            format!("{mail}\ncache-days = 31"),
            "f:10:14: user-lookup[0].cache-days: 31, expected a number from 0 to 30",
        ),
        (
            format!("{mail}\nlower-case-steam = true"),
            "f:10:1: user-lookup[0].lower-case-steam: unknown key, did you mean `lower-case-stream`?",
        ),
    ] {
        assert_eq!(lines(&lookup(&rest)), [line], "{rest}");
    }
    let servers: Vec<String> = (0..9).map(|n| format!("\"imap{n}.example.com\"")).collect();
    let most = |count: usize| lines(&lookup(&format!("servers = [{}]", servers[..count].join(","))));
    assert_eq!(most(8), [""; 0]);
    assert_eq!(most(9), ["f:9:172: user-lookup[0].servers[8]: one too many, expected at most 8 servers"]);
}

#[test]
fn a_stream_of_a_login_is_that_of_the_mail() {
    let domain = |mapping: &str, strip: bool| {
        lines(&format!(
            "{DOMAIN}mapping = \"{mapping}\"\nauthentication = \"m\"\n[[user-lookup]]\nname = \"m\"\nmethod = \"pop3\"\n\
             servers = \"pop.example.com\"\nstrip-domain-from-stream = {strip}\n"
        ))
    };
    assert_eq!(domain("as-is", false), [""; 0]);
    assert_eq!(domain("chop-domain", true), [""; 0]);
    assert_eq!(
        domain("as-is", true),
        [
            "f:10:18: domain[0].authentication: user lookup `m` has strip-domain-from-stream = true, expected false beside mapping = \"as-is\""
        ]
    );
    assert_eq!(
        domain("chop-domain", false),
        [
            "f:10:18: domain[0].authentication: user lookup `m` has strip-domain-from-stream = false, expected true beside mapping = \"chop-domain\""
        ]
    );
}

#[test]
fn in_lookups_by_openid_connect() {
    let lookup = |rest: &str| format!("[[user-lookup]]\nname = \"m\"\nmethod = \"oidc\"\n{rest}\n");
    let ids = "tenant = \"8a7c0d3e-4b1f-4f0a-9d2b-0c5e6f7a8b9c\"\nclient = \"11111111-2222-3333-4444-555555555555\"";
    let url = "redirect-url = \"https://mx.example.com/login\"";
    assert_eq!(lines(&lookup(&format!("{ids}\n{url}\nsecret = \"x\""))), [""; 0]);
    for (rest, expected) in [
        (
            format!("{url}\nsecret = \"x\""),
            vec![
                "f:6:1: user-lookup[0].tenant: missing, expected the tenant's identifier",
                "f:6:1: user-lookup[0].client: missing, expected the application's identifier",
            ],
        ),
        (
            format!("{ids}\n{url}"),
            vec!["f:6:1: user-lookup[0].secret: missing, expected it, or `certificate` and `key`"],
        ),
        (
            format!("{ids}\n{url}\nsecret = \" \""),
            vec!["f:12:10: user-lookup[0].secret: is empty, expected the application's secret"],
        ),
        (
            format!(
                "{ids}\n{url}\nsecret = \"x\"\nkey = \"-----BEGIN PRIVATE KEY-----\\nMAA=\\n-----END PRIVATE KEY-----\""
            ),
            vec![
                "f:6:1: user-lookup[0].certificate: missing, expected it beside `key`",
                "f:12:10: user-lookup[0].secret: stands beside a certificate, expected one of the two",
            ],
        ),
        (
            format!(
                "{}\n{url}\nsecret = \"x\"",
                ids.replace("8a7c0d3e-4b1f-4f0a-9d2b-0c5e6f7a8b9c", "common")
            ),
            vec![
                "f:9:10: user-lookup[0].tenant: `common`: stands for any tenant, expected the GUID of your own",
            ],
        ),
        (
            format!("{ids}\n{url}\nsecret = \"x\"\ncloud = \"china\"\nlogin-host = \"login.example.net\""),
            vec!["f:14:14: user-lookup[0].login-host: stands beside `cloud`, expected one of the two"],
        ),
        (
            format!("{ids}\nredirect-url = \"http://mx.example.com/login\"\nsecret = \"x\""),
            vec![
                "f:11:16: user-lookup[0].redirect-url: `http://mx.example.com/login`: not an address to come back to, expected such as \"https://mx.example.com/login/oidc\" without `?` or `#`",
            ],
        ),
    ] {
        assert_eq!(lines(&lookup(&rest)), expected, "{rest}");
    }
}

const HASH: &str = "password-hash = \"$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQxMjM$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"";

#[test]
fn in_users() {
    let user = |rest: &str| format!("[[user]]\nname = \"ann@example.com\"\n{rest}\n");
    assert_eq!(lines(&user(HASH)), [""; 0]);
    for (rest, line) in [
        (
            "role = \"end-user\"".to_owned(),
            "f:6:1: user[0].password-hash: missing, expected a PHC string such as \"$argon2id$v=19$…\", or `lookup`",
        ),
        (
            format!("{HASH}\nrole = \"root\""),
            "f:9:8: user[0].role: `root`, expected \"end-user\" or \"realm-administrator\" or \"appliance-administrator\"",
        ),
        (
            format!("{HASH}\nlookup = \"x\""),
            "f:9:10: user[0].lookup: `x`: stands beside `password-hash`, expected one of the two",
        ),
        ("lookup = \"x\"".to_owned(), "f:8:10: user[0].lookup: `x`: is no user lookup of the file, expected one"),
        (
            "lookup = \"l\"\n[[user-lookup]]\nname = \"l\"\nmethod = \"local\"".to_owned(),
            "f:8:10: user[0].lookup: `l`: has the passwords of this file, expected a `password-hash`",
        ),
        (
            "lookup = \"l\"\n[[realm]]\nname = \"r\"\n[[user-lookup]]\nname = \"l\"\nrealm = \"r\"\nmethod = \"imap\"\nservers = \"imap.example.com\"".to_owned(),
            "f:8:10: user[0].lookup: `l`: belongs to realm `r`, expected one of realm `base` or above it",
        ),
        (
            format!("{HASH}\ntotp-secret = \"1234\""),
            "f:9:15: user[0].totp-secret: not a key for one-time codes, expected 16 to 64 bytes in Base32",
        ),
        (
            format!("{HASH}\nrealm = \"r\""),
            "f:9:9: user[0].realm: realm `r` does not exist, expected one of the file's or `base`",
        ),
        (
            format!("{HASH}\nhome-stream = \"ann\""),
            "f:9:15: user[0].home-stream: `ann`: not a stream, expected `realm:stream`",
        ),
        (
            format!("{HASH}\nrealm = \"r\"\nhome-stream = \"base:ann\"\n[[realm]]\nname = \"r\""),
            "f:10:15: user[0].home-stream: `base:ann` is not in the user's realm `r`, expected a stream of it",
        ),
        (
            format!("{HASH}\nstreams = [\"base:a\", \"base:A\"]"),
            "f:9:22: user[0].streams[1]: `base:a` stands twice, expected each once",
        ),
        (
            format!("{HASH}\n[[user]]\nname = \"ANN@example.com\"\n{HASH}"),
            "f:10:8: user[1].name: user `ann@example.com` stands twice, first at line 7, expected each once",
        ),
        (
            format!("{HASH}\n[[administrator]]\nname = \"Ann@example.com\"\n{HASH}"),
            "f:7:8: user[0].name: `ann@example.com` is an administrator of the file, expected another name",
        ),
        (
            "lookup = \"o\"\ntotp-secret = \"GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ\"\n[[user-lookup]]\nname = \"o\"\nmethod = \"oidc\"\ntenant = \"8a7c0d3e-4b1f-4f0a-9d2b-0c5e6f7a8b9c\"\nclient = \"8a7c0d3e-4b1f-4f0a-9d2b-0c5e6f7a8b9c\"\nsecret = \"x\"\nredirect-url = \"https://mx.example.com/login\"".to_owned(),
            "f:8:10: user[0].lookup: `o`: is Entra ID's, which asks for a second factor itself, expected no `totp-secret`",
        ),
    ] {
        assert_eq!(lines(&user(&rest)), [line], "{rest}");
    }
    assert_eq!(
        lines(&format!("[[user]]\nname = \"ann\"\n{HASH}\n")),
        [
            "f:7:8: user[0].name: `ann`: not a user's name, expected `NAME@DOMAIN` of at most 320 bytes without spaces"
        ]
    );
}

#[test]
fn users_and_their_streams_have_their_limits() {
    let streams = |count: usize| {
        let names: Vec<String> = (0..count).map(|n| format!("\"base:s{n}\"")).collect();
        lines(&format!("[[user]]\nname = \"a@example.com\"\n{HASH}\nstreams = [{}]\n", names.join(",")))
    };
    assert_eq!(streams(config_schema::user::STREAMS_MAX), [""; 0]);
    assert_eq!(streams(config_schema::user::STREAMS_MAX + 1).len(), 1);
    let users = |count: usize| {
        let user = |n: usize| format!("[[user]]\nname = \"u{n}@example.com\"\n{HASH}\n");
        lines(&(0..count).map(user).collect::<String>())
    };
    assert_eq!(users(config_schema::user::USERS_MAX), [""; 0]);
    assert_eq!(users(config_schema::user::USERS_MAX + 1).len(), 1);
}
