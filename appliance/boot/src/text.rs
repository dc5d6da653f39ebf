//! Foreign text made harmless for a terminal.

/// Printable ASCII as it is, everything else as `\xNN`, cut to `max` characters of the result.
pub(crate) fn escaped(text: &[u8], max: usize) -> String {
    let mut safe = String::new();
    for byte in text {
        let mut piece = String::new();
        match byte {
            b' '..=b'~' if *byte != b'\\' => piece.push(char::from(*byte)),
            _ => piece.extend(byte.escape_ascii().map(char::from)),
        }
        if safe.len() + piece.len() > max {
            break;
        }
        safe.push_str(&piece);
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_control_character_and_no_surplus_passes() {
        assert_eq!(escaped(b"mx.example.com", 99), "mx.example.com");
        assert_eq!(escaped(b"\x1b[2J\n\x00\\\xff", 99), "\\x1b[2J\\n\\x00\\\\\\xff");
        assert_eq!(escaped(b"abc\x1b", 5), "abc");
    }
}
