//! Replies (RFC 5321 §4.2): built by the server, read by the client, both bounded.

use std::fmt::{self, Write as _};

use serde::{Deserialize, Serialize};

/// Octets of one reply line that are read, with its end. RFC 5321 §4.5.3.1.5 says 512; some peers say more.
pub const REPLY_LINE_MAX: usize = 2048;
/// Lines of one reply that are read.
pub const REPLY_LINES_MAX: usize = 100;
/// Octets of text that we write in one line: RFC 5321 §4.5.3.1.5 less code, enhanced code and line end.
const TEXT_MAX: usize = 512 - 18;

/// A reply: its code, the enhanced status code (RFC 2034, 3463) if it has one, and its lines of text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    code: u16,
    enhanced: Option<EnhancedCode>,
    lines: Vec<String>,
}

/// An enhanced status code `class.subject.detail` (RFC 3463).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct EnhancedCode(pub u8, pub u16, pub u16);

/// What the first digit of a reply says (RFC 5321 §4.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// 2xx: done.
    Positive,
    /// 3xx: go on.
    Intermediate,
    /// 4xx: not now.
    Transient,
    /// 5xx: not so.
    Permanent,
}

/// Why what a server said is no reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[non_exhaustive]
pub enum ReplyError {
    /// A line has no end within this many octets.
    #[error("a reply line is longer than {0} octets")]
    LineTooLong(usize),
    /// More than [`REPLY_LINES_MAX`] lines.
    #[error("a reply has more than {REPLY_LINES_MAX} lines")]
    TooManyLines,
    /// A line does not begin with a code from 200 to 599 and a space, a hyphen or its end.
    #[error("a line does not begin with a reply code")]
    NoCode,
    /// The lines of one reply begin with different codes (RFC 5321 §4.2.1).
    #[error("the lines of one reply have different codes")]
    CodesDiffer,
}

impl Reply {
    /// A reply of one line. Its code must be from 200 to 599; any other becomes 451, which loses nothing.
    ///
    /// What cannot stand in a reply (controls, non-ASCII) is printed as `?`; long text is split into lines.
    pub fn new(code: u16, text: impl Into<String>) -> Self {
        let code = if (200..600).contains(&code) { code } else { 451 };
        Self { code, enhanced: None, lines: vec![text.into()] }
    }

    /// The same reply with an enhanced status code.
    #[must_use]
    pub fn enhanced(mut self, class: u8, subject: u16, detail: u16) -> Self {
        self.enhanced = Some(EnhancedCode(class, subject, detail));
        self
    }

    /// The same reply with one more line, up to [`REPLY_LINES_MAX`].
    #[must_use]
    pub fn line(mut self, text: impl Into<String>) -> Self {
        if self.lines.len() < REPLY_LINES_MAX {
            self.lines.push(text.into());
        }
        self
    }

    /// The three digits.
    pub const fn code(&self) -> u16 {
        self.code
    }

    /// The enhanced status code, as it was said, even where its class differs from the code's.
    pub const fn enhanced_code(&self) -> Option<EnhancedCode> {
        self.enhanced
    }

    /// The lines of text without codes.
    pub fn lines(&self) -> &[String] {
        &self.lines
    }

    /// The lines joined by spaces.
    pub fn text(&self) -> String {
        self.lines.join(" ")
    }

    /// What its first digit says.
    pub const fn class(&self) -> Class {
        match self.code / 100 {
            2 => Class::Positive,
            3 => Class::Intermediate,
            4 => Class::Transient,
            _ => Class::Permanent,
        }
    }

    /// Whether it is 2xx.
    pub fn is_positive(&self) -> bool {
        self.class() == Class::Positive
    }

    /// As it is sent, with its line ends.
    pub fn to_wire(&self) -> String {
        let mut out = String::new();
        let lines: Vec<&str> = self.lines.iter().flat_map(|line| split_text(line)).collect();
        for (at, line) in lines.iter().enumerate() {
            let separator = if at + 1 == lines.len() { ' ' } else { '-' };
            write!(out, "{}{separator}", self.code).expect("a String takes every write");
            if let Some(enhanced) = self.enhanced {
                write!(out, "{enhanced} ").expect("a String takes every write");
            }
            out.extend(line.chars().map(|c| if matches!(c, ' '..='~') { c } else { '?' }));
            out.push_str("\r\n");
        }
        out
    }
}

