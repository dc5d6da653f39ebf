//! The configuration: types, limits, validation, schema, import and export.

pub mod name;
