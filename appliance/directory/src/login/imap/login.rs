//! The LOGIN command, in as many pieces as the server has to be asked for.

use std::collections::VecDeque;

use zeroize::Zeroizing;

use crate::login::Credentials;

/// Longest string that is quoted; longer ones are literals, since servers bound their lines.
const QUOTED_MAX: usize = 256;

/// `LOGIN name password` and the line's end. A string that cannot be quoted is sent as a literal (RFC 9051 §4.3), for
/// which the server has to be waited for: what follows is the next piece.
pub(super) fn pieces(credentials: &Credentials) -> VecDeque<Zeroizing<Vec<u8>>> {
    let mut pieces = VecDeque::new();
    let mut piece = Zeroizing::new(b"LOGIN".to_vec());
    for string in [credentials.name(), credentials.password().expose()] {
        piece.push(b' ');
        if is_quotable(string) {
            quote(string, &mut piece);
        } else {
            piece.extend_from_slice(format!("{{{}}}\r\n", string.len()).as_bytes());
            pieces.push_back(std::mem::take(&mut piece));
            piece.extend_from_slice(string.as_bytes());
        }
    }
    piece.extend_from_slice(b"\r\n");
    pieces.push_back(piece);
    pieces
}

/// RFC 9051 §9, QUOTED-CHAR, without what only servers with IMAP4rev2 understand.
fn is_quotable(string: &str) -> bool {
    string.len() <= QUOTED_MAX && string.bytes().all(|octet| octet == b' ' || octet.is_ascii_graphic())
}

fn quote(string: &str, piece: &mut Vec<u8>) {
    piece.push(b'"');
    for octet in string.bytes() {
        if octet == b'"' || octet == b'\\' {
            piece.push(b'\\');
        }
        piece.push(octet);
    }
    piece.push(b'"');
}
