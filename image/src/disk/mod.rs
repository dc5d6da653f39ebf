//! `postern.img`, a GPT disk that boots by UEFI and from BIOS, and what else is made of FAT.
//!
//! | sectors | what |
//! | --- | --- |
//! | 0 | protective MBR with the loader for BIOS |
//! | 1 … 33 | partition table |
//! | 2048 … | EFI system partition, FAT32, [`SYSTEM_MIB`] MiB |
//! | after it | data partition, [`DATA_MIB`] MiB here, grown to the disk's end at first boot |
//! | last 33 | backup of the table |

pub mod volume;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

use gpt::disk::LogicalBlockSize;
use gpt::mbr::ProtectiveMBR;
use gpt::partition::Partition;
use gpt::partition_types::{self, OperatingSystem};
use gpt::{GptConfig, GptDisk};
use uuid::{Uuid, uuid};

use crate::{Doing, Error, Result};

/// The type of our data partition: what PID 1 looks for on every disk.
pub const DATA_TYPE: Uuid = uuid!("8a1b7a3e-5f2c-4d0e-9c57-706f73746e31");

/// Size of the system partition: the fall-back, two firmware slots and one file being written, each up to
/// 16 MiB, with room. FAT32 must have more than 65,524 clusters, here of one sector: 64 MiB would do.
pub const SYSTEM_MIB: u64 = 96;

/// Size of the data partition in the image: enough to make an empty store.
pub const DATA_MIB: u64 = 8;

/// Makes the disk image `result` with the boot file `efi` on it.
///
/// The same boot file gives the same image: the disk's and the partitions' identifiers are constants.
/// PID 1 gives a disk random ones when it grows the data partition at first boot.
///
/// # Errors
/// When a tool fails or `result` cannot be written.
pub fn build(efi: &Path, result: &Path) -> Result<()> {
    let half = result.with_extension("half");
    let system = result.with_extension("esp");
    volume::system(efi, &system)?;
    let made = write_disk(&system, &half);
    let removed = fs::remove_file(&system).doing(|| format!("remove {}", system.display()));
    made.and(removed)?;
    fs::rename(&half, result).doing(|| format!("write {}", result.display()))
}

/// Puts the system partition of `image` in place of that of `disk`, so that a kept disk boots the new
/// firmware. The data stays.
///
/// # Errors
/// When `disk` has not the image's first partition, or cannot be written.
pub fn renew_system(image: &Path, disk: &Path) -> Result<()> {
    let file = File::open(disk).doing(|| format!("open {}", disk.display()))?;
    let table =
        GptConfig::new().writable(false).open_from_device(file).map_err(|error| table(disk, error))?;
    let ours = table.partitions().get(&1).is_some_and(|partition| {
        partition.part_type_guid == partition_types::EFI
            && partition.first_lba == SYSTEM_FIRST
            && partition.last_lba == DATA_FIRST - 1
    });
    if !ours {
        return Err(table_error(disk, "the first partition is not the image's system partition"));
    }
    let mut from = File::open(image).doing(|| format!("open {}", image.display()))?;
    let mut to =
        File::options().read(true).write(true).open(disk).doing(|| format!("open {}", disk.display()))?;
    from.seek(SeekFrom::Start(SYSTEM_FIRST * SECTOR)).doing(|| format!("read {}", image.display()))?;
    copy_sparse(&mut from.take(SYSTEM_MIB * MIB), &mut to, SYSTEM_FIRST * SECTOR)
        .doing(|| format!("write {}", disk.display()))
}

/// Copies `image` to `disk`, and makes it `size` bytes long without occupying them.
///
/// # Errors
/// When a file cannot be read or written.
pub fn copy_grown(image: &Path, disk: &Path, size: u64) -> Result<()> {
    let mut from = File::open(image).doing(|| format!("open {}", image.display()))?;
    let mut to = new_file(disk)?;
    to.set_len(size).doing(|| format!("grow {}", disk.display()))?;
    copy_sparse(&mut from, &mut to, 0).doing(|| format!("write {}", disk.display()))
}

