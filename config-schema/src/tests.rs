use proptest::prelude::*;

use super::*;

fn lines(text: &str) -> Vec<String> {
    Config::parse("postern.toml", text).map_or_else(|mistakes| mistakes.lines(), |_| Vec::new())
}

const NETWORK: &str = "version = 1\n[network]\nhostname = \"mx.example.com\"\naddress = \"dhcp\"\n";

#[test]
fn the_example_is_accepted() {
    let config = Config::parse("example", &command::example()).unwrap();
    assert_eq!(config.network.hostname.as_str(), "mx.example.com");
    assert_eq!(config.limits, Limits::default());
    assert_eq!(config.delivery, Delivery::default());
    let [domain] = config.domains.as_slice() else { panic!("one domain") };
    assert_eq!(
        (domain.realm.as_str(), &domain.mapping, domain.profile),
        ("example", &Mapping::AsIs, Profile::EnhancedFiltering)
    );
    assert_eq!(config.realms[0].settings[0].value, SettingValue::Switch(false));
    assert!(config.known_network("198.51.100.7".parse().unwrap()).is_some());
    assert!(config.known_network("203.0.113.7".parse().unwrap()).is_none());
}

#[test]
fn all_mistakes_are_told_at_once_each_with_its_place() {
    let text = r#"version = 2
[network]
hostnam = "mx.example.com"
address = ["192.0.2.10/24", "192.0.2.0/24"]
gateway = "198.51.100.1"
[[realm]]
name = "a"
parent = "b"
[[realm]]
name = "b"
parent = "a"
[[domain]]
name = "example.com"
realm = "c"
route = ["192.0.2.25"]
tls = "maybe"
[[domain]]
name = "EXAMPLE.com."
route = "mx.example.com"
[limits]
recipients = 5
message-size = "a lot"
"#;
    assert_eq!(
        lines(text),
        [
            "postern.toml:1:11: version: 2 is newer than this program, expected 1 at most",
            "postern.toml:2:1: network.hostname: missing, expected a host name such as \"mx.example.com\"",
            "postern.toml:2:1: network.dns: missing, expected at least one resolver, since the addresses are static",
            "postern.toml:3:1: network.hostnam: unknown key, did you mean `hostname`?",
            "postern.toml:4:29: network.address[1]: `192.0.2.0/24`: not an address that a host can have, expected such as \"192.0.2.10/24\"",
            "postern.toml:5:11: network.gateway: `198.51.100.1`: lies in the network of none of our addresses, expected one that does",
            "postern.toml:8:10: realm[0].parent: realm `a` is its own ancestor, expected a way to `base`",
            "postern.toml:11:10: realm[1].parent: realm `b` is its own ancestor, expected a way to `base`",
            "postern.toml:14:9: domain[0].realm: realm `c` does not exist, expected one of the file's or `base`",
            "postern.toml:15:10: domain[0].route[0]: `192.0.2.25`: an address without brackets, expected such as \"[192.0.2.25]:25\"",
            "postern.toml:16:7: domain[0].tls: `maybe`, expected \"opportunistic\" or \"required\"",
            "postern.toml:18:8: domain[1].name: domain `example.com` stands twice, first at line 13, expected each once",
            "postern.toml:21:14: limits.recipients: 5, expected a number from 100 to 10000",
            "postern.toml:22:16: limits.message-size: `a lot`: not a size, expected a number with kB, MB, GB, KiB, MiB or GiB, such as \"150 MB\"",
        ]
    );
}

#[test]
fn a_file_that_is_no_toml_says_where() {
    let wrong = lines("version = 1\n[network\n");
    assert_eq!(wrong.len(), 1, "{wrong:?}");
    assert!(wrong[0].starts_with("postern.toml:2:"), "{wrong:?}");
}

