//! Mistakes in what says who a recipient is.

use crate::{DOMAIN, check, lines};

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
