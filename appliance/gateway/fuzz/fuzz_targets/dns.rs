//! Answers of a hostile resolver: no packet panics, every question ends, and packets are sent no more than allowed.
#![no_main]

use std::time::Duration;

use config_schema::name::DomainName;
use gateway::dns::{Action, Entropy, Event, Kind, Patience, Query, Question};
use libfuzzer_sys::fuzz_target;

const FRESH: Entropy = Entropy { id: 0x1234, case: [0x55; 32] };

fuzz_target!(|data: &[u8]| {
    let Some((choice, packets)) = data.split_first() else { return };
    let kind = match choice % 5 {
        0 => Kind::A,
        1 => Kind::Aaaa,
        2 => Kind::Mx,
        3 => Kind::Tlsa,
        _ => Kind::Ptr,
    };
    let name = DomainName::parse("mx.example.com").expect("a name");
    let mut query = Query::new(Question { name, kind }, 2, 0, Patience::default());
    let mut action = query.start(Duration::ZERO, FRESH);
    let mut sent = 0;
    // Each packet has a byte of length before it.
    let mut rest = packets;
    loop {
        sent += u32::from(matches!(action, Action::Udp { .. } | Action::Tcp { .. }));
        assert!(sent <= 3);
        if matches!(action, Action::Done(_)) {
            return;
        }
        let Some((len, more)) = rest.split_first() else { break };
        let (packet, more) = more.split_at(usize::from(*len).min(more.len()));
        rest = more;
        // Answers to us have our id and the question: put both in, so that what is behind them is reached.
        let mut answer = match &action {
            Action::Udp { packet, .. } | Action::Tcp { packet, .. } => packet.clone(),
            _ => vec![0x12, 0x34],
        };
        answer.extend_from_slice(packet);
        let event = if choice & 0x80 == 0 { Event::Datagram(&answer) } else { Event::Message(&answer) };
        action = query.handle(Duration::from_secs(1), event, FRESH);
    }
    for turn in 1..10 {
        if matches!(action, Action::Done(_)) {
            return;
        }
        action = query.handle(Duration::from_secs(turn * 5 + 5), Event::Tick, FRESH);
    }
    panic!("the question does not end");
});
