use crate::Config;

const HEAD: &str = "version = 1\nnetwork = { hostname = \"mx.example.net\", address = \"dhcp\" }\n";
const LOOKUP: &str = "[[user-lookup]]\nname = \"corp\"\nmethod = \"entra-id\"\n\
    tenant = \"8a7c0d3e-4b1f-4f0a-9d2b-0c5e6f7a8b9c\"\nclient = \"8a7c0d3e-4b1f-4f0a-9d2b-0c5e6f7a8b9c\"\n\
    secret = \"x\"\nsecret-expires = \"2030-01-01\"\n";

fn warnings(rest: &str) -> Vec<String> {
    let config = Config::parse("f", &format!("{HEAD}{rest}")).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    config.warnings().iter().map(ToString::to_string).collect()
}

/// A domain that is asked about elsewhere, with further keys.
fn domain(name: &str, rest: &str) -> String {
    format!("[[domain]]\nname = \"{name}\"\nroute = \"mail.example.net\"\n{rest}\n")
}

const SERVER: &str = "verification-server = \"mail.example.net\"";

fn begins(found: &[String], paths: &[&str]) {
    assert_eq!(found.len(), paths.len(), "{found:?}");
    assert!(
        found.iter().zip(paths).all(|(found, path)| found.starts_with(&format!("{path}: "))),
        "{found:?}"
    );
}

#[test]
fn the_example_gives_no_warning() {
    let config = Config::parse("example", &crate::command::example()).unwrap();
    assert_eq!(config.warnings(), []);
}

#[test]
fn local_parts_of_one_realm_collide() {
    let chop = |realm: &str| format!("realm = \"{realm}\"\nmapping = \"chop-domain\"\n{SERVER}");
    let realms = "[[realm]]\nname = \"a\"\n[[realm]]\nname = \"b\"\n";
    let apart =
        [("x.example", "a"), ("y.example", "b")].map(|(name, realm)| domain(name, &chop(realm))).concat();
    assert_eq!(warnings(&format!("{realms}{apart}{}", domain("z.example", SERVER))), [""; 0]);
    let found = warnings(&format!("{realms}{apart}{}", domain("z.example", &chop("a"))));
    assert_eq!(
        found,
        ["domain[2].mapping: \"chop-domain\" as in `x.example`, of the same realm: `info@x.example` and \
          `info@z.example` share the stream `a:info`; \"as-is\" keeps them apart"]
    );
}

#[test]
fn valid_recipients_only_for_everybody() {
    let setting = |realm: &str, value: bool| {
        format!(
            "[[realm]]\nname = \"{realm}\"\n[[realm.setting]]\nid = \"S-300\"\nvalue = 3\n[[realm.setting]]\nid = \"S-700\"\nvalue = {value}\n"
        )
    };
    begins(&warnings(&setting("base", true)), &["realm[0].setting[1]"]);
    begins(&warnings(&setting("base", false)), &[]);
    begins(&warnings(&setting("a", true)), &[]);
}

#[test]
fn a_server_that_is_never_asked_or_always_missed() {
    let with = |rest: &str| warnings(&format!("{LOOKUP}{}", domain("a.example", rest)));
    begins(&with(&format!("mapping = \"corp\"\n{SERVER}")), &["domain[0].verification-server"]);
    begins(&with(&format!("mapping = \"corp\"\nunlisted = \"verify\"\n{SERVER}")), &[]);
    begins(&with("mapping = \"corp\""), &[]);
    begins(&with("mapping = \"corp\"\nunlisted = \"verify\""), &["domain[0].unlisted"]);
    begins(&with(&format!("unlisted = \"verify\"\n{SERVER}")), &["domain[0].unlisted"]);
    let listed = |name: &str| {
        with(&format!(
            "mapping = \"corp\"\n[[verification-server]]\ndomain = \"{name}\"\nserver = \"mail.example.net\""
        ))
    };
    begins(&listed("a.example"), &["verification-server[0]"]);
    begins(&listed("*"), &[]);
}

#[test]
fn a_domain_that_takes_everything() {
    begins(&warnings(&domain("a.example", "")), &["domain[0]"]);
    begins(&warnings(&domain("a.example", SERVER)), &[]);
    begins(&warnings(&format!("{LOOKUP}{}", domain("a.example", "mapping = \"corp\""))), &[]);
    let valid = "realm = \"a\"\n[[realm]]\nname = \"a\"\n[[realm.setting]]\nid = \"S-700\"\nvalue = true";
    begins(&warnings(&domain("a.example", valid)), &[]);
}

#[test]
fn a_network_that_relays_in_nobodys_name() {
    let network = |rest: &str| warnings(&format!("[[known-network]]\nnetwork = \"192.0.2.0/24\"\n{rest}\n"));
    begins(&network("relay = true"), &["known-network[0]"]);
    begins(&network("relay = true\nstream = \"base:office\""), &[]);
    begins(&network("relay = false"), &[]);
}
