//! Which frames wake `net`: a program of the classic BPF, which the kernel runs on each frame that comes.

use std::io;
use std::os::fd::OwnedFd;

use crate::frames::set;

/// Where a test leads.
#[derive(Clone, Copy)]
enum To {
    Next,
    /// The step of this number.
    Step(u8),
    In,
    Out,
}

/// A test, or a load, which leads to the next step.
type Step = (u32, u32, To, To);

const LOAD_BYTE: u32 = libc::BPF_LD | libc::BPF_B | libc::BPF_ABS;
const LOAD_HALF: u32 = libc::BPF_LD | libc::BPF_H | libc::BPF_ABS;
const LOAD_WORD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
/// Four times the low half of a byte: the length of an IPv4 header.
const LOAD_HEADER_LEN: u32 = libc::BPF_LDX | libc::BPF_B | libc::BPF_MSH;
/// Beyond that header.
const LOAD_HALF_BEYOND: u32 = libc::BPF_LD | libc::BPF_H | libc::BPF_IND;
const EQUAL: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
const ANY_BIT: u32 = libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K;
/// Where the tag is found that the kernel has taken out of a frame.
const VLAN_TAG: u32 = (libc::SKF_AD_OFF + libc::SKF_AD_VLAN_TAG) as u32;
/// IEEE 802.1Q: an id of 0 is a priority alone.
const VLAN_ID: u32 = 0x0fff;
const RETURN: u32 = libc::BPF_RET | libc::BPF_K;

/// The length of a step's way is a byte, and the kernel takes 4,096 steps.
const STEPS_MAX: usize = 64;

/// Of no other VLAN. To our station: ARP, IPv4, IPv6. To a group: ARP, what may be DHCP's answer, what may be neighbour discovery.
pub(crate) fn attach(socket: &OwnedFd, station: [u8; 6]) -> io::Result<()> {
    let mut program = assemble(&steps(station));
    let filter = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    set(socket, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &filter)
}

fn steps([a, b, c, d, e, f]: [u8; 6]) -> Vec<Step> {
    use To::{In, Next, Out, Step};
    const ARP: u32 = libc::ETH_P_ARP as u32;
    const IPV4: u32 = libc::ETH_P_IP as u32;
    const IPV6: u32 = libc::ETH_P_IPV6 as u32;
    let load = |code, at| (code, at, Next, Next);
    vec![
        load(LOAD_HALF, VLAN_TAG),
        (ANY_BIT, VLAN_ID, Out, Next),
        load(LOAD_BYTE, 0),
        (ANY_BIT, 1, Step(12), Next), // A group.
        load(LOAD_WORD, 0),
        (EQUAL, u32::from_be_bytes([a, b, c, d]), Next, Out),
        load(LOAD_HALF, 4),
        (EQUAL, u32::from_be_bytes([0, 0, e, f]), Next, Out),
        load(LOAD_HALF, 12),
        (EQUAL, IPV4, In, Next),
        (EQUAL, IPV6, In, Next),
        (EQUAL, ARP, In, Out),
        load(LOAD_HALF, 12), // Step 12.
        (EQUAL, ARP, In, Next),
        (EQUAL, IPV4, Step(19), Next),
        (EQUAL, IPV6, Next, Out),
        load(LOAD_BYTE, 20),
        (EQUAL, libc::IPPROTO_ICMPV6 as u32, In, Next),
        (EQUAL, libc::IPPROTO_HOPOPTS as u32, In, Out),
        load(LOAD_BYTE, 23), // Step 19.
        (EQUAL, libc::IPPROTO_UDP as u32, Next, Out),
        load(LOAD_HALF, 20),
        (ANY_BIT, 0x1fff, Out, Next), // A later fragment has no port.
        load(LOAD_HEADER_LEN, 14),
        load(LOAD_HALF_BEYOND, 16),
        (EQUAL, DHCP_CLIENT, In, Out),
    ]
}

/// RFC 2131 §4.1.
const DHCP_CLIENT: u32 = 68;

