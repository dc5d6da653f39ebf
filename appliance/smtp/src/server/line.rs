//! Command lines: CR LF and nothing else ends them (RFC 5321 §2.3.8).

/// What the input begins with.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    /// A command line without its end, and the octets behind it.
    Whole(&'a [u8], &'a [u8]),
    /// A line that is not yet whole.
    Partial,
    /// More octets than a command line may have, without an end among them.
    TooLong,
    /// A bare CR or LF.
    BareLineEnd,
}

/// Looks for a line of up to `max` octets with its end.
pub(super) fn next(input: &[u8], max: usize) -> Line<'_> {
    let window = &input[..input.len().min(max)];
    match memchr::memchr2(b'\r', b'\n', window) {
        Some(at) if input[at] == b'\n' => Line::BareLineEnd,
        Some(at) => match input.get(at + 1) {
            Some(b'\n') if at + 2 <= max => Line::Whole(&input[..at], &input[at + 2..]),
            Some(b'\n') => Line::TooLong,
            Some(_) => Line::BareLineEnd,
            None if at + 1 < max => Line::Partial,
            None => Line::TooLong,
        },
        None if input.len() >= max => Line::TooLong,
        None => Line::Partial,
    }
}

/// Skips the rest of a line that was too long. `Whole` holds what follows it; `Partial`: skip all but a last CR.
pub(super) fn skip(input: &[u8]) -> Line<'_> {
    next(input, usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_cr_lf_ends_a_command() {
        assert_eq!(next(b"NOOP\r\nRSET", 20), Line::Whole(b"NOOP", b"RSET"));
        assert_eq!(next(b"NOOP\r", 20), Line::Partial);
        assert_eq!(next(b"NOOP\nRSET\r\n", 20), Line::BareLineEnd);
        assert_eq!(next(b"NOOP\rRSET\r\n", 20), Line::BareLineEnd);
        assert_eq!(next(b"NOOP\r\r\n", 20), Line::BareLineEnd);
    }

    #[test]
    fn a_line_is_bounded_with_its_end() {
        assert_eq!(next(b"NOOP\r\n", 6), Line::Whole(b"NOOP", b""));
        assert_eq!(next(b"NOOP1\r\n", 6), Line::TooLong);
        assert_eq!(next(b"NOOP1\r", 6), Line::TooLong);
        assert_eq!(next(b"NOOP12", 6), Line::TooLong);
        assert_eq!(next(b"NOOP1", 6), Line::Partial);
    }
}
