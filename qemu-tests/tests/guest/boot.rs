//! From power-on to the greeting, by each way to start.

use std::time::Duration;

use libtest_mimic::Failed;
use qemu_tests::{Site, Start};

use crate::Test;

pub(crate) const TESTS: &[(&str, Test)] = &[
    ("boot::as_a_kernel", as_a_kernel),
    ("boot::by_uefi", by_uefi),
    ("boot::from_bios", from_bios),
    ("boot::configuration_is_read_from_the_seed_volume", configuration_is_read_from_the_seed_volume),
];

fn as_a_kernel() -> Result<(), Failed> {
    greets(Start::Kernel)
}

fn by_uefi() -> Result<(), Failed> {
    greets(Start::Uefi)
}

fn from_bios() -> Result<(), Failed> {
    greets(Start::Bios)
}

fn greets(start: Start) -> Result<(), Failed> {
    let site = Site::new("mx.example.com")?;
    let (_guest, greeting) = site.boot_to_greeting(start, Duration::ZERO)?;
    // RFC 5321 §4.2: the greeting begins with the server's name.
    if greeting.starts_with("220 mx.example.com ") {
        return Ok(());
    }
    Err(format!("it greets with {greeting:?}").into())
}

/// The name in the greeting is known from nowhere else.
fn configuration_is_read_from_the_seed_volume() -> Result<(), Failed> {
    let site = Site::new("named-on-the-seed-volume.example.net")?;
    let (_guest, greeting) = site.boot_to_greeting(Start::Kernel, Duration::ZERO)?;
    if greeting.starts_with("220 named-on-the-seed-volume.example.net ") {
        return Ok(());
    }
    Err(format!("it greets with {greeting:?}").into())
}
