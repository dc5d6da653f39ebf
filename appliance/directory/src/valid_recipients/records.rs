//! From octets to lines of cells.

use std::borrow::Cow;

use super::{BYTES_MAX, CELLS_MAX, LINES_MAX, Mistake, Problem, RECORD_MAX};

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";
/// What PowerShell writes above the header unless it is told not to.
const TYPE_LINE: &[u8] = b"#TYPE ";

/// The octets of the file behind its byte order mark.
pub(super) fn text(file: &[u8]) -> Result<&[u8], Problem> {
    if file.len() > BYTES_MAX {
        return Err(Problem::Bytes);
    }
    if file.starts_with(b"\xFF\xFE") || file.starts_with(b"\xFE\xFF") {
        return Err(Problem::Utf16);
    }
    Ok(file.strip_prefix(BYTE_ORDER_MARK).unwrap_or(file))
}

type Cells<'t> = Vec<Cow<'t, [u8]>>;

/// A line, or several that one quoted cell spans.
#[derive(Debug)]
pub(super) struct Record<'t> {
    /// The line that it begins in.
    pub(super) line: u32,
    cells: Cells<'t>,
}

impl Record<'_> {
    pub(super) fn texts(&self) -> Result<Vec<&str>, Problem> {
        self.cells.iter().map(|cell| std::str::from_utf8(cell).map_err(|_| Problem::NotUtf8)).collect()
    }
}

/// The records of a text; empty lines are left out.
#[derive(Debug)]
pub(super) struct Records<'t> {
    rest: &'t [u8],
    line: u32,
    separator: u8,
}

impl<'t> Records<'t> {
    pub(super) fn new(text: &'t [u8]) -> Records<'t> {
        let (mut rest, mut line) = (text, 1);
        if rest.starts_with(TYPE_LINE) {
            (rest, line) = (behind_line(rest), 2);
        }
        Records { rest, line, separator: separator(rest) }
    }
}

impl<'t> Iterator for Records<'t> {
    type Item = Result<Record<'t>, Mistake>;

    fn next(&mut self) -> Option<Self::Item> {
        while let Some(empty) = [&b"\n"[..], b"\r\n"].into_iter().find(|end| self.rest.starts_with(end)) {
            self.rest = &self.rest[empty.len()..];
            self.line = self.line.saturating_add(1);
        }
        if self.rest.is_empty() {
            return None;
        }
        let line = self.line;
        if line > LINES_MAX {
            self.rest = b"";
            return Some(Err(Mistake { line, problem: Problem::Lines }));
        }
        let (cells, len) = match cells(self.rest, self.separator) {
            Ok(record) => record,
            Err(problem) => {
                // The next line may be good again, even where a quote was left open.
                self.rest = behind_line(self.rest);
                self.line += 1;
                return Some(Err(Mistake { line, problem }));
            }
        };
        let ends = self.rest[..len].iter().filter(|byte| **byte == b'\n').count();
        self.line = self.line.saturating_add(u32::try_from(ends).unwrap_or(u32::MAX));
        self.rest = &self.rest[len..];
        Some(Ok(Record { line, cells }))
    }
}

fn behind_line(text: &[u8]) -> &[u8] {
    text.iter().position(|byte| *byte == b'\n').map_or(b"", |end| &text[end + 1..])
}

/// A semicolon where the first line has one and no comma, quoted cells left out.
fn separator(text: &[u8]) -> u8 {
    let mut quoted = false;
    let mut semicolon = false;
    for byte in text.iter().take(RECORD_MAX) {
        match byte {
            b'"' => quoted = !quoted,
            b',' if !quoted => return b',',
            b';' if !quoted => semicolon = true,
            b'\n' if !quoted => break,
            _ => {}
        }
    }
    // `SMTP:a@b;smtp:c@d` is one cell.
    let list = text.get(..5).is_some_and(|start| start.eq_ignore_ascii_case(b"smtp:"));
    if semicolon && !list { b';' } else { b',' }
}

/// The cells of the record that the text begins with, and its length with its line end.
fn cells(text: &[u8], separator: u8) -> Result<(Cells<'_>, usize), Problem> {
    let mut cells = Vec::new();
    let mut at = 0;
    loop {
        if cells.len() == CELLS_MAX {
            return Err(Problem::TooManyCells);
        }
        let (cell, len) =
            if text.get(at) == Some(&b'"') { quoted(&text[at..])? } else { bare(&text[at..], separator) };
        cells.push(cell);
        at += len;
        if at > RECORD_MAX {
            return Err(Problem::RecordTooLong);
        }
        match &text[at..] {
            [] => return Ok((cells, at)),
            [b'\n', ..] => return Ok((cells, at + 1)),
            [b'\r', b'\n', ..] => return Ok((cells, at + 2)),
            [next, ..] if *next == separator => at += 1,
            _ => return Err(Problem::BehindQuote),
        }
    }
}

fn bare(text: &[u8], separator: u8) -> (Cow<'_, [u8]>, usize) {
    let end = text.iter().position(|byte| *byte == separator || *byte == b'\n').unwrap_or(text.len());
    let end = if text.get(end) == Some(&b'\n') && text[..end].ends_with(b"\r") { end - 1 } else { end };
    (Cow::Borrowed(&text[..end]), end)
}

/// A cell in quotes, and its length with them.
fn quoted(text: &[u8]) -> Result<(Cow<'_, [u8]>, usize), Problem> {
    let mut content = Vec::new();
    let mut at = 1;
    loop {
        let part = &text[at..];
        let end = part.iter().take(RECORD_MAX).position(|byte| *byte == b'"');
        let Some(end) = end else {
            return Err(if part.len() > RECORD_MAX { Problem::RecordTooLong } else { Problem::Unclosed });
        };
        content.extend_from_slice(&part[..end]);
        at += end + 1;
        if text.get(at) != Some(&b'"') {
            return Ok((Cow::Owned(content), at));
        }
        content.push(b'"');
        at += 1;
        if at > RECORD_MAX {
            return Err(Problem::RecordTooLong);
        }
    }
}