/// Cuts text into pieces that fit a reply line; at least one piece.
fn split_text(text: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while rest.len() > TEXT_MAX {
        let (piece, tail) = rest.split_at(rest.floor_char_boundary(TEXT_MAX));
        pieces.push(piece);
        rest = tail;
    }
    pieces.push(rest);
    pieces
}

impl fmt::Display for Reply {
    /// In one line, for logs: code, enhanced code, text. Controls were replaced when it was read.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code)?;
        if let Some(enhanced) = self.enhanced {
            write!(f, " {enhanced}")?;
        }
        for line in &self.lines {
            f.write_str(" ")?;
            line.chars().try_for_each(|c| f.write_char(if c.is_control() { '?' } else { c }))?;
        }
        Ok(())
    }
}

impl fmt::Display for EnhancedCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

impl EnhancedCode {
    /// The code that `text` begins with, and the text behind it (RFC 2034 §4).
    fn parse_prefix(text: &str) -> Option<(Self, &str)> {
        let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
        let mut parts = word.split('.');
        let class = parts.next()?;
        let (subject, detail) = (number(parts.next()?)?, number(parts.next()?)?);
        if !matches!(class, "2" | "4" | "5") || parts.next().is_some() {
            return None;
        }
        Some((Self(class.parse().ok()?, subject, detail), rest))
    }
}

/// RFC 3463 §2: one to three digits.
fn number(text: &str) -> Option<u16> {
    let digits = (1..=3).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|_| digits)
}

/// Reads replies from a stream of bytes, in pieces of any size.
#[derive(Debug)]
pub struct ReplyReader {
    line: Vec<u8>,
    line_max: usize,
    reply: Option<Reply>,
}

impl Default for ReplyReader {
    fn default() -> Self {
        Self::with_lines(REPLY_LINE_MAX)
    }
}

impl ReplyReader {
    /// For lines of at most `line_max` octets, with their ends.
    pub fn with_lines(line_max: usize) -> Self {
        Self { line: Vec::new(), line_max, reply: None }
    }

    /// Takes bytes off the front of `input` up to the end of one reply. `None`: all was taken, more is needed.
    pub fn read(&mut self, input: &mut &[u8]) -> Result<Option<Reply>, ReplyError> {
        while !input.is_empty() {
            // A server that ends lines with a bare LF deceives nobody: the text is only shown.
            let end = input.iter().position(|&b| b == b'\n').map(|at| at + 1);
            let (piece, rest) = input.split_at(end.unwrap_or(input.len()));
            if self.line.len() + piece.len() > self.line_max {
                return Err(ReplyError::LineTooLong(self.line_max));
            }
            self.line.extend_from_slice(piece);
            *input = rest;
            if end.is_some() {
                let last = self.take_line()?;
                self.line.clear();
                if last {
                    return Ok(self.reply.take());
                }
            }
        }
        Ok(None)
    }

    /// Whether nothing of a further reply has been read.
    pub fn is_empty(&self) -> bool {
        self.line.is_empty() && self.reply.is_none()
    }

