mod entra;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{jwt::Jwt, redirect::Redirect, *};
use crate::http::{Failure, Response};
use config_schema::LookupName;
use entra::{ANN, Entra, ISSUER, TENANT, guid, hs256};

/// The appliance's side, and what it knows.
struct Appliance {
    provider: Provider,
    waiting: Waiting,
}

fn lookup() -> LookupName {
    "entra-logins".parse().unwrap()
}

impl Appliance {
    fn of(entra: &Entra) -> Appliance {
        Appliance { provider: Provider::new(&entra.registration()), waiting: Waiting::default() }
    }

    fn begin(&mut self, entra: &mut Entra) -> Result<Begun, Refusal> {
        if let Some(request) = self.provider.wants(entra.time()) {
            let answer = entra.answer(&request);
            self.provider.discovered(Ok(answer), entra.time())?;
        }
        self.waiting.begin(&lookup(), &self.provider, entra.time())
    }

    /// A whole sign-in.
    fn sign_in(&mut self, entra: &mut Entra) -> Result<Identity, Refusal> {
        let begun = self.begin(entra)?;
        let query = entra.browser(&begun.url);
        let returned = self.waiting.take_back(&query, begun.cookie.expose(), entra.time())?;
        assert_eq!(returned.lookup, lookup());
        self.exchange(returned, entra)
    }

    fn exchange(&mut self, returned: Returned, entra: &mut Entra) -> Result<Identity, Refusal> {
        let (mut exchange, mut step) = Exchange::new(&self.provider, returned, entra.time());
        loop {
            match step {
                Step::Ask(request) => {
                    let answer = entra.answer(&request);
                    step = exchange.answer(&mut self.provider, Ok(answer), entra.time());
                }
                Step::Done(result) => {
                    let late = exchange.answer(&mut self.provider, Ok(Response::default()), entra.time());
                    assert!(matches!(late, Step::Done(Err(Refusal::Misuse))));
                    return result;
                }
            }
        }
    }
}

/// What comes of a sign-in whose token is changed like this.
fn edited(edit: impl Fn(&mut Value, &mut Value) + 'static) -> Result<Identity, Refusal> {
    let mut entra = Entra::new();
    entra.edit = Box::new(edit);
    Appliance::of(&entra).sign_in(&mut entra)
}

fn claim(key: &'static str, value: Value) -> Result<Identity, Refusal> {
    edited(move |_, claims| claims[key] = value.clone())
}

fn without(key: &'static str) -> Result<Identity, Refusal> {
    edited(move |_, claims| drop(claims.as_object_mut().unwrap().remove(key)))
}

#[test]
fn whoever_signs_in_is_a_tenant_and_an_object() {
    let ann = Identity {
        tenant: guid(TENANT),
        object: guid(ANN),
        guest: false,
        roles: Vec::new(),
        groups: Groups::None,
        shown_as: Some("Ann".into()),
    };
    for mut entra in [Entra::new(), Entra::new().with_certificate()] {
        let mut appliance = Appliance::of(&entra);
        assert_eq!(appliance.sign_in(&mut entra), Ok(ann.clone()));
        assert_eq!(appliance.sign_in(&mut entra), Ok(ann.clone()));
        let asked = |path: &str| entra.asked.get(path).copied();
        assert_eq!(asked("/v2.0/.well-known/openid-configuration"), Some(1));
        assert_eq!(asked("/discovery/v2.0/keys"), Some(1));
        assert!(appliance.waiting.is_empty());
    }
}

#[test]
fn a_token_that_says_something_else_signs_nobody_in() {
    let other = "99999999-0000-0000-0000-000000000000";
    let issuer = format!("https://login.example.net:8443/{other}/v2.0");
    assert_eq!(claim("iss", json!(issuer)), Err(Refusal::Issuer(issuer.as_str().into())));
    assert_eq!(claim("tid", json!(other)), Err(Refusal::Tenant(guid(other))));
    assert_eq!(claim("aud", json!(other)), Err(Refusal::Audience));
    assert_eq!(claim("nonce", json!("another")), Err(Refusal::Nonce));
    assert_eq!(claim("aud", json!([entra::CLIENT, other])), Err(Refusal::Token("no claims")));
    assert_eq!(claim("tid", json!("common")), Err(Refusal::Missing("tid")));
    for key in ["iss", "aud", "exp", "nonce", "tid", "oid"] {
        assert_eq!(without(key), Err(Refusal::Missing(key)));
    }
    let template = "https://login.example.net:8443/{tenantid}/v2.0";
    assert_eq!(claim("iss", json!(template)), Err(Refusal::Issuer(template.into())));
}

