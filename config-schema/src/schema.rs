//! The JSON Schema of the file, for editors and for checks elsewhere.
//!
//! It is noted down by the functions that read a file: they are run on an empty one, and each key that they ask for
//! is recorded with its kind. So the schema has exactly the keys that are read.

use std::{cell::RefCell, rc::Rc};

use serde_json::{Map, Value as Json, json};
use toml_edit::Table;

use crate::{
    Config, DEPTH_MAX, Delivery, Limits, Provisioning, Recipients, SecretSources, TcpLimits, VERSION,
    bounded::Key, mistake::Notes, reader::Section, user_lookup::ldap::LdapPace,
};

/// The JSON Schema (draft 2020-12) of this version's file, with its `$id`.
pub(crate) fn schema() -> Json {
    let shape = Rc::new(RefCell::new(Shape::default()));
    let (empty, secrets) = (Table::new(), SecretSources::none());
    let root = Section::describe(&empty, Rc::clone(&shape));
    // What is missing in an empty file is not the matter here.
    let _ = Config::read(root, &mut Notes::new("", "", &secrets));
    let mut schema = shape.borrow().to_json(0);
    for (path, keys) in [
        ("/properties/limits", Limits::KEYS),
        ("/properties/limits/properties/tcp", TcpLimits::KEYS),
        ("/properties/recipients", Recipients::KEYS),
        ("/properties/provisioning", Provisioning::KEYS),
        ("/properties/delivery", Delivery::KEYS),
        ("/properties/user-lookup/items", LdapPace::KEYS),
    ] {
        for key in keys {
            if let Some(property) = schema.pointer_mut(&format!("{path}/properties/{}", key.name)) {
                explain(property, key);
            }
        }
    }
    let head = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": format!("urn:postern:configuration:{VERSION}"),
        "title": "Postern's configuration",
    });
    if let (Json::Object(schema), Json::Object(head)) = (&mut schema, head) {
        schema.extend(head);
    }
    schema
}

fn explain(property: &mut Json, key: &Key) {
    let written = |value: toml_edit::Value| match (value.as_integer(), value.as_str()) {
        (Some(number), _) => Json::from(number),
        (None, text) => Json::from(text.unwrap_or_default()),
    };
    let (usual, least, most) = (written((key.usual)()), written((key.least)()), written((key.most)()));
    property["description"] = format!("{} From {least} to {most}.", key.about.trim()).into();
    property["default"] = usual;
}

/// The keys of one table, as far as they were asked for.
#[derive(Debug, Default)]
pub(crate) struct Shape {
    properties: Vec<(&'static str, Form)>,
    required: Vec<String>,
}

/// What stands under a key.
#[derive(Debug)]
pub(crate) enum Form {
    /// A value, by its schema.
    Value(Json),
    /// A table.
    Table(Rc<RefCell<Shape>>),
    /// Several tables.
    Tables(Rc<RefCell<Shape>>),
    /// A string, or a list of strings and tables.
    Entries(Rc<RefCell<Shape>>),
}

impl Shape {
    pub(crate) fn record(&mut self, key: &'static str, form: Form) {
        let known = self.properties.iter().position(|(known, _)| *known == key);
        let known = known.map(|at| self.properties.remove(at).1);
        let form = match (known, form) {
            (Some(Form::Value(known)), Form::Value(new)) => Form::Value(widened(known, new)),
            (_, form) => form,
        };
        self.properties.push((key, form));
    }

    pub(crate) fn require(&mut self, key: &str) {
        self.required.push(key.to_owned());
    }

    fn to_json(&self, depth: usize) -> Json {
        // Tables are nested by our own code, which never goes so deep.
        if depth > DEPTH_MAX {
            return json!({});
        }
        let json = |form: &Form| match form {
            Form::Value(schema) => schema.clone(),
            Form::Table(shape) => shape.borrow().to_json(depth + 1),
            Form::Tables(shape) => json!({ "type": "array", "items": shape.borrow().to_json(depth + 1) }),
            Form::Entries(shape) => {
                let item = json!({ "oneOf": [{ "type": "string" }, shape.borrow().to_json(depth + 1)] });
                json!({ "oneOf": [{ "type": "string" }, { "type": "array", "items": item }] })
            }
        };
        let properties: Map<String, Json> =
            self.properties.iter().map(|(key, form)| ((*key).to_owned(), json(form))).collect();
        json!({
            "type": "object",
            "properties": properties,
            "required": self.required,
            "additionalProperties": false,
        })
    }
}

/// The schema of a key that is asked for again, as two methods of user lookups do: where each takes a few words, those
/// of both.
fn widened(mut known: Json, new: Json) -> Json {
    let Some(words) = known.get_mut("enum").and_then(Json::as_array_mut) else { return new };
    match new.get("enum").and_then(Json::as_array) {
        Some(more) => {
            let more: Vec<Json> = more.iter().filter(|word| !words.contains(word)).cloned().collect();
            words.extend(more);
            known
        }
        // A word is a string first, and then one of a few.
        None if new == json!({ "type": "string" }) => known,
        None => new,
    }
}

/// A string, or a table that names a file, or one that holds a seal.
pub(crate) fn text_form() -> Json {
    let table = |key: &str| {
        json!({
            "type": "object",
            "properties": { key: { "type": "string" } },
            "required": [key],
            "additionalProperties": false,
        })
    };
    json!({ "oneOf": [{ "type": "string" }, table("file"), table("sealed")] })
}

/// Several strings, or one.
pub(crate) fn strings_form() -> Json {
    json!({ "oneOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" } }] })
}
