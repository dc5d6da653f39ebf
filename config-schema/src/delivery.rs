//! `[delivery]`: how mail is handed on.

use crate::{bounded::bounded, mistake::Notes, reader::Section, value::Period};

const fn mins(minutes: u64) -> Period {
    Period::from_secs(60 * minutes)
}

const DAY: u64 = 24 * 60;

bounded! {
    /// How mail is handed on.
    pub struct Delivery {
        /// Connections to one destination at a time, to begin with; all of Microsoft 365 is one destination.
        connections_per_destination: u32 = "connections-per-destination", 5, 1, 100;
        /// Deliveries at a time, to all destinations together.
        connections: u32 = "connections", 500, 1, 10_000;
        /// Messages on one connection.
        messages_per_connection: u32 = "messages-per-connection", 199, 1, 10_000;
        /// How long a connection is used.
        connection_life: Period = "connection-life", mins(20), mins(1), mins(DAY);
        /// Recipients in one transaction; Microsoft 365 takes 200 of a domain.
        recipients: u32 = "recipients", 100, 1, 1_000;
        /// Until the first retry; doubled each time up to `longest-retry`.
        first_retry: Period = "first-retry", mins(5), Period::from_secs(1), mins(240);
        /// The longest wait between two tries.
        longest_retry: Period = "longest-retry", mins(240), mins(1), mins(DAY);
        /// Until a message is given up and its sender told (RFC 5321 §4.5.4.1: 4 to 5 days).
        lifetime: Period = "lifetime", mins(5 * DAY), mins(1), mins(30 * DAY);
        /// Until its sender is told that a message is late.
        delay_notice: Period = "delay-notice", mins(240), mins(1), mins(30 * DAY);
    }
}

impl Delivery {
    pub(crate) fn read(mut section: Section<'_>, notes: &mut Notes<'_>) -> Delivery {
        let delivery = Delivery::read_keys(&mut section, notes);
        let pairs = [
            (("first-retry", delivery.first_retry), ("longest-retry", delivery.longest_retry)),
            (("longest-retry", delivery.longest_retry), ("lifetime", delivery.lifetime)),
            (("delay-notice", delivery.delay_notice), ("lifetime", delivery.lifetime)),
        ];
        for ((key, value), (bound, most)) in pairs {
            // A default above a shortened bound is cut to it by `capped`, and is no mistake.
            if value > most && section.has(key) {
                let place = section.place_of(key, bound);
                let text = format!("{value}, expected no more than `{bound}`, which is {most}");
                notes.note(place.span, &place.path, text);
            }
        }
        section.finish(notes);
        delivery.capped()
    }

    /// No wait is longer than the message lives.
    fn capped(mut self) -> Delivery {
        self.longest_retry = self.longest_retry.min(self.lifetime);
        self.first_retry = self.first_retry.min(self.longest_retry);
        self.delay_notice = self.delay_notice.min(self.lifetime);
        self
    }
}
