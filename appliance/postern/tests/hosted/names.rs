//! A resolver for which every name is the peers' end of the link.

use std::{net::UdpSocket, thread};

use crate::lab::{HOST, Lab};

/// Type A, class IN (RFC 1035 §3.2).
const A_IN: [u8; 4] = [0, 1, 0, 1];
const HEADER: usize = 12;

/// Answers until the test ends.
pub(crate) fn serve(lab: &Lab) {
    let socket = lab.inside(|| UdpSocket::bind((HOST, 53)).unwrap());
    thread::spawn(move || {
        let mut datagram = [0; 1_500];
        while let Ok((length, from)) = socket.recv_from(&mut datagram) {
            if let Some(answer) = answer(&datagram[..length]) {
                let _ = socket.send_to(&answer, from);
            }
        }
    });
}

/// RFC 1035 §4: the question, and for an address of version 4 one record that points to its name.
fn answer(question: &[u8]) -> Option<Vec<u8>> {
    let name = question.get(HEADER..)?.iter().position(|octet| *octet == 0)?;
    let asked = question.get(..HEADER + name + 5)?;
    let is_address = asked.ends_with(&A_IN);
    let mut answer = asked.to_vec();
    answer[2..HEADER].copy_from_slice(&[0x81, 0x80, 0, 1, 0, u8::from(is_address), 0, 0, 0, 0]);
    if is_address {
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
        answer.extend(HOST.octets());
    }
    Some(answer)
}
