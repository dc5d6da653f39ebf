//! The configuration as JSON, for the API. It has the keys of the file; secrets never leave by it.

use serde_json::{Map, Value as Json};
use toml_edit::{Array, DocumentMut, InlineTable, Item, Table, TableLike, Value};

use crate::{Config, Mistakes, SecretMode, SecretSources, mistake::Notes};

/// The name of the document in mistakes.
const NAME: &str = "configuration";

impl Config {
    /// The configuration as JSON. Each secret is `{ "left-out": true }`.
    pub fn to_json(&self) -> Json {
        match self.document(&SecretMode::LeftOut) {
            Ok(document) => table_to_json(document.as_table()),
            // Leaving secrets out needs nothing that could be missing.
            Err(_) => Json::Null,
        }
    }

    /// Reads JSON with the keys of the file. A secret that is `{ "left-out": true }` stays as it is in `present`;
    /// entries of a list are the same when their names are.
    ///
    /// # Errors
    /// Every mistake, each with its path; there are no lines.
    pub fn from_json(json: &Json, present: Option<&Config>) -> Result<Config, Mistakes> {
        let Json::Object(entries) = json else {
            let secrets = SecretSources::none();
            let mut notes = Notes::new(NAME, "", &secrets);
            notes.note(None, "", "not an object, expected one with the keys of the file");
            return Err(notes.into_mistakes().without_places());
        };
        let mut document = DocumentMut::from(table_from_json(entries));
        if let Some(present) = present.and_then(|config| config.document(&SecretMode::Plain).ok()) {
            restore(document.as_table_mut(), present.as_table());
        }
        Config::parse(NAME, &document.to_string()).map_err(Mistakes::without_places)
    }
}

fn table_to_json(table: &dyn TableLike) -> Json {
    Json::Object(table.iter().map(|(key, item)| (key.to_owned(), item_to_json(item))).collect())
}

fn item_to_json(item: &Item) -> Json {
    match item {
        Item::None => Json::Null,
        Item::Value(value) => value_to_json(value),
        Item::Table(table) => table_to_json(table),
        Item::ArrayOfTables(tables) => tables.iter().map(|table| table_to_json(table)).collect(),
    }
}

fn value_to_json(value: &Value) -> Json {
    match value {
        Value::String(text) => text.value().as_str().into(),
        Value::Integer(number) => (*number.value()).into(),
        Value::Float(number) => (*number.value()).into(),
        Value::Boolean(value) => (*value.value()).into(),
        Value::Datetime(time) => time.value().to_string().into(),
        Value::Array(values) => values.iter().map(value_to_json).collect(),
        Value::InlineTable(entries) => table_to_json(entries),
    }
}

/// `null` stands for a key that is not there.
fn table_from_json(entries: &Map<String, Json>) -> Table {
    let mut table = Table::new();
    for (key, json) in entries {
        match json {
            Json::Null => {}
            Json::Object(entries) => {
                table.insert(key, Item::Table(table_from_json(entries)));
            }
            Json::Array(items) if !items.is_empty() && items.iter().all(Json::is_object) => {
                let tables = items.iter().filter_map(Json::as_object).map(table_from_json);
                table.insert(key, Item::ArrayOfTables(tables.collect()));
            }
            json => {
                table.insert(key, Item::Value(value_from_json(json)));
            }
        }
    }
    table
}

fn value_from_json(json: &Json) -> Value {
    match json {
        // In a list it can only be a mistake, and is told as one.
        Json::Null => InlineTable::new().into(),
        Json::Bool(value) => (*value).into(),
        Json::Number(number) => match number.as_i64() {
            Some(number) => number.into(),
            None => number.as_f64().unwrap_or(f64::NAN).into(),
        },
        Json::String(text) => text.as_str().into(),
        Json::Array(items) => items.iter().map(value_from_json).collect::<Array>().into(),
        Json::Object(entries) => table_from_json(entries).into_inline_table().into(),
    }
}

/// Puts the present secret where it was left out.
fn restore(new: &mut dyn TableLike, present: &dyn TableLike) {
    for (key, item) in new.iter_mut() {
        let Some(present) = present.get(&key) else { continue };
        let left_out = item.as_table_like().is_some_and(|table| table.contains_key("left-out"));
        if left_out {
            *item = present.clone();
        } else if let (Item::ArrayOfTables(new), Some(present)) = (&mut *item, present.as_array_of_tables()) {
            for table in new.iter_mut() {
                let name = table.get("name").and_then(Item::as_str).map(str::to_owned);
                let same = |other: &&Table| {
                    name.is_some() && other.get("name").and_then(Item::as_str) == name.as_deref()
                };
                if let Some(present) = present.iter().find(same) {
                    restore(table, present);
                }
            }
        } else if let (Some(new), Some(present)) = (item.as_table_like_mut(), present.as_table_like()) {
            restore(new, present);
        }
    }
}
