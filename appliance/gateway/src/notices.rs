//! What the network says unasked: addresses, leases, the link, conflicts.

use ipnet::IpNet;
use net::control::FromNet;
use store::log::{Event, FaultClass};
use tokio::sync::watch;

use crate::{
    appliance::Appliance,
    network::{Network, Notices},
    status::Status,
};

/// Follows the notices; what is returned holds the addresses that are ours, and closes with the network.
pub(crate) fn start(
    mut notices: Notices,
    appliance: &Appliance,
    network: &Network,
    status: &Status,
) -> watch::Receiver<Vec<IpNet>> {
    let (sender, addresses) = watch::channel(Vec::new());
    let (appliance, network, status) = (appliance.clone(), network.clone(), status.clone());
    tokio::spawn(async move {
        while let Some(notice) = notices.next().await {
            match notice {
                FromNet::Ready { addresses } => {
                    let text: Vec<String> = addresses.iter().map(IpNet::to_string).collect();
                    status.console("address", &text.join(" "));
                    log(&appliance, "network.addresses", &text.join(" "), None);
                    sender.send_replace(addresses);
                }
                FromNet::Address(lease) => {
                    let text =
                        lease.as_ref().map_or_else(|| "lost".to_owned(), |lease| lease.address.to_string());
                    log(&appliance, "network.lease", &text, None);
                    network.learn(lease);
                }
                FromNet::Link { up } => {
                    status.console("link", if up { "" } else { "down: is the cable in its place?" });
                    log(&appliance, "network.link", if up { "up" } else { "down" }, None);
                }
                FromNet::Conflict { address, mac } => {
                    let text = format!("{address} is used by {mac:02x?} too");
                    status.console("alarm", &text);
                    log(&appliance, "network.conflict", &text, Some(FaultClass::Configuration));
                }
                FromNet::Rejected(why) => {
                    log(&appliance, "network.rejected", &why.to_string(), Some(FaultClass::Bug))
                }
                _ => {}
            }
        }
    });
    addresses
}

fn log(appliance: &Appliance, kind: &'static str, text: &str, fault: Option<FaultClass>) {
    let event = Event::new(appliance.clock.now(), kind).field("text", text);
    appliance.store.event(match fault {
        Some(fault) => event.fault(fault),
        None => event,
    });
}