#[test]
fn clocks_may_differ_by_five_minutes_and_not_by_ten() {
    let signed_in = |ahead: i64| {
        let mut entra = Entra::new();
        let now = entra.now;
        // Entra ID's clock is ahead of ours; its tokens are good for no time at all.
        entra.edit = Box::new(move |_, claims| {
            let theirs = now.checked_add_signed(ahead).unwrap();
            claims["nbf"] = json!(theirs);
            claims["exp"] = json!(theirs);
        });
        Appliance::of(&entra).sign_in(&mut entra)
    };
    for ahead in [-299, 0, 300] {
        assert!(signed_in(ahead).is_ok(), "{ahead}");
    }
    assert_eq!(signed_in(-300), Err(Refusal::Expired(300)));
    assert_eq!(signed_in(-600), Err(Refusal::Expired(600)));
    assert_eq!(signed_in(301), Err(Refusal::NotYet(301)));
    assert_eq!(signed_in(600), Err(Refusal::NotYet(600)));
}

#[test]
fn only_what_the_tenant_signed_counts() {
    for algorithm in ["none", "HS256", "RS384", "ES256", ""] {
        let refused = edited(move |head, _| head["alg"] = json!(algorithm));
        assert_eq!(refused, Err(Refusal::Algorithm(algorithm.into())), "{algorithm}");
    }
    let mut entra = Entra::new();
    entra.sign = Some(hs256);
    assert_eq!(Appliance::of(&entra).sign_in(&mut entra), Err(Refusal::Signature));
    entra.sign = Some(|_, _| Vec::new());
    assert_eq!(Appliance::of(&entra).sign_in(&mut entra), Err(Refusal::Signature));
    entra.sign = Some(|signed, key| entra::rs256(&[signed, b"x"].concat(), key));
    assert_eq!(Appliance::of(&entra).sign_in(&mut entra), Err(Refusal::Signature));
    let extension = edited(|head, _| head["crit"] = json!(["b64"]));
    assert_eq!(extension, Err(Refusal::Token("it asks for an extension")));
    let nameless = edited(|head, _| drop(head.as_object_mut().unwrap().remove("kid")));
    assert_eq!(nameless, Err(Refusal::Token("it names no key")));
    // A key of a curve is none of RSA's, whatever its name.
    let curve = edited(|head, _| head["kid"] = json!("curve"));
    assert_eq!(curve, Err(Refusal::UnknownKey("curve".into())));
}

#[test]
fn a_new_key_is_asked_for_and_a_made_up_one_at_most_every_five_minutes() {
    let mut entra = Entra::new();
    let mut appliance = Appliance::of(&entra);
    appliance.sign_in(&mut entra).unwrap();
    // The tenant changes its key.
    entra.now += REFETCH;
    entra.add_key("two");
    assert!(appliance.sign_in(&mut entra).is_ok());
    assert_eq!(entra.asked["/discovery/v2.0/keys"], 2);
    // And again at once: the new key cannot be known yet.
    entra.now += 10;
    entra.add_key("three");
    assert_eq!(appliance.sign_in(&mut entra), Err(Refusal::UnknownKey("three".into())));
    for _ in 0..20 {
        entra.now += 1;
        assert!(appliance.sign_in(&mut entra).is_err());
    }
    assert_eq!(entra.asked["/discovery/v2.0/keys"], 2);
    entra.now += REFETCH;
    assert!(appliance.sign_in(&mut entra).is_ok());
    assert_eq!(entra.asked["/discovery/v2.0/keys"], 3);
    // A key that was withdrawn is gone within a day.
    let (_, withdrawn) = entra.keys.remove(0);
    entra.now += 86_400;
    entra.keys.push(("four".into(), withdrawn));
    entra.edit = Box::new(|head, _| head["kid"] = json!("one"));
    assert_eq!(appliance.sign_in(&mut entra), Err(Refusal::UnknownKey("one".into())));
}

