//! Each kind of mistake, with the line that tells it.

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
fn in_domains() {
    check(&[
        (
            "[[domain]]\nroute = [\"a.example\"]\n",
            "f:6:1: domain[0].name: missing, expected the domain's name",
        ),
        (
            "[[domain]]\nname = \"example.com\"\n",
            "f:6:1: domain[0].route: missing, expected at least one next hop, such as [\"mail.example.com\"]",
        ),
        (
            "[[domain]]\nname = \"example.com\"\nroute = []\n",
            "f:8:9: domain[0].route: an empty list, expected at least one next hop",
        ),
        (
            "[[domain]]\nname = \"example.com\"\nroute = [5]\n",
            "f:8:10: domain[0].route[0]: integer, expected a string",
        ),
        (
            "[[domain]]\nname = \"example.com\"\nroute = [\"a:0\"]\n",
            "f:8:10: domain[0].route[0]: `a:0`: the port is wrong, expected a number from 1 to 65535",
        ),
        (
            "[[domain]]\nname = \"example.com\"\nroute = [{ port = 25 }]\n",
            "f:8:10: domain[0].route[0].host: missing, expected HOST or [ADDRESS]",
        ),
        (
            "[[domain]]\nname = \"example.com\"\nroute = [{ host = \"a.example:25\", port = 25 }]\n",
            "f:8:19: domain[0].route[0].host: a port stands here and under `port`, expected it once",
        ),
        (
            "[[domain]]\nname = \"example.com\"\nroute = [{ host = \"a.example\", prio = 5 }]\n",
            "f:8:32: domain[0].route[0].prio: unknown key, did you mean `priority`?",
        ),
        (
            "[[domain]]\nname = \"example.com\"\nroute = \"mx.example.com\"\n",
            "f:8:9: domain[0].route: `mx.example.com` is our own host name, expected the next hop's",
        ),
        (
            "[[domain]]\nname = \"example.com\"\nroute = [\"[192.0.2.10]:2525\"]\n",
            "f:8:10: domain[0].route[0]: `[192.0.2.10]:2525` is our own address, expected the next hop's",
        ),
        (
            "[[domain]]\nname = \"example.com\"\nroute = [\"[::ffff:127.0.0.1]\"]\n",
            "f:8:10: domain[0].route[0]: `[::ffff:127.0.0.1]` is no address that mail can be sent to, expected the next hop's",
        ),
        (
            "[[domain]]\nname = \"example.com\"\nroute = [\"localhost\"]\n",
            "f:8:10: domain[0].route[0]: `localhost` is this machine, expected the next hop's name",
        ),
        (
            "[[domain]]\nname = \"example.com\"\nroute = [\"smtp.office365.com\"]\n",
            "f:8:10: domain[0].route[0]: `smtp.office365.com` takes no mail for mailboxes, expected the domain's MX host at Microsoft 365, such as `example-com.mail.protection.outlook.com`",
        ),
        (
            "[[domain]]\nname = \"example.com\"\nroute = [\"a.example\"]\nmapping = \"asis\"\n",
            "f:9:11: domain[0].mapping: `asis` is neither \"as-is\" nor \"chop-domain\" nor a user lookup of \
             the file, expected one",
        ),
        (
            "[[domain]]\nname = \"example.com\"\nroute = [\"a.example\"]\nroutes = []\n",
            "f:9:1: domain[0].routes: unknown key, did you mean `route`?",
        ),
        (
            "[[realm]]\nname = \"a\"\n[[realm.setting]]\nid = \"S-930\"\nvalue = true\n[[domain]]\nname = \"example.com\"\nrealm = \"a\"\nroute = [\"a.example\"]\n",
            "f:12:8: domain[0].delivery: \"enhanced-filtering\" beside S-930 = true in realm `a`, expected delivery = \"srs\" or no S-930",
        ),
    ]);
}

