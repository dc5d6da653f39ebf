//! A message's header section as it streams by: counted, bounded, and rid of fields that only we may write.

use bytes::{BufMut, BytesMut};

/// Octets of a header section.
pub const SECTION_MAX: usize = 1_000_000;
/// Fields of a header section.
pub const FIELDS_MAX: usize = 2_000;

/// Passes a message through, asking about each field of its header section.
///
/// The section ends with the first empty line and with nothing else: a line that is no field does not end it,
/// since others read on behind such a line.
#[derive(Debug, Default)]
pub struct HeaderFilter {
    /// The field being read, with its folding; then the line being read.
    field: Vec<u8>,
    /// Where in `field` the line being read begins.
    line: usize,
    section: usize,
    fields: usize,
    received: usize,
    done: bool,
}

/// A field as it stands in the message.
#[derive(Debug, Clone, Copy)]
pub struct Field<'a> {
    raw: &'a [u8],
}

/// What becomes of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It stays, octet by octet.
    Keep,
    /// It goes.
    Remove,
    /// It gets this name and keeps its value.
    Rename(&'static str),
}

/// Why a header section is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// More than [`SECTION_MAX`].
    #[error("the header section is larger than {SECTION_MAX} octets")]
    SectionTooLarge,
    /// More than [`FIELDS_MAX`].
    #[error("the header section has more than {FIELDS_MAX} fields")]
    TooManyFields,
}

