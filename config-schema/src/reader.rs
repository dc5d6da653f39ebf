//! Reads one table after the other, noting every mistake and going on.

use std::{cell::RefCell, fmt::Display, ops::Range, ops::RangeInclusive, rc::Rc, str::FromStr};

use serde_json::{Value as Json, json};
use toml_edit::{Item, TableLike, Value};

use crate::{
    mistake::Notes,
    name::DomainName,
    schema::{Form, Shape, strings_form, text_form},
    secret::Text,
    setting::SettingValue,
};

/// A place in the file, for mistakes that are found later.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) span: Option<Range<usize>>,
    pub(crate) path: String,
}

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(crate) struct Found<T> {
    pub(crate) value: T,
    pub(crate) place: Place,
}

/// One table of the file. Every key that is asked for is known; what is left at the end is a mistake.
pub(crate) struct Section<'t> {
    table: &'t dyn TableLike,
    pub(crate) place: Place,
    known: Vec<&'static str>,
    /// Where each key is noted down, when it is not a file that is read but the schema that is made.
    shape: Option<Rc<RefCell<Shape>>>,
}

/// An item of a list whose items are strings or tables.
pub(crate) enum Entry<'t> {
    Text(Found<String>),
    Table(Section<'t>),
}

/// Keys farther than this from a known one get no suggestion; short ones have to be nearer.
const SUGGESTION_DISTANCE: usize = 3;
/// From this many letters on, the beginning of a known key stands for it.
const PREFIX_MIN: usize = 3;

