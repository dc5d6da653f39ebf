//! What the machine has, as sysfs tells it: disks, network interfaces, power buttons.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::disk::{BlockDevice, Disk};
use crate::gpt::{GptError, Table};
use crate::role::{DataDisk, Nic, NicKind};

/// The data partition's disk.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) disk: DataDisk,
    /// For people: which, and what was done.
    pub(crate) name: String,
}

/// Why a disk is not used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DiskError {
    #[error("{disk}: {source}")]
    Table { disk: String, source: GptError },
    #[error("{disk}: {source}")]
    Io { disk: String, source: io::Error },
}

/// The hardware type of Ethernet (ARPHRD_ETHER).
const ETHERNET: &str = "1";
/// Interfaces and disks that are looked at; far above any machine's.
const DEVICES_MAX: usize = 256;
/// The key code of a power button.
const KEY_POWER: u16 = 116;

/// The first disk by name that has a data partition, with that grown to the disk's end.
///
/// Disks without one are not touched. `problems` gets what is wrong with any.
pub(crate) fn find_disk(problems: &mut Vec<String>) -> Option<Found> {
    for name in names("/sys/block") {
        match use_disk(&name) {
            Ok(Some(found)) => return Some(found),
            Ok(None) => {}
            Err(error) => problems.push(error.to_string()),
        }
    }
    None
}

/// Every block device, disks and partitions, that might hold a seed volume.
pub(crate) fn block_devices() -> Vec<String> {
    names("/sys/class/block")
}

/// The Ethernet interfaces in the order of their names.
pub(crate) fn interfaces() -> Vec<Nic> {
    let mut found: Vec<Nic> =
        names("/sys/class/net").into_iter().filter_map(|name| interface(&name)).collect();
    // eth10 after eth9.
    found.sort_by_key(|nic| nic.index);
    found
}

/// Whether a USB drive was recognised whose disk the kernel has not made yet.
pub(crate) fn usb_storage_is_coming() -> bool {
    const MASS_STORAGE: &str = "08";
    let usb = Path::new("/sys/bus/usb/devices");
    names("/sys/bus/usb/devices").iter().any(|interface| {
        let class = fs::read_to_string(usb.join(interface).join("bInterfaceClass"));
        class.is_ok_and(|class| class.trim() == MASS_STORAGE) && !has_disk(&usb.join(interface), 5)
    })
}

/// Everything that has a power key; reads do not block.
pub(crate) fn power_buttons() -> Vec<File> {
    let mut buttons = Vec::new();
    for name in names("/sys/class/input") {
        if !name.starts_with("event") {
            continue;
        }
        let keys = Path::new("/sys/class/input").join(&name).join("device/capabilities/key");
        if !fs::read_to_string(keys).is_ok_and(|bits| has_bit(&bits, KEY_POWER)) {
            continue;
        }
        let node = Path::new("/dev/input").join(&name);
        buttons.extend(File::options().read(true).custom_flags(libc_nonblock()).open(node).ok());
    }
    buttons
}

/// Whether `event`, a `struct input_event`, is a power key that goes down.
pub(crate) fn is_power_key(event: &[u8; 24]) -> bool {
    let short = |at: usize| u16::from_ne_bytes([event[at], event[at + 1]]);
    const EV_KEY: u16 = 1;
    // Type, code and value follow a time of 16 bytes; a value of 1 is a press.
    (short(16), short(18), short(20), short(22)) == (EV_KEY, KEY_POWER, 1, 0)
}

pub(crate) fn libc_nonblock() -> i32 {
    rustix::fs::OFlags::NONBLOCK.bits() as i32
}

