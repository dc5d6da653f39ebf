//! The commented file that people start from.

use crate::{Delivery, Limits, Provisioning, Recipients, TcpLimits, bounded::Key};

/// A commented file that [`crate::Config::parse`] accepts.
///
/// What people are likely to change is written out; of the limits, each is there with its default.
pub(crate) fn example() -> String {
    let mut text = include_str!("../example.toml").to_owned();
    table(&mut text, "delivery", "How mail is handed on.", Delivery::KEYS);
    table(&mut text, "recipients", "How it is found out whether a recipient is real.", Recipients::KEYS);
    text.push_str(
        "# Which sender is named when a verification server is asked: \"null\" or \"postmaster\".\n",
    );
    text.push_str("# probe-sender = \"null\"\n");
    table(&mut text, "provisioning", "The billing cycle.", Provisioning::KEYS);
    table(&mut text, "limits", "What peers may take.", Limits::KEYS);
    table(&mut text, "limits.tcp", "How long a TCP connection may stay in each phase.", TcpLimits::KEYS);
    text
}

fn table(text: &mut String, name: &str, about: &str, keys: &[Key]) {
    text.push_str(&format!("\n# {about}\n[{name}]\n"));
    for key in keys {
        let (least, most) = ((key.least)(), (key.most)());
        text.push_str(&format!("#{} From {least} to {most}.\n", key.about));
        text.push_str(&format!("# {} = {}\n", key.name, (key.usual)()));
    }
}
