//! Whatever the directory, the network, the disk and the power do: after a round that ends well, the copy is right.

use image::entra::{Collection as Theirs, Entry, Removed, Trouble};
use proptest::{collection::vec, prelude::*, sample::select};

use super::world::{World, by_secret, id};
use crate::graph::Collection;

#[derive(Debug, Clone)]
enum Event {
    Set(Theirs, u32, Entry),
    Remove(Theirs, u32, Removed),
    Trouble(Trouble),
    /// Whether the permission is there.
    Deny(Theirs, bool),
    Age,
    /// The disk refuses so many changes.
    Disk(usize),
    Restart,
    /// So many steps pass; waits are waited for.
    Steps(usize),
}

fn collection() -> impl Strategy<Value = Theirs> {
    select(Theirs::ALL.to_vec())
}

fn entry() -> impl Strategy<Value = Entry> {
    let names = select(vec!["a", "b", "c", "d", "e", "f"]);
    let domains = select(vec!["example.com", "example.net", "elsewhere.example"]);
    let address = (names, domains).prop_map(|(name, domain)| format!("{name}@{domain}"));
    let kinds = select(vec!["SMTP", "smtp", "SIP", "X500"]);
    let proxies = vec((kinds, address.clone()).prop_map(|(kind, address)| format!("{kind}:{address}")), 0..4);
    let kind = select(vec![None, Some("Member"), Some("Guest")]);
    let switch = select(vec![None, Some(false), Some(true)]);
    (proptest::option::of(address), proxies, kind, switch.clone(), switch).prop_map(
        |(mail, proxies, kind, enabled, mail_enabled)| Entry {
            mail,
            proxies,
            kind: kind.map(str::to_owned),
            enabled,
            mail_enabled,
            ..Entry::default()
        },
    )
}

fn event() -> impl Strategy<Value = Event> {
    let trouble = select(vec![
        Trouble::Unauthorized,
        Trouble::Busy(429, Some("3".into())),
        Trouble::Busy(503, None),
        Trouble::Gone,
        Trouble::SyncStateNotFound,
        Trouble::ServerError,
        Trouble::Html,
        Trouble::Truncated,
        Trouble::Long(9 << 20),
        Trouble::LinkElsewhere,
    ]);
    let removed = select(vec![Removed::Changed, Removed::Deleted]);
    prop_oneof![
        8 => (collection(), 0..12u32, entry()).prop_map(|(of, n, entry)| Event::Set(of, n, entry)),
        4 => (collection(), 0..12u32, removed).prop_map(|(of, n, why)| Event::Remove(of, n, why)),
        3 => trouble.prop_map(Event::Trouble),
        1 => (collection(), any::<bool>()).prop_map(|(of, denied)| Event::Deny(of, denied)),
        1 => Just(Event::Age),
        1 => (1..3usize).prop_map(Event::Disk),
        2 => Just(Event::Restart),
        8 => (1..40usize).prop_map(Event::Steps),
    ]
}

fn happen(world: &mut World, event: Event) {
    match event {
        Event::Set(of, n, entry) => world.tenant.set(of, &id(n), entry),
        Event::Remove(of, n, why) => world.tenant.remove(of, &id(n), why),
        Event::Trouble(trouble) => world.tenant.troubles.push_back(trouble),
        Event::Deny(of, true) => drop(world.tenant.denied.insert(of)),
        Event::Deny(of, false) => drop(world.tenant.denied.remove(&of)),
        Event::Age => world.tenant.age(),
        Event::Disk(failing) => world.disk.failing = failing,
        Event::Restart => world.restart(),
        Event::Steps(steps) => {
            for _ in 0..steps {
                if let Some(until) = world.step() {
                    world.elapsed = world.elapsed.max(until.since_start());
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn after_a_good_end_the_copy_equals_the_truth(
        events in vec(event(), 0..60),
        (minimal, empty_first, repeat) in any::<(bool, bool, bool)>(),
        page_size in 1..5usize,
    ) {
        let mut world = World::new(by_secret());
        world.tenant.minimal = minimal;
        world.tenant.empty_first = empty_first;
        world.tenant.repeat = repeat;
        world.tenant.page_size = page_size;
        for event in events {
            happen(&mut world, event);
        }
        world.tenant.troubles.clear();
        world.tenant.denied.clear();
        world.disk.failing = 0;
        // A round that begins may go on with an earlier reading; the one after it sees everything.
        world.finish();
        world.round();
        world.round();
        let now = world.now();
        drop(world.sync.confirm(&now));
        world.finish();
        for again in [false, true] {
            let truth = world.truth();
            for name in ["a", "b", "c", "d", "e", "f"] {
                for domain in ["example.com", "example.net", "elsewhere.example"] {
                    let address = format!("{name}@{domain}");
                    let stream = world.stream(&address);
                    prop_assert_eq!(stream.is_some(), truth.contains(&address), "{} {}", address, again);
                    prop_assert!(stream.is_none_or(|stream| truth.contains(&stream)));
                }
            }
            let counted = world.sync.status().collections.map(|(_, objects, _)| objects);
            let there = Theirs::ALL.map(|of| world.tenant.present(of).count());
            prop_assert_eq!(counted, there);
            prop_assert_eq!(world.disk.rows.len(), there.iter().sum::<usize>(), "nothing is left over");
            world.restart();
        }
        prop_assert_eq!(world.hosts.len(), 1);
        prop_assert_eq!(Collection::ALL.len(), Theirs::ALL.len());
    }
}
