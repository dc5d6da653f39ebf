//! xtext (RFC 3461 §4): printable ASCII in a parameter's value, the rest as `+` and two hexadecimal digits.

use std::fmt::Write as _;

/// Decodes; `None` where a character may not stand, or a `+` is not followed by two upper-case digits.
pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        match first {
            b'+' => {
                let (digits, tail) = rest.split_at_checked(2)?;
                out.push(hex(digits[0])? << 4 | hex(digits[1])?);
                rest = tail;
            }
            b'!'..=b'~' if first != b'=' => out.push(first),
            _ => return None,
        }
    }
    Some(out)
}

/// Encodes any text; what is not printable ASCII, `+` and `=` become hexadecimal.
pub(super) fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'!'..=b'~' if byte != b'+' && byte != b'=' => out.push(char::from(byte)),
            _ => write!(out, "+{byte:02X}").expect("a String takes every write"),
        }
    }
    out
}

/// RFC 3461 §4: hexchar is upper case; lower case is seen in the wild and harmless.
fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_decodes_to_itself() {
        for text in ["", "a b+c=d", "ü", "\r\n", "+2B"] {
            assert_eq!(decode(&encode(text)).unwrap(), text.as_bytes(), "{text:?}");
        }
        assert_eq!(encode("a+b=c d"), "a+2Bb+3Dc+20d");
    }

    #[test]
    fn what_may_not_stand_is_refused() {
        for text in ["a=b", "a b", "+", "+2", "+GG", "ü", "\u{7f}"] {
            assert_eq!(decode(text), None, "{text:?}");
        }
    }
}
