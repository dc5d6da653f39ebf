//! Boots the image and drives it with real peers.
//!
//! A [`Site`] is an appliance with what surrounds it: a disk that lasts from boot to boot, a configuration on
//! a seed volume, and a next hop that answers as Exchange Online does. [`Site::boot`] switches a guest on.

mod peer;

use std::env;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use gpt::GptConfig;
use image::commands::Results;
use image::exchange::{Exchange, Received, Recipients, Tenant};
use image::machine::{Boot, Forward, Guest, HOST_SEEN_BY_GUEST, MEMORY, Machine};
use image::workspace::Scratch;
use image::{Error, Result, disk};
pub use peer::{Sender, Swaks, swaks};

/// How long anything may take that a guest does while it starts. Emulation on a busy machine is slow.
pub const BOOT_MAX: Duration = Duration::from_secs(180);

/// How long a message may take from its 250 to the next hop.
pub const DELIVERY_MAX: Duration = Duration::from_secs(120);

/// What the kernel says when QEMU's emulated timer came too late for it, as on a busy machine. It gives up before
/// anything of ours runs, so that such a start tells nothing about the image and is made again.
const LATE_TIMER: &str = "IO-APIC + timer doesn't work";
/// Starts of one guest whose timer was late.
const STARTS_MAX: u32 = 5;

/// How long a guest may take to switch itself off: its own limit is 20 s.
pub const POWER_OFF_MAX: Duration = Duration::from_secs(60);

/// The disk that a site has, larger than the image so that there is something to grow into.
pub const DISK_SIZE: u64 = 1 << 30;

/// Beyond every first retry: a queued message is due when the clock has gone this far.
pub const LATER: Duration = Duration::from_secs(2 * 60 * 60);

/// The built image; `None` where `POSTERN_IMAGE` does not name its folder.
pub fn results() -> Option<Results> {
    env::var_os("POSTERN_IMAGE").map(|folder| Results::in_folder(&PathBuf::from(folder)))
}

/// An appliance and what surrounds it.
#[derive(Debug)]
pub struct Site {
    results: Results,
    scratch: Scratch,
    hostname: String,
    recipients: Recipients,
    more: More,
    next_hop: Option<Exchange>,
    next_hop_address: SocketAddr,
}

/// What a site is told beyond its next hop.
#[derive(Debug, Clone, Default)]
pub struct More {
    /// Lines of the network's section.
    pub network: String,
    /// Lines of the domain's, which may go on with further sections.
    pub domain: String,
}

/// Ways to start a guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// QEMU loads the boot file.
    Kernel,
    /// UEFI firmware loads it from the disk.
    Uefi,
    /// The loader for BIOS loads it from the disk.
    Bios,
}

impl Site {
    /// A new site with an empty disk. Its next hop knows everybody in `example.com`.
    ///
    /// # Errors
    /// When there is no image, or the disk cannot be written.
    pub fn new(hostname: &str) -> Result<Self> {
        Site::told(hostname, More::default())
    }

    /// A new site that is told `more`.
    ///
    /// # Errors
    /// As [`Site::new`].
    pub fn told(hostname: &str, more: More) -> Result<Self> {
        Site::with(hostname, Recipients::Everybody, more)
    }

    /// A new site whose next hop is its verification server and knows only these addresses.
    ///
    /// # Errors
    /// As [`Site::new`].
    pub fn with_verification_server(hostname: &str, known: &[&str]) -> Result<Self> {
        let known = known.iter().map(|address| (*address).to_owned()).collect();
        Site::with(hostname, Recipients::Listed(known), More::default())
    }

    fn with(hostname: &str, recipients: Recipients, more: More) -> Result<Self> {
        let results = results().ok_or_else(|| Error::Usage("POSTERN_IMAGE names no build".into()))?;
        let scratch = Scratch::new("site")?;
        disk::copy_grown(&results.image, &scratch.path().join(DISK), DISK_SIZE)?;
        let next_hop = listen((Ipv4Addr::LOCALHOST, 0).into(), &recipients)?;
        let next_hop_address = next_hop.address();
        let site = Site {
            results,
            scratch,
            hostname: hostname.to_owned(),
            recipients,
            more,
            next_hop: Some(next_hop),
            next_hop_address,
        };
        disk::volume::seed(&site.configuration(), &site.scratch.path().join(SEED))?;
        Ok(site)
    }

