//! The header section of a message on its way in, looked at while it streams: nothing is held but the name of
//! the field at hand and, of an `Authentication-Results`, the beginning up to the name of who wrote it.

use config_schema::name::DomainName;

/// How much of a header section is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeaderLimits {
    /// Octets of the section.
    pub octets: u64,
    /// Fields in it.
    pub fields: u32,
    /// `Received` fields. RFC 5321 §6.3 advises at least 100 for simple counting, which real loops reach late:
    /// Exchange Online stops far earlier.
    pub received: u32,
    /// `Received` fields that say that we ourselves have had the message; with so many it is a loop.
    pub own_received: u32,
}

impl Default for HeaderLimits {
    fn default() -> HeaderLimits {
        HeaderLimits { octets: 1_000_000, fields: 2_000, received: 50, own_received: 10 }
    }
}

/// A line that has not come to its colon within RFC 5322 §2.1.1's line length is no field.
const NAME_MAX: usize = 998;
/// How far into an `Authentication-Results` its writer must be named; beyond, the field is removed.
const EXAMINED_MAX: usize = 1_000;
/// Longest word compared with our name in a `Received`.
const WORD_MAX: usize = DomainName::MAX;

/// The filter of one message. Bytes as the client meant them (dots removed) go in by [`push`](Self::push); what
/// belongs in the spool comes out.
#[derive(Debug)]
pub struct Incoming {
    own: DomainName,
    limits: HeaderLimits,
    place: Place,
    /// Bytes of the current field not yet passed on: its name, or an examined beginning.
    held: Vec<u8>,
    /// Where the value begins in `held`, while it is examined.
    value_at: usize,
    /// Whether anything of the header has been passed on.
    began: bool,
    octets: u64,
    fields: u32,
    received: u32,
    own_received: u32,
    removed: u32,
    by: ByWord,
    fault: Option<HeaderFault>,
}

/// Why a message is refused for its header section. Each is the sender's fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeaderFault {
    #[error("the header section is longer than {limit} octets")]
    TooLong { limit: u64 },
    #[error("the header section has more than {limit} fields")]
    TooManyFields { limit: u32 },
    #[error("the message has passed {received} hosts, {own} times this one")]
    Loop { received: u32, own: u32 },
}

/// What was seen of a message that may pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Passed {
    /// How many fields were taken out.
    pub removed: u32,
    pub received: u32,
}

/// Where in the header section the next byte lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    LineStart(Fate),
    Name,
    Value(Fate),
    Body,
}

/// What happens to the field at hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Pass,
    /// A `Received`: passes, its `by` is read on the way.
    Received,
    Remove,
    /// An `Authentication-Results` whose writer is not known yet.
    Examine,
}

impl Incoming {
    /// A filter for a message that `own` (our host name) accepts.
    pub fn new(own: DomainName, limits: HeaderLimits) -> Incoming {
        Incoming {
            own,
            limits,
            place: Place::LineStart(Fate::Pass),
            held: Vec::new(),
            value_at: 0,
            began: false,
            octets: 0,
            fields: 0,
            received: 0,
            own_received: 0,
            removed: 0,
            by: ByWord::default(),
            fault: None,
        }
    }

    /// Takes the next bytes, in any cut, and appends to `out` what may pass. At most [`NAME_MAX`] +
    /// [`EXAMINED_MAX`] octets more than came in are appended. After an error nothing more passes.
    pub fn push(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) -> Result<(), HeaderFault> {
        while !bytes.is_empty() {
            if let Some(fault) = self.fault {
                return Err(fault);
            }
            if self.place == Place::Body {
                out.extend_from_slice(bytes);
                return Ok(());
            }
            let taken = match self.place {
                Place::LineStart(fate) => self.line_start(bytes, fate, out),
                Place::Name => self.name(bytes, out),
                Place::Value(fate) => self.value(bytes, fate, out),
                Place::Body => 0,
            };
            self.count(taken);
            bytes = bytes.get(taken..).unwrap_or_default();
        }
        self.fault.map_or(Ok(()), Err)
    }