impl<'t> Section<'t> {
    pub(crate) fn new(table: &'t dyn TableLike, place: Place) -> Section<'t> {
        Section { table, place, known: Vec::new(), shape: None }
    }

    /// A table without a key in it; every key that is asked for is noted down in `shape`.
    pub(crate) fn describe(empty: &'t dyn TableLike, shape: Rc<RefCell<Shape>>) -> Section<'t> {
        let place = Place { span: None, path: String::new() };
        Section { shape: Some(shape), ..Section::new(empty, place) }
    }

    /// Whether the schema is made, and no file read.
    pub(crate) fn is_described(&self) -> bool {
        self.shape.is_some()
    }

    fn note_form(&self, key: &'static str, form: impl FnOnce() -> Form) {
        if let Some(shape) = &self.shape {
            shape.borrow_mut().record(key, form());
        }
    }

    fn note_value(&self, key: &'static str, schema: impl FnOnce() -> Json) {
        self.note_form(key, || Form::Value(schema()));
    }

    /// A table of the schema below this one.
    fn nested(&self, key: &'static str, form: fn(Rc<RefCell<Shape>>) -> Form) -> Option<Section<'t>> {
        self.shape.as_ref()?;
        let shape = Rc::new(RefCell::new(Shape::default()));
        self.note_form(key, || form(Rc::clone(&shape)));
        Some(Section::describe(self.table, shape))
    }

    pub(crate) fn path(&self, key: &str) -> String {
        if self.place.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.place.path) }
    }

    fn get(&mut self, key: &'static str) -> Option<(&'t Item, Place)> {
        self.known.push(key);
        let item = self.table.get(key).filter(|item| !item.is_none())?;
        let span = item.span().or_else(|| self.table.key(key).and_then(|key| key.span()));
        Some((item, Place { span, path: self.path(key) }))
    }

    /// Whether the key stands in the file, well formed or not.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// Notes that a key is missing, at the table's place.
    pub(crate) fn missing(&self, key: &str, expected: &str, notes: &mut Notes<'_>) {
        if let Some(shape) = &self.shape {
            shape.borrow_mut().require(key);
        }
        notes.note(self.place.span.clone(), &self.path(key), format_args!("missing, expected {expected}"));
    }

    pub(crate) fn string(&mut self, key: &'static str, notes: &mut Notes<'_>) -> Option<Found<String>> {
        self.note_value(key, || json!({ "type": "string" }));
        let (item, place) = self.get(key)?;
        let value = text(item.as_value(), &place, notes)?;
        Some(Found { value, place })
    }

    /// One word out of a few; that it is one of them is for the caller to see.
    pub(crate) fn word(
        &mut self,
        key: &'static str,
        words: impl Iterator<Item = &'static str>,
        notes: &mut Notes<'_>,
    ) -> Option<Found<String>> {
        let found = self.string(key, notes);
        self.note_value(key, || json!({ "enum": words.collect::<Vec<_>>() }));
        found
    }

    /// Whether the key stands in the file with a list of nothing.
    pub(crate) fn is_empty_list(&self, key: &str) -> bool {
        self.table.get(key).and_then(Item::as_array).is_some_and(|array| array.is_empty())
    }

    /// Where a key stands, or else another one, or else the table.
    pub(crate) fn place_of(&self, key: &str, otherwise: &str) -> Place {
        let span = |key: &str| self.table.get(key).and_then(|item| item.span());
        let span = span(key).or_else(|| span(otherwise)).or_else(|| self.place.span.clone());
        Place { span, path: self.path(key) }
    }

    /// A text that may stand in a file of its own or under a seal.
    pub(crate) fn text(&mut self, key: &'static str, notes: &mut Notes<'_>) -> Option<Found<Text>> {
        self.note_value(key, text_form);
        let (item, place) = self.get(key)?;
        Text::read(item, place, notes)
    }

    /// A list of such texts.
    pub(crate) fn texts(&mut self, key: &'static str, notes: &mut Notes<'_>) -> Vec<Found<Text>> {
        self.note_value(key, || json!({ "type": "array", "items": text_form() }));
        let Some((item, place)) = self.get(key) else { return Vec::new() };
        let items: Vec<Item> = match (item.as_array(), item.as_array_of_tables()) {
            (Some(values), _) => values.iter().cloned().map(Item::Value).collect(),
            (_, Some(tables)) => tables.iter().cloned().map(Item::Table).collect(),
            _ => {
                notes.note(place.span, &place.path, format_args!("{}, expected a list", kind(item)));
                return Vec::new();
            }
        };
        let read = |(at, item): (usize, &Item)| {
            let place = Place { span: item.span(), path: format!("{}[{at}]", place.path) };
            Text::read(item, place, notes)
        };
        items.iter().enumerate().filter_map(read).collect()
    }

    /// A string that is parsed into a type whose error says what was expected.
    pub(crate) fn parsed<T>(&mut self, key: &'static str, notes: &mut Notes<'_>) -> Option<Found<T>>
    where
        T: FromStr<Err: Display>,
    {
        let found = self.string(key, notes)?;
        parse(found, notes)
    }

    /// A domain name.
    pub(crate) fn domain_name(
        &mut self,
        key: &'static str,
        notes: &mut Notes<'_>,
    ) -> Option<Found<DomainName>> {
        let found = self.string(key, notes)?;
        match DomainName::parse(&found.value) {
            Ok(value) => Some(Found { value, place: found.place }),
            Err(why) => {
                let text = format!("`{}`: {why}, expected a name such as \"mx.example.com\"", found.value);
                notes.note(found.place.span, &found.place.path, text);
                None
            }
        }
    }

    pub(crate) fn boolean(&mut self, key: &'static str, notes: &mut Notes<'_>) -> Option<bool> {
        self.note_value(key, || json!({ "type": "boolean" }));
        let (item, place) = self.get(key)?;
        let value = item.as_bool();
        if value.is_none() {
            notes.note(place.span, &place.path, format_args!("{}, expected true or false", kind(item)));
        }
        value
    }

    pub(crate) fn number(
        &mut self,
        key: &'static str,
        range: RangeInclusive<u64>,
        notes: &mut Notes<'_>,
    ) -> Option<u64> {
        let (least, most) = (*range.start(), *range.end());
        self.note_value(key, || json!({ "type": "integer", "minimum": least, "maximum": most }));
        let (item, place) = self.get(key)?;
        let value = item.as_integer().and_then(|number| u64::try_from(number).ok());
        match value {
            Some(number) if range.contains(&number) => Some(number),
            _ => {
                let given = item.as_integer().map_or_else(|| kind(item).to_owned(), |n| n.to_string());
                let expected =
                    format!("{given}, expected a number from {} to {}", range.start(), range.end());
                notes.note(place.span, &place.path, expected);
                None
            }
        }
    }

    /// The value of a setting: true or false, a whole number, or a string.
    pub(crate) fn setting_value(&mut self, key: &'static str, notes: &mut Notes<'_>) -> Option<SettingValue> {
        self.note_value(key, || json!({ "type": ["boolean", "number"] }));
        let Some((item, place)) = self.get(key) else {
            self.missing(key, "the setting's value", notes);
            return None;
        };
        let switch = item.as_bool().map(SettingValue::Switch);
        let number = || item.as_integer().map(SettingValue::Number);
        let score = || item.as_float().map(SettingValue::Score);
        let value = switch.or_else(number).or_else(score);
        if value.is_none() {
            let text = format!("{}, expected true, false or a number", kind(item));
            notes.note(place.span, &place.path, text);
        }
        value
    }

    /// A list of strings; a single string counts as a list of one.
    pub(crate) fn strings(&mut self, key: &'static str, notes: &mut Notes<'_>) -> Option<Vec<Found<String>>> {
        self.note_value(key, strings_form);
        let (item, place) = self.get(key)?;
        if let Some(array) = item.as_array() {
            let found = array.iter().enumerate().filter_map(|(at, value)| {
                let place = Place { span: value.span(), path: format!("{}[{at}]", place.path) };
                text(Some(value), &place, notes).map(|value| Found { value, place })
            });
            return Some(found.collect());
        }
        let value = text(item.as_value(), &place, notes)?;
        Some(vec![Found { value, place }])
    }

    /// A list of strings, each parsed into a type.
    pub(crate) fn list<T>(&mut self, key: &'static str, notes: &mut Notes<'_>) -> Option<Vec<Found<T>>>
    where
        T: FromStr<Err: Display>,
    {
        let found = self.strings(key, notes)?;
        Some(found.into_iter().filter_map(|found| parse(found, notes)).collect())
    }

    /// A list whose items are strings or tables; a single string counts as a list of one.
    pub(crate) fn entries(&mut self, key: &'static str, notes: &mut Notes<'_>) -> Option<Vec<Entry<'t>>> {
        if let Some(nested) = self.nested(key, Form::Entries) {
            return Some(vec![Entry::Table(nested)]);
        }
        if self.table.get(key).is_some_and(Item::is_array_of_tables) {
            return Some(self.sections(key, notes).into_iter().map(Entry::Table).collect());
        }
        let (item, place) = self.get(key)?;
        let Some(array) = item.as_array() else {
            let value = text(item.as_value(), &place, notes)?;
            return Some(vec![Entry::Text(Found { value, place })]);
        };
        let entry = |(at, value): (usize, &'t Value)| {
            let place = Place { span: value.span(), path: format!("{}[{at}]", place.path) };
            if let Some(table) = value.as_inline_table() {
                return Some(Entry::Table(Section::new(table, place)));
            }
            text(Some(value), &place, notes).map(|value| Entry::Text(Found { value, place }))
        };
        Some(array.iter().enumerate().filter_map(entry).collect())
    }

