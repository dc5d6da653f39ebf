//! What of the original goes back with a notice: its header section, or all of it.

use smtp::envelope::Return;

use super::{
    Action, Facts, HEADERS_MAX, ORIGINAL_MAX,
    lines::{LINE_MAX, Lines},
    report::body,
};

/// Writes the last part of a notice.
pub(super) fn write(out: &mut Lines, facts: &Facts<'_>, boundary: &str) {
    match whole(facts, boundary) {
        Some(original) => message(out, original),
        None => headers(out, facts.original, boundary),
    }
}

/// The original where it is to be returned whole: the sender asked for it, something has failed (RFC 3461 §4.3), it is
/// small, and it can stand in a notice as it is.
fn whole<'a>(facts: &Facts<'a>, boundary: &str) -> Option<&'a [u8]> {
    let original = facts.original;
    let asked = facts.message.envelope.parameters.ret == Some(Return::Full);
    let all = original.len() <= ORIGINAL_MAX && original.len() as u64 == facts.message.size;
    let wanted = asked && all && facts.action == Action::Failed;
    let holds = |text: &[u8]| original.windows(text.len()).any(|part| part == text);
    (wanted && are_lines(original) && !holds(boundary.as_bytes())).then_some(original)
}

/// Whether a message may hold these octets outside of an encoding: lines as RFC 5322 §2.1.1 has them, without NUL.
fn are_lines(octets: &[u8]) -> bool {
    let line = |line: &[u8]| {
        let text = line.strip_suffix(b"\r\n");
        text.is_some_and(|text| text.len() <= LINE_MAX && !text.iter().any(|octet| b"\r\n\0".contains(octet)))
    };
    octets.split_inclusive(|&octet| octet == b'\n').all(line)
}

/// As it is if it is ASCII; else as `message/global`, which may be in base64 and so passes everywhere (RFC 6532 §3.7).
fn message(out: &mut Lines, original: &[u8]) {
    out.add(if original.is_ascii() {
        "Content-Type: message/rfc822"
    } else {
        "Content-Type: message/global"
    });
    body(out, original);
}

/// As text where the section is ASCII, else as `message/global-headers` (RFC 6533 §6.3).
fn headers(out: &mut Lines, original: &[u8], boundary: &str) {
    let mut lines = Lines::default();
    for line in header_section(original).split(|&octet| octet == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let text = String::from_utf8_lossy(line);
        if text.is_empty() || text.contains(boundary) {
            break;
        }
        lines.add(&text);
    }
    let octets = lines.as_bytes();
    out.add(if octets.is_ascii() {
        "Content-Type: text/rfc822-headers"
    } else {
        "Content-Type: message/global-headers"
    });
    body(out, octets);
}

/// Up to the empty line, whole lines only.
fn header_section(original: &[u8]) -> &[u8] {
    let cut = original.get(..HEADERS_MAX).unwrap_or(original);
    match cut.windows(4).position(|four| four == b"\r\n\r\n") {
        Some(end) => &cut[..end],
        None if cut.len() == original.len() => cut,
        None => cut.iter().rposition(|&octet| octet == b'\n').map_or(&[][..], |end| &cut[..end]),
    }
}
