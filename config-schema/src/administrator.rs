//! `[[administrator]]`: who may change everything.

use std::collections::HashMap;

use crate::{
    mistake::Notes,
    reader::{Found, Place, Section},
    secret::{Secret, Text},
};

/// Administrators in all.
pub const ADMINISTRATORS_MAX: usize = 256;
/// Longest name of one, in bytes; that of a mailbox (RFC 5321 §4.5.3.1) fits.
pub const NAME_MAX: usize = 320;
/// Most memory that a hash may ask for, in KiB: each log-in takes it.
const MEMORY_MAX_KIB: u32 = 256 << 10;
/// Most passes that a hash may ask for.
const PASSES_MAX: u32 = 64;

/// Someone who may change everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Administrator {
    /// The log-in name, unique without regard to case.
    pub name: String,
    /// The password by Argon2id, as a PHC string: `$argon2id$v=19$m=19456,t=2,p=1$SALT$HASH`.
    pub password_hash: Secret,
    /// May look at everything and change nothing.
    pub read_only: bool,
}

pub(crate) fn read(sections: Vec<Section<'_>>, notes: &mut Notes<'_>) -> Vec<Administrator> {
    let mut seen: HashMap<String, Place> = HashMap::new();
    let mut administrators = Vec::new();
    for mut section in sections {
        let place = section.place.clone();
        let name = name(&mut section, &mut seen, notes);
        let hash = section.text("password-hash", notes);
        if !section.has("password-hash") {
            section.missing("password-hash", "a PHC string such as \"$argon2id$v=19$…\"", notes);
        }
        let hash = hash.and_then(|hash| password_hash(hash, notes));
        let read_only = section.boolean("read-only", notes).unwrap_or(false);
        section.finish(notes);
        if seen.len() == ADMINISTRATORS_MAX + 1 {
            let text = format!("one too many, expected at most {ADMINISTRATORS_MAX}");
            notes.note(place.span, &place.path, text);
        }
        if let (Some(name), Some(password_hash)) = (name, hash) {
            administrators.push(Administrator { name, password_hash, read_only });
        }
    }
    administrators
}

fn name(
    section: &mut Section<'_>,
    seen: &mut HashMap<String, Place>,
    notes: &mut Notes<'_>,
) -> Option<String> {
    if !section.has("name") {
        section.missing("name", "the name to log in with", notes);
    }
    let name = section.string("name", notes)?;
    let printable = name.value.chars().all(|c| !c.is_control() && !c.is_whitespace());
    if name.value.is_empty() || name.value.len() > NAME_MAX || !printable {
        let text = format!("not a name, expected 1 to {NAME_MAX} bytes without spaces");
        notes.note(name.place.span, &name.place.path, text);
        return None;
    }
    let first = seen.insert(name.value.to_lowercase(), name.place.clone());
    if let Some(first) = first {
        let text = format!(
            "administrator `{}` stands twice, first at {}, expected each once",
            name.value,
            notes.line(first.span)
        );
        notes.note(name.place.span, &name.place.path, text);
        return None;
    }
    Some(name.value)
}

fn password_hash(found: Found<Text>, notes: &mut Notes<'_>) -> Option<Secret> {
    match found.value {
        Text::Unopened => Some(Secret::new("")),
        Text::Given(hash) if is_argon2id(hash.expose()) => Some(hash),
        // What stands here may be the password itself: it is not repeated.
        Text::Given(_) => {
            let text = format!(
                "not a hash by Argon2id, expected \"$argon2id$v=19$m=…,t=…,p=…$SALT$HASH\" with m up to \
                 {MEMORY_MAX_KIB} and t up to {PASSES_MAX}"
            );
            notes.note(found.place.span, &found.place.path, text);
            None
        }
    }
}

/// Whether the text is a PHC string of Argon2id whose cost is bounded.
fn is_argon2id(text: &str) -> bool {
    let parts: Vec<&str> = text.split('$').collect();
    let ["", "argon2id", "v=19", cost, salt, hash] = parts.as_slice() else { return false };
    let base64 = |c: char| c.is_ascii_alphanumeric() || c == '+' || c == '/';
    let encoded = |text: &str| (11..=128).contains(&text.len()) && text.chars().all(base64);
    let number = |part: &str, key: &str, max: u32| {
        let number = part.strip_prefix(key).and_then(|digits| digits.parse::<u32>().ok());
        number.is_some_and(|number| (1..=max).contains(&number))
    };
    let cost: Vec<&str> = cost.split(',').collect();
    let [memory, passes, lanes] = cost.as_slice() else { return false };
    number(memory, "m=", MEMORY_MAX_KIB)
        && number(passes, "t=", PASSES_MAX)
        && number(lanes, "p=", 16)
        && encoded(salt)
        && encoded(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_has_a_bounded_cost() {
        let tail = "$c29tZXNhbHQxMjM$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        assert!(is_argon2id(&format!("$argon2id$v=19$m=19456,t=2,p=1{tail}")));
        assert!(is_argon2id(&format!("$argon2id$v=19$m={MEMORY_MAX_KIB},t={PASSES_MAX},p=16{tail}")));
        for cost in ["m=262145,t=2,p=1", "m=19456,t=65,p=1", "m=19456,t=2,p=17", "m=0,t=2,p=1", "t=2,m=1,p=1"]
        {
            assert!(!is_argon2id(&format!("$argon2id$v=19${cost}{tail}")), "{cost}");
        }
        for text in ["", "secret", "$2b$12$abcdefghijklmnopqrstuv", "$argon2id$v=19$m=19456,t=2,p=1$$"] {
            assert!(!is_argon2id(text), "{text}");
        }
    }
}