fn write_disk(system: &Path, disk: &Path) -> Result<()> {
    let mut file = new_file(disk)?;
    file.set_len(DISK_SECTORS * SECTOR).doing(|| format!("size {}", disk.display()))?;
    write_boot_record(&mut file, disk)?;
    let mut file = write_table(file, disk)?;
    let mut from = File::open(system).doing(|| format!("open {}", system.display()))?;
    copy_sparse(&mut from, &mut file, SYSTEM_FIRST * SECTOR).doing(|| format!("write {}", disk.display()))
}

fn new_file(path: &Path) -> Result<File> {
    let file = File::options().read(true).write(true).create(true).truncate(true).open(path);
    file.doing(|| format!("create {}", path.display()))
}

fn write_boot_record(file: &mut File, disk: &Path) -> Result<()> {
    let loader = fs::read(GPT_LOADER).doing(|| format!("read {GPT_LOADER}"))?;
    let mut code = [0; 440];
    if loader.len() > code.len() {
        return Err(table_error(disk, &format!("{GPT_LOADER} is longer than 440 bytes")));
    }
    code[..loader.len()].copy_from_slice(&loader);
    let mut record = ProtectiveMBR::with_lb_size(u32::try_from(DISK_SECTORS - 1).unwrap_or(u32::MAX));
    record.set_bootcode(code);
    record.overwrite_lba0(file).map_err(|error| table(disk, error)).map(drop)
}

fn write_table(file: File, disk: &Path) -> Result<File> {
    let mut made: GptDisk<File> = GptConfig::new()
        .writable(true)
        .logical_block_size(LogicalBlockSize::Lb512)
        .create_from_device(file, Some(DISK_ID))
        .map_err(|error| table(disk, error))?;
    let system = Partition {
        part_type_guid: partition_types::EFI,
        part_guid: SYSTEM_ID,
        first_lba: SYSTEM_FIRST,
        last_lba: DATA_FIRST - 1,
        flags: LEGACY_BIOS_BOOTABLE,
        name: "postern-system".into(),
    };
    let data = Partition {
        part_type_guid: partition_types::Type { guid: DATA_TYPE, os: OperatingSystem::None },
        part_guid: DATA_ID,
        first_lba: DATA_FIRST,
        last_lba: DATA_FIRST + DATA_MIB * MIB / SECTOR - 1,
        flags: 0,
        name: "postern-data".into(),
    };
    made.update_partitions(BTreeMap::from([(1, system), (2, data)])).map_err(|error| table(disk, error))?;
    made.write().map_err(|error| table(disk, error))
}

/// Copies to the offset `at`. Blocks of zeros are written only where something else stands, so that the
/// file stays sparse.
fn copy_sparse(from: &mut impl Read, to: &mut File, at: u64) -> std::io::Result<()> {
    let mut block = vec![0; COPY_BLOCK];
    let mut offset = at;
    loop {
        let count = read_full(from, &mut block)?;
        if count == 0 {
            return to.sync_data();
        }
        let empty = block[..count].iter().all(|byte| *byte == 0);
        if !empty || reads_other_than_zero(to, offset, count)? {
            to.seek(SeekFrom::Start(offset))?;
            to.write_all(&block[..count])?;
        }
        offset += count as u64;
    }
}

fn reads_other_than_zero(file: &mut File, offset: u64, count: usize) -> std::io::Result<bool> {
    let mut there = vec![0; count];
    file.seek(SeekFrom::Start(offset))?;
    let count = read_full(file, &mut there)?;
    Ok(there[..count].iter().any(|byte| *byte != 0))
}

fn read_full(from: &mut impl Read, block: &mut [u8]) -> std::io::Result<usize> {
    let mut count = 0;
    while count < block.len() {
        match from.read(&mut block[count..])? {
            0 => break,
            read => count += read,
        }
    }
    Ok(count)
}

fn table(disk: &Path, error: impl std::fmt::Display) -> Error {
    table_error(disk, &error.to_string())
}

fn table_error(disk: &Path, reason: &str) -> Error {
    Error::Table { file: disk.display().to_string(), reason: reason.to_owned() }
}

