//! What the gateway asks for.

use ipnet::{IpNet, Ipv6Net};
use smoltcp::time::Instant;

use super::{Event, Stack};
use crate::address::dhcp::Dhcp;
use crate::address::slaac::Slaac;
use crate::address::{self, Origin};
use crate::control::{
    Configure, EndReason, FailReason, FromNet, Ipv4Addressing, Ipv6Addressing, Rejection, RequestId, ToNet,
    VERSION,
};
use crate::tcp::ends::Ends;

impl<E: Ends> Stack<E> {
    /// Obeys a message, or rejects it.
    pub fn message_in(&mut self, now: Instant, message: ToNet) {
        if let Err(rejection) = self.obey(now, message) {
            self.counters.count("control.rejected");
            self.events.push_back(Event::of(FromNet::Rejected(rejection)));
        }
    }

    /// A packet of the gateway's that was no message.
    pub fn malformed_in(&mut self) {
        self.counters.count("control.malformed");
        self.events.push_back(Event::of(FromNet::Rejected(Rejection::Malformed)));
    }

    fn obey(&mut self, now: Instant, message: ToNet) -> Result<(), Rejection> {
        if let ToNet::Hello { version } = message {
            self.greeted = version == VERSION;
            return if self.greeted { Ok(()) } else { Err(Rejection::Version { got: version }) };
        }
        if !self.greeted {
            return Err(Rejection::Version { got: 0 });
        }
        match message {
            ToNet::Hello { .. } => {}
            ToNet::Configure(configure) => self.configure(now, *configure)?,
            ToNet::Listen { id, .. } if self.stopping => return Err(Rejection::TooManyListeners(id)),
            ToNet::Listen { id, address, port, limits } => self.tcp.listen(id, address, port, limits)?,
            ToNet::Unlisten { id } => self.tcp.unlisten(id)?,
            ToNet::Connect { id, .. } | ToNet::Udp { id, .. } if self.stopping => {
                self.failed(id, FailReason::ShuttingDown);
            }
            ToNet::Connect { id, to, from, deadline_ms } => {
                let result = self.with(now, |tcp, _, cx| tcp.connect(id, to, from, deadline_ms, cx));
                result.unwrap_or_else(|reason| self.failed(id, reason));
            }
            ToNet::Udp { id, to } => {
                let result = self.with(now, |_, udp, cx| udp.open(id, to, cx));
                result.unwrap_or_else(|reason| self.failed(id, reason));
            }
            // A flow may end while the gateway speaks of it: nothing to reject.
            ToNet::Class { flow, class } => {
                self.tcp.set_class(flow, class);
            }
            ToNet::Reset { flow } if crate::udp::is_udp(flow) => {
                self.with(now, |_, udp, cx| udp.reset(flow, cx));
            }
            ToNet::Reset { flow } => {
                self.with(now, |tcp, _, cx| tcp.reset(flow, EndReason::LocalReset, cx));
            }
            ToNet::Stats => self.statistics(),
        }
        Ok(())
    }

    fn failed(&mut self, id: RequestId, reason: FailReason) {
        self.events.push_back(Event::of(FromNet::Failed { id, reason }));
    }

    fn statistics(&mut self) {
        self.tcp.measure(&mut self.counters);
        self.counters.set("udp.flows", self.udp.len() as u64);
        self.counters.set("link.neighbours", self.link.neighbours.len() as u64);
        self.counters.set("drops.out.full", self.link.out.dropped());
        let statistics = self.counters.statistics();
        self.events.push_back(Event::of(FromNet::Stats(statistics)));
    }

    fn configure(&mut self, now: Instant, configure: Configure) -> Result<(), Rejection> {
        address::check(&configure)?;
        let keeps_lease = self.dhcp.is_some() && configure.ipv4 == Ipv4Addressing::Dhcp;
        let mut gone = self.addresses.remove_all(Origin::Static);
        gone.extend(self.addresses.remove_all(Origin::Router));
        gone.extend(self.addresses.remove_all(Origin::LinkLocal));
        if !keeps_lease {
            gone.extend(self.addresses.remove_all(Origin::Dhcp));
        }
        self.configure_v4(now, &configure, keeps_lease);
        self.configure_v6(now, &configure);
        for router in &configure.routers {
            self.addresses.add_router(*router, Origin::Static);
        }
        self.tcp.set_buffer_memory(configure.limits.buffer_memory.unwrap_or(self.memory));
        self.configure = configure;
        self.lose(now, &gone);
        self.tell_addresses(now);
        // Also when nothing changed: it is the answer.
        if self.events.iter().all(|event| !matches!(event.message, FromNet::Ready { .. })) {
            let addresses = self.addresses.usable();
            self.events.push_back(Event::of(FromNet::Ready { addresses }));
        }
        Ok(())
    }

    fn configure_v4(&mut self, now: Instant, configure: &Configure, keeps_lease: bool) {
        if keeps_lease {
            return;
        }
        self.resting_dhcp = self.dhcp.take().or(self.resting_dhcp.take());
        match &configure.ipv4 {
            Ipv4Addressing::Dhcp => {
                let fresh = || Dhcp::new(now, self.link.mac, self.device_mtu, self.random.word());
                let mut dhcp = self.resting_dhcp.take().unwrap_or_else(fresh);
                dhcp.start_over();
                self.dhcp = Some(dhcp);
            }
            Ipv4Addressing::Static(nets) => {
                nets.iter().for_each(|net| self.addresses.add(IpNet::V4(*net), Origin::Static));
            }
            Ipv4Addressing::None => {}
        }
    }

    fn configure_v6(&mut self, now: Instant, configure: &Configure) {
        self.slaac = None;
        self.link.mtu = self.device_mtu;
        let secret = configure.stable_secret.unwrap_or(self.secret);
        if configure.ipv6 != Ipv6Addressing::None && self.device_mtu >= crate::ip::path_mtu::LEAST_V6 {
            let prefix = Ipv6Net::new_assert(LINK_LOCAL, 64);
            let own = Ipv6Net::new_assert(Slaac::address(secret, prefix, self.link.mac), 64);
            self.addresses.add(IpNet::V6(own), Origin::LinkLocal);
        }
        match &configure.ipv6 {
            Ipv6Addressing::Automatic => self.slaac = Some(Slaac::new(now, secret)),
            Ipv6Addressing::Static(nets) => {
                nets.iter().for_each(|net| self.addresses.add(IpNet::V6(*net), Origin::Static));
            }
            Ipv6Addressing::None => {}
        }
    }
}

/// RFC 4291 §2.5.6.
const LINK_LOCAL: std::net::Ipv6Addr = std::net::Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0);
