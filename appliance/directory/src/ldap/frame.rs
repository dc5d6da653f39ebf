//! Where one message of a server's ends, and whether it may be decoded: seen before anything is allocated for it.

/// Longest message of a server, in octets. An entry is asked for a few attributes only.
pub const MESSAGE_MAX: usize = 256 << 10;
/// Elements in one message, whatever their size: each costs the decoder more than its two octets.
pub const ELEMENTS_MAX: usize = 8_192;
/// Deepest nesting of elements; an entry's values lie 5 deep.
pub const DEPTH_MAX: usize = 12;

/// Octets that are no message that a server may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameFault {
    /// Not the beginning of an LDAPMessage (RFC 4511 §4.1.1): another protocol, or TLS where there should be none.
    #[error("what the server sends is not LDAP")]
    NotLdap,
    /// Longer than [`MESSAGE_MAX`].
    #[error("a message of more than {MESSAGE_MAX} octets")]
    TooLong,
    /// More than [`ELEMENTS_MAX`].
    #[error("a message of more than {ELEMENTS_MAX} elements")]
    TooMany,
    /// Deeper than [`DEPTH_MAX`].
    #[error("a message nested deeper than {DEPTH_MAX}")]
    TooDeep,
    /// An element reaches beyond the one that holds it, or has a length of a form that LDAP does not know.
    #[error("a message that is not BER as LDAP restricts it (RFC 4511 §5.1)")]
    Malformed,
    /// An operation that no server sends.
    #[error("an operation that no server sends ({0:#04x})")]
    Operation(u8),
}

/// Beginning and end of an element's content.
struct Header {
    constructed: bool,
    content: usize,
    end: usize,
}

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
/// What a server answers with: bind, entry, done, reference, extended and intermediate response.
const OPERATIONS: [u8; 6] = [0x61, 0x64, 0x65, 0x73, 0x78, 0x79];

/// How many octets the message takes that `octets` begin with; `None` while it is not whole.
pub(super) fn next(octets: &[u8]) -> Result<Option<usize>, FrameFault> {
    match octets.first() {
        None => return Ok(None),
        Some(&SEQUENCE) => {}
        Some(_) => return Err(FrameFault::NotLdap),
    }
    let Some(outer) = header(octets, 0)? else { return Ok(None) };
    if outer.end > MESSAGE_MAX {
        return Err(FrameFault::TooLong);
    }
    let Some(message) = octets.get(..outer.end) else { return Ok(None) };
    operation(message, &outer)?;
    walk(message, &outer)?;
    Ok(Some(outer.end))
}

/// Reads the header at `at`; `None` while it is not whole.
fn header(octets: &[u8], at: usize) -> Result<Option<Header>, FrameFault> {
    let (Some(&tag), Some(&first)) = (octets.get(at), octets.get(at + 1)) else { return Ok(None) };
    // LDAP has no tag of more than one octet.
    if tag & 0x1f == 0x1f {
        return Err(FrameFault::Malformed);
    }
    let (content, length) = match first {
        0..=0x7f => (at + 2, usize::from(first)),
        // RFC 4511 §5.1: only the definite form. Four octets hold more than any message may have.
        0x81..=0x84 => {
            let octets_of_length = usize::from(first & 0x7f);
            let Some(length) = octets.get(at + 2..at + 2 + octets_of_length) else { return Ok(None) };
            let length = length.iter().fold(0usize, |length, octet| (length << 8) | usize::from(*octet));
            (at + 2 + octets_of_length, length)
        }
        _ => return Err(FrameFault::Malformed),
    };
    Ok(Some(Header { constructed: tag & 0x20 != 0, content, end: content.saturating_add(length) }))
}

/// Checks the message's number and which operation it is.
fn operation(message: &[u8], outer: &Header) -> Result<(), FrameFault> {
    let id = header(message, outer.content)?.ok_or(FrameFault::Malformed)?;
    let length = id.end - id.content;
    if message.get(outer.content) != Some(&INTEGER) || !(1..=4).contains(&length) {
        return Err(FrameFault::Malformed);
    }
    match message.get(id.end) {
        Some(operation) if OPERATIONS.contains(operation) => Ok(()),
        Some(operation) => Err(FrameFault::Operation(*operation)),
        None => Err(FrameFault::Malformed),
    }
}