    /// Adds the line to the reply; true when it is the reply's last.
    fn take_line(&mut self) -> Result<bool, ReplyError> {
        let line = self.line.strip_suffix(b"\n").unwrap_or(&self.line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let (code, rest) = line.split_at_checked(3).ok_or(ReplyError::NoCode)?;
        let digits = matches!(code[0], b'2'..=b'5') && code.iter().all(u8::is_ascii_digit);
        let last = match rest.first() {
            None | Some(b' ') => true,
            Some(b'-') => false,
            Some(_) => return Err(ReplyError::NoCode),
        };
        if !digits {
            return Err(ReplyError::NoCode);
        }
        let code = code.iter().fold(0, |n, d| n * 10 + u16::from(d - b'0'));
        let text = String::from_utf8_lossy(rest.get(1..).unwrap_or_default());
        let text: String = text.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
        self.add(code, &text)?;
        Ok(last)
    }

    fn add(&mut self, code: u16, text: &str) -> Result<(), ReplyError> {
        let found = EnhancedCode::parse_prefix(text);
        let Some(reply) = &mut self.reply else {
            let (enhanced, text) = found.map_or((None, text), |(enhanced, rest)| (Some(enhanced), rest));
            self.reply = Some(Reply { code, enhanced, lines: vec![text.to_owned()] });
            return Ok(());
        };
        if reply.code != code {
            return Err(ReplyError::CodesDiffer);
        }
        if reply.lines.len() == REPLY_LINES_MAX {
            return Err(ReplyError::TooManyLines);
        }
        let text = match found {
            Some((enhanced, rest)) if reply.enhanced == Some(enhanced) => rest,
            _ => text,
        };
        reply.lines.push(text.to_owned());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(wire: &str) -> Result<Option<Reply>, ReplyError> {
        ReplyReader::default().read(&mut wire.as_bytes())
    }

    #[test]
    fn lines_and_codes_are_read() {
        let reply = read("550-5.7.51 Tenant\r\n550 5.7.51 Inbound\r\n").unwrap().unwrap();
        assert_eq!((reply.code(), reply.enhanced_code()), (550, Some(EnhancedCode(5, 7, 51))));
        assert_eq!(reply.text(), "Tenant Inbound");
        assert_eq!(reply.to_string(), "550 5.7.51 Tenant Inbound");
        assert_eq!(read("250\r\n").unwrap().unwrap().text(), "");
        assert_eq!(read("250\n").unwrap().unwrap().code(), 250);
        let crossed = read("550 4.4.4 Mail received as unauthenticated\r\n").unwrap().unwrap();
        assert_eq!(crossed.enhanced_code(), Some(EnhancedCode(4, 4, 4)), "kept though the classes differ");
        for text in ["6.1.1 x", "2.1 x", "2.1.1.1 x", "2.1000.1 x", "2..1 x"] {
            assert_eq!(read(&format!("250 {text}\r\n")).unwrap().unwrap().enhanced_code(), None, "{text}");
        }
    }

    #[test]
    fn what_is_written_breaks_out_of_no_line() {
        let reply = Reply::new(550, "a\r\n250 b \u{fc}").enhanced(5, 1, 1).line("\0");
        assert_eq!(reply.to_wire(), "550-5.1.1 a??250 b ?\r\n550 5.1.1 ?\r\n");
        assert_eq!(Reply::new(99, "x").code(), 451);
    }

    #[test]
    fn long_text_is_cut_into_lines_of_512_octets() {
        let wire = Reply::new(550, "\u{fc}".repeat(1000)).enhanced(5, 123, 456).to_wire();
        assert!(wire.split_inclusive("\r\n").all(|line| line.len() <= 512));
        assert_eq!(read(&wire).unwrap().unwrap().lines().concat(), "?".repeat(1000));
        let mut many = Reply::new(250, "x");
        for _ in 0..2 * REPLY_LINES_MAX {
            many = many.line("x");
        }
        assert_eq!(many.lines().len(), REPLY_LINES_MAX);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(code in 200u16..600, lines in prop::collection::vec("[a-z ]{0,30}", 1..5), cut in 0usize..100) {
            let mut reply = Reply::new(code, &*lines[0]).enhanced(2, 1, 0);
            for line in &lines[1..] {
                reply = reply.line(line.as_str());
            }
            let wire = reply.to_wire();
            let (mut left, mut right) = wire.as_bytes().split_at(cut.min(wire.len()));
            let mut reader = ReplyReader::default();
            let first = reader.read(&mut left).unwrap();
            prop_assert_eq!(first.or_else(|| reader.read(&mut right).unwrap()), Some(reply));
            prop_assert!(reader.is_empty());
        }
    }

    #[test]
    fn a_line_may_be_as_long_as_is_said() {
        for (octets, taken) in [(99, true), (100, true), (101, false)] {
            let line = format!("250 {}\r\n", "x".repeat(octets - 6));
            let read = ReplyReader::with_lines(100).read(&mut line.as_bytes());
            assert_eq!(read.is_ok(), taken, "{octets}");
            assert!(taken || read == Err(ReplyError::LineTooLong(100)));
        }
    }
}
