//! What ICMP errors mean for connections: believed only if they quote one of ours (RFC 5927).

use std::net::SocketAddr;

use smoltcp::wire::TcpSeqNumber;

use super::ends::Ends;
use super::segment::FourTuple;
use super::{Context, Tcp};
use crate::control::FailReason;
use crate::icmp::quoted::{Quoted, Said};

impl<E: Ends> Tcp<E> {
    /// An ICMP error about a segment of ours.
    pub fn icmp_error(&mut self, quoted: &Quoted, said: Said, cx: &mut Context<'_, '_, E>) {
        let tuple = FourTuple {
            local: SocketAddr::new(quoted.source, quoted.source_port),
            peer: SocketAddr::new(quoted.target, quoted.target_port),
        };
        let Some(place) = self.by_tuple.get(&tuple).copied() else {
            cx.counters.count("drops.icmp.no_flow");
            return;
        };
        let Some(flow) = self.flow_at(place) else { return };
        if !quoted.tcp_number.is_some_and(|number| flow.quotes_ours(TcpSeqNumber(number as i32))) {
            cx.counters.count("drops.icmp.number");
            return;
        }
        match said {
            Said::TooBig { mtu } => {
                let mtu = cx.paths.learn(cx.now, tuple.peer.ip(), mtu);
                cx.counters.count("icmp.too_big");
                flow.set_path(mtu);
            }
            // RFC 5461 §4.1: hard errors end a connection only before it is open.
            Said::Unreachable { kind, code, hard } => {
                cx.counters.count("icmp.unreachable");
                if hard && flow.is_opening() {
                    self.failed(place, FailReason::Unreachable { kind, code }, cx);
                }
            }
        }
    }

    /// Nobody on the link answered for the next hop of one of our packets.
    pub fn no_neighbour(&mut self, tuple: &FourTuple, cx: &mut Context<'_, '_, E>) {
        let Some(place) = self.by_tuple.get(tuple).copied() else { return };
        if self.flow_at(place).is_some_and(|flow| flow.is_opening()) {
            self.failed(place, FailReason::NoNeighbour, cx);
        }
    }
}