fn use_disk(name: &str) -> Result<Option<Found>, DiskError> {
    let failed = |source| DiskError::Io { disk: name.into(), source };
    let unreadable = |source| DiskError::Table { disk: name.into(), source };
    // A drive without a medium cannot be opened: no disk.
    let Ok(mut device) = BlockDevice::open(&node(name), false) else { return Ok(None) };
    let Ok(mut table) = Table::read(&mut device) else { return Ok(None) };
    if table.data(device.block_size()).is_none() {
        return Ok(None);
    }
    let mut device = BlockDevice::open(&node(name), true).map_err(failed)?;
    let grown = match table.grow(&mut device) {
        Ok(grown) => grown,
        // It can be used as it is.
        Err(GptError::NotLast) => false,
        Err(error) => return Err(unreadable(error)),
    };
    let Some(place) = table.data(device.block_size()) else { return Ok(None) };
    if grown {
        // If the kernel refuses, the partition has its new size at the next start.
        let _ = sys::block::resize_partition(&device.file, place.number, place.start, place.len);
    }
    let partition =
        partition_name(name, place.number).ok_or_else(|| failed(io::ErrorKind::NotFound.into()))?;
    let file = File::options().read(true).write(true).open(node(&partition)).map_err(failed)?;
    let len = sys::block::len(&file).map_err(failed)?;
    let what = if grown { ", grown to the disk's end" } else { "" };
    let name = format!("{partition}, {} MB{what}", len / 1_000_000);
    Ok(Some(Found { disk: DataDisk { file, offset: 0, len }, name }))
}

/// The kernel's name for partition `number` of `disk`: `sda2`, `nvme0n1p2`.
fn partition_name(disk: &str, number: u32) -> Option<String> {
    names(&format!("/sys/block/{disk}")).into_iter().find(|name| {
        let file = format!("/sys/block/{disk}/{name}/partition");
        fs::read_to_string(file).is_ok_and(|text| text.trim().parse() == Ok(number))
    })
}

fn interface(name: &str) -> Option<Nic> {
    let attribute = |file: &str| {
        fs::read_to_string(Path::new("/sys/class/net").join(name).join(file))
            .ok()
            .map(|text| text.trim().to_owned())
    };
    if attribute("type")? != ETHERNET {
        return None;
    }
    let mut mac = [0; 6];
    let text = attribute("address")?;
    let mut bytes = text.split(':').map(|byte| u8::from_str_radix(byte, 16));
    for place in &mut mac {
        *place = bytes.next()?.ok()?;
    }
    let (index, mtu) = (attribute("ifindex")?.parse().ok()?, attribute("mtu")?.parse().ok()?);
    Some(Nic { kind: NicKind::Packet, name: name.into(), index, mac, mtu })
}

/// Whether a `block` directory lies below, at most `depth` deep: host, target, unit.
fn has_disk(dir: &Path, depth: usize) -> bool {
    let Ok(entries) = fs::read_dir(dir) else { return false };
    let dirs =
        entries.flatten().take(DEVICES_MAX).filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    dirs.into_iter()
        .any(|entry| entry.file_name() == "block" || depth > 0 && has_disk(&entry.path(), depth - 1))
}

/// What a directory holds, sorted.
fn names(dir: &str) -> Vec<String> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let mut names: Vec<String> = entries
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .take(DEVICES_MAX)
        .collect();
    names.sort();
    names
}

pub(crate) fn node(name: &str) -> PathBuf {
    // sysfs writes a slash in a device's name so.
    Path::new("/dev").join(name.replace('!', "/"))
}

/// `bits` as sysfs prints them: words of 64 bits in hexadecimal, the highest first.
fn has_bit(bits: &str, number: u16) -> bool {
    let word = bits.split_whitespace().rev().nth(usize::from(number / 64));
    word.and_then(|word| u64::from_str_radix(word, 16).ok())
        .is_some_and(|word| word >> (number % 64) & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_power_key_is_found_in_sysfs_bits_and_in_events() {
        assert!(has_bit("10000000000000 0", KEY_POWER));
        assert!(!has_bit("10000000000000", KEY_POWER));
        assert!(!has_bit("", KEY_POWER) && !has_bit("zz 0", KEY_POWER));
        let mut event = [0; 24];
        event[16..24].copy_from_slice(&[1, 0, 116, 0, 1, 0, 0, 0]);
        assert!(is_power_key(&event));
        event[20] = 0;
        assert!(!is_power_key(&event), "released");
    }
}
