//! Through the image: only real recipients, as a verification server or a directory knows them.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use base64::{Engine, engine::general_purpose::STANDARD};
use image::entra::Entra;
use image::machine::HOST_SEEN_BY_GUEST;
use libtest_mimic::Failed;
use qemu_tests::{DELIVERY_MAX, More, SMTP, Site, Start, swaks};

use crate::Test;

pub(crate) const TESTS: &[(&str, Test)] = &[
    ("recipients::are_what_the_verification_server_knows", are_what_the_verification_server_knows),
    ("recipients::are_whom_the_tenant_has", are_whom_the_tenant_has),
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
    let began = Instant::now();
    // Until it was read, nobody is refused for good.
    while let Err(why) = answered(server, "user1@example.com", TAKEN, "<-  250 2.1.5") {
        answered(server, "nobody@example.com", NO_RECIPIENT, "<** 4")
            .or_else(|_| answered(server, "nobody@example.com", NO_RECIPIENT, "<** 550 5.1.1"))?;
        if began.elapsed() > READING_MAX {
            return Err(why);
        }
    }
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

/// Whether RCPT for `to` is answered so.
fn answered(server: SocketAddr, to: &str, status: i32, reply: &str) -> Result<(), Failed> {
    let sent = swaks(server, &["--from", "carol@example.org", "--to", to])?;
    if sent.status == Some(status) && sent.dialogue.contains(reply) {
        return Ok(());
    }
    Err(format!("{to}, not {reply}: swaks ended with {:?}:\n{}", sent.status, sent.dialogue).into())
}