    /// A table inside this one.
    pub(crate) fn section(&mut self, key: &'static str, notes: &mut Notes<'_>) -> Option<Section<'t>> {
        if let Some(nested) = self.nested(key, Form::Table) {
            return Some(nested);
        }
        let (item, place) = self.get(key)?;
        match item.as_table_like() {
            Some(table) => Some(Section::new(table, place)),
            None => {
                notes.note(place.span, &place.path, format_args!("{}, expected a table", kind(item)));
                None
            }
        }
    }

    /// The tables of `[[key]]`.
    pub(crate) fn sections(&mut self, key: &'static str, notes: &mut Notes<'_>) -> Vec<Section<'t>> {
        if let Some(nested) = self.nested(key, Form::Tables) {
            return vec![nested];
        }
        let Some((item, place)) = self.get(key) else { return Vec::new() };
        if let Some(tables) = item.as_array_of_tables() {
            let section = |(at, table): (usize, &'t toml_edit::Table)| {
                let place = Place { span: table.span(), path: format!("{key}[{at}]") };
                Section::new(table, Place { path: self.path(&place.path), ..place })
            };
            return tables.iter().enumerate().map(section).collect();
        }
        notes.note(place.span, &place.path, format_args!("{}, expected [[{key}]]", kind(item)));
        Vec::new()
    }

    /// Notes every key that nobody asked for.
    pub(crate) fn finish(self, notes: &mut Notes<'_>) {
        for (key, item) in self.table.iter() {
            if self.known.contains(&key) || notes.is_full() {
                continue;
            }
            let span = self.table.key(key).and_then(|key| key.span()).or_else(|| item.span());
            let hint = match suggestion(key, &self.known) {
                Some(name) => format!("did you mean `{name}`?"),
                None => format!("expected one of {}", self.known.join(", ")),
            };
            notes.note(span, &self.path(key), format_args!("unknown key, {hint}"));
        }
    }
}

