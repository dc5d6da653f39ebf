use std::net::IpAddr;

use proptest::prelude::*;

use super::{device::Devices, *};
use crate::login::UnixTime;

fn at(seconds: u64) -> Time {
    Time::from_start(Duration::from_secs(seconds))
}

fn name(text: &str) -> UserName {
    format!("{text}@example.com").parse().unwrap()
}

fn source(n: u32) -> Source {
    Source::from(IpAddr::from((0x0a00_0000 + n).to_be_bytes()))
}

/// A try that fails; whether it could be made.
fn fail(lockout: &mut Lockout, now: Time, account: &UserName, source: Source) -> Result<(), Time> {
    match lockout.ask(now, Try { account, source, device: None }) {
        Leave::Go(_failed) => Ok(()),
        Leave::Wait(until) => Err(until),
    }
}

#[test]
fn an_account_has_ten_tries_an_hour_and_then_waits_that_grow() {
    let (mut lockout, ann) = (Lockout::default(), name("ann"));
    // From three sources that are not quiet, so that only the account counts.
    for n in 0..9 {
        fail(&mut lockout, at(0), &name(&format!("other{n}")), source(n % 3)).unwrap();
    }
    for n in 0..ACCOUNT_MAX {
        fail(&mut lockout, at(0), &ann, source(n as u32 % 3)).unwrap();
    }
    let mut now = at(0);
    for wait in [30, 60, 120, 240, 480, 960] {
        let until = fail(&mut lockout, now, &ann, source(0)).unwrap_err();
        assert_eq!(until.since(now), Duration::from_secs(wait));
        fail(&mut lockout, at(until.since_start().as_secs() - 1), &ann, source(0)).unwrap_err();
        fail(&mut lockout, until, &ann, source(0)).unwrap();
        now = until;
    }
    // An hour without a try, and everything is as at first.
    let later = now + WINDOW;
    for _ in 0..ACCOUNT_MAX {
        fail(&mut lockout, later, &ann, source(1)).unwrap();
    }
}

#[test]
fn a_source_has_thirty_tries_an_hour_whatever_the_accounts() {
    let mut lockout = Lockout::default();
    for n in 0..SOURCE_MAX {
        fail(&mut lockout, at(1), &name(&format!("user{n}")), source(1)).unwrap();
    }
    let until = fail(&mut lockout, at(1), &name("new"), source(1)).unwrap_err();
    assert_eq!(until, at(31));
    fail(&mut lockout, at(1), &name("new"), source(2)).unwrap();
    // Of IPv6, a /64 is one source, and a mapped address is the IPv4 one.
    let six = |text: &str| Source::from(text.parse::<IpAddr>().unwrap());
    assert_eq!(six("2001:db8::1"), six("2001:db8::ffff:1"));
    assert_ne!(six("2001:db8::1"), six("2001:db8:0:1::1"));
    assert_eq!(six("::ffff:10.0.0.1"), source(1));
}

#[test]
fn tries_at_once_count_before_they_are_answered() {
    let (mut lockout, ann) = (Lockout::default(), name("ann"));
    let tickets: Vec<Leave> = (0..100)
        .map(|_| lockout.ask(at(0), Try { account: &ann, source: source(1), device: None }))
        .filter(|leave| matches!(leave, Leave::Go(_)))
        .collect();
    assert_eq!(tickets.len(), ACCOUNT_MAX);
}

