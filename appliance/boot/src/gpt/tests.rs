use super::*;

const BLOCK: u64 = 512;
const MIB: u64 = 1 << 20;

/// A disk in memory whose power goes after so many blocks; the block during which it goes is not written.
#[derive(Clone)]
struct Ram {
    bytes: Vec<u8>,
    /// Blocks until the power goes.
    left: usize,
}

impl Disk for Ram {
    fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn block_size(&self) -> u64 {
        BLOCK
    }

    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let at = offset as usize;
        let bytes = self.bytes.get(at..at + buffer.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(bytes);
        Ok(())
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        for (index, block) in bytes.chunks(BLOCK as usize).enumerate() {
            self.left = self.left.checked_sub(1).ok_or(io::ErrorKind::BrokenPipe)?;
            let at = offset as usize + index * BLOCK as usize;
            self.bytes[at..at + block.len()].copy_from_slice(block);
        }
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Ram {
    fn with_power(self) -> Ram {
        Ram { left: usize::MAX, ..self }
    }

    fn table(&mut self) -> Table {
        Table::read(self).unwrap()
    }

    fn data(&mut self) -> Partition {
        self.table().data(BLOCK).unwrap()
    }

    /// Both copies and the MBR, by the `gpt` crate: a second opinion.
    fn judge(&self) {
        let mut copy = std::io::Cursor::new(self.bytes.clone());
        let disk = gpt::GptConfig::new()
            .writable(false)
            .only_valid_headers(true)
            .open_from_device(&mut copy)
            .unwrap();
        let (primary, backup) = (disk.primary_header().unwrap(), disk.backup_header().unwrap());
        assert_eq!(primary.last_usable, backup.last_usable);
        assert_eq!(backup.current_lba, self.size() / BLOCK - 1);
        assert_eq!(primary.crc32_parts, backup.crc32_parts);
    }
}

/// A disk of 8 MiB as the image builder makes it, by the `gpt` crate, then enlarged.
fn disk(len: u64) -> Ram {
    let mut bytes = std::io::Cursor::new(vec![0; 8 * MIB as usize]);
    let mbr = gpt::mbr::ProtectiveMBR::with_lb_size((8 * MIB / BLOCK - 1) as u32);
    mbr.overwrite_lba0(&mut bytes).unwrap();
    let mut table = gpt::GptConfig::new().writable(true).create_from_device(bytes, None).unwrap();
    let data = gpt::partition_types::Type {
        guid: gpt_guid("8a1b7a3e-5f2c-4d0e-9c57-706f73746e31"),
        os: gpt::partition_types::OperatingSystem::None,
    };
    table.add_partition("efi", MIB, gpt::partition_types::EFI, 0, None).unwrap();
    table.add_partition("data", 4 * MIB, data, 0, None).unwrap();
    let mut bytes = table.write().unwrap().into_inner();
    bytes.resize(len as usize, 0);
    Ram { bytes, left: usize::MAX }
}

fn gpt_guid(text: &str) -> uuid::Uuid {
    text.parse().unwrap()
}

#[test]
fn the_partition_grows_to_the_end_and_both_copies_agree() {
    let mut disk = disk(16 * MIB);
    let before = disk.data();
    assert!(disk.table().grow(&mut disk).unwrap());
    let after = disk.data();
    assert_eq!((after.number, after.start), (before.number, before.start));
    assert_eq!(after.start + after.len, 15 * MIB);
    disk.judge();
    assert!(!disk.table().grow(&mut disk).unwrap());
    assert_eq!(former_last(&mut disk), Some(16 * MIB / BLOCK - 1));
}

#[test]
fn a_power_cut_at_any_block_leaves_a_table_from_which_growing_ends_the_same() {
    let small = disk(16 * MIB);
    let mut whole = small.clone();
    whole.table().grow(&mut whole).unwrap();
    let mut cut = 0;
    loop {
        let mut disk = Ram { left: cut, ..small.clone() };
        let ended = disk.table().grow(&mut disk).is_ok();
        disk = disk.with_power();
        let data = disk.data();
        assert!([4 * MIB, whole.data().len].contains(&data.len), "cut after {cut} blocks");
        disk.table().grow(&mut disk).unwrap();
        assert!(disk.bytes == whole.bytes, "cut after {cut} blocks");
        if ended {
            break;
        }
        cut += 1;
    }
    assert!(cut > 60, "both arrays of 32 blocks were written");
}

#[test]
fn a_second_power_cut_while_the_first_is_repaired_is_no_worse() {
    let small = disk(16 * MIB);
    for first in (0..70).step_by(2) {
        for second in (0..70).step_by(3) {
            let mut disk = Ram { left: first, ..small.clone() };
            let _ = disk.table().grow(&mut disk);
            disk.left = second;
            let _ = disk.table().grow(&mut disk);
            disk = disk.with_power();
            disk.table().grow(&mut disk).unwrap();
            assert_eq!(
                disk.data().len + disk.data().start,
                15 * MIB,
                "cuts after {first} and {second} blocks"
            );
        }
    }
}

#[test]
fn either_copy_alone_is_enough() {
    let mut whole = disk(16 * MIB);
    whole.table().grow(&mut whole).unwrap();
    let last = whole.bytes.len() - BLOCK as usize;
    for at in [BLOCK as usize + 30, 2 * BLOCK as usize + 5, last + 30, last - 5] {
        let mut disk = whole.clone();
        disk.bytes[at] ^= 1;
        assert_eq!(disk.data(), whole.data());
        assert!(disk.table().grow(&mut disk).unwrap());
        assert!(disk.bytes == whole.bytes);
    }
}

#[test]
fn the_backup_at_the_former_end_is_found_when_the_start_is_damaged() {
    let mut disk = disk(16 * MIB);
    disk.bytes[BLOCK as usize] = 0;
    assert_eq!(disk.data().len, 4 * MIB);
    disk.table().grow(&mut disk).unwrap();
    disk.judge();
}

#[test]
fn a_partition_behind_ours_stops_the_growth_and_nothing_is_written() {
    let mut disk = disk(16 * MIB);
    let mut table = disk.table();
    let entry = &mut table.entries[2 * ENTRY_SIZE..3 * ENTRY_SIZE];
    entry[0] = 1;
    entry[40..48].copy_from_slice(&99_999_u64.to_le_bytes());
    let before = disk.bytes.clone();
    assert!(matches!(table.grow(&mut disk), Err(GptError::NotLast)));
    assert!(disk.bytes == before);
}

#[test]
fn a_disk_that_shrank_is_left_alone() {
    let mut disk = disk(16 * MIB);
    disk.table().grow(&mut disk).unwrap();
    disk.bytes.truncate(8 * MIB as usize);
    let before = disk.bytes.clone();
    assert!(matches!(disk.table().grow(&mut disk), Err(GptError::TooSmall)));
    assert!(disk.bytes == before);
}

#[test]
fn each_damage_is_named() {
    let whole = disk(8 * MIB);
    let primary = |change: &dyn Fn(&mut [u8])| {
        let mut disk = whole.clone();
        change(&mut disk.bytes[BLOCK as usize..2 * BLOCK as usize]);
        Table::read_at(&mut disk, 1, Source::Primary).unwrap_err()
    };
    let resealed = |at: usize, bytes: &[u8]| {
        primary(&|header: &mut [u8]| {
            header[at..at + bytes.len()].copy_from_slice(bytes);
            header[16..20].fill(0);
            let sum = crc32fast::hash(&header[..HEADER_SIZE]);
            header[16..20].copy_from_slice(&sum.to_le_bytes());
        })
    };
    assert_eq!(primary(&|header| header[0] = 0), HeaderError::Signature);
    assert_eq!(primary(&|header| header[12] = 91), HeaderError::Size);
    assert_eq!(primary(&|header| header[13] = 9), HeaderError::Size);
    assert_eq!(primary(&|header| header[60] ^= 1), HeaderError::Checksum);
    assert_eq!(resealed(24, &[9]), HeaderError::Elsewhere);
    assert_eq!(resealed(72, &[0xff; 8]), HeaderError::Entries);
    assert_eq!(resealed(80, &[0xff; 4]), HeaderError::Entries);
    assert_eq!(resealed(80, &(ENTRIES_MAX + 1).to_le_bytes()), HeaderError::Entries);
    assert_eq!(resealed(84, &[0, 1]), HeaderError::Entries);
    assert_eq!(resealed(88, &[0; 4]), HeaderError::EntriesChecksum);
    let mut blank = Ram { bytes: vec![0; MIB as usize], left: 0 };
    assert!(matches!(Table::read(&mut blank), Err(GptError::NoTable { .. })));
    let mut tiny = Ram { bytes: vec![0; 100], left: 0 };
    assert!(Table::read(&mut tiny).is_err());
}

proptest::proptest! {
    #[test]
    fn no_damage_makes_it_panic(at in 0_usize..40 * 512, value: u8, seal: bool) {
        let mut disk = disk(9 * MIB);
        disk.bytes[at] = value;
        if seal {
            let header = &mut disk.bytes[512..1024];
            header[16..20].fill(0);
            let sum = crc32fast::hash(&header[..HEADER_SIZE]);
            header[16..20].copy_from_slice(&sum.to_le_bytes());
        }
        if let Ok(mut table) = Table::read(&mut disk) {
            let _ = table.grow(&mut disk);
        }
    }
}
