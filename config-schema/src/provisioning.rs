//! `[provisioning]`: the billing cycle.

use crate::{bounded::bounded, mistake::Notes, reader::Section};

bounded! {
    /// The billing cycle, of a month, in which the streams that received mail are counted.
    pub struct Provisioning {
        /// The day of the month with which a cycle begins, at 0:00 UTC.
        cycle_day: u32 = "cycle-day", 1, 1, 28;
    }
}

impl Provisioning {
    pub(crate) fn read(mut section: Section<'_>, notes: &mut Notes<'_>) -> Provisioning {
        let provisioning = Provisioning::read_keys(&mut section, notes);
        section.finish(notes);
        provisioning
    }
}
