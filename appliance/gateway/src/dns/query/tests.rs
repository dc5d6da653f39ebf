use config_schema::name::DomainName;
use hickory_proto::{
    op::{Message, MessageType, Query as WireQuery, ResponseCode},
    rr::{Name, RData, Record, RecordType, rdata},
};
use proptest::prelude::*;

use super::*;
use crate::dns::{Kind, answer::Outcome};

const FRESH: Entropy = Entropy { id: 7, case: [0b0101_0101; 32] };
const S: fn(u64) -> Duration = Duration::from_secs;

fn query(servers: usize) -> Query {
    let question = Question { name: DomainName::parse("mx.example.com").unwrap(), kind: Kind::A };
    Query::new(question, servers, 0, Patience::default())
}

fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

fn address(owner: &str, last: u8) -> Record {
    Record::from_rdata(name(owner), 300, RData::A(rdata::A::new(192, 0, 2, last)))
}

fn alias(owner: &str, target: &str) -> Record {
    Record::from_rdata(name(owner), 60, RData::CNAME(rdata::CNAME(name(target))))
}

/// The answer to `packet`, changed by `change`.
fn reply(packet: &[u8], records: Vec<Record>, change: impl FnOnce(&mut Message)) -> Vec<u8> {
    let mut message = Message::from_vec(packet).unwrap();
    message.metadata.message_type = MessageType::Response;
    message.edns = None;
    message.add_answers(records);
    change(&mut message);
    message.to_vec().unwrap()
}

fn packet(action: &Action) -> Vec<u8> {
    match action {
        Action::Udp { packet, .. } | Action::Tcp { packet, .. } => packet.clone(),
        other => panic!("no packet: {other:?}"),
    }
}

/// What a single answer by UDP leads to.
fn after(records: Vec<Record>, change: impl FnOnce(&mut Message)) -> Action {
    let mut query = query(2);
    let asked = packet(&query.start(S(0), FRESH));
    query.handle(S(1), Event::Datagram(&reply(&asked, records, change)), FRESH)
}

fn found(action: Action) -> (String, usize, u64) {
    match action {
        Action::Done(Ok(Answer { outcome: Outcome::Found { canonical, values }, ttl, .. })) => {
            (canonical.to_string(), values.len(), ttl.as_secs())
        }
        other => panic!("not found: {other:?}"),
    }
}

#[test]
fn an_answer_to_the_question_counts() {
    let records = vec![address("mx.example.com.", 1), address("MX.EXAMPLE.COM.", 2)];
    assert_eq!(found(after(records, |_| ())), ("mx.example.com".into(), 2, 300));
}

#[test]
fn records_of_other_names_are_ignored() {
    let records = vec![address("victim.example.", 9), address("mx.example.com.", 1)];
    assert_eq!(found(after(records, |_| ())).1, 1);
    let only_other = after(vec![address("victim.example.", 9)], |_| ());
    assert!(matches!(only_other, Action::Done(Ok(Answer { outcome: Outcome::NoData, .. }))));
}

#[test]
fn aliases_are_followed_and_loops_are_not() {
    let chain = vec![
        alias("mx.example.com.", "a.example."),
        alias("a.example.", "b.example."),
        address("b.example.", 1),
    ];
    assert_eq!(found(after(chain, |_| ())), ("b.example".into(), 1, 60));
    let circle = vec![alias("mx.example.com.", "a.example."), alias("a.example.", "mx.example.com.")];
    assert!(matches!(after(circle, |_| ()), Action::Udp { server: 1, .. }));
    let mut long = vec![alias("mx.example.com.", "n0.example.")];
    long.extend(
        (0..answer::CNAME_MAX).map(|n| alias(&format!("n{n}.example."), &format!("n{}.example.", n + 1))),
    );
    assert!(matches!(after(long, |_| ()), Action::Udp { server: 1, .. }));
}

#[test]
fn a_wrong_id_name_type_or_direction_is_ignored() {
    let lies: [fn(&mut Message); 5] = [
        |m| m.metadata.id += 1,
        |m| m.metadata.message_type = MessageType::Query,
        |m| m.queries = vec![WireQuery::query(name("other.example."), RecordType::A)],
        |m| m.queries[0].query_type = RecordType::AAAA,
        |m| m.queries.clear(),
    ];
    for lie in lies {
        assert_eq!(after(vec![address("mx.example.com.", 1)], lie), Action::Listen { until: S(5) });
    }
}

