//! How deep tables and lists are nested in one another.

use std::ops::Range;

use toml_edit::{Item, TableLike, Value};

/// Deepest nesting of tables and lists in a file.
pub const DEPTH_MAX: usize = 32;

/// A place that is nested too deep; its span where it has one.
#[derive(Debug)]
pub(crate) struct TooDeep(pub(crate) Option<Range<usize>>);

/// Whether nothing is nested deeper than [`DEPTH_MAX`]. The parser's own bound of 80 keeps this walk short.
pub(crate) fn check(root: &dyn TableLike) -> Result<(), TooDeep> {
    table(root, 0)
}

fn table(entries: &dyn TableLike, depth: usize) -> Result<(), TooDeep> {
    for (_, item) in entries.iter() {
        match item {
            Item::None => {}
            Item::Value(below) => value(below, depth + 1)?,
            Item::Table(below) => {
                within(below.span(), depth + 1)?;
                table(below, depth + 1)?;
            }
            Item::ArrayOfTables(tables) => {
                for below in tables {
                    within(below.span(), depth + 2)?;
                    table(below, depth + 2)?;
                }
            }
        }
    }
    Ok(())
}

fn value(here: &Value, depth: usize) -> Result<(), TooDeep> {
    match here {
        Value::Array(values) => {
            within(here.span(), depth)?;
            values.iter().try_for_each(|below| value(below, depth + 1))
        }
        Value::InlineTable(entries) => {
            within(here.span(), depth)?;
            table(entries, depth)
        }
        _ => Ok(()),
    }
}

fn within(span: Option<Range<usize>>, depth: usize) -> Result<(), TooDeep> {
    if depth > DEPTH_MAX { Err(TooDeep(span)) } else { Ok(()) }
}
