//! Directories: the tasks that read them, and what carries their questions.

pub mod graph;
pub mod http;
