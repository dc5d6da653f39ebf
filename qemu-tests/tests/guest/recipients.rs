//! Through the image: only real recipients, as a verification server or a directory knows them.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::time::{Duration, Instant};

use base64::{Engine, engine::general_purpose::STANDARD};
use image::entra::Entra;
use image::machine::HOST_SEEN_BY_GUEST;
use image::slapd::{BASE, READER_PASSWORD, Slapd, entry};
use image::workspace::Scratch;
use libtest_mimic::Failed;
use qemu_tests::{DELIVERY_MAX, More, SMTP, Site, Start, swaks};

use crate::Test;

pub(crate) const TESTS: &[(&str, Test)] = &[
    ("recipients::are_what_the_verification_server_knows", are_what_the_verification_server_knows),
    ("recipients::are_whom_the_tenant_has", are_whom_the_tenant_has),
    ("recipients::are_whom_the_directory_has", are_whom_the_directory_has),
];

fn are_what_the_verification_server_knows() -> Result<(), Failed> {
    let mut site = Site::with_verification_server("mx.example.com", &["alice@example.com"])?;
    let (guest, _) = site.boot_to_greeting(Start::Kernel, Duration::ZERO)?;
    let server = guest.port(SMTP)?;
    let answered = |to: &str, status, reply| answered(server, to, status, reply);
    answered("alice@example.com", TAKEN, "<-  250 2.1.5")?;
    answered("nobody@example.com", NO_RECIPIENT, "<** 550 5.1.1")?;
    let received = site.received(DELIVERY_MAX).ok_or("no message at the next hop")?;
    if received.recipients != ["alice@example.com"] {
        return Err(format!("for {:?}", received.recipients).into());
    }
    site.close_next_hop();
    answered("alice@example.com", TAKEN, "<-  250 2.1.5")?;
    answered("nobody@example.com", NO_RECIPIENT, "<** 550 5.1.1")
}

/// swaks(1).
const TAKEN: i32 = 0;
/// swaks(1): an error after RCPT TO.
const NO_RECIPIENT: i32 = 24;

/// The first reading of the tenant, from a start under emulation.
const READING_MAX: Duration = Duration::from_secs(120);
const NAME: &str = "graph.example.net";

fn are_whom_the_tenant_has() -> Result<(), Failed> {
    let entra = Entra::listen(NAME, |tenant| tenant.populate(20, "example.com"))?;
    let names = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    let network = format!("dns = [\"{HOST_SEEN_BY_GUEST}:{}\"]\n", names.local_addr()?.port());
    image::names::serve(names, HOST_SEEN_BY_GUEST.parse()?);
    let site = Site::told("mx.example.com", More { network, domain: lookup(&entra) })?;
    let (guest, _) = site.boot_to_greeting(Start::Kernel, Duration::ZERO)?;
    let server = guest.port(SMTP)?;
    known_at_last(server, "user1@example.com")?;
    answered(server, "U1@example.com", TAKEN, "<-  250 2.1.5")?;
    answered(server, "nobody@example.com", NO_RECIPIENT, "<** 550 5.1.1")?;
    // The copy outlives the tenant's absence and a power cut.
    drop((guest, entra));
    let (guest, _) = site.boot_to_greeting(Start::Kernel, Duration::ZERO)?;
    let server = guest.port(SMTP)?;
    answered(server, "u2@example.com", TAKEN, "<-  250 2.1.5")?;
    answered(server, "nobody@example.com", NO_RECIPIENT, "<** 550 5.1.1")
}

/// The domain's mapping, and what it names.
fn lookup(entra: &Entra) -> String {
    let (tenant, port) = (entra.tenant(), entra.address().port());
    let root = STANDARD.encode(entra.root());
    format!(
        "mapping = \"tenant\"\n[[user-lookup]]\nname = \"tenant\"\nrealm = \"example\"\nmethod = \"entra-id\"\n\
         tenant = \"{}\"\nclient = \"{}\"\nsecret = \"{}\"\nsecret-expires = \"2099-12-31\"\n\
         login-host = \"{NAME}:{port}\"\ngraph-host = \"{NAME}:{port}\"\n\
         [tls]\nroots = [\"\"\"\n-----BEGIN CERTIFICATE-----\n{root}\n-----END CERTIFICATE-----\n\"\"\"]\n",
        tenant.id,
        tenant.client,
        tenant.secret.clone().unwrap_or_default()
    )
}

fn are_whom_the_directory_has() -> Result<(), Failed> {
    let made = rcgen::generate_simple_self_signed([HOST_SEEN_BY_GUEST.to_owned()])?;
    let folder = Scratch::new("slapd")?;
    let ann = [("mail", "ann@example.com"), ("proxyAddresses", "smtp:ann.smith@example.com")];
    let people = entry("Ann", "user", &ann);
    let key = made.signing_key.serialize_pem();
    let mut slapd = Slapd::filled(folder.path(), &made.cert.pem(), &key, &people)?;
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
    slapd.start(&[], &format!("ldaps://{}:{port}/", Ipv4Addr::LOCALHOST))?;
    let domain = format!(
        "mapping = \"corp\"\n[[user-lookup]]\nname = \"corp\"\nrealm = \"example\"\nmethod = \"ldap\"\n\
         preset = \"ad-email\"\nservers = [\"[{HOST_SEEN_BY_GUEST}]:{port}\"]\nbase = \"{BASE}\"\n\
         bind-dn = \"cn=reader,{BASE}\"\nbind-password = \"{READER_PASSWORD}\"\n\
         [tls]\nroots = [\"\"\"\n{}\"\"\"]\n",
        made.cert.pem()
    );
    let site = Site::told("mx.example.com", More { domain, ..More::default() })?;
    let (guest, _) = site.boot_to_greeting(Start::Kernel, Duration::ZERO)?;
    let server = guest.port(SMTP)?;
    known_at_last(server, "ann@example.com")?;
    answered(server, "Ann.Smith@example.com", TAKEN, "<-  250 2.1.5")?;
    answered(server, "nobody@example.com", NO_RECIPIENT, "<** 550 5.1.1")?;
    slapd.kill();
    answered(server, "ann@example.com", TAKEN, "<-  250 2.1.5")?;
    answered(server, "another@example.com", NO_RECIPIENT, "<** 451 4.4.3")
}

/// Waits until the directory was asked; until then nobody is refused for good.
fn known_at_last(server: SocketAddr, to: &str) -> Result<(), Failed> {
    let began = Instant::now();
    loop {
        let sent = swaks(server, &["--from", "carol@example.org", "--to", to])?;
        if sent.status == Some(TAKEN) {
            return Ok(());
        }
        if !sent.dialogue.contains("<** 451 ") || began.elapsed() > READING_MAX {
            return Err(format!("{to}: swaks ended with {:?}:\n{}", sent.status, sent.dialogue).into());
        }
    }
}

/// Whether RCPT for `to` is answered so.
fn answered(server: SocketAddr, to: &str, status: i32, reply: &str) -> Result<(), Failed> {
    let sent = swaks(server, &["--from", "carol@example.org", "--to", to])?;
    if sent.status == Some(status) && sent.dialogue.contains(reply) {
        return Ok(());
    }
    Err(format!("{to}, not {reply}: swaks ended with {:?}:\n{}", sent.status, sent.dialogue).into())
}
