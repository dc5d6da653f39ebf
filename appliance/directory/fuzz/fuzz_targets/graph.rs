//! Answers of a hostile Graph: no body panics, no request leaves for another host, and what is kept reads back.
#![no_main]

use std::{collections::HashSet, time::Duration};

use config_schema::{Config, EntraId, Method, name::DomainName};
use directory::{
    graph::{Moment, Step, Sync},
    http::Response,
};
use libfuzzer_sys::fuzz_target;
use smtp::Time;

const CONFIG: &str = r#"
version = 1
network = { hostname = "mx.example.com", address = "dhcp" }
[[user-lookup]]
name = "m365"
method = "entra-id"
tenant = "2f1d6c0e-8d3a-4b0f-9c55-0a1b2c3d4e5f"
client = "7a9c3b52-1111-4222-8333-444455556666"
secret = "x"
secret-expires = "2027-05-31"
login-host = "graph.example"
graph-host = "graph.example"
"#;
const TOKEN: &[u8] = br#"{"access_token": "t", "expires_in": 3599}"#;

fn configured() -> EntraId {
    match &Config::parse("f", CONFIG).expect("a configuration").user_lookups[0].method {
        Method::EntraId(entra) => entra.clone(),
        _ => unreachable!("it is the one above"),
    }
}

fuzz_target!(|data: &[u8]| {
    let entra = configured();
    let ours: HashSet<DomainName> = [DomainName::parse("example.com").expect("a name")].into();
    let mut sync = Sync::new(&entra, ours.clone());
    // Each answer has a byte for its status and two of length before it.
    let (mut rest, mut elapsed, mut state) = (data, Duration::ZERO, None);
    for _ in 0..200 {
        let now = Moment {
            at: Time::from_start(elapsed),
            unix: 1_800_000_000 + elapsed.as_secs(),
            random: [3; 16],
        };
        match sync.next(&now) {
            Step::Send(request) => {
                assert_eq!(request.host.to_string(), "graph.example");
                assert!(
                    request.target.starts_with('/') && request.target.bytes().all(|c| c.is_ascii_graphic())
                );
                if request.body.is_some() {
                    let response = Response { status: 200, retry_after: None, body: TOKEN.to_vec() };
                    sync.answered(Ok(response), &now);
                    continue;
                }
                let Some(([status, high, low], more)) = rest.split_first_chunk() else { break };
                let len = usize::from(u16::from_be_bytes([*high, *low])).min(more.len());
                let (body, more) = more.split_at(len);
                rest = more;
                let status = match status % 8 {
                    0 => 401,
                    1 => 410,
                    2 => 429,
                    3 => 400,
                    _ => 200,
                };
                sync.answered(Ok(Response { status, retry_after: None, body: body.to_vec() }), &now);
            }
            Step::Keep(change) => {
                state = change.state.or(state);
                sync.kept(true, &now);
            }
            Step::Drop(generation) => sync.dropped(generation),
            Step::Judge => drop(sync.judged(sync.losses(), &now)),
            Step::Sleep(until) => elapsed = elapsed.max(until.since_start()),
        }
        let _ = sync.lookup("ann@example.com", Duration::from_secs(86_400), &now);
    }
    if let Some(state) = state {
        Sync::restore(&entra, ours, &state).expect("what was kept is read");
    }
    let _ = Sync::restore(&entra, HashSet::new(), data);
});
