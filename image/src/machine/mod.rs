//! QEMU: the machine that the image is booted on, and a guest running on it.

mod console;
mod guest;
mod monitor;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::{Doing, Result};
pub use console::{CONSOLE_MAX, Console};
pub use guest::Guest;

/// How the machine finds the boot file.
#[derive(Debug, Clone)]
pub enum Boot {
    /// QEMU loads it by itself.
    Kernel(PathBuf),
    /// UEFI firmware finds it on the disk.
    Uefi,
    /// SeaBIOS and the loader on the disk find it.
    Bios,
}

/// A machine, described.
#[derive(Debug, Clone)]
pub struct Machine {
    /// How it starts.
    pub boot: Boot,
    /// The raw disk image, written to.
    pub disk: PathBuf,
    /// A FAT volume with the configuration, read only.
    pub seed: Option<PathBuf>,
    /// Which ports of 127.0.0.1 lead to the guest.
    pub forwards: Vec<Forward>,
    /// Memory in MiB.
    pub memory: u32,
    /// Whether a reset starts it again; else it ends QEMU.
    pub reboots: bool,
    /// How far its clock goes before this machine's.
    pub clock_ahead: Duration,
}

/// A port of 127.0.0.1 that leads to a port of the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forward {
    /// On this machine; 0 takes a free one, which [`Guest::port`] tells.
    pub host: u16,
    /// On the guest.
    pub guest: u16,
}

/// Where the guest finds this machine's 127.0.0.1: QEMU's user network does that.
pub const HOST_SEEN_BY_GUEST: &str = "10.0.2.2";

/// What the appliance is promised to run in.
pub const MEMORY: u32 = 256;

impl Machine {
    /// The command line after the program's name. Files that belong to this run alone go to `scratch`.
    fn arguments(&self, scratch: &Path) -> Result<Vec<String>> {
        let mut arguments: Vec<String> = ["-nodefaults", "-no-user-config", "-display", "none"]
            .into_iter()
            .chain(["-accel", "tcg", "-cpu", "max", "-smp", "1", "-vga", "std"])
            .map(String::from)
            .collect();
        if !self.reboots {
            arguments.push("-no-reboot".into());
        }
        let mut add = |option: &str, value: String| arguments.extend([option.to_owned(), value]);
        add("-m", self.memory.to_string());
        // Standard input and output are sockets of ours: nothing to find by name, nothing to wait for.
        add("-chardev", "socket,id=monitor,fd=0".into());
        add("-mon", "chardev=monitor,mode=control".into());
        add("-chardev", "socket,id=console,fd=1".into());
        add("-serial", "chardev:console".into());
        add("-rtc", format!("base={}", clock(SystemTime::now() + self.clock_ahead)));
        add("-device", "virtio-rng-pci".into());
        add("-netdev", self.network());
        // Without its ROM the card is no boot device, and firmware does not wait for PXE.
        add("-device", "virtio-net-pci,netdev=lan,romfile=".into());
        add("-drive", drive("system", &self.disk, "cache=writeback"));
        add("-device", "virtio-blk-pci,drive=system,bootindex=1".into());
        if let Some(seed) = &self.seed {
            add("-drive", drive("seed", seed, "readonly=on"));
            add("-device", "virtio-blk-pci,drive=seed".into());
        }
        match &self.boot {
            Boot::Kernel(kernel) => add("-kernel", kernel.display().to_string()),
            Boot::Bios => {}
            Boot::Uefi => {
                let variables = scratch.join("variables.fd");
                fs::copy(OVMF_VARIABLES, &variables).doing(|| format!("copy {OVMF_VARIABLES}"))?;
                add("-drive", format!("if=pflash,unit=0,format=raw,readonly=on,file={OVMF_CODE}"));
                add("-drive", format!("if=pflash,unit=1,format=raw,file={}", option_value(&variables)));
            }
        }
        Ok(arguments)
    }

    fn network(&self) -> String {
        let forward = |f: &Forward| format!(",hostfwd=tcp:127.0.0.1:{}-:{}", f.host, f.guest);
        let forwards: String = self.forwards.iter().map(forward).collect();
        format!("user,id=lan{forwards}")
    }
}

/// As QEMU reads it.
fn clock(time: SystemTime) -> String {
    let time = jiff::Timestamp::try_from(time).unwrap_or_default();
    time.strftime("%Y-%m-%dT%H:%M:%S").to_string()
}

fn drive(id: &str, file: &Path, how: &str) -> String {
    format!("if=none,id={id},format=raw,{how},file={}", option_value(file))
}

/// QEMU writes a comma within a value twice.
fn option_value(path: &Path) -> String {
    path.display().to_string().replace(',', ",,")
}

const OVMF_CODE: &str = "/usr/share/OVMF/OVMF_CODE_4M.fd";
const OVMF_VARIABLES: &str = "/usr/share/OVMF/OVMF_VARS_4M.fd";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_is_written_as_qemu_reads_it() {
        assert_eq!(clock(SystemTime::UNIX_EPOCH + Duration::from_secs(86_461)), "1970-01-02T00:01:01");
    }

    #[test]
    fn forwards_and_the_seed_reach_the_command_line() {
        let machine = Machine {
            boot: Boot::Kernel("postern.efi".into()),
            disk: "a,b.img".into(),
            seed: Some("seed.img".into()),
            forwards: vec![Forward { host: 2525, guest: 25 }, Forward { host: 0, guest: 443 }],
            memory: MEMORY,
            reboots: false,
            clock_ahead: Duration::from_secs(3600),
        };
        let line = machine.arguments(Path::new("/nowhere")).unwrap().join(" ");
        assert!(
            line.contains("user,id=lan,hostfwd=tcp:127.0.0.1:2525-:25,hostfwd=tcp:127.0.0.1:0-:443"),
            "{line}"
        );
        assert!(line.contains("file=a,,b.img"), "{line}");
        assert!(line.contains("id=seed,format=raw,readonly=on,file=seed.img"), "{line}");
        assert!(line.ends_with("-kernel postern.efi"), "{line}");
    }
}