#[test]
fn in_streams_and_valid_recipients() {
    let realm = |rest: &str| lines(&format!("{DOMAIN}[[realm]]\nname = \"a\"\n{rest}"));
    for (rest, line) in [
        ("suspended = 1\n", "f:11:13: realm[0].suspended: integer, expected true or false"),
        (
            "[realm.client]\n",
            "f:11:1: realm[0].client.certificate: missing, expected a chain in PEM, our own certificate first",
        ),
        (
            "[realm.client]\nkey = \"-----BEGIN PRIVATE KEY-----\\nMAA=\\n-----END PRIVATE KEY-----\\n\"\n",
            "f:11:1: realm[0].client.certificate: missing, expected it beside `key`",
        ),
        (
            "valid-recipients = [\"ann\"]\n",
            "f:11:21: realm[0].valid-recipients[0]: `ann`: not an address, expected `NAME@DOMAIN` such as \"ann@example.com\"",
        ),
        (
            "valid-recipients = \"ann@example.com\"\n",
            "f:11:20: realm[0].valid-recipients: `ann@example.com` is in no domain of realm `a`, expected one that is",
        ),
        (
            "[[realm.stream]]\n",
            "f:11:1: realm[0].stream[0].name: missing, expected the stream's name within the realm",
        ),
        (
            "[[realm.stream]]\nname = \"\"\n",
            "f:12:8: realm[0].stream[0].name: ``: not a stream's name, expected 1 to 320 bytes without control characters",
        ),
        (
            "[[realm.stream]]\nname = \"Default\"\n",
            "f:12:8: realm[0].stream[0].name: what `default` has stands in the realm itself, expected another stream",
        ),
        (
            "[[realm.stream]]\nname = \"x\"\n[[realm.stream]]\nname = \"X\"\n",
            "f:14:8: realm[0].stream[1].name: stream `x` stands twice, first at line 12, expected each once",
        ),
        (
            "[[realm.stream]]\nname = \"x\"\n[[realm.stream.setting]]\nid = \"S-700\"\nvalue = 1\n",
            "f:15:9: realm[0].stream[0].setting[0].value: 1, expected true or false",
        ),
        (
            "[[realm.stream]]\nname = \"x\"\nvalid-recipient = []\n",
            "f:13:1: realm[0].stream[0].valid-recipient: unknown key, did you mean `valid-recipients`?",
        ),
    ] {
        assert_eq!(realm(rest), [line], "{rest}");
    }
    let base = "[[realm]]\nname = \"base\"\nvalid-recipients = [\"a@example.com\", \"A@EXAMPLE.com\"]\n";
    assert_eq!(
        lines(&format!("{DOMAIN}{base}")),
        [
            "f:11:38: realm[0].valid-recipients[1]: `a@example.com` stands twice, first at line 11, expected each once"
        ]
    );
}

#[test]
fn in_how_a_domain_finds_its_recipients() {
    let lookups = "[[realm]]\nname = \"a\"\n[[user-lookup]]\nname = \"local\"\nmethod = \"local\"\n[[user-lookup]]\nname = \"other\"\nrealm = \"a\"\nmethod = \"local\"\n[[user-lookup]]\nname = \"tenant\"\nmethod = \"entra-id\"\ntenant = \"8a7c0d3e-4b1f-4f0a-9d2b-0c5e6f7a8b9c\"\nclient = \"8a7c0d3e-4b1f-4f0a-9d2b-0c5e6f7a8b9c\"\nsecret = \"x\"\nsecret-expires = \"2030-01-01\"\n";
    let with = |rest: &str| lines(&format!("{DOMAIN}{rest}\n{lookups}"));
    assert_eq!(with("authentication = \"Local\"\nmapping = \"tenant\""), [""; 0]);
    for (rest, line) in [
        ("unlisted = \"accept\"", "f:9:12: domain[0].unlisted: `accept`, expected \"refuse\" or \"verify\""),
        ("plus-addresses = \"no\"", "f:9:18: domain[0].plus-addresses: `no`, expected \"base\" or \"exact\""),
        (
            "authentication = \"as-is\"",
            "f:9:18: domain[0].authentication: `as-is` is no user lookup of the file, expected one",
        ),
        (
            "authentication = \"tenant\"",
            "f:9:18: domain[0].authentication: user lookup `tenant` only knows addresses, expected one that checks logins",
        ),
        (
            "mapping = \"local\"",
            "f:9:11: domain[0].mapping: user lookup `local` only checks logins, expected one that knows addresses",
        ),
        (
            "authentication = \"other\"",
            "f:9:18: domain[0].authentication: user lookup `other` belongs to realm `a`, expected one of realm `base` or above it",
        ),
    ] {
        assert_eq!(with(rest), [line], "{rest}");
    }
}

#[test]
fn in_address_mappings() {
    let with = |rest: &str| lines(&format!("{DOMAIN}[[address-mapping]]\n{rest}"));
    assert_eq!(with("address = \"a@example.com\"\nstream = \"base:x\"\n"), [""; 0]);
    for (rest, line) in [
        (
            "stream = \"base:x\"\n",
            "f:9:1: address-mapping[0].address: missing, expected an address such as \"info@example.com\"",
        ),
        (
            "address = \"a@example.com\"\n",
            "f:9:1: address-mapping[0].stream: missing, expected the address's stream as `realm:stream`",
        ),
        (
            "address = \"a@example.com\"\nstream = \"x\"\n",
            "f:11:10: address-mapping[0].stream: `x`: not a stream, expected `realm:stream`",
        ),
        (
            "address = \"a@example.net\"\nstream = \"base:x\"\n",
            "f:10:11: address-mapping[0].address: `a@example.net` is in no domain of the file, expected one that is",
        ),
        (
            "address = \"a@example.com\"\nstream = \"b:x\"\n[[realm]]\nname = \"b\"\n",
            "f:11:10: address-mapping[0].stream: `b:x` is not in realm `base`, to which `example.com` belongs, expected a stream of that",
        ),
        (
            "address = \"a@example.com\"\nstream = \"base:x\"\n[[address-mapping]]\naddress = \"A@Example.com\"\nstream = \"base:y\"\n",
            "f:13:11: address-mapping[1].address: `a@example.com` stands twice, first at line 10, expected each once",
        ),
    ] {
        assert_eq!(with(rest), [line], "{rest}");
    }
}

