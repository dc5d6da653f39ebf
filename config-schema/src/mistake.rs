//! Mistakes in a configuration: all of them at once, each with its place.

use std::{fmt, ops::Range};

use crate::secret::SecretSources;

/// Mistakes that are listed for one file; what goes beyond is counted only.
pub(crate) const MISTAKES_MAX: usize = 1_000;

/// One mistake. Printed as `FILE:LINE:COL: path: what is wrong, what was expected`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// The file's name, as it was given.
    pub file: String,
    /// Counted from 1; 0 where the document has no lines, as JSON of the API.
    pub line: usize,
    /// Characters from the line's start, counted from 1.
    pub column: usize,
    /// The key's path, such as `domain[0].route`; empty for a mistake of the whole file.
    pub path: String,
    /// What is wrong and what was expected.
    pub text: String,
}

/// Every mistake of one file, in the order of the lines. Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistakes(Vec<Mistake>);

impl Mistakes {
    /// The mistakes, in the order of the lines.
    pub fn iter(&self) -> std::slice::Iter<'_, Mistake> {
        self.0.iter()
    }

    /// Each mistake as a line of text.
    pub fn lines(&self) -> Vec<String> {
        self.0.iter().map(Mistake::to_string).collect()
    }
}

impl Mistakes {
    /// The same, for a document whose text nobody has seen.
    pub(crate) fn without_places(mut self) -> Mistakes {
        for mistake in &mut self.0 {
            (mistake.line, mistake.column) = (0, 0);
        }
        self
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file)?;
        if self.line > 0 {
            write!(f, "{}:{}:", self.line, self.column)?;
        }
        f.write_str(" ")?;
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.text)
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.lines().join("\n"))
    }
}

impl std::error::Error for Mistakes {}

/// Longest text of a mistake, in characters; what it quotes from the file may be longer.
const TEXT_MAX: usize = 600;

/// A text that may hold anything out of the file, as part of one line that reads as it is.
fn one_line(text: &str) -> String {
    // Besides control characters, what is invisible or turns the direction of what follows (Unicode TR 36).
    let hidden = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    };
    let mut line = String::new();
    for c in text.chars().take(TEXT_MAX) {
        if hidden(c) { line.extend(c.escape_unicode()) } else { line.push(c) }
    }
    if text.chars().nth(TEXT_MAX).is_some() {
        line.push('…');
    }
    line
}

/// Collects mistakes while a file is read.
#[derive(Debug)]
pub(crate) struct Notes<'a> {
    file: &'a str,
    text: &'a str,
    /// Where each line begins, so that a place is found without counting.
    lines: Vec<usize>,
    secrets: &'a SecretSources<'a>,
    mistakes: Vec<(usize, Mistake)>,
}

impl<'a> Notes<'a> {
    pub(crate) fn new(file: &'a str, text: &'a str, secrets: &'a SecretSources<'a>) -> Notes<'a> {
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let lines = std::iter::once(0).chain(ends.map(|(at, _)| at + 1)).collect();
        Notes { file, text, lines, secrets, mistakes: Vec::new() }
    }

    /// Where secrets come from that do not stand in the file.
    pub(crate) fn secrets(&self) -> &'a SecretSources<'a> {
        self.secrets
    }

    /// Notes a mistake at a range of bytes; without one, at the file's start.
    pub(crate) fn note(&mut self, span: Option<Range<usize>>, path: &str, text: impl fmt::Display) {
        if self.is_full() {
            return;
        }
        let at = span.map_or(0, |span| span.start).min(self.text.len());
        let line = self.line_of(at);
        let start = self.lines.get(line - 1).copied().unwrap_or(0);
        let mistake = Mistake {
            file: self.file.to_owned(),
            line,
            column: self.text.get(start..at).unwrap_or_default().chars().count() + 1,
            path: one_line(path),
            text: one_line(&text.to_string()),
        };
        self.mistakes.push((at, mistake));
    }

    /// Where a range of bytes begins, as `line N`, for a mistake that names two places.
    pub(crate) fn line(&self, span: Option<Range<usize>>) -> String {
        format!("line {}", self.line_of(span.map_or(0, |span| span.start)))
    }

    /// The line of a byte, from 1: as many as begin there or before.
    fn line_of(&self, at: usize) -> usize {
        self.lines.partition_point(|start| *start <= at)
    }

    /// Whether further mistakes are no longer listed, so that no work need go into them.
    pub(crate) fn is_full(&self) -> bool {
        self.mistakes.len() >= MISTAKES_MAX
    }

    /// The mistakes, if there are any.
    pub(crate) fn finish(self) -> Option<Mistakes> {
        if self.mistakes.is_empty() { None } else { Some(self.into_mistakes()) }
    }

    /// The mistakes; the caller has noted one.
    pub(crate) fn into_mistakes(mut self) -> Mistakes {
        self.mistakes.sort_by_key(|(at, _)| *at);
        Mistakes(self.mistakes.into_iter().map(|(_, mistake)| mistake).collect())
    }
}