const SECTOR: u64 = 512;
const MIB: u64 = 1 << 20;
const COPY_BLOCK: usize = 1 << 16;
/// 1 MiB: aligned for every disk. `volume` writes it into the volume's boot sector as well.
const SYSTEM_FIRST: u64 = 2048;
const DATA_FIRST: u64 = SYSTEM_FIRST + SYSTEM_MIB * MIB / SECTOR;
/// The table's backup takes 33 sectors; a whole MiB keeps the size round.
const DISK_SECTORS: u64 = DATA_FIRST + (DATA_MIB + 1) * MIB / SECTOR;
/// UEFI 2.10 table 5-8, bit 2: what the loader in the MBR looks for.
const LEGACY_BIOS_BOOTABLE: u64 = 1 << 2;
const GPT_LOADER: &str = "/usr/lib/syslinux/mbr/gptmbr.bin";

// Identifiers of the image, the same in every build.
const DISK_ID: Uuid = uuid!("0f6e8b52-93d1-4c8a-a1de-706f73746e00");
const SYSTEM_ID: Uuid = uuid!("0f6e8b52-93d1-4c8a-a1de-706f73746e01");
const DATA_ID: Uuid = uuid!("0f6e8b52-93d1-4c8a-a1de-706f73746e02");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Scratch;

    #[test]
    fn the_table_reads_back() {
        let scratch = Scratch::new("table").unwrap();
        let path = scratch.path().join("disk");
        let file = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
        file.set_len(DISK_SECTORS * SECTOR).unwrap();
        write_table(file, &path).unwrap();
        let disk = GptConfig::new().writable(false).open(&path).unwrap();
        let partitions = disk.partitions();
        assert_eq!(partitions.len(), 2);
        assert_eq!(partitions[&1].flags, LEGACY_BIOS_BOOTABLE);
        assert_eq!(partitions[&2].part_type_guid.guid, DATA_TYPE);
        assert_eq!(partitions[&2].first_lba, partitions[&1].last_lba + 1);
        assert_eq!(disk.backup_header().unwrap().disk_guid, DISK_ID);
    }

    #[test]
    fn a_copy_grows_without_occupying() {
        use std::os::unix::fs::MetadataExt;
        let scratch = Scratch::new("copy").unwrap();
        let (image, disk) = (scratch.path().join("image"), scratch.path().join("disk"));
        let mut content = vec![0; 3 * COPY_BLOCK + 5];
        content[2 * COPY_BLOCK + 1] = 7;
        fs::write(&image, &content).unwrap();
        copy_grown(&image, &disk, 1 << 30).unwrap();
        let copied = File::open(&disk).unwrap();
        assert_eq!(copied.metadata().unwrap().len(), 1 << 30);
        assert!(copied.metadata().unwrap().blocks() * 512 < 1 << 20);
        let mut start = vec![0; content.len()];
        (&copied).read_exact(&mut start).unwrap();
        assert_eq!(start, content);
    }

    #[test]
    fn zeros_overwrite_what_was_there() {
        let scratch = Scratch::new("zeros").unwrap();
        let path = scratch.path().join("disk");
        fs::write(&path, vec![9; 2 * COPY_BLOCK]).unwrap();
        let mut to = File::options().read(true).write(true).open(&path).unwrap();
        copy_sparse(&mut vec![0; COPY_BLOCK].as_slice(), &mut to, COPY_BLOCK as u64).unwrap();
        let content = fs::read(&path).unwrap();
        assert!(content[..COPY_BLOCK].iter().all(|byte| *byte == 9));
        assert!(content[COPY_BLOCK..].iter().all(|byte| *byte == 0));
    }

    #[test]
    fn a_foreign_disk_is_left_alone() {
        let scratch = Scratch::new("foreign").unwrap();
        let (image, disk) = (scratch.path().join("image"), scratch.path().join("disk"));
        fs::write(&image, vec![1; 4096]).unwrap();
        fs::write(&disk, vec![2; 1 << 20]).unwrap();
        renew_system(&image, &disk).unwrap_err();
        assert!(fs::read(&disk).unwrap().iter().all(|byte| *byte == 2));
    }
}
