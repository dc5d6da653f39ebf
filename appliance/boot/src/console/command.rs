//! What is typed at the console, read as a command.

use std::net::IpAddr;

use sys::status::{Addresses, Change};

use crate::supervise::Ending;

/// What somebody at the console wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wish {
    End(Ending),
    Change(Change),
}

/// What a line that was typed comes to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Command {
    Nothing,
    /// An answer to the person.
    Say(String),
    Do(Wish),
}

/// What was said, so far as it matters for the next line.
#[derive(Debug, Default)]
pub(super) struct Dialogue {
    /// Done if the next line is "yes".
    unconfirmed: Option<Wish>,
}

/// Addresses, gateways and resolvers that one command may name, each.
const NAMED_MAX: usize = 4;

impl Dialogue {
    /// Takes a line without its end.
    pub(super) fn hear(&mut self, line: &[u8]) -> Command {
        let line = String::from_utf8_lossy(line).to_lowercase();
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        if let Some(wish) = self.unconfirmed.take() {
            return match words.as_slice() {
                ["yes"] => Command::Do(wish),
                _ => Command::Say("nothing was erased".into()),
            };
        }
        match words.as_slice() {
            [] => Command::Nothing,
            ["reboot"] => Command::Do(Wish::End(Ending::Restart)),
            ["power", "off"] => Command::Do(Wish::End(Ending::PowerOff)),
            ["reset", "settings"] => {
                self.confirm(Wish::Change(Change::ForgetSettings), "forget the configuration")
            }
            ["reset", "everything"] => {
                self.confirm(Wish::End(Ending::Erase), "erase the configuration, the queue and the log")
            }
            ["address", rest @ ..] => match addresses(rest) {
                Ok(addresses) => Command::Do(Wish::Change(Change::Addresses(addresses))),
                Err(why) => Command::Say(why),
            },
            _ => Command::Say(format!("\"{line}\" is no command")),
        }
    }

    fn confirm(&mut self, wish: Wish, what: &str) -> Command {
        self.unconfirmed = Some(wish);
        Command::Say(format!("type \"yes\" and Enter to {what}; anything else leaves it"))
    }
}

/// What follows the word "address".
fn addresses(words: &[&str]) -> Result<Addresses, String> {
    if words == ["dhcp"] {
        return Ok(Addresses::Dhcp);
    }
    let (mut addresses, mut gateways, mut resolvers) = (Vec::new(), Vec::new(), Vec::new());
    let mut of = "address";
    for &word in words {
        match (word, of) {
            ("gateway" | "dns", _) => of = word,
            (_, "gateway") => gateways.push(ip(word)?),
            (_, "dns") => resolvers.push(ip(word)?),
            _ => addresses.push(with_prefix(word)?),
        }
    }
    if addresses.is_empty() {
        return Err("an address is missing, such as 192.0.2.10/24".into());
    }
    if [addresses.len(), gateways.len(), resolvers.len()].into_iter().any(|named| named > NAMED_MAX) {
        return Err(format!("more than {NAMED_MAX} of a kind"));
    }
    Ok(Addresses::Static { addresses, gateways, resolvers })
}

fn ip(word: &str) -> Result<IpAddr, String> {
    word.parse().map_err(|_| format!("\"{word}\" is no address, expected one such as 192.0.2.1"))
}

fn with_prefix(word: &str) -> Result<(IpAddr, u8), String> {
    let wrong =
        || format!("\"{word}\" is no address with its network's length, expected one such as 192.0.2.10/24");
    let (address, length) = word.split_once('/').ok_or_else(wrong)?;
    let address: IpAddr = address.parse().map_err(|_| wrong())?;
    let length: u8 = length.parse().map_err(|_| wrong())?;
    let longest = if address.is_ipv4() { 32 } else { 128 };
    if length > longest { Err(wrong()) } else { Ok((address, length)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hear(line: &str) -> Command {
        Dialogue::default().hear(line.as_bytes())
    }

    fn says(line: &str, part: &str) {
        match hear(line) {
            Command::Say(text) => assert!(text.contains(part), "{text}"),
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn an_end_needs_no_second_word() {
        assert_eq!(hear("reboot"), Command::Do(Wish::End(Ending::Restart)));
        assert_eq!(hear("  Power  Off "), Command::Do(Wish::End(Ending::PowerOff)));
        assert_eq!(hear(" "), Command::Nothing);
        says("ls", "\"ls\" is no command");
    }

    #[test]
    fn what_erases_is_done_after_a_yes_only() {
        for (command, wish) in [
            ("reset settings", Wish::Change(Change::ForgetSettings)),
            ("reset everything", Wish::End(Ending::Erase)),
        ] {
            let mut dialogue = Dialogue::default();
            assert!(matches!(dialogue.hear(command.as_bytes()), Command::Say(_)));
            assert_eq!(dialogue.hear(b"yes"), Command::Do(wish));
            assert!(matches!(dialogue.hear(b"yes"), Command::Say(_)), "a yes counts once");
            dialogue.hear(command.as_bytes());
            assert_eq!(dialogue.hear(b""), Command::Say("nothing was erased".into()));
            assert!(matches!(dialogue.hear(b"yes"), Command::Say(_)), "a yes that came too late");
        }
    }

    #[test]
    fn addresses_are_read_with_gateways_and_resolvers() {
        let change = |addresses| Command::Do(Wish::Change(Change::Addresses(addresses)));
        assert_eq!(hear("address dhcp"), change(Addresses::Dhcp));
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let expected = Addresses::Static {
            addresses: vec![(ip("192.0.2.10"), 24), (ip("2001:db8::10"), 64)],
            gateways: vec![ip("192.0.2.1")],
            resolvers: vec![ip("192.0.2.53"), ip("192.0.2.54")],
        };
        let typed = "address 192.0.2.10/24 2001:DB8::10/64 gateway 192.0.2.1 dns 192.0.2.53 192.0.2.54";
        assert_eq!(hear(typed), change(expected));
    }

    #[test]
    fn a_wrong_address_is_named() {
        says("address", "missing");
        says("address 192.0.2.10", "\"192.0.2.10\" is no address with its network's length");
        says("address 192.0.2.10/33", "/33");
        says("address 192.0.2.10/24 gateway x", "\"x\" is no address");
        says("address 192.0.2.10/24 dns 192.0.2.0/24", "\"192.0.2.0/24\" is no address");
        let many = "192.0.2.1 ".repeat(NAMED_MAX + 1);
        says(&format!("address 192.0.2.10/24 dns {many}"), "more than");
    }

    #[test]
    fn what_is_no_text_is_no_command() {
        assert!(matches!(Dialogue::default().hear(b"\xff\x00\x1b[A"), Command::Say(_)));
    }
}
