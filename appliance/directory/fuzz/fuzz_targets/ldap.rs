//! A directory server that says anything, cut anywhere, to a client that asks for TLS, binds and searches: each search
//! has one result, and nothing is sent in the clear before TLS. The first octet is the size of the pieces and whether
//! TLS is asked for.
#![no_main]

use std::time::Duration;

use config_schema::{Config, Secret, user_lookup::Method};
use directory::ldap::{
    client::{Action, Busy, Client, Credentials, Input, Opening, Search, SearchId},
    lookup,
    sync::Sync,
};
use libfuzzer_sys::fuzz_target;
use smtp::{Time, address::Address};

const CONFIG: &str = r#"
version = 1
network = { hostname = "mx.example.com", address = "dhcp" }
[[user-lookup]]
name = "corp"
method = "ldap"
preset = "ad-windows-name"
servers = "dc.example.com"
base = "dc=example"
"#;

fuzz_target!(|input: &[u8]| {
    let Some((&first, wire)) = input.split_first() else { return };
    let config = Config::parse("fuzz", CONFIG).expect("a configuration");
    let Method::Ldap(ldap) = &config.user_lookups[0].method else { panic!("another method") };
    let address = Address::parse("ann@example.com").expect("an address");
    let opening = Opening {
        start_tls: first & 0x80 != 0,
        credentials: Credentials::new("cn=me", Secret::new("secret")),
        within: Duration::from_secs(10),
    };
    let mut asker = Asker {
        client: Client::new(opening, Time::default()),
        searches: vec![lookup::search(ldap, &address), Sync::new().next(ldap).expect("a first page")],
        open: Vec::new(),
        in_the_clear: u32::from(first & 0x80 != 0),
        closed: false,
        refused: false,
    };
    let mut answers = Vec::new();
    asker.perform(&mut answers);
    for piece in wire.chunks(usize::from(first & 0x7f).max(1)) {
        asker.client.handle(Time::default(), Input::Bytes(piece));
        asker.perform(&mut answers);
    }
    asker.client.handle(Time::default() + Duration::from_secs(100), Input::Timeout);
    asker.perform(&mut answers);
    asker.client.handle(Time::default(), Input::PeerClosed);
    asker.perform(&mut answers);
    assert!(asker.closed && asker.open.is_empty(), "a search without a result");
    for result in answers {
        let _ = lookup::answer(ldap, &address, result.clone());
        if let Ok(found) = result {
            let _ = Sync::new().page(ldap, found);
        }
    }
});

struct Asker {
    client: Client,
    searches: Vec<Search>,
    open: Vec<SearchId>,
    /// How often may be written before TLS.
    in_the_clear: u32,
    closed: bool,
    /// A search was not taken, since the connection is about to be closed.
    refused: bool,
}

impl Asker {
    fn perform(
        &mut self,
        answers: &mut Vec<Result<directory::ldap::client::Found, directory::ldap::client::SearchFault>>,
    ) {
        let mut wrote = 0;
        while let Some(action) = self.client.poll() {
            assert!(!self.closed, "{action:?} after the end");
            match action {
                Action::Write(octets) => {
                    assert!(!octets.is_empty());
                    wrote += 1;
                    assert!(self.in_the_clear != 1 || wrote <= 1, "more than StartTLS in the clear");
                }
                Action::StartTls => {
                    self.in_the_clear = 0;
                    self.client.handle(Time::default(), Input::TlsDone);
                }
                Action::Ready => {
                    for search in &self.searches {
                        match self.client.search(Time::default(), search) {
                            Ok(id) => self.open.push(id),
                            // It was ready, and the same octets went on with what nobody had asked for.
                            Err(Busy::NotReady) => self.refused = true,
                            Err(Busy::Full) => panic!("full with {} searches", self.open.len()),
                        }
                    }
                }
                Action::Done { search, result } => {
                    let at = self.open.iter().position(|open| *open == search).expect("it was asked");
                    self.open.swap_remove(at);
                    answers.push(result);
                }
                Action::WakeAt(_) => {}
                Action::Close(_) => self.closed = true,
            }
        }
        assert!(!self.refused || self.closed, "a search was refused on a connection that goes on");
        if self.in_the_clear == 1 && wrote > 0 {
            // StartTLS itself was written; nothing more may be.
            self.in_the_clear = 2;
        } else if self.in_the_clear == 2 {
            assert_eq!(wrote, 0, "something in the clear after StartTLS was asked for");
        }
    }
}