fn assemble(steps: &[Step]) -> Vec<libc::sock_filter> {
    debug_assert!(steps.len() <= STEPS_MAX);
    let (inside, outside) = (steps.len(), steps.len() + 1);
    let way = |from: usize, to: To| {
        let to = match to {
            To::Next => from + 1,
            To::Step(number) => usize::from(number),
            To::In => inside,
            To::Out => outside,
        };
        (to - from - 1) as u8
    };
    let step = |(at, &(code, k, yes, no)): (usize, &Step)| libc::sock_filter {
        code: code as u16,
        jt: way(at, yes),
        jf: way(at, no),
        k,
    };
    let end = |k| libc::sock_filter { code: RETURN as u16, jt: 0, jf: 0, k };
    steps.iter().enumerate().map(step).chain([end(u32::MAX), end(0)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: [u8; 6] = [2, 0, 0, 0, 0, 1];
    const ALL: [u8; 6] = [0xff; 6];
    const GROUP: [u8; 6] = [0x33, 0x33, 0, 0, 0, 1];

    fn frame(to: [u8; 6], kind: u16, rest: &[u8]) -> Vec<u8> {
        let mut frame = vec![0; 60];
        frame[..6].copy_from_slice(&to);
        frame[12..14].copy_from_slice(&kind.to_be_bytes());
        frame[14..14 + rest.len()].copy_from_slice(rest);
        frame
    }

    /// An IPv4 header of so many words, then UDP to a port.
    fn udp(words: u8, fragment: u16, port: u16) -> Vec<u8> {
        let mut packet = vec![0; usize::from(words) * 4 + 8];
        packet[0] = 0x40 | words;
        packet[6..8].copy_from_slice(&fragment.to_be_bytes());
        packet[9] = 17;
        let at = usize::from(words) * 4 + 2;
        packet[at..at + 2].copy_from_slice(&port.to_be_bytes());
        packet
    }

    fn ipv6(next: u8) -> Vec<u8> {
        [0x60, 0, 0, 0, 0, 0, next].to_vec()
    }

    #[test]
    fn what_may_be_for_us_comes_in_and_the_rest_does_not() {
        let cases = [
            (true, frame(OURS, 0x0800, &udp(5, 0, 25))),
            (true, frame(OURS, 0x86dd, &ipv6(6))),
            (true, frame(OURS, 0x0806, &[])),
            (false, frame(OURS, 0x88cc, &[])),
            (false, frame([2, 0, 0, 0, 0, 2], 0x0800, &udp(5, 0, 68))),
            (false, frame([2, 0, 0, 0, 1, 1], 0x0800, &udp(5, 0, 68))),
            (false, frame([4, 0, 0, 0, 0, 1], 0x0806, &[])),
            (true, frame(ALL, 0x0806, &[])),
            (true, frame(ALL, 0x0800, &udp(5, 0, 68))),
            (true, frame(ALL, 0x0800, &udp(6, 0, 68))),
            (false, frame(ALL, 0x0800, &udp(5, 0, 67))),
            (false, frame(ALL, 0x0800, &udp(5, 100, 68))),
            (false, frame(ALL, 0x0800, &[0x45, 0, 0, 0, 0, 0, 0, 0, 0, 6])),
            (true, frame(GROUP, 0x86dd, &ipv6(58))),
            (true, frame(GROUP, 0x86dd, &ipv6(0))),
            (false, frame(GROUP, 0x86dd, &ipv6(17))),
            (false, frame(ALL, 0x88cc, &[])),
            (false, vec![0xff; 13]),
        ];
        // Any socket runs such a program; this one shows what it lets through, in order.
        let flags = rustix::net::SocketFlags::NONBLOCK;
        let kind = rustix::net::SocketType::DGRAM;
        let (sender, receiver) =
            rustix::net::socketpair(rustix::net::AddressFamily::UNIX, kind, flags, None).unwrap();
        attach(&receiver, OURS).unwrap();
        for (n, (wanted, frame)) in cases.iter().enumerate() {
            // A datagram that the filter refuses is an error to its sender, or lost.
            let _ = rustix::net::send(&sender, frame, rustix::net::SendFlags::NOSIGNAL);
            let mut room = [0; 100];
            let got = rustix::net::recv(&receiver, &mut room[..], rustix::net::RecvFlags::empty());
            assert_eq!(got.is_ok(), *wanted, "case {n}: {frame:x?}");
        }
    }
}
