//! Microsoft 365 takes less by IPv6 than by IPv4: what it refuses there goes out by IPv4, and an administrator hears of
//! it, since every message then takes two attempts.

use store::{log::FaultClass, queue::Destination};

use super::shared::Shared;
use crate::event::Kind;

/// The destination refused a message because it came by IPv6, in these words.
pub(super) fn refused(shared: &Shared, destination: &Destination, said: &str) {
    let appliance = &shared.appliance;
    let why = format!("it refuses mail by IPv6, which goes out by IPv4 instead: {said}");
    if appliance.alarms.raise(&cause(destination), &why) {
        let event = appliance.events.event(Kind::Ipv6Refused).fault(FaultClass::Configuration);
        appliance.events.record(event.field("destination", destination).field("why", said));
    }
}

/// The destination took a message by IPv6.
pub(super) fn taken(shared: &Shared, destination: &Destination) {
    shared.appliance.alarms.clear(&cause(destination));
}

fn cause(destination: &Destination) -> String {
    format!("IPv6 towards {destination}")
}
