//! `[[administrator]]`: who may change everything.

use std::collections::HashMap;

use crate::{
    mistake::Notes,
    password,
    reader::{Place, Section},
    secret::Secret,
};

/// Administrators in all.
pub const ADMINISTRATORS_MAX: usize = 256;
/// Longest name of one, in bytes; that of a mailbox (RFC 5321 §4.5.3.1) fits.
pub const NAME_MAX: usize = 320;

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
        let hash = password::read(&mut section, notes);
        if !section.has("password-hash") {
            section.missing("password-hash", "a PHC string such as \"$argon2id$v=19$…\"", notes);
        }
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
