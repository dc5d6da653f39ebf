//! `[recipients]`: how it is found out whether a recipient is real.

use crate::{bounded::bounded, mistake::Notes, reader::Section, value::Period, words::Words};

const fn mins(minutes: u64) -> Period {
    Period::from_secs(60 * minutes)
}

const DAY: u64 = 24 * 60;

bounded! {
    /// How it is found out whether a recipient is real.
    pub struct Recipients {
        /// Connections to one verification server at a time.
        probe_connections: u32 = "probe-connections", 2, 1, 20;
        /// Questions on one connection.
        probe_questions: u32 = "probe-questions", 100, 1, 1_000;
        /// How long a verification server may take to answer, while the client waits.
        probe_time: Period = "probe-time", Period::from_secs(30), Period::from_secs(1), mins(4);
        /// How long an address that was valid is taken for valid without asking again.
        valid_for: Period = "valid-for", mins(7 * DAY), mins(1), mins(30 * DAY);
        /// How long an address that was refused is refused without asking again.
        invalid_for: Period = "invalid-for", mins(15), Period::from_secs(1), mins(DAY);
        /// How long after the first a second refusal must come that ends an address which was valid lately.
        second_probe: Period = "second-probe", mins(10), Period::from_secs(1), mins(DAY);
        /// Addresses whose answers are remembered.
        remembered: u32 = "remembered", 200_000, 1_000, 1_000_000;
        /// How old a directory's copy may be to prove that an address is unknown.
        directory_age: Period = "directory-age", mins(DAY), mins(60), mins(30 * DAY);
    }
}

/// Which sender a question to a verification server names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ProbeSender {
    /// The null sender.
    #[default]
    Null,
    /// `postmaster@` our host name, for servers that refuse the null sender.
    Postmaster,
}

impl Words for ProbeSender {
    const WORDS: &'static [(&'static str, Self)] =
        &[("null", ProbeSender::Null), ("postmaster", ProbeSender::Postmaster)];
}

impl Recipients {
    pub(crate) fn read(mut section: Section<'_>, notes: &mut Notes<'_>) -> (Recipients, ProbeSender) {
        let recipients = Recipients::read_keys(&mut section, notes);
        let sender = ProbeSender::read(&mut section, "probe-sender", notes);
        section.finish(notes);
        (recipients, sender)
    }
}
