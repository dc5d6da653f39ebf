//! What waits for somebody to mend something, in words: one alarm for each cause and route.

use std::collections::BTreeMap;

use store::queue::{Destination, HoldReason};

use super::holds::{CANARY, Cause, Held};

/// Alarms that are shown; what else is wrong shows when these are mended.
const ALARMS_MAX: usize = 50;
/// Domains that an alarm names.
const NAMED_MAX: usize = 5;
/// Characters shown of what the next hop said.
const TEXT_MAX: usize = 300;

/// The alarms for what is held, in the order of their routes.
pub(super) fn alarms<'a>(held: impl Iterator<Item = (&'a Destination, &'a Held)>) -> Vec<String> {
    let mut causes: BTreeMap<&Cause, Vec<(&Destination, &Held)>> = BTreeMap::new();
    for (destination, held) in held {
        causes.entry(&held.cause).or_default().push((destination, held));
    }
    causes.into_iter().take(ALARMS_MAX).map(|(cause, held)| alarm(cause, held)).collect()
}

fn alarm(cause: &Cause, mut held: Vec<(&Destination, &Held)>) -> String {
    held.sort_by_key(|(destination, _)| destination.as_str());
    let names: Vec<&str> = held.iter().take(NAMED_MAX).map(|(destination, _)| destination.as_str()).collect();
    let more = match held.len().saturating_sub(NAMED_MAX) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let first = held.iter().map(|(_, held)| &held.hold).min_by_key(|hold| hold.since);
    let said: String = first.map(|hold| hold.text.chars().take(TEXT_MAX).collect()).unwrap_or_default();
    let since =
        first.and_then(|hold| jiff::Timestamp::from_microsecond(hold.since.unix_micros().cast_signed()).ok());
    let since =
        since.map(|since| format!(" since {}", since.strftime("%Y-%m-%dT%H:%M:%SZ"))).unwrap_or_default();
    let what = match cause.reason {
        HoldReason::Breaker => {
            "refuses addresses that took mail lately, and takes none (is its directory out of step?)"
        }
        _ => "refuses our configuration or the tenant's, no recipient",
    };
    format!(
        "mail for {}{more} waits{since}: {} {what}: \"{said}\"; one message is tried every {} minutes",
        names.join(", "),
        cause.route,
        CANARY.as_secs() / 60,
    )
}

#[cfg(test)]
mod tests {
    use smtp::Time;
    use store::{Timestamp, queue::Hold};

    use super::*;
    use crate::delivery::holds::Holds;

    fn block(holds: &mut Holds, domain: &str, route: &str, rule: u8) {
        let reason = HoldReason::Configuration;
        let cause = Cause { route: route.into(), reason, rule };
        let hold =
            Hold { reason, since: Timestamp::from_unix_seconds(1_795_000_000), text: "5.7.51 no".into() };
        let canary = store::DeliveryId { message: "1".parse().unwrap(), number: 0 };
        holds.block(&Destination::new(domain).unwrap(), cause, hold, canary, Time::default());
    }

    #[test]
    fn domains_that_wait_for_one_cause_at_one_route_share_an_alarm() {
        let mut holds = Holds::default();
        for (domain, route, rule) in [
            ("b.example", "hop.example", 9),
            ("a.example", "hop.example", 9),
            ("c.example", "other.example", 9),
            ("d.example", "hop.example", 13),
        ] {
            block(&mut holds, domain, route, rule);
        }
        let alarms = alarms(holds.iter());
        assert_eq!(alarms.len(), 3);
        assert_eq!(
            alarms[0],
            "mail for a.example, b.example waits since 2026-11-18T11:06:40Z: hop.example refuses our configuration \
             or the tenant's, no recipient: \"5.7.51 no\"; one message is tried every 10 minutes"
        );
    }

    #[test]
    fn alarms_and_their_names_are_bounded() {
        let mut holds = Holds::default();
        for n in 0..ALARMS_MAX + 10 {
            block(&mut holds, &format!("d{n}.example"), "hop.example", 9);
            block(&mut holds, &format!("e{n}.example"), &format!("hop{n}.example"), 9);
        }
        let alarms = alarms(holds.iter());
        assert_eq!(alarms.len(), ALARMS_MAX);
        assert!(alarms[0].contains("d12.example and 55 more waits"), "{}", alarms[0]);
    }
}
