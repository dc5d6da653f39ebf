//! What the appliance is told.

use crate::lab::HOST;

/// Many connections from one source, more than the Internet is allowed, and quick retries.
pub(crate) const ROOMY: &str = r#"
[limits]
connections-per-address = 5000
connections-per-network = 5000
new-connections-per-minute = 100000
tls-handshakes-per-second = 1000
messages-per-connection = 100000
disk-reserve-percent = 1
disk-reserve = "16 MB"

[delivery]
first-retry = "1 s"
connections-per-destination = 20
"#;

/// A configuration with one domain, routed to a port of the peers' end of the link.
pub(crate) fn configuration(port: u16) -> String {
    with_domains(&[("example.com", port)], "")
}

/// A configuration with several domains, each with the port that it is routed to, and `more` sections.
pub(crate) fn with_domains(domains: &[(&str, u16)], more: &str) -> String {
    let mut text = format!(
        r#"version = 1

[network]
hostname = "mx.example.com"
address = ["10.77.0.2/24"]
gateway = ["{HOST}"]
dns = ["{HOST}"]
{more}
[[realm]]
name = "example"
"#
    );
    for (name, port) in domains {
        text += &format!(
            r#"
[[domain]]
name = "{name}"
realm = "example"
route = ["[{HOST}]:{port}"]
"#
        );
    }
    text
}