#[test]
fn a_try_that_was_right_or_never_made_does_not_count() {
    let (mut lockout, ann) = (Lockout::default(), name("ann"));
    for n in 0..1_000 {
        match lockout.ask(at(0), Try { account: &ann, source: source(1), device: None }) {
            Leave::Go(ticket) if n % 2 == 0 => lockout.right(ticket),
            Leave::Go(ticket) => lockout.not_made(ticket),
            Leave::Wait(_) => panic!("none of them counted"),
        }
    }
    assert_eq!(lockout.remembered(), (0, 0, 0));
    // A right one does not clear those that failed.
    for _ in 0..ACCOUNT_MAX - 1 {
        fail(&mut lockout, at(0), &ann, source(1)).unwrap();
    }
    let Leave::Go(ticket) = lockout.ask(at(0), Try { account: &ann, source: source(1), device: None }) else {
        panic!("the tenth")
    };
    lockout.right(ticket);
    fail(&mut lockout, at(0), &ann, source(1)).unwrap();
    fail(&mut lockout, at(0), &ann, source(1)).unwrap_err();
}

#[test]
fn the_owner_gets_in_while_the_account_is_attacked() {
    let (mut lockout, ann) = (Lockout::default(), name("ann"));
    let devices = Devices::new(&[7; device::DEVICE_KEY]);
    let token = devices.token(&ann, None, UnixTime::from_seconds(0)).unwrap();
    let device = devices.prove(&ann, &token, UnixTime::from_seconds(3_600));
    assert!(device.is_some());
    for second in 0..3_600 {
        for from in 0..20 {
            let _ = fail(&mut lockout, at(second), &ann, source(from));
        }
    }
    let now = at(3_599);
    fail(&mut lockout, now, &ann, source(1)).unwrap_err();
    // From a proven device, even at the attacker's source; and from anywhere that is quiet.
    let known = Try { account: &ann, source: source(1), device };
    for _ in 0..DEVICE_MAX {
        assert!(matches!(lockout.ask(now, known), Leave::Go(_)));
    }
    assert_eq!(lockout.ask(now, known), Leave::Wait(now + WAIT));
    for _ in 0..QUIET_MAX {
        fail(&mut lockout, now, &ann, source(1_000)).unwrap();
    }
    fail(&mut lockout, now, &ann, source(1_000)).unwrap_err();
}

#[test]
fn a_device_is_proven_only_by_its_own_token() {
    let (ann, bob) = (name("ann"), name("bob"));
    let now = UnixTime::from_seconds(1_700_000_000);
    let devices = Devices::new(&[7; device::DEVICE_KEY]);
    let token = devices.token(&ann, None, now).unwrap();
    let id = devices.prove(&ann, &token, now).unwrap();
    let renewed = devices.token(&ann, Some(id), now.plus(86_400)).unwrap();
    assert_eq!(devices.prove(&ann, &renewed, now.plus(device::DEVICE_LIFETIME + 86_400)), Some(id));
    assert_eq!(devices.prove(&ann, &token, now.plus(device::DEVICE_LIFETIME + 1)), None, "too old");
    assert_eq!(devices.prove(&bob, &token, now), None, "another's");
    assert_eq!(Devices::new(&[8; device::DEVICE_KEY]).prove(&ann, &token, now), None, "another appliance's");
    for at in 0..token.len() {
        let mut broken = token.clone().into_bytes();
        broken[at] = if broken[at] == b'A' { b'B' } else { b'A' };
        let broken = String::from_utf8(broken).unwrap();
        assert_eq!(devices.prove(&ann, &broken, now), None, "{at}");
    }
    assert_eq!(devices.prove(&ann, &"A".repeat(100_000), now), None);
}

