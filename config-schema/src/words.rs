//! Keys whose value is one word out of a few.

use crate::{mistake::Notes, reader::Section};

/// An enumeration that is written as a word. Its default is what an absent key means.
pub(crate) trait Words: Copy + PartialEq + Default + 'static {
    /// Each word once, and each value once.
    const WORDS: &'static [(&'static str, Self)];

    /// Reads the key; a word that is unknown is a mistake, and the default then.
    fn read(section: &mut Section<'_>, key: &'static str, notes: &mut Notes<'_>) -> Self {
        let Some(given) = section.word(key, Self::WORDS.iter().map(|(word, _)| *word), notes) else {
            return Self::default();
        };
        if let Some((_, value)) = Self::WORDS.iter().find(|(word, _)| *word == given.value) {
            return *value;
        }
        let expected: Vec<String> = Self::WORDS.iter().map(|(word, _)| format!("\"{word}\"")).collect();
        let text = format!("`{}`, expected {}", given.value, expected.join(" or "));
        notes.note(given.place.span, &given.place.path, text);
        Self::default()
    }

    /// The word that is read as this value.
    fn word(self) -> &'static str {
        Self::WORDS.iter().find(|(_, value)| *value == self).map_or("", |(word, _)| word)
    }
}