#[test]
fn in_recipients_and_provisioning() {
    check(&[
        (
            "[recipients]\nprobe-sender = \"me\"\n",
            "f:7:16: recipients.probe-sender: `me`, expected \"null\" or \"postmaster\"",
        ),
        (
            "[recipients]\nvalid-for = \"1 s\"\n",
            "f:7:13: recipients.valid-for: 1 s, expected from 1 min to 30 days",
        ),
        (
            "[recipients]\nprobes = 1\n",
            "f:7:1: recipients.probes: unknown key, expected one of probe-connections, probe-questions, probe-time, valid-for, invalid-for, second-probe, remembered, directory-age, probe-sender",
        ),
        (
            "[provisioning]\ncycle-day = 29\n",
            "f:7:13: provisioning.cycle-day: 29, expected a number from 1 to 28",
        ),
        ("[provisioning]\ncycle = 2\n", "f:7:1: provisioning.cycle: unknown key, did you mean `cycle-day`?"),
    ]);
}

#[test]
fn lists_of_recipients_are_bounded() {
    use config_schema::{address_mapping::ADDRESS_MAPPINGS_MAX, realm};
    let one_too_many = |text: String, path: &str, most: usize| {
        let found = lines(&text);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].contains(&format!("{path}[{most}]: one too many, expected at most {most}")),
            "{found:?}"
        );
    };
    let mapping =
        |n: usize| format!("[[address-mapping]]\naddress = \"{n}@example.com\"\nstream = \"base:x\"\n");
    let mappings = |count: usize| DOMAIN.to_owned() + &(0..count).map(mapping).collect::<String>();
    assert_eq!(lines(&mappings(ADDRESS_MAPPINGS_MAX)), [""; 0]);
    one_too_many(mappings(ADDRESS_MAPPINGS_MAX + 1), "address-mapping", ADDRESS_MAPPINGS_MAX);

    let stream = |n: usize| format!("[[realm.stream]]\nname = \"{n}\"\n");
    let streams =
        |count: usize| format!("[[realm]]\nname = \"a\"\n{}", (0..count).map(stream).collect::<String>());
    assert_eq!(lines(&streams(realm::REALM_STREAMS_MAX)), [""; 0]);
    one_too_many(streams(realm::REALM_STREAMS_MAX + 1), "realm[0].stream", realm::REALM_STREAMS_MAX);

    let listed = |count: usize| {
        let addresses: Vec<String> = (0..count).map(|n| format!("\"{n}@example.com\"")).collect();
        format!("{DOMAIN}[[realm]]\nname = \"base\"\nvalid-recipients = [{}]\n", addresses.join(","))
    };
    assert_eq!(lines(&listed(realm::VALID_RECIPIENTS_MAX)), [""; 0]);
    let most = realm::VALID_RECIPIENTS_MAX;
    one_too_many(listed(most + 1), "realm[0].valid-recipients", most);
}

#[test]
fn in_verification_servers() {
    let with_domain = |rest: &str| lines(&format!("{DOMAIN}{rest}"));
    for (rest, line) in [
        (
            "[[verification-server]]\nserver = \"a.example\"\n",
            "f:9:1: verification-server[0].domain: missing, expected a domain of the file, or \"*\" for all that have no other",
        ),
        (
            "[[verification-server]]\ndomain = \"*\"\n",
            "f:9:1: verification-server[0].server: missing, expected HOST, HOST:PORT, [ADDRESS] or [ADDRESS]:PORT",
        ),
        (
            "[[verification-server]]\ndomain = \"example.net\"\nserver = \"a.example\"\n",
            "f:10:10: verification-server[0].domain: `example.net` is no domain of the file, expected one that is, or \"*\"",
        ),
        (
            "verification-server = \"b.example\"\n[[verification-server]]\ndomain = \"example.com\"\nserver = \"a.example\"\n",
            "f:11:10: verification-server[0].domain: `example.com` has a `verification-server` already, expected one of the two",
        ),
        (
            "[[verification-server]]\ndomain = \"*\"\nserver = \"a.example\"\n[[verification-server]]\ndomain = \"*\"\nserver = \"a.example\"\n",
            "f:13:10: verification-server[1].domain: `*` stands twice, first at line 10, expected each once",
        ),
    ] {
        assert_eq!(with_domain(rest), [line], "{rest}");
    }
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
