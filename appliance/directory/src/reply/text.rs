//! What of a reply's text is the server's own words.

/// The text in lower case without what it repeats of ours: addresses, bare or in brackets, and the stamp
/// `[host time id]` at its end. A sender chooses the address, and must not choose what we read in the reply.
pub(super) fn own_words(text: &str) -> String {
    let mut words = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let taken = match first {
            '<' => enclosed(rest, '>'),
            '[' => enclosed(rest, ']'),
            '"' => quoted_address(rest),
            _ => None,
        };
        if let Some(taken) = taken {
            rest = &rest[taken..];
            continue;
        }
        let end = rest.find([' ', '<', '[', '"']).unwrap_or(rest.len());
        let (word, behind) = rest.split_at(end.max(first.len_utf8()));
        if !word.contains('@') {
            words.push_str(word);
        }
        rest = behind;
    }
    words.make_ascii_lowercase();
    words
}

/// Whether the text has these words; a number at their end must end there too.
pub(super) fn has(text: &str, words: &str) -> bool {
    let digit = |at: usize| text.as_bytes().get(at).is_some_and(u8::is_ascii_digit);
    let number = words.ends_with(|c: char| c.is_ascii_digit());
    text.match_indices(words).any(|(at, _)| !number || !digit(at + words.len()))
}

/// The length of what stands in brackets at the beginning, brackets counted; a quoted string in it may hold them.
fn enclosed(text: &str, close: char) -> Option<usize> {
    let mut at = 1;
    while let Some(c) = text[at..].chars().next() {
        if c == close {
            return Some(at + 1);
        }
        at += if c == '"' { quoted(&text[at..]).unwrap_or(1) } else { c.len_utf8() };
    }
    None
}

/// The length of a quoted string with the `@` behind it, and of the domain that follows.
fn quoted_address(text: &str) -> Option<usize> {
    let end = quoted(text)?;
    let behind = text[end..].strip_prefix('@')?;
    Some(text.len() - behind.len() + behind.find(' ').unwrap_or(behind.len()))
}

/// The length of the quoted string at the beginning.
fn quoted(text: &str) -> Option<usize> {
    let mut escaped = true;
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return Some(at + 1),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn addresses_and_stamps_are_left_out() {
        for (text, own) in [
            ("<attr5@example.com>: Recipient address rejected", ": recipient address rejected"),
            ("<\"a> attr5 <b\"@example.com>: no", ": no"),
            ("\"unable to relay\"@example.com: Unknown USER", " unknown user"),
            ("attr35@example.com... User unknown", " user unknown"),
            ("Access denied. [X.prod.outlook.com 2026-11-23T12:00:00.000Z 08DD]", "access denied. "),
            ("a < b \"c\" [d", "a < b \"c\" [d"),
        ] {
            assert_eq!(own_words(text), own, "{text}");
        }
    }

    #[test]
    fn a_number_ends_where_it_ends() {
        assert!(has("loop attr5 x", "attr5") && has("attr51 attr5", "attr5"));
        assert!(!has("attr51", "attr5"));
        assert!(has("denied", "den"));
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "[<>\\[\\]\"@\\\\ a\u{e9}]{0,40}") {
            prop_assert!(own_words(&text).len() <= text.len());
        }

        #[test]
        fn an_address_hides_in_any_spelling(content in "[ -~]{1,20}") {
            let Ok(local) = smtp::address::LocalPart::from_content(&content) else { return Ok(()) };
            let text = format!("<{local}@example.com>: {local}@example.com rejected");
            prop_assert_eq!(own_words(&text), ":  rejected", "{}", text);
        }
    }
}