#[test]
fn guests_roles_and_groups_are_told_apart() {
    let guest = |result: Result<Identity, Refusal>| result.unwrap().guest;
    assert!(!guest(claim("idp", json!(ISSUER))));
    assert!(!guest(claim("idp", json!(format!("https://sts.windows.net/{TENANT}/")))));
    assert!(guest(claim("idp", json!("https://sts.windows.net/99999999-0000-0000-0000-000000000000/"))));
    assert!(guest(claim("idp", json!("live.com"))));
    assert!(guest(claim("acct", json!(1))));
    assert!(!guest(claim("acct", json!(0))));

    let roles = claim("roles", json!(["Realm.Administrator"])).unwrap().roles;
    assert_eq!(roles, ["Realm.Administrator"]);
    let groups = |result: Result<Identity, Refusal>| result.unwrap().groups;
    assert_eq!(groups(claim("groups", json!([ANN, "by name"]))), Groups::Listed(vec![guid(ANN)]));
    assert_eq!(groups(claim("hasgroups", json!(true))), Groups::Overage);
    assert_eq!(groups(claim("hasgroups", json!("true"))), Groups::Overage);
    assert_eq!(groups(claim("_claim_names", json!({ "groups": "src1" }))), Groups::Overage);
    assert_eq!(groups(claim("_claim_names", json!({ "other": "src1" }))), Groups::None);
    let many = |count: usize| json!(vec![ANN; count]);
    assert!(claim("groups", many(LISTED_MAX)).is_ok());
    assert_eq!(claim("groups", many(LISTED_MAX + 1)), Err(Refusal::TooMany("groups")));
    assert_eq!(claim("roles", many(LISTED_MAX + 1)), Err(Refusal::TooMany("roles")));
}

#[test]
fn the_discovery_document_is_that_of_the_one_tenant() {
    let discovered = |key: &'static str, value: Value| {
        let mut entra = Entra::new();
        entra.discovery[key] = value;
        let mut appliance = Appliance::of(&entra);
        appliance.begin(&mut entra).map(drop)
    };
    let template = "https://login.example.net:8443/{tenantid}/v2.0";
    assert_eq!(discovered("issuer", json!(template)), Err(Refusal::TemplateIssuer));
    let other = ISSUER.replace("8a7c", "9999");
    assert_eq!(discovered("issuer", json!(other)), Err(Refusal::DiscoveredIssuer(other.as_str().into())));
    for elsewhere in [
        "https://login.example.org/keys",
        "http://login.example.net:8443/keys",
        "https://login.example.net:8443@evil.example/keys",
        "https://login.example.net:84433/keys",
        "https://login.example.net:8443",
        "https://login.example.net:8443/keys?x=\r\ny",
    ] {
        let refused = discovered("jwks_uri", json!(elsewhere));
        assert!(matches!(refused, Err(Refusal::Endpoint { key: "jwks_uri", .. })), "{elsewhere}");
    }
    for (key, value) in [
        ("response_types_supported", json!(["id_token"])),
        ("id_token_signing_alg_values_supported", json!(["HS256"])),
        ("token_endpoint_auth_methods_supported", json!(["client_secret_basic"])),
        ("token_endpoint", json!(5)),
        ("padding", json!("x".repeat(DISCOVERY_MAX))),
    ] {
        assert!(matches!(discovered(key, value), Err(Refusal::Discovery(_))), "{key}");
    }
}

#[test]
fn an_older_document_serves_while_a_new_one_cannot_be_read() {
    let mut entra = Entra::new();
    let mut appliance = Appliance::of(&entra);
    assert_eq!(
        appliance.waiting.begin(&lookup(), &appliance.provider, entra.time()),
        Err(Refusal::NotDiscovered)
    );
    appliance.sign_in(&mut entra).unwrap();
    let begun = appliance.begin(&mut entra).unwrap();
    let query = entra.browser(&begun.url);
    entra.now += 599;
    let returned = appliance.waiting.take_back(&query, begun.cookie.expose(), entra.time()).unwrap();
    let later = entra.time().plus(KEEP);
    let (mut exchange, step) = Exchange::new(&appliance.provider, returned, later);
    assert!(matches!(&step, Step::Ask(request) if request.target.ends_with("openid-configuration")));
    let step = exchange.answer(&mut appliance.provider, Err(Failure::Timeout(30)), later);
    assert!(matches!(&step, Step::Ask(request) if request.target.ends_with("/token")));
    let step = exchange.answer(&mut appliance.provider, Err(Failure::Timeout(30)), later);
    assert!(matches!(step, Step::Done(Err(Refusal::Carrier(Failure::Timeout(30))))));
}

