//! `[[realm.setting]]` and `[[realm.stream.setting]]`: the settings by their numbers.

use std::{collections::HashMap, fmt};

use crate::{
    mistake::Notes,
    reader::{Place, Section},
};

/// One setting by its number.
#[derive(Debug, Clone, PartialEq)]
pub struct Setting {
    /// The number behind `S-`; one of [`Known::ALL`].
    pub id: u16,
    /// Its value, of the kind that the number has.
    pub value: SettingValue,
}

/// The value of a setting.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum SettingValue {
    /// Yes or no.
    Switch(bool),
    /// A whole number, such as a size in kB.
    Number(i64),
    /// A score, finite.
    Score(f64),
}

/// A setting that exists.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Known {
    /// The number behind `S-`.
    pub id: u16,
    /// What it means, in the words of its page.
    pub about: &'static str,
    /// The value where neither stream nor realms say otherwise; its kind is the kind of every value.
    pub usual: SettingValue,
}

/// Highest and lowest score.
pub const SCORE_MAX: f64 = 1_000_000_000.0;

impl Known {
    /// Every setting. The numbers are those that administrators know from CanIt.
    pub const ALL: [Known; 13] = [
        score(100, "Automatically file as spam messages scoring at or above this", 20.0),
        score(200, "Automatically refuse messages scoring at or above this", 1_000_000.0),
        score(300, "Hold messages scoring at or above this", 5.0),
        Known {
            id: 400,
            about: "Largest message in kB; 0 is the appliance's limit",
            usual: SettingValue::Number(0),
        },
        switch(700, "Only accept mail for addresses in the Valid Recipients table", false),
        switch(910, "Check SPF (first of four checks)", true),
        switch(915, "Check SPF (second of four checks)", true),
        switch(920, "Check SPF (third of four checks)", true),
        switch(925, "Check SPF (fourth of four checks)", true),
        switch(930, "Enable SRS (Sender Rewriting Scheme)", false),
        score(3000, "Score below which to learn as non-spam", -1_000.0),
        score(3100, "Score above which to learn as spam", 10_000.0),
        switch(3200, "Permit votes without a login", false),
    ];

    /// The setting with this number.
    pub fn find(id: u16) -> Option<&'static Known> {
        const ALL: &[Known] = &Known::ALL;
        ALL.iter().find(|known| known.id == id)
    }
}

const fn score(id: u16, about: &'static str, usual: f64) -> Known {
    Known { id, about, usual: SettingValue::Score(usual) }
}

const fn switch(id: u16, about: &'static str, usual: bool) -> Known {
    Known { id, about, usual: SettingValue::Switch(usual) }
}

impl fmt::Display for SettingValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SettingValue::Switch(value) => value.fmt(f),
            SettingValue::Number(value) => value.fmt(f),
            SettingValue::Score(value) => value.fmt(f),
        }
    }
}

/// Reads the settings of one stream.
pub(crate) fn read(sections: Vec<Section<'_>>, notes: &mut Notes<'_>) -> Vec<Setting> {
    let mut seen: HashMap<u16, Place> = HashMap::new();
    let mut settings = Vec::new();
    for mut section in sections {
        let id = section.string("id", notes);
        if !section.has("id") {
            section.missing("id", "a setting's number such as \"S-700\"", notes);
        }
        let value = section.setting_value("value", notes);
        let place = section.place_of("value", "id");
        section.finish(notes);
        let Some(id) = id else { continue };
        let number = id.value.strip_prefix("S-").and_then(|digits| digits.parse().ok());
        let Some(known) = number.and_then(Known::find) else {
            let text = format!("`{}` is no setting, expected {}", id.value, numbers());
            notes.note(id.place.span, &id.place.path, text);
            continue;
        };
        let first = seen.insert(known.id, id.place.clone());
        if let Some(first) = first {
            let first = notes.line(first.span);
            let text = format!("setting `{}` stands twice, first at {first}, expected each once", id.value);
            notes.note(id.place.span, &id.place.path, text);
            continue;
        }
        let Some(value) = value else { continue };
        match of_kind(value, known.usual) {
            Ok(value) => settings.push(Setting { id: known.id, value }),
            Err(expected) => {
                notes.note(place.span, &place.path, format_args!("{value}, expected {expected}"));
            }
        }
    }
    settings
}

/// The value of the setting of this number, if it is among these.
pub(crate) fn of(settings: &[Setting], id: u16) -> Option<SettingValue> {
    settings.iter().find(|own| own.id == id).map(|own| own.value)
}

fn of_kind(value: SettingValue, usual: SettingValue) -> Result<SettingValue, String> {
    // A score may be written without a fraction; the numbers in question are exact in either type.
    let value = match (value, usual) {
        (SettingValue::Number(number), SettingValue::Score(_)) => {
            i32::try_from(number).map_or(value, |number| SettingValue::Score(f64::from(number)))
        }
        _ => value,
    };
    match (value, usual) {
        (SettingValue::Switch(_), SettingValue::Switch(_)) => Ok(value),
        (_, SettingValue::Switch(_)) => Err("true or false".to_owned()),
        (SettingValue::Number(0..=1_000_000_000), SettingValue::Number(_)) => Ok(value),
        (_, SettingValue::Number(_)) => Err("a whole number from 0 to 1000000000".to_owned()),
        (SettingValue::Score(score), SettingValue::Score(_)) if score.abs() <= SCORE_MAX => Ok(value),
        (_, SettingValue::Score(_)) => Err(format!("a score from -{SCORE_MAX} to {SCORE_MAX}")),
    }
}

fn numbers() -> String {
    let numbers: Vec<String> = Known::ALL.iter().map(|known| format!("S-{}", known.id)).collect();
    format!("one of {}", numbers.join(", "))
}