    /// The message is complete: passes on what was still held.
    pub fn finish(mut self, out: &mut Vec<u8>) -> Result<Passed, HeaderFault> {
        match self.place {
            Place::LineStart(fate) => self.end_field(fate),
            Place::Name => self.no_field(Place::LineStart(Fate::Pass), out),
            Place::Value(fate) => self.end_field(fate),
            Place::Body => {}
        }
        match self.fault {
            Some(fault) => Err(fault),
            None => Ok(Passed { removed: self.removed, received: self.received }),
        }
    }

    /// Whether the header section is over: from here on everything passes as it is.
    pub fn is_body(&self) -> bool {
        self.place == Place::Body && self.fault.is_none()
    }

    fn count(&mut self, octets: usize) {
        self.octets += octets as u64;
        let HeaderLimits { octets, fields, received, own_received } = self.limits;
        let fault = if self.octets > octets {
            HeaderFault::TooLong { limit: octets }
        } else if self.fields > fields {
            HeaderFault::TooManyFields { limit: fields }
        } else if self.received > received || self.own_received >= own_received {
            HeaderFault::Loop { received: self.received, own: self.own_received }
        } else {
            return;
        };
        self.fault.get_or_insert(fault);
    }

    /// The first byte of a line says whether it goes on with the field before it.
    fn line_start(&mut self, bytes: &[u8], fate: Fate, out: &mut Vec<u8>) -> usize {
        match bytes.first() {
            Some(b' ' | b'\t') if self.fields > 0 => self.place = Place::Value(fate),
            _ => {
                self.end_field(fate);
                self.held.clear();
                self.place = Place::Name;
                return self.name(bytes, out);
            }
        }
        0
    }