#[test]
fn an_answer_in_other_case_is_checked_by_tcp() {
    let lower = |m: &mut Message| m.queries[0].name = m.queries[0].name.to_lowercase();
    let mut query = query(1);
    let asked = packet(&query.start(S(0), FRESH));
    let forged = reply(&asked, vec![address("mx.example.com.", 66)], lower);
    let action = query.handle(S(0), Event::Datagram(&forged), FRESH);
    assert!(matches!(action, Action::Tcp { server: 0, .. }));
    let honest = reply(&packet(&action), vec![address("mx.example.com.", 1)], lower);
    assert_eq!(found(query.handle(S(0), Event::Message(&honest), FRESH)).1, 1);
}

#[test]
fn a_truncated_answer_is_asked_for_by_tcp() {
    let action = after(vec![], |m| m.metadata.truncation = true);
    assert!(matches!(action, Action::Tcp { server: 0, .. }));
}

#[test]
fn a_flood_of_forgeries_moves_the_question_to_tcp() {
    let mut query = query(1);
    query.start(S(0), FRESH);
    for _ in 0..STRAYS_MAX {
        assert_eq!(query.handle(S(1), Event::Datagram(b"junk"), FRESH), Action::Listen { until: S(5) });
    }
    assert!(matches!(query.handle(S(1), Event::Datagram(b"junk"), FRESH), Action::Tcp { .. }));
}

#[test]
fn a_silent_resolver_costs_five_seconds_and_the_question_fifteen() {
    let mut query = query(2);
    query.start(S(0), FRESH);
    assert!(matches!(query.handle(S(4), Event::Tick, FRESH), Action::Listen { .. }));
    assert!(matches!(query.handle(S(5), Event::Tick, FRESH), Action::Udp { server: 1, .. }));
    assert!(matches!(query.handle(S(10), Event::Tick, FRESH), Action::Udp { server: 0, .. }));
    let end = query.handle(S(15), Event::Tick, FRESH);
    assert_eq!(end, Action::Done(Err("the resolver did not answer")));
}

#[test]
fn a_refusing_resolver_is_left_for_the_next() {
    for code in [ResponseCode::ServFail, ResponseCode::Refused, ResponseCode::YXDomain] {
        let action = after(vec![], |m| m.metadata.response_code = code);
        assert!(matches!(action, Action::Udp { server: 1, .. }), "{code}");
    }
    let action = after(vec![], |m| m.metadata.response_code = ResponseCode::FormErr);
    assert!(Message::from_vec(&packet(&action)).unwrap().edns.is_none());
}

#[test]
fn no_such_name_and_no_data_differ() {
    let gone = after(vec![], |m| m.metadata.response_code = ResponseCode::NXDomain);
    assert!(matches!(gone, Action::Done(Ok(Answer { outcome: Outcome::NoSuchName, .. }))));
    let nothing = after(vec![], |_| ());
    assert!(matches!(nothing, Action::Done(Ok(Answer { outcome: Outcome::NoData, .. }))));
}

#[test]
fn without_a_resolver_the_question_ends_at_once() {
    assert_eq!(query(0).start(S(0), FRESH), Action::Done(Err("no resolver is configured")));
}

#[test]
fn an_answer_with_too_many_records_is_cut() {
    let records = (0..200).map(|n| address("mx.example.com.", n)).collect();
    assert_eq!(found(after(records, |_| ())).1, answer::RECORDS_MAX);
}

#[test]
fn the_case_of_letters_is_random_and_the_name_the_same() {
    let asked = Message::from_vec(&packet(&query(1).start(S(0), FRESH))).unwrap();
    assert_eq!(asked.queries[0].name.to_ascii(), "Mx.eXaMpLe.cOm.");
}

proptest! {
    #[test]
    fn no_packet_panics_and_every_question_ends(
        packets in proptest::collection::vec((any::<bool>(), proptest::collection::vec(any::<u8>(), 0..200)), 0..200),
    ) {
        let mut query = query(3);
        let mut action = query.start(S(0), FRESH);
        let mut sent = 0;
        for (stream, packet) in &packets {
            sent += u32::from(matches!(action, Action::Udp { .. } | Action::Tcp { .. }));
            let event = if *stream { Event::Message(packet) } else { Event::Datagram(packet) };
            action = query.handle(S(1), event, FRESH);
        }
        prop_assert!(sent <= Patience::default().tries);
    }

    #[test]
    fn a_damaged_answer_never_becomes_another_address(at in 0usize..80, bit in 0u8..8) {
        let mut query = query(1);
        let asked = packet(&query.start(S(0), FRESH));
        let mut packet = reply(&asked, vec![address("mx.example.com.", 1)], |_| ());
        let at = at % packet.len();
        packet[at] ^= 1 << bit;
        // Panics and endless loops are what this looks for.
        query.handle(S(1), Event::Datagram(&packet), FRESH);
    }
}
