//! The neighbour table, for IPv4 (RFC 826) and IPv6 (RFC 4861 §7.3) alike.
//!
//! An entry changes only by an answer to a question of ours: nobody can put one in, or change one, unasked. A
//! station that is known and answers is believed, whoever else answers too and however much sooner.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;

use smoltcp::time::{Duration, Instant};
use smoltcp::wire::EthernetAddress;

use crate::secret::Key;

/// Entries in all.
pub const NEIGHBOURS_MAX: usize = 512;
/// Entries that one station on the link can cause by what it sends.
pub const NEIGHBOURS_PER_STRANGER: usize = 8;
/// Questions before we give up (RFC 4861 §10, MAX_UNICAST_SOLICIT).
const QUESTIONS: u8 = 3;
/// Between questions (RFC 4861 §10, RETRANS_TIMER).
const QUESTION_GAP: Duration = Duration::from_secs(1);
/// How long an answer counts (RFC 4861 §10, REACHABLE_TIME).
const REACHABLE: Duration = Duration::from_secs(30);
/// A router is asked again so long before its answer expires.
const ROUTER_EARLY: Duration = Duration::from_secs(5);
/// A stale entry that nobody used for so long goes.
const STALE: Duration = Duration::from_secs(600);

/// On whose behalf a neighbour is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// A flow, a router, a request of the gateway's.
    Ours,
    /// An answer to a frame of this station's.
    Stranger(EthernetAddress),
}

#[derive(Debug)]
enum State {
    /// Asked and not yet answered. The packet that waits for it, with the address that it goes to.
    Incomplete {
        packet: Option<Vec<u8>>,
    },
    Reachable {
        mac: EthernetAddress,
    },
    Stale {
        mac: EthernetAddress,
    },
    /// Asked again; used meanwhile. The other station counts if this one does not answer.
    Probe {
        mac: EthernetAddress,
        other: Option<EthernetAddress>,
    },
}

impl State {
    fn probe(mac: EthernetAddress) -> State {
        State::Probe { mac, other: None }
    }
}

#[derive(Debug)]
struct Entry {
    state: State,
    asked: u8,
    due: Instant,
    used: Instant,
    cause: Cause,
    router: bool,
}

/// What [`Neighbours::look_up`] found.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    Known(EthernetAddress),
    /// Ask `who has`, by a question to all.
    Ask,
    /// Asked already.
    Waiting,
    /// The table has no room for another entry of this cause.
    Full,
}

/// What is to be done when a deadline has passed.
#[derive(Debug, PartialEq, Eq)]
pub enum Due {
    Ask(IpAddr),
    /// Nobody answers; the packet that waited.
    Failed(IpAddr, Option<Vec<u8>>),
}

/// The table.
#[derive(Debug)]
pub struct Neighbours {
    entries: HashMap<IpAddr, Entry, Key>,
    due: BTreeSet<(Instant, IpAddr)>,
}

