//! Anything as Entra ID's answers and as what a browser brings back: nobody is signed in by what the tenant did not
//! sign. The parts are set apart by NUL.
#![no_main]

use config_schema::{
    Secret,
    user_lookup::{
        microsoft::{Authority, Cloud},
        oidc::{Credential, Oidc},
    },
};
use directory::{
    http::Response,
    login::{
        UnixTime,
        oidc::{Exchange, Provider, Step, Waiting},
    },
};
use libfuzzer_sys::fuzz_target;

const TENANT: &str = "8a7c0d3e-4b1f-4f0a-9d2b-0c5e6f7a8b9c";
const NOW: UnixTime = UnixTime::from_seconds(1_700_000_000);

fuzz_target!(|input: &[u8]| {
    let mut parts = input.split(|octet| *octet == 0);
    let registration = Oidc {
        tenant: TENANT.parse().expect("a GUID"),
        client: TENANT.parse().expect("a GUID"),
        credential: Credential::Secret(Secret::new("x")),
        authority: Authority::Cloud(Cloud::Worldwide),
        redirect_url: "https://mx.example.com/login".parse().expect("an address"),
    };
    let mut provider = Provider::new(&registration);
    let ok = |body: &[u8]| Ok(Response { status: 200, body: body.to_vec(), ..Response::default() });
    let first = parts.next().unwrap_or_default();
    if provider.discovered(ok(first), NOW).is_err() {
        provider.discovered(ok(discovery().as_bytes()), NOW).expect("a document");
    }
    let mut waiting = Waiting::default();
    let lookup = "entra".parse().expect("a name");
    let query = String::from_utf8_lossy(parts.next().unwrap_or_default());
    let _ = waiting.take_back(&query, "", NOW);
    let begun = waiting.begin(&lookup, &provider, NOW).expect("it is discovered");
    let state = begun.url.split("&state=").nth(1).and_then(|rest| rest.split('&').next()).expect("a state");
    let query = format!("code=x&state={state}");
    let returned = waiting.take_back(&query, begun.cookie.expose(), NOW).expect("it was sent away");
    let (mut exchange, mut step) = Exchange::new(&provider, returned, NOW);
    loop {
        match step {
            Step::Ask(_) => {
                step = exchange.answer(&mut provider, ok(parts.next().unwrap_or_default()), NOW);
            }
            Step::Done(result) => {
                assert!(result.is_err(), "signed in by nobody's key");
                break;
            }
        }
    }
});

fn discovery() -> String {
    let at = format!("https://login.microsoftonline.com/{TENANT}");
    format!(
        r#"{{"issuer":"{at}/v2.0","authorization_endpoint":"{at}/a","token_endpoint":"{at}/t","jwks_uri":"{at}/k",
        "response_types_supported":["code"],"id_token_signing_alg_values_supported":["RS256"]}}"#
    )
}