fn text(value: Option<&Value>, place: &Place, notes: &mut Notes<'_>) -> Option<String> {
    let text = value.and_then(Value::as_str).map(str::to_owned);
    if text.is_none() {
        let kind = value.map_or("a table", Value::type_name);
        notes.note(place.span.clone(), &place.path, format_args!("{kind}, expected a string"));
    }
    text
}

/// Parses a string; what the type says of it becomes the mistake.
pub(crate) fn parse<T: FromStr<Err: Display>>(
    found: Found<String>,
    notes: &mut Notes<'_>,
) -> Option<Found<T>> {
    match found.value.parse() {
        Ok(value) => Some(Found { value, place: found.place }),
        Err(error) => {
            notes.note(found.place.span, &found.place.path, format_args!("`{}`: {error}", found.value));
            None
        }
    }
}

fn kind(item: &Item) -> &'static str {
    item.type_name()
}

/// The known key that was most likely meant.
fn suggestion(key: &str, known: &[&'static str]) -> Option<&'static str> {
    // `dns_servers` is a habit from elsewhere, no slip.
    let key = key.to_ascii_lowercase().replace('_', "-");
    let begun = known.iter().find(|name| key.len() >= PREFIX_MIN && name.starts_with(&key));
    let nearest = || known.iter().map(|name| (distance(&key, name), name)).min();
    let most = SUGGESTION_DISTANCE.min(1 + key.chars().count() / 3);
    begun.or_else(|| nearest().filter(|(far, _)| *far <= most).map(|(_, name)| name)).copied()
}

/// How many letters must be changed, put in or taken out (Levenshtein). Keys are short, so the square is small.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(64).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().take(64).enumerate() {
        let mut diagonal = row.first().copied().unwrap_or(0);
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
        for (j, cb) in b.iter().enumerate() {
            let left = row.get(j).copied().unwrap_or(0);
            let Some(cell) = row.get_mut(j + 1) else { break };
            let change = diagonal + usize::from(ca != *cb);
            diagonal = *cell;
            *cell = change.min(*cell + 1).min(left + 1);
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::{distance, suggestion};

    #[test]
    fn a_slip_gets_a_suggestion_and_a_stranger_none() {
        let known = ["hostname", "address", "gateway", "dns", "priority"];
        for (key, meant) in [
            ("hostnmae", Some("hostname")),
            ("Host_Name", Some("hostname")),
            ("adress", Some("address")),
            ("prio", Some("priority")),
            ("dsn", Some("dns")),
            ("proxy", None),
            ("", None),
        ] {
            assert_eq!(suggestion(key, &known), meant, "{key}");
        }
        assert_eq!(suggestion(&"a".repeat(100_000), &known), None);
    }

    #[test]
    fn distance_counts_changed_letters() {
        assert_eq!(distance("hostname", "hostname"), 0);
        assert_eq!(distance("hostnam", "hostname"), 1);
        assert_eq!(distance("adress", "address"), 1);
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