impl HeaderFilter {
    /// Takes the next octets of a message, whose lines end with CR LF, and appends to `out` what stays of them.
    pub fn push(
        &mut self,
        chunk: &[u8],
        out: &mut BytesMut,
        rule: &mut dyn FnMut(Field<'_>) -> Verdict,
    ) -> Result<(), HeaderError> {
        let mut rest = chunk;
        while !self.done && !rest.is_empty() {
            let end = memchr::memchr(b'\n', rest).map_or(rest.len(), |at| at + 1);
            let (piece, tail) = rest.split_at(end);
            self.section += piece.len();
            if self.section > SECTION_MAX {
                return Err(HeaderError::SectionTooLarge);
            }
            self.field.extend_from_slice(piece);
            rest = tail;
            if piece.ends_with(b"\n") {
                self.end_line(out, rule)?;
            }
        }
        out.put_slice(rest);
        Ok(())
    }

    /// Ends a message: what waits for the end of its field is decided now.
    pub fn finish(
        &mut self,
        out: &mut BytesMut,
        rule: &mut dyn FnMut(Field<'_>) -> Verdict,
    ) -> Result<(), HeaderError> {
        if self.done {
            return Ok(());
        }
        // A last line without its end is a line.
        if self.line < self.field.len() {
            self.end_line(out, rule)?;
        }
        self.end_field(self.field.len(), out, rule)?;
        self.done = true;
        Ok(())
    }

    /// Whether the whole section has passed.
    pub fn is_done(&self) -> bool {
        self.done
    }

    /// Fields so far.
    pub fn fields(&self) -> usize {
        self.fields
    }

    /// `Received` fields so far, for finding loops (RFC 5321 §6.3).
    pub fn received(&self) -> usize {
        self.received
    }

    /// A line is whole: it goes on with the field, begins one, or ends the section.
    fn end_line(
        &mut self,
        out: &mut BytesMut,
        rule: &mut dyn FnMut(Field<'_>) -> Verdict,
    ) -> Result<(), HeaderError> {
        let line = &self.field[self.line..];
        let empty = matches!(line, b"\r\n" | b"\n");
        let folded = matches!(line.first(), Some(b' ' | b'\t')) && self.line > 0;
        if !folded {
            self.end_field(self.line, out, rule)?;
        }
        if empty {
            out.put_slice(&self.field);
            self.field.clear();
            self.done = true;
        }
        self.line = self.field.len();
        Ok(())
    }

    /// The first `end` octets kept are a whole field.
    fn end_field(
        &mut self,
        end: usize,
        out: &mut BytesMut,
        rule: &mut dyn FnMut(Field<'_>) -> Verdict,
    ) -> Result<(), HeaderError> {
        if end == 0 {
            return Ok(());
        }
        self.fields += 1;
        if self.fields > FIELDS_MAX {
            return Err(HeaderError::TooManyFields);
        }
        let field = Field { raw: &self.field[..end] };
        self.received += usize::from(field.is("Received"));
        match rule(field) {
            Verdict::Keep => out.put_slice(field.raw),
            Verdict::Remove => {}
            Verdict::Rename(name) => {
                out.put_slice(name.as_bytes());
                out.put_slice(&field.raw[field.colon().unwrap_or(0)..]);
            }
        }
        self.field.drain(..end);
        Ok(())
    }
}

impl<'a> Field<'a> {
    /// The name without the spaces that some put before the colon; empty when the line is no field.
    pub fn name(&self) -> &'a str {
        let name = self.colon().map_or(&[][..], |at| &self.raw[..at]);
        std::str::from_utf8(name.trim_ascii_end()).unwrap_or_default()
    }

    /// Whether it has this name, in any case of letters.
    pub fn is(&self, name: &str) -> bool {
        self.name().eq_ignore_ascii_case(name)
    }

    /// The value, unfolded (RFC 5322 §2.2.3) and without the space around it.
    pub fn value(&self) -> String {
        let value = self.colon().map_or(self.raw, |at| &self.raw[at + 1..]);
        String::from_utf8_lossy(value).replace(['\r', '\n'], "").trim().to_owned()
    }

    /// The whole field with its folding and line end.
    pub fn raw(&self) -> &'a [u8] {
        self.raw
    }

    fn colon(&self) -> Option<usize> {
        memchr::memchr(b':', self.raw)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pass(pieces: &[&[u8]]) -> Result<(String, HeaderFilter), HeaderError> {
        let mut filter = HeaderFilter::default();
        let mut out = BytesMut::new();
        let mut rule = |field: Field<'_>| match field.name().to_ascii_lowercase().as_str() {
            "x-trust" => Verdict::Remove,
            "authentication-results" if field.value().starts_with("mx.example.com") => {
                Verdict::Rename("X-Old")
            }
            _ => Verdict::Keep,
        };
        for piece in pieces {
            filter.push(piece, &mut out, &mut rule)?;
        }
        filter.finish(&mut out, &mut rule)?;
        Ok((String::from_utf8(out.to_vec()).unwrap(), filter))
    }

    const MESSAGE: &[u8] =
        b"Received: a\r\n\tb\r\nx-TRUST: yes\r\n also\r\nX-Trust : again\r\nno field\r\nX-Trust:\r\n\
        Authentication-Results:\r\n mx.example.com; spf=pass\r\nreceived: c\r\n\r\nX-Trust: body\r\n";
    const PASSED: &str = "Received: a\r\n\tb\r\nno field\r\nX-Old:\r\n mx.example.com; spf=pass\r\nreceived: c\r\n\
        \r\nX-Trust: body\r\n";

    #[test]
    fn our_own_fields_go_at_every_split() {
        for at in 0..MESSAGE.len() {
            let (left, right) = MESSAGE.split_at(at);
            let (out, filter) = pass(&[left, right]).unwrap();
            assert_eq!(out, PASSED, "split at {at}");
            assert_eq!((filter.received(), filter.fields()), (2, 7));
        }
    }

    #[test]
    fn a_message_may_end_within_its_header() {
        assert_eq!(pass(&[b"A: b\r\n", b"X-Trust: c"]).unwrap().0, "A: b\r\n");
        assert_eq!(pass(&[b""]).unwrap().0, "");
        assert_eq!(pass(&[b" folded first\r\nA: b"]).unwrap().0, " folded first\r\nA: b");
    }

    #[test]
    fn the_section_is_bounded() {
        let many = "A: b\r\n".repeat(FIELDS_MAX) + "\r\n";
        assert!(pass(&[many.as_bytes()]).is_ok());
        let more = format!("A: b\r\n{many}");
        assert_eq!(pass(&[more.as_bytes()]).unwrap_err(), HeaderError::TooManyFields);
        let long = format!("A: {}\r\n", "b".repeat(SECTION_MAX - 7));
        assert!(pass(&[long.as_bytes(), b"\r\n"]).is_ok());
        assert_eq!(pass(&[long.as_bytes(), b"B\r\n\r\n"]).unwrap_err(), HeaderError::SectionTooLarge);
        let body = "b".repeat(SECTION_MAX + 1);
        assert!(pass(&[b"A: b\r\n\r\n", body.as_bytes()]).is_ok());
    }
}
