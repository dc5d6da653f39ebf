use config_schema::user_lookup::ldap::Test;
use ldap3_lber::{structure::StructureTag, write::encode_into};
use ldap3_proto::{
    control::LdapControl,
    proto::{
        LdapBindResponse, LdapExtendedResponse, LdapMsg, LdapOp, LdapPartialAttribute, LdapResult,
        LdapResultCode, LdapSearchResultEntry, LdapSearchResultReference,
    },
};
use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn at(seconds: u64) -> Time {
    Time::from_start(SECOND * u32::try_from(seconds).unwrap())
}

fn wire(id: i32, op: LdapOp, ctrl: Vec<LdapControl>) -> Vec<u8> {
    let mut octets = BytesMut::new();
    encode_into(&mut octets, StructureTag::from(LdapMsg { msgid: id, op, ctrl })).unwrap();
    octets.to_vec()
}

fn result(code: LdapResultCode, text: &str) -> LdapResult {
    LdapResult { code, matcheddn: String::new(), message: text.to_owned(), referral: Vec::new() }
}

fn bound(id: i32, code: LdapResultCode) -> Vec<u8> {
    wire(
        id,
        LdapOp::BindResponse(LdapBindResponse { res: result(code, "said\0"), saslcreds: None }),
        Vec::new(),
    )
}

fn extended(id: i32, code: LdapResultCode, name: Option<&str>) -> Vec<u8> {
    let response =
        LdapExtendedResponse { res: result(code, "bye"), name: name.map(str::to_owned), value: None };
    wire(id, LdapOp::ExtendedResponse(response), Vec::new())
}

fn entry(id: i32, dn: &str, values: usize) -> Vec<u8> {
    let vals = (0..values).map(|n| format!("{dn}-{n}@example.com").into_bytes()).collect();
    let attributes = vec![LdapPartialAttribute { atype: "mail".into(), vals }];
    wire(id, LdapOp::SearchResultEntry(LdapSearchResultEntry { dn: dn.into(), attributes }), Vec::new())
}

fn done(id: i32, code: LdapResultCode) -> Vec<u8> {
    wire(id, LdapOp::SearchResultDone(result(code, "")), Vec::new())
}

fn opening(start_tls: bool, password: Option<&str>) -> Opening {
    let credentials = password.map(|password| Credentials::new("cn=me", Secret::new(password)).unwrap());
    Opening { start_tls, credentials, within: SECOND * 10 }
}

fn search() -> Search {
    Search {
        base: "dc=example".into(),
        scope: Scope::Subtree,
        filter: Filter::Item { attribute: "mail".into(), test: Test::Equal("*)(mail=*".into()) },
        attributes: vec!["mail".into()],
        size_limit: Some(3),
        time_limit: SECOND * 5,
        page: None,
        entries_max: 3,
    }
}

/// Takes all actions, and leaves out the times to wake at.
fn actions(client: &mut Client) -> Vec<Action> {
    std::iter::from_fn(|| client.poll()).filter(|action| !matches!(action, Action::WakeAt(_))).collect()
}

fn hear(client: &mut Client, now: u64, octets: &[u8]) -> Vec<Action> {
    client.handle(at(now), Input::Bytes(octets));
    actions(client)
}

fn ready() -> Client {
    let mut client = Client::new(opening(false, None), at(0));
    assert_eq!(actions(&mut client), [Action::Ready]);
    client
}

fn request(actions: &[Action]) -> LdapMsg {
    let [Action::Write(octets), ..] = actions else { panic!("nothing is written: {actions:?}") };
    let (rest, tag) = ldap3_lber::Parser::default().parse(octets).unwrap();
    assert!(rest.is_empty());
    LdapMsg::try_from(tag).unwrap()
}

fn closes(actions: &[Action], fault: &Fault) {
    assert_eq!(actions.last(), Some(&Action::Close(Some(fault.clone()))), "{actions:?}");
}