    fn name(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> usize {
        let end = bytes.iter().position(|&b| b == b':' || b == b'\n');
        let upto = end.map_or(bytes.len(), |at| at + 1);
        let room = NAME_MAX.saturating_sub(self.held.len());
        if upto > room {
            self.held.extend_from_slice(bytes.get(..room).unwrap_or_default());
            self.no_field(Place::Value(Fate::Pass), out);
            return room;
        }
        self.held.extend_from_slice(bytes.get(..upto).unwrap_or_default());
        match self.held.last() {
            Some(b':') if end.is_some() => self.named(out),
            Some(b'\n') if self.held == b"\r\n" || self.held == b"\n" => {
                self.pass_held(out);
                self.place = Place::Body;
            }
            Some(b'\n') => self.no_field(Place::LineStart(Fate::Pass), out),
            _ => {}
        }
        upto
    }

    /// The line at hand is none of RFC 5322's. In the middle of the header it passes and the section goes on at
    /// `then`, since a lenient reader would go on too; as the very first, an empty line keeps it apart from our
    /// fields, and all of it is body.
    fn no_field(&mut self, then: Place, out: &mut Vec<u8>) {
        self.fields += 1;
        self.place = then;
        if !self.began {
            if !self.held.is_empty() {
                out.extend_from_slice(b"\r\n");
            }
            self.place = Place::Body;
        }
        self.pass_held(out);
    }

    /// `held` is a name with its colon.
    fn named(&mut self, out: &mut Vec<u8>) {
        let name = self.held.get(..self.held.len().saturating_sub(1)).unwrap_or_default();
        // RFC 5322 §4.5.3: obsolete syntax has spaces before the colon, and readers accept it.
        let name = name.trim_ascii_end();
        let plain = !name.is_empty() && name.iter().all(|b| b.is_ascii_graphic());
        if !plain {
            return self.no_field(Place::Value(Fate::Pass), out);
        }
        let fate = fate_of(name);
        self.fields += 1;
        match fate {
            Fate::Examine => self.value_at = self.held.len(),
            Fate::Remove => self.removed += 1,
            Fate::Received => {
                self.received += 1;
                self.by = ByWord::default();
                self.pass_held(out);
            }
            Fate::Pass => self.pass_held(out),
        }
        self.place = Place::Value(fate);
    }

    fn value(&mut self, bytes: &[u8], fate: Fate, out: &mut Vec<u8>) -> usize {
        let end = bytes.iter().position(|&b| b == b'\n');
        let upto = end.map_or(bytes.len(), |at| at + 1);
        let line = bytes.get(..upto).unwrap_or_default();
        let fate = match fate {
            Fate::Pass => {
                out.extend_from_slice(line);
                Fate::Pass
            }
            Fate::Received => {
                if self.by.read(line, self.own.as_str()) {
                    self.own_received += 1;
                }
                out.extend_from_slice(line);
                Fate::Received
            }
            Fate::Remove => Fate::Remove,
            Fate::Examine => self.examine(line, out),
        };
        self.place = if end.is_some() { Place::LineStart(fate) } else { Place::Value(fate) };
        upto
    }

    fn examine(&mut self, line: &[u8], out: &mut Vec<u8>) -> Fate {
        let room = EXAMINED_MAX.saturating_sub(self.held.len() - self.value_at);
        self.held.extend_from_slice(line.get(..room.min(line.len())).unwrap_or_default());
        let value = self.held.get(self.value_at..).unwrap_or_default();
        match authserv_id(value) {
            Some(id) if is_own(&id, &self.own) => self.remove(),
            Some(_) => {
                self.pass_held(out);
                out.extend_from_slice(line.get(room.min(line.len())..).unwrap_or_default());
                Fate::Pass
            }
            None if line.len() > room => self.remove(),
            None => Fate::Examine,
        }
    }

    fn remove(&mut self) -> Fate {
        self.held.clear();
        self.removed += 1;
        Fate::Remove
    }

    /// A field that ended before it said who wrote it speaks for nobody, so it is not let in under our roof.
    fn end_field(&mut self, fate: Fate) {
        if fate == Fate::Examine {
            self.remove();
        }
    }

    fn pass_held(&mut self, out: &mut Vec<u8>) {
        self.began |= !self.held.is_empty();
        out.append(&mut self.held);
    }
}

/// The fields that only we set; what readers behind us trust must be ours.
fn fate_of(name: &[u8]) -> Fate {
    const OURS: &[u8] = b"X-Postern-";
    if name.get(..OURS.len()).is_some_and(|start| start.eq_ignore_ascii_case(OURS))
        || name.eq_ignore_ascii_case(b"X-Spam-Score")
    {
        Fate::Remove
    } else if name.eq_ignore_ascii_case(b"Authentication-Results") {
        Fate::Examine
    } else if name.eq_ignore_ascii_case(b"Received") {
        Fate::Received
    } else {
        Fate::Pass
    }
}

/// Names are compared as names: A-labels, no case, no trailing dot.
fn is_own(id: &str, own: &DomainName) -> bool {
    DomainName::parse(id).is_ok_and(|id| id == *own)
}

/// RFC 8601 §2.2: `[CFWS] authserv-id`, the id a token or a quoted string. `None` until it is complete.
fn authserv_id(value: &[u8]) -> Option<String> {
    let mut rest = value.iter().copied().peekable();
    let mut depth = 0_u32;
    loop {
        match rest.next()? {
            b'(' => depth += 1,
            b')' if depth > 0 => depth -= 1,
            b'\\' if depth > 0 => {
                rest.next()?;
            }
            b'"' if depth == 0 => {
                let mut id = Vec::new();
                loop {
                    match rest.next()? {
                        b'"' => return Some(String::from_utf8_lossy(&id).trim().to_owned()),
                        b'\\' => id.push(rest.next()?),
                        b'\r' | b'\n' => {}
                        other => id.push(other),
                    }
                }
            }
            b' ' | b'\t' | b'\r' | b'\n' => {}
            _ if depth > 0 => {}
            first => {
                let mut id = vec![first];
                loop {
                    match rest.next()? {
                        b' ' | b'\t' | b'\r' | b'\n' | b';' | b'(' | b'/' => {
                            return Some(String::from_utf8_lossy(&id).into_owned());
                        }
                        other => id.push(other),
                    }
                }
            }
        }
    }
}

/// Reads the words of a `Received` value for `by OUR-NAME`.
#[derive(Debug, Default)]
struct ByWord {
    word: Vec<u8>,
    after_by: bool,
    found: bool,
}

impl ByWord {
    /// Reads more of the value; true once, when our name is found.
    fn read(&mut self, bytes: &[u8], own: &str) -> bool {
        let before = self.found;
        for &byte in bytes {
            match byte {
                b' ' | b'\t' | b'\r' | b'\n' | b';' | b'(' => self.end_word(own),
                _ if self.word.len() <= WORD_MAX => self.word.push(byte),
                _ => {}
            }
        }
        self.found && !before
    }