#[test]
fn a_code_counts_once_and_the_application_has_to_prove_itself() {
    let mut entra = Entra::new();
    let mut appliance = Appliance::of(&entra);
    let begun = appliance.begin(&mut entra).unwrap();
    let query = entra.browser(&begun.url);
    let again = appliance.begin(&mut entra).unwrap();
    let state = again.url.split("&state=").nth(1).unwrap().split('&').next().unwrap();
    let code = query.split('&').next().unwrap();
    appliance.waiting.take_back(&query, begun.cookie.expose(), entra.time()).map(drop).unwrap();
    // A code that is made up, in a sign-in that is not.
    let forged = format!("{code}9&state={state}");
    let returned = appliance.waiting.take_back(&forged, again.cookie.expose(), entra.time()).unwrap();
    let refused = appliance.exchange(returned, &mut entra).unwrap_err();
    assert!(matches!(&refused, Refusal::Code(text) if text.contains("AADSTS54005")), "{refused}");
    assert_eq!(refused.whose(), Whose::Browser);

    let mut registration = entra.registration();
    registration.credential =
        config_schema::user_lookup::oidc::Credential::Secret(config_schema::Secret::new("old"));
    appliance.provider = Provider::new(&registration);
    let refused = appliance.sign_in(&mut entra).unwrap_err();
    assert!(matches!(&refused, Refusal::Client(text) if text.contains("AADSTS7000215")), "{refused}");
    assert_eq!(refused.whose(), Whose::Configuration);
}

#[test]
fn a_browser_comes_back_once_in_time_and_as_itself() {
    let mut entra = Entra::new();
    let mut appliance = Appliance::of(&entra);
    let begun = appliance.begin(&mut entra).unwrap();
    let query = entra.browser(&begun.url);
    let (cookie, now) = (begun.cookie.expose(), entra.time());
    let mut back = |query: &str, cookie: &str, now| appliance.waiting.take_back(query, cookie, now).map(drop);
    assert_eq!(back(&query, "", now), Err(Refusal::State), "another browser");
    assert_eq!(back(&query, &format!("{cookie}x"), now), Err(Refusal::State));
    assert_eq!(back(&query.replace("state=", "state=x"), cookie, now), Err(Refusal::State));
    for damaged in [
        "",
        "code=x",
        &query.replace("code=", "code=").replace("0.AX0", ""),
        &format!("{query}&code=y"),
        &format!("{query}&state=y"),
        &format!("{query}&error=x"),
        &format!("{query}&iss=%4"),
        &format!("{query}&iss=%ff"),
        &format!("{query}&{}", "x".repeat(QUERY_MAX)),
    ] {
        let refused = back(damaged, cookie, now);
        assert!(refused.is_err(), "{damaged:.80}");
    }
    assert_eq!(back(&query, cookie, now.plus(WAITING_TIME - 1)), Ok(()));
    assert_eq!(back(&query, cookie, now), Err(Refusal::State), "again");

    let begun = appliance.begin(&mut entra).unwrap();
    let query = entra.browser(&begun.url);
    let late = appliance.waiting.take_back(&query, begun.cookie.expose(), entra.time().plus(WAITING_TIME));
    assert_eq!(late.map(drop), Err(Refusal::State), "too late");

    let begun = appliance.begin(&mut entra).unwrap();
    let state = begun.url.split("&state=").nth(1).unwrap().split('&').next().unwrap();
    let denied = format!("error=access_denied&error_description=AADSTS65004%3A+No%0d%0aX&state={state}");
    let refused = appliance.waiting.take_back(&denied, begun.cookie.expose(), entra.time());
    assert_eq!(refused.map(drop), Err(Refusal::Denied("access_denied AADSTS65004: No  X".into())));

    let begun = appliance.begin(&mut entra).unwrap();
    let query = format!("{}&iss=https%3A%2F%2Fother.example", entra.browser(&begun.url));
    let returned = appliance.waiting.take_back(&query, begun.cookie.expose(), entra.time()).unwrap();
    assert_eq!(appliance.exchange(returned, &mut entra), Err(Refusal::MixedUp));
}

#[test]
fn browsers_that_are_away_are_bounded() {
    let mut entra = Entra::new();
    let mut appliance = Appliance::of(&entra);
    let first = appliance.begin(&mut entra).unwrap();
    let query = entra.browser(&first.url);
    entra.now += 1;
    for _ in 0..WAITING_MAX {
        appliance.begin(&mut entra).unwrap();
    }
    assert_eq!(appliance.waiting.len(), WAITING_MAX);
    let refused = appliance.waiting.take_back(&query, first.cookie.expose(), entra.time());
    assert_eq!(refused.map(drop), Err(Refusal::State));
    entra.now += WAITING_TIME;
    appliance.begin(&mut entra).unwrap();
    assert_eq!(appliance.waiting.len(), 1);
}