#[test]
fn wrong_types_are_named() {
    let text =
        "version = 1\n[network]\nhostname = 5\naddress = \"dhcp\"\ndns = [1]\n[[domain]]\nroute = true\n";
    assert_eq!(
        lines(text),
        [
            "postern.toml:3:12: network.hostname: integer, expected a string",
            "postern.toml:5:8: network.dns[0]: integer, expected a string",
            "postern.toml:6:1: domain[0].name: missing, expected the domain's name",
            "postern.toml:7:9: domain[0].route: boolean, expected a string",
        ]
    );
}

#[test]
fn dhcp_needs_neither_gateway_nor_resolver() {
    let config = Config::parse("postern.toml", NETWORK).unwrap();
    assert_eq!(config.network.addressing, Addressing::Dhcp);
    assert_eq!(
        lines(&format!("{NETWORK}gateway = [\"192.0.2.1\"]\n")),
        ["postern.toml:5:12: network.gateway[0]: DHCP brings the router, expected no gateway"]
    );
}

#[test]
fn long_and_deep_files_are_refused_before_they_are_read() {
    let long = "#".repeat(TEXT_MAX + 1);
    assert_eq!(
        lines(&long),
        [format!("postern.toml:1:1: {} bytes, expected at most {TEXT_MAX}", TEXT_MAX + 1)]
    );
    let nested = |depth| format!("a = {}{}", "[".repeat(depth), "]".repeat(depth));
    let too_deep = |text: &str| lines(text).iter().any(|line| line.contains("nested deeper"));
    assert!(!too_deep(&nested(DEPTH_MAX)));
    assert_eq!(
        lines(&nested(DEPTH_MAX + 1)),
        [format!("postern.toml:1:37: nested deeper than {DEPTH_MAX}, expected no more")]
    );
    assert!(too_deep(&format!("[{}a]\n", "a.".repeat(DEPTH_MAX))));
    assert!(!lines(&nested(100_000)).is_empty());
    assert!(!too_deep(&format!("# {}\n{NETWORK}", "[".repeat(100))));
}

#[test]
fn lists_have_their_limits() {
    let routes: Vec<String> = (0..=route::ROUTES_MAX).map(|n| format!("\"mx{n}.example.com\"")).collect();
    let text = format!("{NETWORK}[[domain]]\nname = \"example.com\"\nroute = [{}]\n", routes.join(","));
    assert_eq!(lines(&text).len(), 1);
    let addresses: Vec<String> =
        (1..=network::ADDRESSES_MAX + 1).map(|n| format!("\"192.0.2.{n}/24\"")).collect();
    let text = format!(
        "version = 1\n[network]\nhostname = \"mx.example.com\"\ndns = \"192.0.2.53\"\naddress = [{}]\n",
        addresses.join(",")
    );
    assert_eq!(lines(&text).len(), 1);
}

/// A realm above, one in it, and a stream in that; each with what it is given.
fn nested(base: &str, parent: &str, realm: &str, stream: &str) -> Config {
    let setting = |table: &str, value: &str| match value {
        "" => String::new(),
        value => format!("[[{table}.setting]]\nid = \"S-300\"\nvalue = {value}\n"),
    };
    let text = format!(
        "{NETWORK}[[realm]]\nname = \"base\"\n{}[[realm]]\nname = \"up\"\n{}[[realm]]\nname = \"in\"\n\
         parent = \"up\"\n{}[[realm.stream]]\nname = \"ann\"\n{}",
        setting("realm", base),
        setting("realm", parent),
        setting("realm", realm),
        setting("realm.stream", stream)
    );
    Config::parse("postern.toml", &text).unwrap()
}