#[test]
fn a_connection_asks_for_tls_then_binds_then_searches() {
    let mut client = Client::new(opening(true, Some("secret")), at(0));
    let asked = request(&actions(&mut client));
    assert!(
        matches!(&asked.op, LdapOp::ExtendedRequest(request) if request.name == "1.3.6.1.4.1.1466.20037")
    );
    assert_eq!(client.search(at(0), &search()), Err(Busy::NotReady));
    assert_eq!(hear(&mut client, 0, &extended(1, LdapResultCode::Success, None)), [Action::StartTls]);
    client.handle(at(0), Input::TlsDone);
    let bind = request(&actions(&mut client));
    assert!(matches!(&bind.op, LdapOp::BindRequest(bind) if bind.dn == "cn=me" && bind.version == 3));
    assert_eq!(hear(&mut client, 0, &bound(2, LdapResultCode::Success)), [Action::Ready]);

    let id = client.search(at(0), &search()).unwrap();
    let LdapOp::SearchRequest(sent) = request(&actions(&mut client)).op else { panic!("another request") };
    assert_eq!((sent.base.as_str(), sent.sizelimit, sent.timelimit), ("dc=example", 3, 5));
    // What looks like a filter is a value.
    assert_eq!(sent.filter, ldap3_proto::proto::LdapFilter::Equality("mail".into(), "*)(mail=*".into()));
    let reference = wire(
        3,
        LdapOp::SearchResultReference(LdapSearchResultReference {
            uris: vec!["ldap://elsewhere.example/".into()],
        }),
        Vec::new(),
    );
    let answer =
        [entry(3, "cn=a", 1), reference, entry(3, "cn=b", 2), done(3, LdapResultCode::Success)].concat();
    let heard = hear(&mut client, 1, &answer);
    let [Action::Done { search, result: Ok(found) }] = heard.as_slice() else { panic!("{heard:?}") };
    assert_eq!((*search, found.entries.len(), found.cut.as_ref()), (id, 2, None));
    assert_eq!(found.entries[1].texts("MAIL"), ["cn=b-0@example.com", "cn=b-1@example.com"]);
    client.unbind();
    let leave = actions(&mut client);
    assert_eq!(request(&leave).op, LdapOp::UnbindRequest);
    assert_eq!(leave.last(), Some(&Action::Close(None)));
}

#[test]
fn nothing_is_sent_in_the_clear_where_tls_was_asked_for() {
    let start = || {
        let mut client = Client::new(opening(true, Some("secret")), at(0));
        actions(&mut client);
        client
    };
    let refused = hear(&mut start(), 0, &extended(1, LdapResultCode::Unavailable, None));
    let Some(Action::Close(Some(Fault::NoTls(result)))) = refused.last() else { panic!("{refused:?}") };
    assert_eq!(result.code, 52);
    // Plaintext behind the answer, whole or in part, is whoever's.
    for more in [bound(2, LdapResultCode::Success), vec![0x30]] {
        let octets = [extended(1, LdapResultCode::Success, None), more].concat();
        let heard = hear(&mut start(), 0, &octets);
        assert_eq!(heard, [Action::Close(Some(Fault::InTheClear))]);
    }
    let mut client = start();
    hear(&mut client, 0, &extended(1, LdapResultCode::Success, None));
    let heard = hear(&mut client, 0, &bound(2, LdapResultCode::Success));
    assert!(matches!(heard.as_slice(), [Action::Close(Some(_))]), "{heard:?}");
}

#[test]
fn a_refused_bind_says_why() {
    let mut client = Client::new(opening(false, Some("secret")), at(0));
    actions(&mut client);
    let heard = hear(&mut client, 0, &bound(1, LdapResultCode::InvalidCredentials));
    let [Action::Close(Some(Fault::Bind(result)))] = heard.as_slice() else { panic!("{heard:?}") };
    assert_eq!((result.code, result.text.as_str()), (49, "said"));
    assert!(client.is_closed());
}

#[test]
fn an_empty_name_or_password_proves_nothing() {
    assert_eq!(Credentials::new("cn=a", Secret::new("")), None);
    assert_eq!(Credentials::new("", Secret::new("x")), None);
    assert!(!format!("{:?}", Credentials::new("cn=a", Secret::new("hunter2"))).contains("hunter2"));
}

#[test]
fn answers_come_in_any_order_and_in_any_pieces() {
    let mut client = ready();
    let ids: Vec<SearchId> = (0..3).map(|_| client.search(at(0), &search()).unwrap()).collect();
    let answers = [
        entry(2, "cn=b", 1),
        entry(1, "cn=a", 1),
        done(2, LdapResultCode::Success),
        done(1, LdapResultCode::Success),
    ];
    let mut order = Vec::new();
    for octet in answers.concat() {
        for action in hear(&mut client, 0, &[octet]) {
            if let Action::Done { search, result } = action {
                order.push((search, result.unwrap().entries[0].dn.clone()));
            }
        }
    }
    assert_eq!(order, [(ids[1], "cn=b".to_owned()), (ids[0], "cn=a".to_owned())]);
    assert_eq!(client.pending(), 1);
}