#[test]
fn answers_are_bounded() {
    let mut entra = Entra::new();
    let long = edited(|_, claims| claims["padding"] = json!("x".repeat(TOKEN_MAX)));
    assert_eq!(long, Err(Refusal::Token("too long")));
    let mut keys = keys::Keys::default();
    let of = |count: usize| {
        let key = |n: usize| json!({ "kty": "RSA", "kid": format!("k{n}"), "n": "AQAB", "e": "AQAB" });
        json!({ "keys": (0..count).map(key).collect::<Vec<_>>() }).to_string()
    };
    assert_eq!(keys.read(of(KEYS_MAX).as_bytes(), entra.time()), Ok(()));
    assert!(matches!(keys.read(of(KEYS_MAX + 1).as_bytes(), entra.time()), Err(Refusal::Keys(_))));
    let padded = format!("{}{}", of(1), " ".repeat(KEYS_ANSWER_MAX));
    assert!(matches!(keys.read(padded.as_bytes(), entra.time()), Err(Refusal::Keys(_))));
    let twice = of(2).replace("k1", "k0");
    assert!(matches!(keys.read(twice.as_bytes(), entra.time()), Err(Refusal::Keys(_))));
    // A token endpoint that goes on and on, or answers what is no answer.
    let mut appliance = Appliance::of(&entra);
    for (status, body) in [
        (200, vec![b' '; TOKEN_ANSWER_MAX + 1]),
        (200, b"{}".to_vec()),
        (400, b"<html>".to_vec()),
        (502, Vec::new()),
    ] {
        let begun = appliance.begin(&mut entra).unwrap();
        let query = entra.browser(&begun.url);
        let returned = appliance.waiting.take_back(&query, begun.cookie.expose(), entra.time()).unwrap();
        let (mut exchange, _) = Exchange::new(&appliance.provider, returned, entra.time());
        let answer = Response { status, body, ..Response::default() };
        let step = exchange.answer(&mut appliance.provider, Ok(answer), entra.time());
        assert!(
            matches!(step, Step::Done(Err(Refusal::TokenAnswer(_) | Refusal::Status(400 | 502)))),
            "{status}"
        );
    }
}

proptest! {
    #[test]
    fn no_query_and_no_token_panics(text in "\\PC{0,300}", dots in "[A-Za-z0-9_.=&%+-]{0,300}") {
        for text in [text, dots] {
            let _ = Redirect::read(&text);
            let _ = Jwt::read(&text);
            let _ = keys::Keys::default().read(text.as_bytes(), crate::login::UnixTime::default());
        }
    }

    #[test]
    fn whatever_is_changed_of_a_token_it_signs_nobody_in(at in any::<prop::sample::Index>(), to in 0u8..128) {
        thread_local! {
            static ENTRA: std::cell::RefCell<Entra> = std::cell::RefCell::new(Entra::new());
        }
        ENTRA.with_borrow_mut(|entra| {
            let mut appliance = Appliance::of(entra);
            let begun = appliance.begin(entra).unwrap();
            let query = entra.browser(&begun.url);
            let returned = appliance.waiting.take_back(&query, begun.cookie.expose(), entra.time()).unwrap();
            let (mut exchange, mut step) = Exchange::new(&appliance.provider, returned, entra.time());
            let mut changed = false;
            while let Step::Ask(request) = step {
                let mut answer = entra.answer(&request);
                if request.target.ends_with("/token") {
                    let mut body: Value = serde_json::from_slice(&answer.body).unwrap();
                    let mut token = body["id_token"].as_str().unwrap().as_bytes().to_vec();
                    let at = at.index(token.len());
                    changed = token[at] != to;
                    token[at] = to;
                    body["id_token"] = json!(String::from_utf8(token).unwrap());
                    answer.body = body.to_string().into_bytes();
                }
                step = exchange.answer(&mut appliance.provider, Ok(answer), entra.time());
            }
            let Step::Done(result) = step else { unreachable!() };
            prop_assert_eq!(result.is_err(), changed);
            Ok(())
        })?;
    }
}
