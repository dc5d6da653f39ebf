//! What a body may hold, and where it ends: CR LF `.` CR LF and nothing else (RFC 5321 §4.1.1.4).
//!
//! Every other way of ending a line is how one message is smuggled inside another, so a bare CR, a bare LF and
//! NUL refuse the body at once (RFC 5321 §2.3.8, §4.5.2). Nothing behind the offending octet is interpreted.

use bytes::BytesMut;

/// What no body may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Violation {
    /// A CR that no LF follows.
    #[error("a bare CR")]
    BareCr,
    /// An LF that follows no CR.
    #[error("a bare LF")]
    BareLf,
    /// A zero octet.
    #[error("a NUL")]
    Nul,
}

/// Checks a body as it streams by, in pieces of any size.
#[derive(Debug, Clone)]
pub struct BodyScanner {
    place: Place,
    dots: bool,
    line: usize,
    longest_line: usize,
}

/// How far [`BodyScanner::feed`] came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fed {
    /// Octets of the input that belong to the body or its end.
    pub consumed: usize,
    /// Whether the end of data was among them; never without dots.
    pub end: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    LineStart,
    Text,
    /// Behind a CR, which is withheld until its LF comes.
    Cr,
    /// Behind a dot at the beginning of a line, which is withheld for good.
    Dot,
    DotCr,
}

impl BodyScanner {
    /// For what follows DATA: dots are unstuffed and one alone ends the data.
    pub const fn data() -> Self {
        Self { place: Place::LineStart, dots: true, line: 0, longest_line: 0 }
    }

    /// For what BDAT carries, where dots mean nothing.
    pub const fn chunks() -> Self {
        Self { place: Place::LineStart, dots: false, line: 0, longest_line: 0 }
    }

    /// Takes the next octets and appends to `out` what of the body they are known to be.
    pub fn feed(&mut self, input: &[u8], out: &mut BytesMut) -> Result<Fed, Violation> {
        let mut at = 0;
        // Octets from here to `at` are the body's and not yet in `out`.
        let mut start = 0;
        while let Some(&byte) = input.get(at) {
            match self.place {
                Place::LineStart if byte == b'.' && self.dots => {
                    out.extend_from_slice(&input[start..at]);
                    (start, self.place) = (at + 1, Place::Dot);
                }
                Place::LineStart | Place::Text => {
                    at += self.text(&input[at..])?;
                    if self.place == Place::Cr {
                        out.extend_from_slice(&input[start..at]);
                        at += 1;
                        start = at;
                    }
                    continue;
                }
                Place::Cr if byte == b'\n' => {
                    out.extend_from_slice(b"\r\n");
                    start = at + 1;
                    self.end_line();
                }
                Place::Dot if byte == b'\r' => (start, self.place) = (at + 1, Place::DotCr),
                Place::Dot => {
                    // RFC 5321 §4.5.2: the dot goes, what follows it stays, also if it is a dot.
                    self.place = Place::Text;
                    continue;
                }
                Place::DotCr if byte == b'\n' => {
                    self.place = Place::LineStart;
                    return Ok(Fed { consumed: at + 1, end: true });
                }
                Place::Cr | Place::DotCr => return Err(Violation::BareCr),
            }
            at += 1;
        }
        out.extend_from_slice(&input[start..]);
        Ok(Fed { consumed: input.len(), end: false })
    }

    /// At the end of what BDAT carried: a CR that waits for its LF waits in vain.
    pub fn finish(&self) -> Result<(), Violation> {
        if matches!(self.place, Place::Cr | Place::DotCr) { Err(Violation::BareCr) } else { Ok(()) }
    }

    /// Whether the next octet begins a line.
    pub fn at_line_start(&self) -> bool {
        self.place == Place::LineStart
    }

    /// Octets of the longest line so far, without its end.
    pub fn longest_line(&self) -> usize {
        self.longest_line
    }

    /// Passes over text up to the end of its line, which is included if it is whole, or of the input.
    fn text(&mut self, rest: &[u8]) -> Result<usize, Violation> {
        let run = memchr::memchr3(b'\r', b'\n', 0, rest).unwrap_or(rest.len());
        self.line = self.line.saturating_add(run);
        self.longest_line = self.longest_line.max(self.line);
        match rest[run..] {
            [] => self.place = Place::Text,
            [b'\r', b'\n', ..] => {
                self.end_line();
                return Ok(run + 2);
            }
            [b'\r', ..] => self.place = Place::Cr,
            [0, ..] => return Err(Violation::Nul),
            _ => return Err(Violation::BareLf),
        }
        Ok(run)
    }

    fn end_line(&mut self) {
        self.place = Place::LineStart;
        self.line = 0;
    }
}

#[cfg(test)]
mod tests;
