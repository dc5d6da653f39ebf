//! Whatever a message begins with: any cut gives the same, nothing is held back or added beyond one line end, and
//! no field that only we may write comes through.
#![no_main]

use config_schema::name::DomainName;
use gateway::message::{HeaderFault, HeaderLimits, Incoming, Passed};
use libfuzzer_sys::fuzz_target;

fn filter(message: &[u8], cut: usize) -> (Vec<u8>, Result<Passed, HeaderFault>) {
    let own = DomainName::parse("mx.example.com").unwrap();
    let limits = HeaderLimits { octets: 2_000, fields: 20, received: 5, own_received: 2 };
    let (mut incoming, mut out) = (Incoming::new(own, limits), Vec::new());
    for chunk in message.chunks(cut) {
        if let Err(fault) = incoming.push(chunk, &mut out) {
            return (out, Err(fault));
        }
    }
    let end = incoming.finish(&mut out);
    (out, end)
}

fuzz_target!(|input: &[u8]| {
    let Some((&cut, message)) = input.split_first() else { return };
    let (whole, end) = filter(message, message.len().max(1));
    let (pieces, same_end) = filter(message, usize::from(cut).max(1));
    assert_eq!(end.is_ok(), same_end.is_ok());
    if end.is_err() {
        return;
    }
    assert_eq!((&whole, end), (&pieces, same_end));
    assert!(whole.len() <= message.len() + 2);
    // The section again, read the simplest way.
    let head_end = whole.windows(4).position(|w| w == b"\r\n\r\n").map_or(whole.len(), |at| at + 2);
    for line in whole[..head_end].split(|&byte| byte == b'\n') {
        match line.first() {
            None | Some(b'\r') => break,
            Some(b' ' | b'\t') => continue,
            Some(_) => {}
        }
        let Some(colon) = line.iter().position(|&byte| byte == b':') else { continue };
        let name = line[..colon].trim_ascii_end();
        let ours =
            name.to_ascii_lowercase().starts_with(b"x-postern-") || name.eq_ignore_ascii_case(b"x-spam-score");
        assert!(!ours || !name.iter().all(u8::is_ascii_graphic));
    }
});
