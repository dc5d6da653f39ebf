//! When what a directory says is not believed: one that suddenly knows far fewer addresses is more likely wrong than
//! empty. One rule for every kind of copy.

/// A sync that removes more than one in this many of a domain's addresses is held until it is confirmed.
pub const HELD_SHARE: usize = 10;

/// Whether a domain that had `before` addresses may not lose `removed` of them without a confirmation.
pub fn is_held(removed: usize, before: usize) -> bool {
    removed > before / HELD_SHARE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenth_may_go_and_one_more_may_not() {
        assert!(!is_held(0, 0) && !is_held(1, 10) && !is_held(500, 5_000));
        assert!(is_held(2, 10) && is_held(501, 5_000) && is_held(5_000, 5_000));
        // However small the domain is.
        assert!(is_held(1, 1) && is_held(1, 9) && !is_held(0, 9));
        assert!(is_held(usize::MAX, usize::MAX));
    }
}