    fn end_word(&mut self, own: &str) {
        if self.word.is_empty() {
            return;
        }
        self.found |= self.after_by && self.word.eq_ignore_ascii_case(own.as_bytes());
        self.after_by = self.word.eq_ignore_ascii_case(b"by");
        self.word.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn own() -> DomainName {
        DomainName::parse("mx.example.com").unwrap()
    }

    fn filter_cut(message: &[u8], cut: usize) -> (Vec<u8>, Result<Passed, HeaderFault>) {
        let mut out = Vec::new();
        let mut incoming = Incoming::new(own(), HeaderLimits::default());
        for chunk in message.chunks(cut.max(1)) {
            if let Err(fault) = incoming.push(chunk, &mut out) {
                return (out, Err(fault));
            }
        }
        let end = incoming.finish(&mut out);
        (out, end)
    }

    /// Every cut must say the same.
    fn filter(message: &str) -> String {
        let (whole, end) = filter_cut(message.as_bytes(), message.len());
        end.unwrap();
        for cut in 1..message.len().min(40) {
            assert_eq!(filter_cut(message.as_bytes(), cut).0, whole, "cut {cut}");
        }
        String::from_utf8(whole).unwrap()
    }

    #[test]
    fn our_trust_headers_are_removed_in_any_dress() {
        for dress in [
            "X-Postern-Stream: a:b\r\n",
            "x-pOSTERN-incident-ID: 7\r\n",
            "X-Postern-Stream : a:b\r\n",
            "X-Postern-Stream\t:\r\n a:b\r\n\tc\r\n",
            "X-Spam-Score: -100\r\nX-SPAM-SCORE: -200\r\n",
            "Authentication-Results: mx.example.com; spf=pass\r\n",
            "authentication-RESULTS: MX.Example.COM.; spf=pass\r\n",
            "Authentication-Results:\r\n (a (nested\\) ) comment)\r\n mx.example.com\r\n 1; spf=pass\r\n",
            "Authentication-Results: \"mx.\\example.com\" 1; dkim=pass\r\n",
            "Authentication-Results: mx.example.com(comment); dkim=pass\r\n",
            "Authentication-Results:\r\n",
            "Authentication-Results: (never closed\r\n",
        ] {
            let message = format!("Subject: a\r\n{dress}To: b\r\n\r\nX-Spam-Score: of the body\r\n");
            assert_eq!(
                filter(&message),
                "Subject: a\r\nTo: b\r\n\r\nX-Spam-Score: of the body\r\n",
                "{dress:?}"
            );
        }
    }

    #[test]
    fn an_examined_beginning_has_an_end() {
        let hidden = format!(
            "Authentication-Results: ({})\r\n mx.example.com; spf=pass\r\n\r\nb",
            "x".repeat(EXAMINED_MAX)
        );
        assert_eq!(filter(&hidden), "\r\nb");
    }

    #[test]
    fn what_is_not_ours_passes_as_it_came() {
        for message in [
            "Authentication-Results: mx.example.org; spf=pass\r\nARC-Seal: i=1\r\n\r\nbody",
            "Authentication-Results: sub.mx.example.com; spf=pass\r\n\r\n",
            "X-Posterna: 1\r\nX-Spam-Scores: 2\r\n\r\n",
            "Subject: a\r\n b\r\n\tc\r\nTo:\r\n\r\n.\r\n..\r\n\0\r\n",
            "Subject: a\r\nthis is no field\r\nTo: b\r\n\r\nbody",
            "Subject: no body",
            "\r\nonly a body",
            "",
        ] {
            assert_eq!(filter(message), message);
        }
    }

    #[test]
    fn a_header_cannot_grow_out_of_ours() {
        assert_eq!(filter(" X-Postern-Stream: a\r\nTo: b\r\n"), "\r\n X-Postern-Stream: a\r\nTo: b\r\n");
        assert_eq!(filter("hello\r\n"), "\r\nhello\r\n");
        assert_eq!(filter("hello"), "\r\nhello");
        assert_eq!(filter("X-Spam-Score: 1\r\n 2\r\n 3\r\n\r\n"), "\r\n");
    }

    #[test]
    fn a_line_that_is_no_field_hides_nothing_behind_it() {
        let message = "Subject: a\r\nno field\r\nX-Spam-Score: 1\r\n\r\nbody";
        assert_eq!(filter(message), "Subject: a\r\nno field\r\n\r\nbody");
        let message = format!("Subject: a\r\n{}\r\nX-Spam-Score: 1\r\n\r\nbody", "n".repeat(NAME_MAX + 5));
        assert!(!filter(&message).contains("Spam"));
    }

    #[test]
    fn loops_are_seen_at_their_limits() {
        let other = "Received: from a by b.example (by mx.example.com) with SMTP; x\r\n";
        let ours = "Received: from a\r\n\tBY\r\n\tMX.example.com (Postern) with ESMTP; x\r\n";
        let with =
            |field: &str, n: u32| filter_cut(format!("{}\r\n", field.repeat(n as usize)).as_bytes(), 7).1;
        assert_eq!(with(other, 50), Ok(Passed { removed: 0, received: 50 }));
        assert!(matches!(with(other, 51), Err(HeaderFault::Loop { received: 51, own: 0 })));
        assert!(with(ours, 9).is_ok());
        assert!(matches!(with(ours, 10), Err(HeaderFault::Loop { received: 10, own: 10 })));
    }

    #[test]
    fn fields_and_octets_have_limits() {
        let fields = |n: usize| filter_cut(format!("{}\r\n", "A: b\r\n".repeat(n)).as_bytes(), 4_096).1;
        assert!(fields(2_000).is_ok());
        assert_eq!(fields(2_001), Err(HeaderFault::TooManyFields { limit: 2_000 }));
        let octets = |n: usize| filter_cut(format!("A:{}\r\n\r\n", "b".repeat(n - 6)).as_bytes(), 4_096).1;
        assert!(octets(1_000_000).is_ok());
        assert_eq!(octets(1_000_001), Err(HeaderFault::TooLong { limit: 1_000_000 }));
    }

    #[test]
    fn a_long_body_is_no_header() {
        let message = format!("A: b\r\n\r\n{}", "x".repeat(2 << 20));
        assert_eq!(filter_cut(message.as_bytes(), 64_000).0, message.as_bytes());
    }

    proptest! {
        #[test]
        fn any_cut_gives_the_same(
            lines in proptest::collection::vec("(X-Spam-Score|A|Received|Authentication-Results| |x)?:?( by)?( mx.example.com)?[;( \"a]?", 0..8),
            body in "[a\r\n.:]{0,20}",
            cut in 1_usize..9,
        ) {
            let message = format!("{}\r\n\r\n{body}", lines.join("\r\n"));
            let (whole, end) = filter_cut(message.as_bytes(), message.len());
            let (cut_up, cut_end) = filter_cut(message.as_bytes(), cut);
            prop_assert_eq!(&whole, &cut_up);
            prop_assert_eq!(end, cut_end);
            prop_assert!(whole.len() <= message.len() + 2);
        }
    }
}
