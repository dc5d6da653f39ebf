use super::*;
use crate::{Config, SecretMode, user_lookup::Method};

/// The configuration, whose LDAP lookup has `keys`; they begin at line 8.
fn parse(keys: &str) -> Result<Ldap, Vec<String>> {
    let head = "version = 1\n[network]\nhostname = \"mx.example.com\"\naddress = [\"192.0.2.10/24\"]\n\
                dns = \"192.0.2.53\"\n[[user-lookup]]\nname = \"corp\"\n";
    let config = Config::parse("f", &format!("{head}{keys}")).map_err(|mistakes| mistakes.lines())?;
    let Method::Ldap(ldap) = &config.user_lookups[0].method else { panic!("another method") };
    Ok(Ldap::clone(ldap))
}

const LEAST: &str =
    "method = \"ldap\"\npreset = \"ad-windows-name\"\nservers = \"dc1.example.com\"\nbase = \"dc=a\"\n";

fn names(names: &[AttributeName]) -> Vec<&str> {
    names.iter().map(AttributeName::as_str).collect()
}

#[test]
fn a_preset_says_what_is_not_written() {
    let ldap = parse(LEAST).unwrap();
    assert_eq!(names(&ldap.address_attributes), ["proxyAddresses", "mail"]);
    assert_eq!(names(&ldap.stream_attributes), ["sAMAccountName"]);
    assert_eq!(names(&ldap.login_attributes), ["sAMAccountName", "userPrincipalName"]);
    assert_eq!((ldap.security, ldap.verify_certificate, ldap.bind.clone()), (Security::Ldaps, true, None));
    assert_eq!(ldap.pace, LdapPace::default());
    assert_eq!(ldap.entries(), Preset::AdWindowsName.filter());

    let more = "stream-attributes = [\"employeeNumber\", \"uid\"]\nfilter = \"(!(st=HI))\"\n";
    let ldap = parse(&format!("{LEAST}{more}")).unwrap();
    assert_eq!(names(&ldap.stream_attributes), ["employeeNumber", "uid"]);
    assert_eq!(ldap.entries().to_string(), format!("(&{}(!(st=HI)))", Preset::AdWindowsName.filter()));
}

#[test]
fn each_mistake_is_told() {
    let bind = "bind-dn = \"cn=reader,dc=a\"\n";
    for (keys, line) in [
        (
            "preset = \"ad\"\n",
            "f:12:10: user-lookup[0].preset: `ad`, expected \"ad-windows-name\" or \"ad-email\" or \"generic-username\" or \"generic-email\"",
        ),
        ("servers = []\n", "f:12:11: user-lookup[0].servers: an empty list, expected at least one server"),
        (
            "servers = [\"ldaps://a.example\"]\n",
            "f:12:12: user-lookup[0].servers[0]: `ldaps://a.example`: a URL, expected HOST or HOST:PORT alone; `security` says how the way is protected",
        ),
        (
            "servers = [\"mx.example.com\"]\n",
            "f:12:12: user-lookup[0].servers[0]: `mx.example.com` is this appliance, expected the directory server's name",
        ),
        (
            "servers = [\"[192.0.2.10]\"]\n",
            "f:12:12: user-lookup[0].servers[0]: `[192.0.2.10]` is our own address, expected the directory server's",
        ),
        (
            "servers = [\"[169.254.169.254]:80\"]\n",
            "f:12:12: user-lookup[0].servers[0]: `[169.254.169.254]:80` is no address of a server that can be asked, expected the directory server's",
        ),
        (
            "servers = [\"a.example\", \"a.example\"]\n",
            "f:12:25: user-lookup[0].servers[1]: server `a.example` stands twice, expected each once",
        ),
        (
            "base = \"example.com\"\n",
            "f:12:8: user-lookup[0].base: `example.com`: not a distinguished name (RFC 4514), expected such as \"dc=example,dc=com\"",
        ),
        (bind, "f:6:1: user-lookup[0].bind-password: missing, expected it beside `bind-dn`"),
        (
            "bind-password = \"x\"\n",
            "f:6:1: user-lookup[0].bind-dn: missing, expected it beside `bind-password`",
        ),
        (
            "bind-dn = \"cn=a\"\nbind-password = \"\"\n",
            "f:13:17: user-lookup[0].bind-password: empty, expected the password of `bind-dn`",
        ),
        (
            "bind-dn = \"\"\nbind-password = \"x\"\n",
            "f:12:11: user-lookup[0].bind-dn: not a name to bind with, expected 1 to 1024 bytes of text",
        ),
        (
            "filter = \"mail=a\"\n",
            "f:12:10: user-lookup[0].filter: `mail=a`: not a filter (RFC 4515), at byte 0: expected `(`",
        ),
        (
            "address-attributes = \"m l\"\n",
            "f:12:22: user-lookup[0].address-attributes: `m l`: not an attribute's name, expected such as `mail`, of at most 64 bytes",
        ),
        (
            "login-attributes = []\n",
            "f:12:20: user-lookup[0].login-attributes: an empty list, expected at least one attribute",
        ),
        (
            "login-attributes = [\"uid\", \"UID\"]\n",
            "f:12:28: user-lookup[0].login-attributes[1]: attribute `UID` stands twice, expected each once",
        ),
        ("page-size = 5000\n", "f:12:13: user-lookup[0].page-size: 5000, expected a number from 10 to 1000"),
        ("time-limit = \"2 min\"\n", "f:12:14: user-lookup[0].time-limit: 2 min, expected from 1 s to 1 min"),
        ("page = 5\n", "f:12:1: user-lookup[0].page: unknown key, did you mean `page-size`?"),
    ] {
        let key = keys.split(' ').next().unwrap();
        let kept: String = LEAST
            .lines()
            .filter(|line| !line.starts_with(&format!("{key} ")))
            .map(|line| format!("{line}\n"))
            .collect();
        // The key under test stands at line 12, whether it replaces one or not.
        let padding = if kept.len() < LEAST.len() { "#\n" } else { "" };
        assert_eq!(parse(&format!("{kept}{padding}{keys}")).unwrap_err(), [line], "{keys}");
    }
    for (key, line) in [
        (
            "preset",
            "f:6:1: user-lookup[0].preset: missing, expected one such as \"ad-windows-name\" or \"generic-username\"",
        ),
        (
            "servers",
            "f:6:1: user-lookup[0].servers: missing, expected at least one, such as [\"dc1.example.com\"]",
        ),
        (
            "base",
            "f:6:1: user-lookup[0].base: missing, expected the entry below which is looked, such as \"dc=example,dc=com\"",
        ),
    ] {
        let without: String =
            LEAST.lines().filter(|line| !line.starts_with(key)).map(|line| format!("{line}\n")).collect();
        assert_eq!(parse(&without).unwrap_err(), [line], "{key}");
    }
}