impl Neighbours {
    pub fn new(key: Key) -> Neighbours {
        Neighbours { entries: HashMap::with_hasher(key), due: BTreeSet::new() }
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether the address was answered for, lately or not.
    pub fn knows(&self, address: IpAddr) -> bool {
        self.entries.get(&address).is_some_and(|entry| !matches!(entry.state, State::Incomplete { .. }))
    }

    /// The station that has `address`, or what to do to find it.
    pub fn look_up(&mut self, now: Instant, address: IpAddr, cause: Cause) -> Answer {
        let Some(entry) = self.entries.get_mut(&address) else {
            return self.start(now, address, cause);
        };
        entry.used = now;
        if cause == Cause::Ours {
            entry.cause = Cause::Ours;
        }
        match entry.state {
            State::Reachable { mac } | State::Probe { mac, .. } => Answer::Known(mac),
            State::Stale { mac } => {
                // RFC 4861 §7.3.3: used, therefore asked again; the old answer serves meanwhile.
                entry.state = State::probe(mac);
                entry.asked = 0;
                self.reschedule(address, now);
                Answer::Known(mac)
            }
            State::Incomplete { .. } => Answer::Waiting,
        }
    }

    /// Keeps one packet for an address that was asked for; the newest wins (RFC 1122 §2.3.2.2).
    pub fn keep(&mut self, address: IpAddr, fresh: Vec<u8>) {
        if let Some(Entry { state: State::Incomplete { packet }, .. }) = self.entries.get_mut(&address) {
            *packet = Some(fresh);
        }
    }

    /// A router: its entry is always ours, and is asked for again before it expires.
    pub fn mark_router(&mut self, now: Instant, address: IpAddr) {
        if self.look_up(now, address, Cause::Ours) == Answer::Ask {
            self.reschedule(address, now);
        }
        if let Some(entry) = self.entries.get_mut(&address) {
            entry.router = true;
        }
    }

    /// Somebody says that `mac` has `address`, as an answer to us. Returns the packet that waited for it.
    pub fn answered(&mut self, now: Instant, address: IpAddr, mac: EthernetAddress) -> Option<Vec<u8>> {
        let entry = self.entries.get_mut(&address)?;
        let packet = match &mut entry.state {
            State::Incomplete { packet } => packet.take(),
            State::Probe { mac: known, other } if *known != mac => {
                other.get_or_insert(mac);
                return None;
            }
            State::Probe { .. } => None,
            State::Reachable { .. } | State::Stale { .. } => return None,
        };
        self.believe(now, address, mac);
        packet
    }

    fn believe(&mut self, now: Instant, address: IpAddr, mac: EthernetAddress) {
        let Some(entry) = self.entries.get_mut(&address) else { return };
        entry.state = State::Reachable { mac };
        entry.asked = 0;
        let lasts = if entry.router { REACHABLE - ROUTER_EARLY } else { REACHABLE };
        self.reschedule(address, now + lasts);
    }

    /// Somebody says so unasked: a known entry that says otherwise is asked for, nothing else changes.
    pub fn rumour(&mut self, now: Instant, address: IpAddr, rumoured: EthernetAddress) {
        let Some(entry) = self.entries.get_mut(&address) else { return };
        match entry.state {
            State::Reachable { mac } | State::Stale { mac } if mac != rumoured => {
                entry.state = State::probe(mac);
                entry.asked = 0;
                self.reschedule(address, now);
            }
            _ => {}
        }
    }

    /// The link is back, and may lead elsewhere: what was answered lately is asked for again, what was asked for in vain
    /// from the beginning. A stale entry is, once it is used.
    pub fn link_returned(&mut self, now: Instant) {
        let fresh = |(address, entry): (&IpAddr, &Entry)| {
            (!matches!(entry.state, State::Stale { .. })).then_some(*address)
        };
        let addresses: Vec<IpAddr> = self.entries.iter().filter_map(fresh).collect();
        for address in addresses {
            let Some(entry) = self.entries.get_mut(&address) else { continue };
            if let State::Reachable { mac } = entry.state {
                entry.state = State::probe(mac);
            }
            entry.asked = 0;
            self.reschedule(address, now);
        }
    }

    /// The next thing that is due at `now`.
    pub fn due(&mut self, now: Instant) -> Option<Due> {
        loop {
            let (when, address) = *self.due.first()?;
            if when > now {
                return None;
            }
            let Some(entry) = self.entries.get_mut(&address) else {
                self.due.remove(&(when, address));
                continue;
            };
            match entry.state {
                State::Incomplete { .. } | State::Probe { .. } if entry.asked < QUESTIONS => {
                    entry.asked += 1;
                    self.reschedule(address, now + QUESTION_GAP);
                    return Some(Due::Ask(address));
                }
                State::Probe { other: Some(mac), .. } => self.believe(now, address, mac),
                State::Incomplete { .. } | State::Probe { .. } => {
                    let packet = match self.remove(address) {
                        Some(Entry { state: State::Incomplete { packet }, .. }) => packet,
                        _ => None,
                    };
                    return Some(Due::Failed(address, packet));
                }
                State::Reachable { mac } if entry.router => {
                    entry.state = State::probe(mac);
                    entry.asked = 0;
                    self.reschedule(address, now);
                }
                State::Reachable { mac } => {
                    entry.state = State::Stale { mac };
                    self.reschedule(address, now + STALE);
                }
                State::Stale { .. } => {
                    self.remove(address);
                }
            }
        }
    }

    pub fn next_due(&self) -> Option<Instant> {
        self.due.first().map(|(when, _)| *when)
    }

    /// Forgets everything, as when the link or the addresses changed.
    pub fn clear(&mut self) {
        self.entries.clear();
        self.due.clear();
    }

    fn start(&mut self, now: Instant, address: IpAddr, cause: Cause) -> Answer {
        let of_cause = |entry: &Entry| entry.cause == cause;
        if cause != Cause::Ours
            && self.entries.values().filter(|e| of_cause(e)).count() >= NEIGHBOURS_PER_STRANGER
        {
            return Answer::Full;
        }
        if self.entries.len() >= NEIGHBOURS_MAX && !self.make_room(cause) {
            return Answer::Full;
        }
        let entry = Entry {
            state: State::Incomplete { packet: None },
            asked: 1,
            due: now,
            used: now,
            cause,
            router: false,
        };
        self.entries.insert(address, entry);
        self.due.insert((now, address));
        self.reschedule(address, now + QUESTION_GAP);
        Answer::Ask
    }

    /// Drops the entry that was used longest ago; strangers' entries never push out ours.
    fn make_room(&mut self, cause: Cause) -> bool {
        let ours = cause == Cause::Ours;
        let may_go = |entry: &Entry| !entry.router && (ours || entry.cause != Cause::Ours);
        let oldest = self.entries.iter().filter(|(_, e)| may_go(e)).min_by_key(|(_, e)| e.used);
        match oldest.map(|(address, _)| *address) {
            Some(address) => self.remove(address).is_some(),
            None => false,
        }
    }

    fn remove(&mut self, address: IpAddr) -> Option<Entry> {
        let entry = self.entries.remove(&address)?;
        self.due.remove(&(entry.due, address));
        Some(entry)
    }

    fn reschedule(&mut self, address: IpAddr, when: Instant) {
        if let Some(entry) = self.entries.get_mut(&address) {
            self.due.remove(&(entry.due, address));
            entry.due = when;
            self.due.insert((when, address));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Random;

    const MAC: EthernetAddress = EthernetAddress([2, 0, 0, 0, 0, 9]);
    const EVIL: EthernetAddress = EthernetAddress([2, 0, 0, 0, 0, 66]);

    fn table() -> Neighbours {
        Neighbours::new(Random::new([0; 32]).key())
    }

    fn address(n: u16) -> IpAddr {
        IpAddr::from([10, 0, (n >> 8) as u8, n as u8])
    }

    #[test]
    fn three_questions_a_second_apart_then_failure() {
        let mut table = table();
        let start = Instant::from_secs(10);
        assert_eq!(table.look_up(start, address(1), Cause::Ours), Answer::Ask);
        table.keep(address(1), vec![1]);
        table.keep(address(1), vec![2]);
        assert_eq!(table.look_up(start, address(1), Cause::Ours), Answer::Waiting);
        let mut questions = 1;
        loop {
            let now = table.next_due().unwrap();
            match table.due(now) {
                Some(Due::Ask(_)) => questions += 1,
                Some(Due::Failed(_, packet)) => {
                    assert_eq!((questions, now, packet), (3, start + Duration::from_secs(3), Some(vec![2])));
                    break;
                }
                None => {}
            }
        }
        assert!(table.is_empty() && table.next_due().is_none());
    }

    #[test]
    fn nobody_can_put_in_or_change_an_entry_unasked() {
        let mut table = table();
        let now = Instant::from_secs(10);
        assert_eq!(table.answered(now, address(1), EVIL), None);
        table.rumour(now, address(1), EVIL);
        assert!(table.is_empty());
        table.look_up(now, address(1), Cause::Ours);
        table.answered(now, address(1), MAC);
        table.answered(now, address(1), EVIL);
        table.rumour(now, address(1), EVIL);
        assert_eq!(table.look_up(now, address(1), Cause::Ours), Answer::Known(MAC));
        // The rumour made us ask; the true owner's answer settles it.
        assert_eq!(table.due(now), Some(Due::Ask(address(1))));
        table.answered(now, address(1), MAC);
        assert_eq!(table.look_up(now, address(1), Cause::Ours), Answer::Known(MAC));
    }

    #[test]
    fn a_known_station_that_answers_stays_and_one_that_is_gone_is_replaced() {
        let mut table = table();
        let now = Instant::from_secs(10);
        table.look_up(now, address(1), Cause::Ours);
        table.answered(now, address(1), MAC);
        // The liar is quicker; the owner's answer settles it.
        table.rumour(now, address(1), EVIL);
        assert_eq!(table.due(now), Some(Due::Ask(address(1))));
        table.answered(now, address(1), EVIL);
        assert_eq!(table.look_up(now, address(1), Cause::Ours), Answer::Known(MAC));
        table.answered(now, address(1), MAC);
        assert_eq!(table.due(now + Duration::from_secs(5)), None);
        // A card was replaced: the old one is silent for all questions.
        table.rumour(now, address(1), EVIL);
        let mut asked = 0;
        while table.look_up(now, address(1), Cause::Ours) == Answer::Known(MAC) {
            let due = table.next_due().unwrap();
            if table.due(due) == Some(Due::Ask(address(1))) {
                asked += 1;
                table.answered(due, address(1), EVIL);
            }
        }
        assert_eq!((asked, table.look_up(now, address(1), Cause::Ours)), (3, Answer::Known(EVIL)));
    }

    #[test]
    fn a_stranger_causes_eight_entries_and_never_pushes_out_ours() {
        let mut table = table();
        let now = Instant::from_secs(10);
        for n in 0..20 {
            table.look_up(now, address(n), Cause::Stranger(EVIL));
        }
        assert_eq!(table.len(), NEIGHBOURS_PER_STRANGER);
        let later = now + Duration::from_secs(1);
        for n in 0..2_000 {
            table.look_up(later, address(1_000 + n), Cause::Ours);
        }
        assert_eq!(table.len(), NEIGHBOURS_MAX);
        assert_eq!(table.look_up(later, address(9), Cause::Stranger(MAC)), Answer::Full);
    }

    #[test]
    fn a_router_is_asked_before_its_entry_expires() {
        let mut table = table();
        let start = Instant::from_secs(10);
        table.mark_router(start, address(1));
        assert_eq!(table.due(start), Some(Due::Ask(address(1))));
        table.answered(start, address(1), MAC);
        let due = table.next_due().unwrap();
        assert!(due < start + REACHABLE);
        assert_eq!(table.due(due), Some(Due::Ask(address(1))));
        assert_eq!(table.look_up(due, address(1), Cause::Ours), Answer::Known(MAC));
    }

    #[test]
    fn when_the_link_returns_what_is_known_is_asked_for_and_used_meanwhile() {
        let mut table = table();
        let now = Instant::from_secs(10);
        for n in 1..=2 {
            table.look_up(now, address(n), Cause::Ours);
        }
        table.answered(now, address(1), MAC);
        table.link_returned(now);
        let mut asked = [table.due(now), table.due(now)].map(|due| match due {
            Some(Due::Ask(address)) => address,
            other => panic!("{other:?}"),
        });
        asked.sort();
        assert_eq!(asked, [address(1), address(2)]);
        assert_eq!(table.due(now), None);
        assert_eq!(table.look_up(now, address(1), Cause::Ours), Answer::Known(MAC));
        // Another machine has the address there: the first is silent, and the second is believed.
        while table.look_up(now, address(1), Cause::Ours) == Answer::Known(MAC) {
            table.answered(now, address(1), EVIL);
            let due = table.next_due().unwrap();
            while table.due(due).is_some() {}
        }
        assert_eq!(table.look_up(now, address(1), Cause::Ours), Answer::Known(EVIL));
    }

    #[test]
    fn an_entry_that_is_not_used_goes() {
        let mut table = table();
        let start = Instant::from_secs(10);
        table.look_up(start, address(1), Cause::Ours);
        table.answered(start, address(1), MAC);
        while let Some(due) = table.next_due() {
            assert_eq!(table.due(due), None);
        }
        assert!(table.is_empty());
    }
}
