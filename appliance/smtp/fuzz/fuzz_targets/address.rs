//! Any text: what is an address prints to what is the same address, and breaks out of no line.
#![no_main]

use libfuzzer_sys::fuzz_target;
use smtp::{
    address::{ADDRESS_MAX, Address, ForwardPath, ReversePath},
    envelope::{MailParameters, RcptParameters},
};

fuzz_target!(|text: &str| {
    if let Ok(address) = Address::parse(text) {
        let printed = address.to_string();
        assert_eq!(Address::parse(&printed).as_ref(), Ok(&address));
        assert!(printed.len() <= ADDRESS_MAX && !printed.contains(char::is_control));
    }
    if let Ok(path) = ReversePath::parse(text) {
        assert_eq!(ReversePath::parse(&path.to_string()), Ok(path));
    }
    if let Ok(path) = ForwardPath::parse(text) {
        assert_eq!(ForwardPath::parse(&path.to_string()), Ok(path));
    }
    let _ = (MailParameters::parse(text), RcptParameters::parse(text));
});
