//! How much memory the buffers of all flows may hold together.

/// What every flow may have in each direction, whatever the budget says.
pub const ALWAYS: usize = 16 * 1024;
/// What a flow may have in each direction at most: half a slot of the arena.
pub const MOST: usize = 256 * 1024;
/// What an interactive flow may have waiting to be sent.
pub const INTERACTIVE_SEND: usize = 64 * 1024;

/// Bytes beyond [`ALWAYS`] that are granted, and those that may be.
#[derive(Debug)]
pub struct Budget {
    total: u64,
    granted: u64,
}

impl Budget {
    pub fn new(total: u64) -> Budget {
        Budget { total, granted: 0 }
    }

    pub fn set_total(&mut self, total: u64) {
        self.total = total;
    }

    pub fn granted(&self) -> u64 {
        self.granted
    }

    /// Changes a flow's limit from `old` to `wished`, or to [`ALWAYS`] where there is not so much left.
    pub fn change(&mut self, old: usize, wished: usize) -> usize {
        self.granted -= beyond(old).min(self.granted);
        let fits = self.granted + beyond(wished) <= self.total;
        let new = if fits { wished } else { wished.min(ALWAYS) };
        self.granted += beyond(new);
        new
    }
}

fn beyond(limit: usize) -> u64 {
    limit.saturating_sub(ALWAYS) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_more_than_the_total() {
        let mut budget = Budget::new(600_000);
        assert_eq!(budget.change(ALWAYS, MOST), MOST);
        assert_eq!(budget.change(ALWAYS, MOST), MOST);
        assert_eq!(budget.change(ALWAYS, MOST), ALWAYS);
        assert!(budget.granted() <= 600_000);
        assert_eq!(budget.change(MOST, ALWAYS), ALWAYS);
        assert_eq!(budget.change(ALWAYS, MOST), MOST);
    }
}
