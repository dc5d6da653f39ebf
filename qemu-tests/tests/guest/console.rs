//! What is typed at the console.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use image::machine::Guest;
use libtest_mimic::Failed;
use qemu_tests::{BOOT_MAX, POWER_OFF_MAX, Site, Start};

use crate::Test;

pub(crate) const TESTS: &[(&str, Test)] = &[
    ("console::an_address_is_set", an_address_is_set),
    ("console::settings_are_reset_and_the_seed_volume_brings_them_back", settings_are_reset),
    ("console::everything_is_erased", everything_is_erased),
];

/// Read at a time, bytes.
const PIECE: usize = 1 << 20;
const NAME: &str = "mx.example.com";

fn an_address_is_set() -> Result<(), Failed> {
    let site = Site::new(NAME)?;
    let (guest, _) = site.boot_to_greeting(Start::Kernel, Duration::ZERO)?;
    enter(&guest, "address 203.0.113.10/24 gateway 10.0.2.2 dns 10.0.2.3")?;
    guest.wait_for_serial("nothing was changed", BOOT_MAX)?;
    enter(&guest, "address 10.0.2.77/24 gateway 10.0.2.2 dns 10.0.2.3")?;
    restarted(guest)?;
    let guest = site.boot(Start::Kernel, Duration::ZERO)?;
    Ok(guest.wait_for_serial("address: 10.0.2.77/24", BOOT_MAX)?)
}

fn settings_are_reset() -> Result<(), Failed> {
    let site = Site::new(NAME)?;
    let (guest, _) = site.boot_to_greeting(Start::Kernel, Duration::ZERO)?;
    enter(&guest, "address 10.0.2.77/24 gateway 10.0.2.2 dns 10.0.2.3")?;
    restarted(guest)?;
    let guest = site.boot(Start::Kernel, Duration::ZERO)?;
    guest.wait_for_serial("address: 10.0.2.77/24", BOOT_MAX)?;
    confirm(&guest, "reset settings")?;
    restarted(guest)?;
    let (_guest, greeting) = site.boot_to_greeting(Start::Kernel, Duration::ZERO)?;
    greets(&greeting)
}

fn everything_is_erased() -> Result<(), Failed> {
    let site = Site::new(NAME)?;
    let (guest, _) = site.boot_to_greeting(Start::Kernel, Duration::ZERO)?;
    confirm(&guest, "reset everything")?;
    guest.wait_for_serial("everything is erased", BOOT_MAX)?;
    restarted(guest)?;
    let data = site.data_partition()?;
    let disk = File::open(site.disk())?;
    let (zeros, mut bytes) = (vec![0; PIECE], vec![0; PIECE]);
    for at in data.clone().step_by(PIECE) {
        let bytes = &mut bytes[..PIECE.min(usize::try_from(data.end - at)?)];
        disk.read_exact_at(bytes, at)?;
        if bytes != &zeros[..bytes.len()] {
            return Err(format!("the data partition is not zero near byte {at} of the disk").into());
        }
    }
    let (_guest, greeting) = site.boot_to_greeting(Start::Kernel, Duration::ZERO)?;
    greets(&greeting)
}

fn greets(greeting: &str) -> Result<(), Failed> {
    match greeting.starts_with(&format!("220 {NAME} ")) {
        true => Ok(()),
        false => Err(format!("it greets with {greeting:?}").into()),
    }
}

fn confirm(guest: &Guest, command: &str) -> Result<(), Failed> {
    enter(guest, command)?;
    guest.wait_for_serial("type \"yes\"", BOOT_MAX)?;
    enter(guest, "yes")
}

fn enter(guest: &Guest, command: &str) -> Result<(), Failed> {
    Ok(guest.keyboard()?.write_all(format!("{command}\r").as_bytes())?)
}

/// QEMU ends where the machine would start again.
fn restarted(mut guest: Guest) -> Result<(), Failed> {
    guest.wait_for_end(POWER_OFF_MAX)?;
    match guest.console().text().contains("reboot: Restarting system") {
        true => Ok(()),
        false => Err(format!("it did not restart:\n{}", guest.console().text()).into()),
    }
}