/// Checks that each element lies within the one that holds it, and counts them.
fn walk(message: &[u8], outer: &Header) -> Result<(), FrameFault> {
    let mut ends = [0; DEPTH_MAX];
    let (mut depth, mut at, mut elements) = (1, outer.content, 1);
    ends[0] = outer.end;
    loop {
        while depth > 0 && ends.get(depth - 1) == Some(&at) {
            depth -= 1;
        }
        if depth == 0 {
            return Ok(());
        }
        let end = ends.get(depth - 1).copied().unwrap_or(at);
        let element = header(message, at)?.ok_or(FrameFault::Malformed)?;
        if element.end > end {
            return Err(FrameFault::Malformed);
        }
        elements += 1;
        if elements > ELEMENTS_MAX {
            return Err(FrameFault::TooMany);
        }
        if element.constructed {
            *ends.get_mut(depth).ok_or(FrameFault::TooDeep)? = element.end;
            depth += 1;
            at = element.content;
        } else {
            at = element.end;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn element(tag: u8, content: &[u8]) -> Vec<u8> {
        let length = u32::try_from(content.len()).unwrap().to_be_bytes();
        [&[tag, 0x84], &length[..], content].concat()
    }

    fn message(operation: &[u8]) -> Vec<u8> {
        element(SEQUENCE, &[&[INTEGER, 1, 7], operation].concat())
    }

    /// An entry whose attribute list holds `inner`.
    fn entry(inner: &[u8]) -> Vec<u8> {
        message(&element(0x64, &[element(4, b"cn=a"), element(SEQUENCE, inner)].concat()))
    }

    #[test]
    fn a_message_is_whole_at_its_last_octet() {
        let whole = entry(&element(4, b"x"));
        for end in 0..whole.len() {
            assert_eq!(next(&whole[..end]), Ok(None), "{end}");
        }
        assert_eq!(next(&whole), Ok(Some(whole.len())));
        assert_eq!(next(&[&whole[..], b"more"].concat()), Ok(Some(whole.len())));
    }

    #[test]
    fn each_limit_holds() {
        let nested = |depth: usize| (4..depth).fold(element(4, b""), |inner, _| element(SEQUENCE, &inner));
        assert!(next(&entry(&nested(DEPTH_MAX))).is_ok());
        assert_eq!(next(&entry(&nested(DEPTH_MAX + 2))), Err(FrameFault::TooDeep));
        let many = |count: usize| entry(&[4, 0].repeat(count));
        assert!(next(&many(ELEMENTS_MAX - 5)).is_ok());
        assert_eq!(next(&many(ELEMENTS_MAX - 4)), Err(FrameFault::TooMany));
        let long = |len: usize| entry(&element(4, &vec![0; len - entry(&element(4, b"")).len()]));
        assert_eq!(next(&long(MESSAGE_MAX)), Ok(Some(MESSAGE_MAX)));
        assert_eq!(next(&long(MESSAGE_MAX + 1)[..20]), Err(FrameFault::TooLong), "before it has come");
    }

    #[test]
    fn what_is_no_message_of_a_server_is_told() {
        for (octets, fault) in [
            (b"HTTP/1.1 400".to_vec(), FrameFault::NotLdap),
            (vec![0x16, 3, 3, 0, 1], FrameFault::NotLdap),
            (vec![SEQUENCE, 0x80, 0, 0], FrameFault::Malformed),
            (vec![SEQUENCE, 0x85, 0, 0, 0, 0, 1], FrameFault::Malformed),
            (vec![SEQUENCE, 0], FrameFault::Malformed),
            (vec![SEQUENCE, 3, INTEGER, 1, 1], FrameFault::Malformed),
            (vec![SEQUENCE, 2, INTEGER, 0], FrameFault::Malformed),
            (message(&element(0x60, b"")), FrameFault::Operation(0x60)),
            (message(&[0x64, 5, 4, 0]), FrameFault::Malformed),
            (message(&[0x64, 3, 4, 2, 0]), FrameFault::Malformed),
            (message(&[0x64, 3, 0x7f, 1, 0]), FrameFault::Malformed),
        ] {
            assert_eq!(next(&octets), Err(fault), "{octets:x?}");
        }
    }

    proptest! {
        #[test]
        fn no_octets_panic(octets in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = next(&octets);
            let _ = next(&entry(&octets));
        }
    }
}
