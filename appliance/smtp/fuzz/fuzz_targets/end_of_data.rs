//! Any octets after 354: the scanner says the same whether they come whole or in pieces, and what it keeps has no
//! line end but CR LF. The first octet is the size of the pieces.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use smtp::body_scanner::{BodyScanner, Violation};

fuzz_target!(|input: &[u8]| {
    let Some((&piece, wire)) = input.split_first() else { return };
    for scanner in [BodyScanner::data(), BodyScanner::chunks()] {
        let whole = scan(scanner.clone(), wire, wire.len().max(1));
        assert_eq!(whole, scan(scanner, wire, usize::from(piece).max(1)));
        if let Ok((body, _)) = whole {
            let lines = String::from_utf8_lossy(&body).replace("\r\n", "");
            assert!(!lines.contains(['\r', '\n', '\0']));
        }
    }
});

fn scan(mut scanner: BodyScanner, wire: &[u8], piece: usize) -> Result<(BytesMut, usize), Violation> {
    let mut out = BytesMut::new();
    let mut consumed = 0;
    for piece in wire.chunks(piece) {
        let fed = scanner.feed(piece, &mut out)?;
        consumed += fed.consumed;
        if fed.end {
            break;
        }
    }
    Ok((out, consumed))
}