    /// Switches a guest on, with a clock that goes `ahead` of this machine's.
    ///
    /// # Errors
    /// When QEMU does not start.
    pub fn boot(&self, start: Start, ahead: Duration) -> Result<Guest> {
        let boot = match start {
            Start::Kernel => Boot::Kernel(self.results.efi.clone()),
            Start::Uefi => Boot::Uefi,
            Start::Bios => Boot::Bios,
        };
        let machine = Machine {
            boot,
            disk: self.disk(),
            seed: Some(self.scratch.path().join(SEED)),
            forwards: vec![Forward { host: 0, guest: SMTP }, Forward { host: 0, guest: 443 }],
            memory: MEMORY,
            reboots: false,
            clock_ahead: ahead,
        };
        Guest::start(&machine, None)
    }

    /// As [`Site::boot`], and waits for the greeting of its SMTP server.
    ///
    /// # Errors
    /// When there is none within [`BOOT_MAX`].
    pub fn boot_to_greeting(&self, start: Start, ahead: Duration) -> Result<(Guest, String)> {
        let mut starts = 0;
        loop {
            let guest = self.boot(start, ahead)?;
            starts += 1;
            match guest.wait_for_banner(SMTP, BOOT_MAX) {
                Err(_) if starts < STARTS_MAX && guest.console().text().contains(LATE_TIMER) => {}
                greeting => return Ok((guest, greeting?)),
            }
        }
    }

    /// The next message at the next hop.
    pub fn received(&self, wait: Duration) -> Option<Received> {
        self.next_hop.as_ref().and_then(|next_hop| next_hop.received(wait))
    }

    /// Lets the next hop refuse connections.
    pub fn close_next_hop(&mut self) {
        self.next_hop = None;
    }

    /// Opens the next hop again, at the same address.
    ///
    /// # Errors
    /// When the port was taken meanwhile.
    pub fn reopen_next_hop(&mut self) -> Result<()> {
        self.next_hop = Some(listen(self.next_hop_address, &self.recipients)?);
        Ok(())
    }

    /// The disk's file.
    pub fn disk(&self) -> PathBuf {
        self.scratch.path().join(DISK)
    }

    /// Where the data partition lies on the disk, in bytes, of a guest that is off.
    ///
    /// # Errors
    /// When either header of the partition table is damaged, or there is no data partition.
    pub fn data_partition(&self) -> Result<Range<u64>> {
        let damaged = |reason: String| Error::Table { file: self.disk().display().to_string(), reason };
        let table = GptConfig::new().writable(false).only_valid_headers(true).open(self.disk());
        let table = table.map_err(|error| damaged(error.to_string()))?;
        let data =
            table.partitions().values().find(|partition| partition.part_type_guid.guid == disk::DATA_TYPE);
        let data = data.ok_or_else(|| damaged("no data partition".into()))?;
        let sectors = data.sectors_len().map_err(|error| damaged(error.to_string()))?;
        Ok(data.first_lba * 512..(data.first_lba + sectors) * 512)
    }

    fn configuration(&self) -> String {
        let (hostname, port) = (&self.hostname, self.next_hop_address.port());
        let More { network, domain } = &self.more;
        let verification_server = match self.recipients {
            Recipients::Listed(_) => format!("verification-server = \"[{HOST_SEEN_BY_GUEST}]:{port}\"\n"),
            Recipients::Everybody | Recipients::Elsewhere(_) => String::new(),
        };
        format!(
            "version = 1\n\
             [network]\n\
             hostname = \"{hostname}\"\n\
             address = \"dhcp\"\n\
             {network}\
             [[realm]]\n\
             name = \"example\"\n\
             [[domain]]\n\
             name = \"example.com\"\n\
             realm = \"example\"\n\
             route = [\"[{HOST_SEEN_BY_GUEST}]:{port}\"]\n\
             {verification_server}{domain}"
        )
    }
}

fn listen(address: SocketAddr, recipients: &Recipients) -> Result<Exchange> {
    let tenant = Tenant { domains: vec!["example.com".into()], recipients: recipients.clone() };
    Exchange::listen(address, tenant)
}

/// The guest's port for mail.
pub const SMTP: u16 = 25;
const DISK: &str = "disk.img";
const SEED: &str = "seed.img";
