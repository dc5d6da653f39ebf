//! Each kind of mistake, with the line that tells it.

mod logins;
mod recipients;

use config_schema::Config;

const HEAD: &str = "version = 1\n[network]\nhostname = \"mx.example.com\"\naddress = [\"192.0.2.10/24\"]\ndns = \"192.0.2.53\"\n";

const DOMAIN: &str = "[[domain]]\nname = \"example.com\"\nroute = [\"mail.example.net\"]\n";

/// The lines for `rest`, which begins at line 6 of the file.
fn lines(rest: &str) -> Vec<String> {
    Config::parse("f", &format!("{HEAD}{rest}")).err().map(|mistakes| mistakes.lines()).unwrap_or_default()
}

fn check(cases: &[(&str, &str)]) {
    for (rest, line) in cases {
        assert_eq!(lines(rest), [*line], "{rest}");
    }
}

#[test]
fn the_head_alone_is_right() {
    assert_eq!(lines(DOMAIN), [""; 0]);
}

#[test]
fn in_the_head() {
    let cases = [
        ("", "f:1:1: version: missing, expected version = 1"),
        (
            "version = 0\nnetwork = { hostname = \"a.example\", address = \"dhcp\" }",
            "f:1:11: version: 0, expected a number from 1 to 9223372036854775807",
        ),
        ("version = 1", "f:1:1: network: missing, expected a table [network]"),
        ("version = 1\nnetwork = 5", "f:2:11: network: integer, expected a table"),
        (
            "version = 1\n[network]\naddress = \"dhcp\"\nhostname = \"a b\"",
            "f:4:12: network.hostname: `a b`: a label may hold letters, digits, `-` and `_`, and neither begin nor end with `-`, expected a name such as \"mx.example.com\"",
        ),
        (
            "version = 1\n[network]\nhostname = \"a.example\"\naddress = \"dhcp\"\ndns-validates = true",
            "f:5:17: network.dns-validates: true, expected `dns` to name the resolvers that are trusted",
        ),
        (
            "version = 1\n[network]\nhostname = \"a.example\"",
            "f:2:1: network.address: missing, expected \"dhcp\" or a list such as [\"192.0.2.10/24\"]",
        ),
    ];
    for (text, line) in cases {
        let mistakes = Config::parse("f", text).unwrap_err();
        assert!(mistakes.lines().contains(&line.to_owned()), "{text}\n{mistakes}");
    }
}

#[test]
fn in_its_grammar() {
    check(&[
        ("dns = \"192.0.2.54\"", "f:6:1: duplicate key"),
        ("x = \"", "f:6:6: invalid basic string, expected `\"`"),
    ]);
}

#[test]
fn in_realms_and_settings() {
    check(&[
        ("[[realm]]\n", "f:6:1: realm[0].name: missing, expected the realm's name"),
        ("[realm]\nname = \"a\"\n", "f:6:1: realm: table, expected [[realm]]"),
        (
            "[[realm]]\nname = \"a b\"\n",
            "f:7:8: realm[0].name: `a b`: not a realm's name, expected 1 to 64 letters, digits, `-` or `_`",
        ),
        (
            "[[realm]]\nname = \"a\"\n[[realm]]\nname = \"A\"\n",
            "f:9:8: realm[1].name: realm `a` stands twice, first at line 7, expected each once",
        ),
        (
            "[[realm]]\nname = \"a\"\nparent = \"b\"\n",
            "f:8:10: realm[0].parent: realm `b` does not exist, expected one of the file's or `base`",
        ),
        (
            "[[realm]]\nname = \"base\"\nparent = \"base\"\n",
            "f:8:10: realm[0].parent: `base` is the root, expected no parent",
        ),
        (
            "[[realm]]\nname = \"a\"\n[[realm.setting]]\nid = \"S-700\"\n",
            "f:8:1: realm[0].setting[0].value: missing, expected the setting's value",
        ),
        (
            "[[realm]]\nname = \"a\"\n[[realm.setting]]\nid = \"S-700\"\nvalue = 3\n",
            "f:10:9: realm[0].setting[0].value: 3, expected true or false",
        ),
        (
            "[[realm]]\nname = \"a\"\n[[realm.setting]]\nid = \"S-300\"\nvalue = nan\n",
            "f:10:9: realm[0].setting[0].value: NaN, expected a score from -1000000000 to 1000000000",
        ),
        (
            "[[realm]]\nname = \"a\"\n[[realm.setting]]\nid = \"S-400\"\nvalue = -1\n",
            "f:10:9: realm[0].setting[0].value: -1, expected a whole number from 0 to 1000000000",
        ),
        (
            "[[realm]]\nname = \"a\"\n[[realm.setting]]\nid = \"S-701\"\nvalue = true\n",
            "f:9:6: realm[0].setting[0].id: `S-701` is no setting, expected one of S-100, S-200, S-300, S-400, S-700, S-910, S-915, S-920, S-925, S-930, S-3000, S-3100, S-3200",
        ),
        (
            "[[realm]]\nname = \"a\"\n[[realm.setting]]\nid = \"S-700\"\nvalue = true\n[[realm.setting]]\nid = \"S-700\"\nvalue = true\n",
            "f:12:6: realm[0].setting[1].id: setting `S-700` stands twice, first at line 9, expected each once",
        ),
    ]);
}