#[test]
fn tables_are_bounded_and_names_tried_once_push_out_no_victim() {
    let (mut lockout, ann) = (Lockout::default(), name("ann"));
    for n in 0..ACCOUNT_MAX as u32 {
        fail(&mut lockout, at(0), &ann, source(n % 4)).unwrap();
    }
    for n in 0..(ACCOUNTS_MAX as u32 + 2_000) {
        fail(&mut lockout, at(1), &name(&format!("spray{n}")), source(10 + n)).unwrap();
    }
    let full = |count: usize, most: usize| (most * 15 / 16 - 1..=most).contains(&count);
    let (accounts, sources, _) = lockout.remembered();
    assert!(full(accounts, ACCOUNTS_MAX) && full(sources, SOURCES_MAX), "{accounts} {sources}");
    for from in 0..4 {
        // A source that was pushed out counts as quiet; the account stays used up.
        while fail(&mut lockout, at(1), &name("filler"), source(from)).is_ok()
            && lockout.sources.recent(at(1), &source(from)) < QUIET_MAX
        {}
    }
    assert_eq!(fail(&mut lockout, at(1), &ann, source(0)), Err(at(30)));
    let devices: Vec<DeviceId> = {
        let maker = Devices::new(&[7; device::DEVICE_KEY]);
        let zero = UnixTime::default();
        let make = |_| maker.prove(&ann, &maker.token(&ann, None, zero).unwrap(), zero).unwrap();
        (0..DEVICES_MAX + 10).map(make).collect()
    };
    for device in devices {
        let attempt = Try { account: &ann, source: source(0), device: Some(device) };
        assert!(matches!(lockout.ask(at(1), attempt), Leave::Go(_)));
    }
    assert!(full(lockout.remembered().2, DEVICES_MAX));
}

/// What happens in a run: seconds that pass, who tries, from where, and how it ends.
fn steps() -> impl Strategy<Value = Vec<(u64, u8, u8, u8)>> {
    proptest::collection::vec((0u64..400, 0u8..3, 0u8..6, 0u8..10), 1..300)
}

proptest! {
    #[test]
    fn no_hour_holds_more_failures_than_the_budget_and_its_waits(steps in steps()) {
        let mut lockout = Lockout::default();
        let mut now = 0;
        let (mut by_account, mut by_source): (Vec<Vec<u64>>, Vec<Vec<u64>>) = (vec![vec![]; 3], vec![vec![]; 6]);
        for (pass, account, from, end) in steps {
            now += pass;
            let who = name(&format!("user{account}"));
            let quiet = lockout.sources.recent(at(now), &source(from.into())) < QUIET_MAX;
            match lockout.ask(at(now), Try { account: &who, source: source(from.into()), device: None }) {
                Leave::Go(ticket) if end == 0 => lockout.right(ticket),
                Leave::Go(ticket) => {
                    prop_assert!(ticket.account.is_some() || quiet);
                    if ticket.account.is_some() {
                        by_account[usize::from(account)].push(now);
                    }
                    by_source[usize::from(from)].push(now);
                }
                Leave::Wait(until) => {
                    prop_assert!(until > at(now) && until.since(at(now)) <= WINDOW);
                    prop_assert!(!quiet || lockout.sources.free_at(at(now), &source(from.into())) > at(now));
                }
            }
        }
        for (times, budget) in by_account.iter().map(|t| (t, ACCOUNT_MAX)).chain(by_source.iter().map(|t| (t, SOURCE_MAX))) {
            for start in times {
                let hour = times.iter().filter(|at| (*start..start + 3_600).contains(*at)).count();
                // 30 s doubled: seven waits fit into an hour.
                prop_assert!(hour <= budget + 7, "{hour} of {budget}");
            }
        }
    }

    #[test]
    fn a_wait_that_is_over_is_over(steps in steps()) {
        let mut lockout = Lockout::default();
        let mut now = 0;
        for (pass, account, from, _) in steps {
            now += pass;
            let who = name(&format!("user{account}"));
            if let Err(until) = fail(&mut lockout, at(now), &who, source(from.into())) {
                let until = until.since_start().as_secs();
                prop_assert_eq!(fail(&mut lockout, at(until), &who, source(from.into())), Ok(()));
                now = until;
            }
        }
    }

    #[test]
    fn no_token_panics(token in "\\PC{0,100}") {
        let devices = Devices::new(&[7; device::DEVICE_KEY]);
        prop_assert_eq!(devices.prove(&name("ann"), &token, UnixTime::default()), None);
    }
}