#[test]
fn each_search_has_its_own_deadline() {
    let mut client = ready();
    let first = client.search(at(0), &search()).unwrap();
    let second = client.search(at(3), &search()).unwrap();
    let wakes: Vec<Action> = std::iter::from_fn(|| client.poll()).collect();
    assert!(wakes.contains(&Action::WakeAt(Some(at(5)))), "{wakes:?}");
    client.handle(at(4), Input::Timeout);
    assert_eq!(actions(&mut client), []);
    client.handle(at(5), Input::Timeout);
    let late: Vec<Action> = std::iter::from_fn(|| client.poll()).collect();
    assert_eq!(request(&late).op, LdapOp::AbandonRequest(1));
    assert!(late.contains(&Action::Done { search: first, result: Err(SearchFault::Timeout(SECOND * 5)) }));
    assert!(late.contains(&Action::WakeAt(Some(at(8)))), "{late:?}");
    // The late answer is nobody's, and the other search goes on.
    assert_eq!(hear(&mut client, 6, &done(1, LdapResultCode::Success)), []);
    let heard = hear(&mut client, 6, &done(2, LdapResultCode::Success));
    assert!(matches!(heard.as_slice(), [Action::Done { search, result: Ok(_) }] if *search == second));
}

#[test]
fn the_beginning_has_a_deadline_at_each_stage() {
    for (stage, heard) in
        [(Stage::StartTls, Vec::new()), (Stage::Handshake, extended(1, LdapResultCode::Success, None))]
    {
        let mut client = Client::new(opening(true, None), at(0));
        actions(&mut client);
        hear(&mut client, 5, &heard);
        client.handle(at(9), Input::Timeout);
        assert_eq!(actions(&mut client), []);
        client.handle(at(10), Input::Timeout);
        closes(&actions(&mut client), &Fault::Slow(stage));
    }
}

#[test]
fn limits_of_the_server_are_told_apart_from_its_refusals() {
    for (code, cut) in [
        (LdapResultCode::SizeLimitExceeded, true),
        (LdapResultCode::TimeLimitExceeded, true),
        (LdapResultCode::AdminLimitExceeded, true),
        (LdapResultCode::NoSuchObject, false),
        (LdapResultCode::Referral, false),
        (LdapResultCode::Busy, false),
    ] {
        let mut client = ready();
        client.search(at(0), &search()).unwrap();
        let heard = hear(&mut client, 0, &[entry(1, "cn=a", 1), done(1, code.clone())].concat());
        let result = heard.into_iter().find_map(|action| match action {
            Action::Done { result, .. } => Some(result),
            _ => None,
        });
        match result.unwrap() {
            Ok(found) => assert!(cut && found.cut.is_some() && found.entries.len() == 1, "{code:?}"),
            Err(SearchFault::Refused(_)) => assert!(!cut, "{code:?}"),
            Err(other) => panic!("{code:?}: {other}"),
        }
    }
}

#[test]
fn pages_follow_their_cookie() {
    let mut client = ready();
    let page = Some(Page { size: 2, cookie: b"here".to_vec() });
    client.search(at(0), &Search { page, ..search() }).unwrap();
    let sent = request(&actions(&mut client));
    assert_eq!(sent.ctrl, [LdapControl::SimplePagedResults { size: 2, cookie: b"here".to_vec() }]);
    let next = LdapControl::SimplePagedResults { size: 0, cookie: b"there".to_vec() };
    let octets = wire(1, LdapOp::SearchResultDone(result(LdapResultCode::Success, "")), vec![next]);
    let heard = hear(&mut client, 0, &octets);
    assert!(
        matches!(&heard[..], [Action::Done { result: Ok(found), .. }] if found.cookie == b"there"),
        "{heard:?}"
    );
}

#[test]
fn a_server_that_sends_too_much_is_not_listened_to() {
    let mut client = ready();
    client.search(at(0), &search()).unwrap();
    actions(&mut client);
    let octets: Vec<u8> = (0..4).flat_map(|n| entry(1, &format!("cn={n}"), 1)).collect();
    let heard = hear(&mut client, 0, &octets);
    assert_eq!(request(&heard).op, LdapOp::AbandonRequest(1));
    assert!(
        matches!(heard.last(), Some(Action::Done { result: Err(SearchFault::TooMuch), .. })),
        "{heard:?}"
    );

    // By octets, too.
    client.search(at(0), &Search { entries_max: usize::MAX, ..search() }).unwrap();
    let big = entry(3, &"x".repeat(4_000), 50);
    let mut rounds = 0;
    while client.pending() > 0 {
        client.handle(at(0), Input::Bytes(&big));
        rounds += 1;
    }
    assert_eq!(rounds, RESULT_MAX / big.len() + 1);
    assert!(!client.is_closed());
    // What it goes on sending is thrown away, up to a bound.
    let mut strays = 0;
    while !client.is_closed() {
        client.handle(at(0), Input::Bytes(&big));
        strays += 1;
    }
    assert_eq!(strays, STRAY_MAX / big.len() + 1);
}