#[test]
fn in_networks_and_limits() {
    check(&[
        (
            "[[known-network]]\nname = \"a\"\n",
            "f:6:1: known-network[0].network: missing, expected at least one such as \"192.0.2.0/24\"",
        ),
        (
            "[[known-network]]\nname = \"a\"\nnetwork = \"192.0.2.7/24\"\n",
            "f:8:11: known-network[0].network: `192.0.2.7/24`: bits behind the prefix are set, expected 192.0.2.0/24",
        ),
        (
            "[[known-network]]\nname = \"a\"\nnetwork = \"::/0\"\nrelay = true\n",
            "f:8:11: known-network[0].network: ::/0 may relay, which is an open relay, expected a network of yours",
        ),
        (
            "[[known-network]]\nname = \"a\"\nnetwork = \"192.0.2.0/24\"\n[[known-network]]\nname = \"b\"\nnetwork = \"192.0.2.0/24\"\n",
            "f:11:11: known-network[1].network: network 192.0.2.0/24 stands twice, first at line 8, expected each once",
        ),
        (
            "[[known-network]]\nnetwork = \"192.0.2.0/24\"\nstream = \"x\"\n",
            "f:8:10: known-network[0].stream: `x`: not a stream, expected `realm:stream`",
        ),
        (
            "[[known-network]]\nnetwork = \"192.0.2.0/24\"\nstream = \"b:x\"\n",
            "f:8:10: known-network[0].stream: realm `b` does not exist, expected one of the file's or `base`",
        ),
        (
            "[limits]\nconnections-per-adress = 5\n",
            "f:7:1: limits.connections-per-adress: unknown key, did you mean `connections-per-address`?",
        ),
        (
            "[limits]\nmessage-size = \"1 kB\"\n",
            "f:7:16: limits.message-size: 1 kB, expected from 65536 to 1 GB",
        ),
        ("[limits]\ncommand-time = 300\n", "f:7:16: limits.command-time: integer, expected a string"),
        (
            "[limits]\ncommand-time = \"5\"\n",
            "f:7:16: limits.command-time: `5`: not a period, expected a number with ms, s, min, h or days, such as \"5 min\"",
        ),
        (
            "[limits]\nconnections-per-address = 300\n",
            "f:7:27: limits.connections-per-address: 300, expected no more than `connections-per-network`, which is 250",
        ),
        (
            "[delivery]\ndelay-notice = \"6 days\"\n",
            "f:7:16: delivery.delay-notice: 6 days, expected no more than `lifetime`, which is 5 days",
        ),
        (
            "[time]\nservers = [\"a b\"]\n",
            "f:7:12: time.servers[0]: `a b`: not a time server, expected a host name or an address",
        ),
    ]);
}

#[test]
fn in_certificates_and_administrators() {
    check(&[
        (
            "[tls]\nkey = \"\"\"-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\"\"\"\n",
            "f:6:1: tls.certificate: missing, expected it beside `key`",
        ),
        (
            "[tls]\nroots = [\"x\"]\n",
            "f:7:10: tls.roots[0]: no `-----BEGIN` line is in it, expected certificates in PEM",
        ),
        ("[tls]\nmin-version = \"1.1\"\n", "f:7:15: tls.min-version: `1.1`, expected \"1.2\" or \"1.3\""),
        (
            "[[administrator]]\nname = \"a\"\n",
            "f:6:1: administrator[0].password-hash: missing, expected a PHC string such as \"$argon2id$v=19$…\"",
        ),
        (
            "[[administrator]]\nname = \"a\"\npassword-hash = \"hunter2\"\n",
            "f:8:17: administrator[0].password-hash: not a hash by Argon2id, expected \"$argon2id$v=19$m=…,t=…,p=…$SALT$HASH\" with m up to 262144 and t up to 64",
        ),
        (
            "[[administrator]]\nname = \"a\"\npassword-hash = { seal = \"x\" }\n",
            "f:8:17: administrator[0].password-hash: a table with the key `seal`, expected a string, { file = \"…\" }, or { sealed = \"…\" } from an export",
        ),
    ]);
}

#[test]
fn realms_are_not_nested_without_end() {
    let realm = |n: usize| {
        format!(
            "[[realm]]\nname = \"r{n}\"\nparent = \"{}\"\n",
            if n == 0 { "base".to_owned() } else { format!("r{}", n - 1) }
        )
    };
    let nested = |count: usize| (0..count).map(realm).collect::<String>();
    assert_eq!(lines(&nested(config_schema::realm::REALM_DEPTH_MAX - 1)), [""; 0]);
    assert_eq!(lines(&nested(config_schema::realm::REALM_DEPTH_MAX)).len(), 1);
}

#[test]
fn a_mistake_is_one_bounded_line_whatever_it_quotes() {
    let quoted = |text: &str| lines(&format!("[time]\nservers = [\"{text}\"]\n")).remove(0);
    assert!(quoted("a\\nb\\u202e").contains("`a\\u{a}b\\u{202e}`"), "{}", quoted("a\\nb\\u202e"));
    assert!(quoted(&"x ".repeat(10_000)).chars().count() < 700);
}

#[test]
fn many_mistakes_are_bounded() {
    let text = "x = 1\n".repeat(20_000);
    assert!((1..=1_000).contains(&lines(&text).len()));
    let text: String = (0..20_000).map(|n| format!("x{n} = 1\n")).collect();
    assert_eq!(lines(&text).len(), 1_000);
}
