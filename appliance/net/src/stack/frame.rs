//! The way of a frame that comes in.

use std::net::IpAddr;

use smoltcp::time::Instant;
use smoltcp::wire::{EthernetAddress, EthernetFrame, EthernetProtocol, Icmpv6Packet, IpProtocol};

use super::{Event, Stack};
use sys::frames::Checksum;

use crate::address::dhcp::Dhcp;
use crate::control::FromNet;
use crate::icmp::Heard;
use crate::ip::{Datagram, filter};
use crate::link::neighbour::Cause;
use crate::link::{Sender, arp};
use crate::tcp::ends::Ends;

impl<E: Ends> Stack<E> {
    /// Takes a frame from the device. The answer, if any, waits in [`Stack::out`]; flows work at the next
    /// [`Stack::poll`].
    pub fn frame_in(&mut self, now: Instant, frame: &[u8], checksum: Checksum) {
        self.counters.count("frames_in");
        if let Err(dropped) = self.take_frame(now, frame, checksum) {
            self.counters.count(dropped);
        }
        self.link.cause = Cause::Ours;
    }

    fn take_frame(&mut self, now: Instant, frame: &[u8], checksum: Checksum) -> Result<(), &'static str> {
        let ethernet = EthernetFrame::new_checked(frame).map_err(|_| "drops.link.length")?;
        let (station, target) = (ethernet.src_addr(), ethernet.dst_addr());
        if target != self.link.mac && !target.is_broadcast() && !target.is_multicast() {
            return Err("drops.link.not_ours");
        }
        if station == self.link.mac || !station.is_unicast() {
            return Err("drops.link.station");
        }
        self.link.cause = Cause::Stranger(station);
        if self.dhcp.is_some() && Dhcp::wants(frame, checksum) {
            self.dhcp_frame(now, frame);
            if ethernet.ethertype() != EthernetProtocol::Arp {
                return Ok(());
            }
        }
        match ethernet.ethertype() {
            EthernetProtocol::Arp => self.arp(now, station, ethernet.payload()),
            EthernetProtocol::Ipv4 if target == self.link.mac => {
                self.ip(now, station, (ethernet.payload(), checksum), true)
            }
            EthernetProtocol::Ipv4 => Err("drops.link.group"), // RFC 1122 §3.3.6: unicast IP in a broadcast frame.
            EthernetProtocol::Ipv6 => self.ip(now, station, (ethernet.payload(), checksum), false),
            _ => Err("drops.link.kind"),
        }
    }

    fn dhcp_frame(&mut self, now: Instant, frame: &[u8]) {
        let Stack { dhcp: Some(dhcp), link, .. } = self else { return };
        if let Some(news) = dhcp.frame_in(now, frame, &mut link.out) {
            self.leased(now, news);
            self.tell_addresses(now);
        }
    }

    fn arp(&mut self, now: Instant, station: EthernetAddress, packet: &[u8]) -> Result<(), &'static str> {
        let mut sender = Sender { link: &mut self.link, addresses: &self.addresses };
        match arp::heard(&mut sender, now, station, packet)? {
            arp::Heard::Done => {}
            arp::Heard::Claims(address, by) => self.claimed(now, IpAddr::V4(address), by),
        }
        Ok(())
    }

    fn claimed(&mut self, now: Instant, address: IpAddr, by: EthernetAddress) {
        self.counters.count("link.conflicts");
        if self.conflicts.claimed(now, &mut self.link, address, by) {
            self.events.push_back(Event::of(FromNet::Conflict { address, mac: by.0 }));
        }
    }

    fn ip(
        &mut self,
        now: Instant,
        station: EthernetAddress,
        (packet, checksum): (&[u8], Checksum),
        v4: bool,
    ) -> Result<(), &'static str> {
        let datagram = filter::filter(packet, v4, checksum, &self.addresses)?;
        match datagram.protocol {
            IpProtocol::Tcp => self.with(now, |tcp, _, cx| tcp.datagram_in(&datagram, cx)),
            IpProtocol::Udp => self.udp(now, &datagram),
            IpProtocol::Icmp if v4 => {
                let mut sender = Sender { link: &mut self.link, addresses: &self.addresses };
                let heard = self.icmp.v4(&mut sender, now, &datagram)?;
                self.icmp_heard(now, heard, &datagram)
            }
            IpProtocol::Icmpv6 if !v4 => {
                let mut sender = Sender { link: &mut self.link, addresses: &self.addresses };
                let heard = self.icmp.v6(&mut sender, now, station, &datagram)?;
                self.icmp_heard(now, heard, &datagram)
            }
            _ => Err("drops.ip.protocol"),
        }
    }

    fn udp(&mut self, now: Instant, datagram: &Datagram<'_>) -> Result<(), &'static str> {
        if self.with(now, |_, udp, cx| udp.datagram_in(datagram, cx))? {
            return Ok(());
        }
        let mut sender = Sender { link: &mut self.link, addresses: &self.addresses };
        self.icmp.port_unreachable(&mut sender, now, datagram);
        Err("udp.closed_port")
    }

    fn icmp_heard(
        &mut self,
        now: Instant,
        heard: Heard<'_>,
        datagram: &Datagram<'_>,
    ) -> Result<(), &'static str> {
        match heard {
            Heard::Done => {}
            Heard::Claims(address, by) => self.claimed(now, address, by),
            Heard::Error(quoted, said) => {
                if !self.addresses.is_ours(quoted.source) {
                    return Err("drops.icmp.quote");
                }
                match quoted.protocol {
                    IpProtocol::Tcp => self.with(now, |tcp, _, cx| tcp.icmp_error(&quoted, said, cx)),
                    IpProtocol::Udp => self.with(now, |_, udp, cx| udp.icmp_error(&quoted, said, cx)),
                    _ => return Err("drops.icmp.quote"),
                }
            }
            Heard::Router(source, packet) => return self.router(now, source, &packet, datagram),
        }
        Ok(())
    }

    fn router(
        &mut self,
        now: Instant,
        source: std::net::Ipv6Addr,
        packet: &Icmpv6Packet<&[u8]>,
        datagram: &Datagram<'_>,
    ) -> Result<(), &'static str> {
        let secret = self.configure.stable_secret.unwrap_or(self.secret);
        let Stack { slaac: Some(slaac), link, addresses, .. } = self else { return Err("drops.nd.unwanted") };
        let from = (source, secret, link.mac);
        if let Some(mtu) = slaac.advertised(now, from, packet, datagram.payload, addresses)? {
            link.mtu = mtu.min(self.device_mtu);
        }
        self.tell_addresses(now);
        Ok(())
    }
}
