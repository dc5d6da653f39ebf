//! The body on its way out: checked again, stuffed for DATA or framed for BDAT.

use bytes::{BufMut, Bytes, BytesMut};

use super::{BODY_CHUNK_MAX, Failure};
use crate::{body_scanner::BodyScanner, envelope::BodyKind};

/// Checks and frames the pieces of one body.
#[derive(Debug)]
pub(super) struct Outgoing {
    scanner: BodyScanner,
    framing: Framing,
    /// Octets above 127 are refused.
    seven_bit: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// Dots stuffed, and a dot at the end (RFC 5321 §4.5.2).
    Data,
    /// Each piece behind a BDAT (RFC 3030 §2).
    Bdat,
}

impl Outgoing {
    pub(super) fn new(framing: Framing, body: BodyKind, smtputf8: bool) -> Self {
        // RFC 6531 §3.6: the header section may hold UTF-8 then, whatever the body's kind.
        let seven_bit = body == BodyKind::SevenBit && !smtputf8;
        Self { scanner: BodyScanner::chunks(), framing, seven_bit }
    }

    pub(super) fn framing(&self) -> Framing {
        self.framing
    }

    /// What to write for a piece; empty when there is nothing to write yet.
    pub(super) fn frame(&mut self, chunk: &Bytes, last: bool) -> Result<Bytes, Failure> {
        if chunk.len() > BODY_CHUNK_MAX {
            return Err(Failure::Misuse("a body chunk beyond BODY_CHUNK_MAX"));
        }
        if self.seven_bit && !chunk.is_ascii() {
            return Err(Failure::NotSevenBit);
        }
        let line_start = self.scanner.at_line_start();
        let mut checked = BytesMut::with_capacity(chunk.len() + 1);
        self.scanner.feed(chunk, &mut checked).map_err(Failure::Body)?;
        if last {
            self.scanner.finish().map_err(Failure::Body)?;
        }
        Ok(match self.framing {
            Framing::Data => self.stuff(&checked, line_start, last),
            Framing::Bdat => announce(&checked, last),
        })
    }

    fn stuff(&self, checked: &[u8], line_start: bool, last: bool) -> Bytes {
        let mut out = BytesMut::with_capacity(checked.len() + checked.len() / 64 + 8);
        if line_start && checked.first() == Some(&b'.') {
            out.put_u8(b'.');
        }
        let mut start = 0;
        for at in memchr::memmem::find_iter(checked, b"\n.") {
            out.put_slice(&checked[start..=at]);
            out.put_u8(b'.');
            start = at + 1;
        }
        out.put_slice(&checked[start..]);
        if last {
            // RFC 5321 §4.1.1.4: the CR LF that ends the last line is the first of the end of data.
            out.put_slice(if self.scanner.at_line_start() { b".\r\n".as_slice() } else { b"\r\n.\r\n" });
        }
        out.freeze()
    }
}

fn announce(checked: &[u8], last: bool) -> Bytes {
    if checked.is_empty() && !last {
        return Bytes::new();
    }
    let command = format!("BDAT {}{}\r\n", checked.len(), if last { " LAST" } else { "" });
    let mut out = BytesMut::with_capacity(command.len() + checked.len());
    out.put_slice(command.as_bytes());
    out.put_slice(checked);
    out.freeze()
}
