use super::*;

fn scan(pieces: &[&[u8]]) -> Result<(Vec<u8>, bool), Violation> {
    let mut scanner = BodyScanner::data();
    let mut out = BytesMut::new();
    for piece in pieces {
        let fed = scanner.feed(piece, &mut out)?;
        if fed.end {
            return Ok((out.to_vec(), true));
        }
    }
    Ok((out.to_vec(), false))
}

#[test]
fn dots_are_unstuffed_and_the_end_is_found_at_every_split() {
    let wire = b"a\r\n..b\r\n...\r\n.c\r\nd.\r\n\r\n.\r\nMAIL";
    for at in 0..wire.len() {
        let (left, right) = wire.split_at(at);
        assert_eq!(scan(&[left, right]), Ok((b"a\r\n.b\r\n..\r\nc\r\nd.\r\n\r\n".to_vec(), true)), "{at}");
    }
}