#[test]
fn a_setting_comes_from_the_nearest_that_has_it() {
    let found = |config: &Config, stream: &str| {
        let resolved = config.setting(&stream.parse().unwrap(), 300).unwrap();
        (resolved.value.to_string(), resolved.from.map_or("built in".into(), |from| from.to_string()))
    };
    let all = nested("1", "2", "3", "4");
    for (stream, value, from) in [
        ("in:ann", "4", "in:ann"),
        ("in:bob", "3", "in:default"),
        ("in:default", "3", "in:default"),
        ("up:ann", "2", "up:default"),
        ("base:ann", "1", "base:default"),
        ("gone:ann", "1", "base:default"),
    ] {
        assert_eq!(found(&all, stream), (value.to_owned(), from.to_owned()), "{stream}");
    }
    assert_eq!(found(&nested("1", "2", "", ""), "in:ann"), ("2".into(), "up:default".into()));
    assert_eq!(found(&nested("1", "", "", ""), "in:ann"), ("1".into(), "base:default".into()));
    assert_eq!(found(&nested("", "", "", ""), "in:ann"), ("5".into(), "built in".into()));
    assert_eq!(all.setting(&"in:ann".parse().unwrap(), 1), None, "no such setting");
    // `base` holds for all although the file may not name it.
    let config = Config::parse("postern.toml", NETWORK).unwrap();
    assert_eq!(found(&config, "base:default"), ("5".into(), "built in".into()));
}

#[test]
fn everything_is_found_by_its_name() {
    let mut config = Config::parse("v1.toml", include_str!("../tests/golden/v1.toml")).unwrap();
    let name = |name: &str| name::DomainName::parse(name).unwrap();
    assert_eq!(config.domain(&name("example.org")).unwrap().plus_addresses, PlusAddresses::Exact);
    assert!(config.realm(&"example".parse().unwrap()).unwrap().suspended);
    let ann = config.stream(&"example:ann@example.com".parse().unwrap()).unwrap();
    assert_eq!(ann.valid_recipients[0].as_str(), "ann@example.com");
    assert!(config.stream(&"branch:ann@example.com".parse().unwrap()).is_none());
    let mapped = |key: &str| config.address_mapping(key).map(|mapping| mapping.stream.to_string());
    assert_eq!(mapped("info@example.com"), Some("example:bob".into()));
    assert_eq!(mapped("jörg+tag@xn--bcher-kva.example"), Some("branch:default".into()));
    assert_eq!(mapped("Info@example.com"), None, "a key is in lower case");
    assert_eq!(config.user_lookup(&"corp".parse().unwrap()).unwrap().name.as_str(), "corp");
    let server = |config: &Config, domain| config.verification_server(&name(domain)).map(Route::to_string);
    assert_eq!(server(&config, "example.com"), Some("example-com.mail.protection.outlook.com".into()));
    assert_eq!(server(&config, "bücher.example"), Some("[192.0.2.26]:2525".into()));
    assert_eq!(server(&config, "example.org"), Some("directory.example.com".into()));
    assert_eq!(config.known_networks[0].stream.as_ref().unwrap().to_string(), "example:default");
    assert_eq!((config.probe_sender, config.provisioning.cycle_day), (ProbeSender::Postmaster, 15));

    // What is taken off a list is not found any more, nor another in its place.
    let before = config.clone();
    config.domains.remove(0);
    assert!(config.domain(&name("example.com")).is_none() && config != before);
}

proptest! {
    #[test]
    fn no_text_panics(text in "\\PC{0,400}") {
        let _ = Config::parse("postern.toml", &text);
    }

    #[test]
    fn a_damaged_file_is_told_or_exported_as_it_was_read(
        at in 0usize..4000,
        cut in 0usize..40,
        put in "[ -~\\n]{0,8}",
    ) {
        let golden = include_str!("../tests/golden/v1.toml");
        let boundary = |at: usize| (0..=at.min(golden.len())).rev().find(|at| golden.is_char_boundary(*at));
        let (start, end) = (boundary(at).unwrap_or(0), boundary(at + cut).unwrap_or(0));
        let text = format!("{}{put}{}", &golden[..start], &golden[end..]);
        match Config::parse("postern.toml", &text) {
            Err(mistakes) => prop_assert!(mistakes.iter().count() > 0),
            Ok(config) => {
                let export = config.export(&SecretMode::Plain).unwrap();
                prop_assert_eq!(Config::parse("export", &export).unwrap(), config, "{}", export);
            }
        }
    }
}