#[test]
fn only_so_many_searches_are_under_way() {
    let mut client = ready();
    for _ in 0..PENDING_MAX {
        client.search(at(0), &search()).unwrap();
    }
    assert_eq!(client.search(at(0), &search()), Err(Busy::Full));
    hear(&mut client, 0, &done(7, LdapResultCode::Success));
    assert!(client.search(at(0), &search()).is_ok());
}

#[test]
fn a_search_may_be_given_up() {
    let mut client = ready();
    let id = client.search(at(0), &search()).unwrap();
    actions(&mut client);
    client.abandon(id);
    assert_eq!(request(&actions(&mut client)).op, LdapOp::AbandonRequest(1));
    client.abandon(id);
    assert_eq!(actions(&mut client), []);
    assert_eq!(hear(&mut client, 0, &[entry(1, "cn=a", 1), done(1, LdapResultCode::Success)].concat()), []);
}

#[test]
fn every_search_ends_with_its_connection() {
    let mut client = ready();
    let ids = [(); 2].map(|()| client.search(at(0), &search()).unwrap());
    actions(&mut client);
    let heard =
        hear(&mut client, 0, &extended(0, LdapResultCode::Unavailable, Some("1.3.6.1.4.1.1466.20036")));
    let fault = Fault::Disconnected(ServerResult { code: 52, text: "bye".into() });
    let ended =
        ids.map(|search| Action::Done { search, result: Err(SearchFault::Connection(fault.clone())) });
    assert_eq!(heard[..2], ended);
    closes(&heard, &fault);
    client.handle(at(0), Input::PeerClosed);
    client.unbind();
    assert_eq!(actions(&mut client), []);

    let mut client = ready();
    client.handle(at(0), Input::PeerClosed);
    closes(&actions(&mut client), &Fault::Closed);
}

#[test]
fn what_breaks_the_protocol_ends_the_connection() {
    for octets in [
        b"HTTP/1.1 400 Bad Request\r\n".to_vec(),
        done(9, LdapResultCode::Success),
        bound(1, LdapResultCode::Success),
        vec![0x30, 5, 2, 1, 1, 0x64, 0],
        vec![0x30, 7, 2, 1, 1, 0x64, 2, 4, 0],
    ] {
        let mut client = ready();
        client.search(at(0), &search()).unwrap();
        let heard = hear(&mut client, 0, &octets);
        assert!(client.is_closed(), "{octets:x?} → {heard:?}");
    }
    // An unsolicited notification that we do not know is not our business (RFC 4511 §4.4).
    let mut client = ready();
    assert_eq!(hear(&mut client, 0, &extended(0, LdapResultCode::Success, Some("1.2.3"))), []);
    assert!(!client.is_closed());
}

proptest! {
    #[test]
    fn whatever_a_server_says_each_search_has_one_result(
        start_tls in any::<bool>(),
        pieces in prop::collection::vec(prop_oneof![
            prop::collection::vec(any::<u8>(), 0..40),
            (0i32..6, 0usize..4).prop_map(|(id, values)| entry(id, "cn=x", values)),
            (0i32..6).prop_map(|id| done(id, LdapResultCode::Success)),
            (0i32..3).prop_map(|id| bound(id, LdapResultCode::Success)),
            (0i32..3).prop_map(|id| extended(id, LdapResultCode::Success, None)),
        ], 0..12),
        cut in 1usize..30,
    ) {
        let mut client = Client::new(opening(start_tls, Some("x")), at(0));
        let (mut asked, mut answered) = (Vec::new(), Vec::new());
        let mut drain = |client: &mut Client, asked: &mut Vec<SearchId>| {
            while let Some(action) = client.poll() {
                match action {
                    Action::StartTls => client.handle(at(0), Input::TlsDone),
                    Action::Ready => asked.extend((0..3).filter_map(|_| client.search(at(0), &search()).ok())),
                    Action::Done { search, .. } => answered.push(search),
                    _ => {}
                }
            }
        };
        drain(&mut client, &mut asked);
        for piece in pieces.concat().chunks(cut) {
            client.handle(at(1), Input::Bytes(piece));
            drain(&mut client, &mut asked);
        }
        client.handle(at(100), Input::Timeout);
        drain(&mut client, &mut asked);
        client.handle(at(100), Input::PeerClosed);
        drain(&mut client, &mut asked);
        prop_assert!(client.is_closed());
        answered.sort();
        prop_assert_eq!(asked, answered);
    }
}