#[test]
fn plain_is_for_addresses_of_private_networks() {
    let with = |server: &str| {
        parse(&LEAST.replace("dc1.example.com", server).replace("base", "security = \"plain\"\nbase"))
    };
    assert_eq!(with("[10.0.0.5]:389").unwrap().security, Security::Plain);
    for server in ["dc1.example.com", "[198.51.100.5]"] {
        let mistakes = with(server).unwrap_err();
        assert!(
            matches!(mistakes.as_slice(), [line] if line.contains("security = \"plain\"")),
            "{mistakes:?}"
        );
    }
}

#[test]
fn lists_have_their_limits() {
    let servers = |count: usize| {
        let list: Vec<String> = (0..count).map(|n| format!("\"dc{n}.example.com\"")).collect();
        parse(&LEAST.replace("\"dc1.example.com\"", &format!("[{}]", list.join(", "))))
    };
    assert_eq!(servers(SERVERS_MAX).unwrap().servers.len(), SERVERS_MAX);
    assert_eq!(servers(SERVERS_MAX + 1).unwrap_err().len(), 1);
    let attributes = |count: usize| {
        let list: Vec<String> = (0..count).map(|n| format!("\"a{n}\"")).collect();
        parse(&format!("{LEAST}address-attributes = [{}]\n", list.join(", ")))
    };
    assert_eq!(attributes(ATTRIBUTES_MAX).unwrap().address_attributes.len(), ATTRIBUTES_MAX);
    assert_eq!(attributes(ATTRIBUTES_MAX + 1).unwrap_err().len(), 1);
}

#[test]
fn an_export_has_the_password_sealed_or_not_at_all() {
    let keys = format!(
        "{LEAST}bind-dn = 'CORP\\reader'\nbind-password = \"hunter2-secret\"\nsync-every = \"0 s\"\n"
    );
    let text = format!(
        "version = 1\n[network]\nhostname = \"mx.example.com\"\naddress = \"dhcp\"\n[[user-lookup]]\nname = \"corp\"\n{keys}"
    );
    let config = Config::parse("f", &text).unwrap();
    assert!(!format!("{config:?}").contains("hunter2"));
    let plain = config.export(&SecretMode::Plain).unwrap();
    assert_eq!(Config::parse("export", &plain).unwrap(), config, "{plain}");
    let sealed = config.export(&SecretMode::Sealed(Secret::new("correct horse battery"))).unwrap();
    assert!(
        !sealed.contains("hunter2") && sealed.contains("CORP\\\\reader") || sealed.contains("CORP\\reader")
    );
    let left_out = config.export(&SecretMode::LeftOut).unwrap();
    assert!(!left_out.contains("hunter2"));
    let mistakes = Config::parse("export", &left_out).unwrap_err();
    assert!(
        mistakes.to_string().contains("user-lookup[0].bind-password: the secret was left out"),
        "{mistakes}"
    );
}
