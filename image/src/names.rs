//! A resolver that knows one address: a developers' tool, for peers that are found by name.

use std::net::{Ipv4Addr, UdpSocket};
use std::thread;

/// Type A, class IN (RFC 1035 §3.2).
const A_IN: [u8; 4] = [0, 1, 0, 1];
const HEADER: usize = 12;
/// Longest question that is read.
const DATAGRAM_MAX: usize = 1_500;

/// Answers on `socket`, until the program ends, that every name is `address`.
pub fn serve(socket: UdpSocket, address: Ipv4Addr) {
    thread::spawn(move || {
        let mut datagram = [0; DATAGRAM_MAX];
        while let Ok((length, from)) = socket.recv_from(&mut datagram) {
            if let Some(answer) = datagram.get(..length).and_then(|question| answer(question, address)) {
                let _ = socket.send_to(&answer, from);
            }
        }
    });
}

/// RFC 1035 §4: the question, and for an address of version 4 one record that points to its name.
fn answer(question: &[u8], address: Ipv4Addr) -> Option<Vec<u8>> {
    let name = question.get(HEADER..)?.iter().position(|octet| *octet == 0)?;
    let asked = question.get(..HEADER + name + 5)?;
    let is_address = asked.ends_with(&A_IN);
    let mut answer = asked.to_vec();
    answer.get_mut(2..HEADER)?.copy_from_slice(&[0x81, 0x80, 0, 1, 0, u8::from(is_address), 0, 0, 0, 0]);
    if is_address {
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
        answer.extend(address.octets());
    }
    Some(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_told_and_nothing_else() {
        let question = |kind: u8| {
            [&[7, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0][..], b"\x02mx\x07example\x00", &[0, kind, 0, 1]].concat()
        };
        let told = answer(&question(1), Ipv4Addr::new(192, 0, 2, 7)).unwrap();
        assert!(told.starts_with(&[7, 7, 0x81, 0x80, 0, 1, 0, 1]) && told.ends_with(&[0, 4, 192, 0, 2, 7]));
        let nothing = answer(&question(28), Ipv4Addr::LOCALHOST).unwrap();
        assert!(nothing.starts_with(&[7, 7, 0x81, 0x80, 0, 1, 0, 0]) && nothing.ends_with(&[0, 28, 0, 1]));
        assert_eq!(answer(b"short", Ipv4Addr::LOCALHOST), None);
    }
}
