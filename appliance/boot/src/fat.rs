//! One file of a FAT volume's root directory, read only (Microsoft's FAT specification 1.03, `fatgen103`).
//!
//! Whoever can plug in a disk writes these bytes: every number in them is checked, every walk is bounded.

use embedded_io::{Read, Seek, SeekFrom};

/// A volume whose first sector makes sense.
#[derive(Debug)]
pub struct Volume<D> {
    device: D,
    layout: Layout,
    label: Option<[u8; 11]>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FatError {
    #[error("no FAT volume")]
    NotFat,
    #[error("damaged: {0}")]
    Damaged(&'static str),
    #[error("no such file")]
    NoFile,
    #[error("the file is longer than {0} bytes")]
    TooLong(u64),
    #[error("the device cannot be read")]
    Device,
}

/// Entries of a root directory that are looked at; FAT32 allows as many in one.
const ENTRIES_MAX: u64 = 65_536;
/// Bytes of a directory entry.
const ENTRY: usize = 32;
/// Parts of a long name: 255 characters, 13 in each.
const NAME_PARTS_MAX: usize = 20;
/// Characters in one part.
const PART: usize = 13;

const ATTRIBUTE_LABEL: u8 = 0x08;
const ATTRIBUTE_DIRECTORY: u8 = 0x10;
const ATTRIBUTE_LONG_NAME: u8 = 0x0f;

/// All in bytes from the volume's start, but for clusters.
#[derive(Debug, Clone, Copy)]
struct Layout {
    kind: Kind,
    fat: u64,
    fat_len: u64,
    root: Root,
    data: u64,
    cluster_len: u64,
    clusters: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Fat12,
    Fat16,
    Fat32,
}

#[derive(Debug, Clone, Copy)]
enum Root {
    Region { start: u64, len: u64 },
    Chain { cluster: u64 },
}

#[derive(Debug, Clone, Copy)]
struct File {
    cluster: u64,
    len: u64,
}

impl<D: Read + Seek> Volume<D> {
    /// Reads the first sector and the label.
    pub fn open(mut device: D) -> Result<Volume<D>, FatError> {
        let mut sector = [0; 512];
        read_at(&mut device, 0, &mut sector).map_err(|error| match error {
            FatError::Damaged(_) => FatError::NotFat,
            other => other,
        })?;
        let layout = Layout::parse(&sector)?;
        let mut volume = Volume { device, layout, label: boot_sector_label(&sector, layout.kind) };
        // The root directory's label is the one that tools change.
        let mut label = None;
        volume.walk(|entry, _| {
            if entry[11] & ATTRIBUTE_LABEL != 0 && entry[11] != ATTRIBUTE_LONG_NAME {
                label = entry.first_chunk().copied();
            }
            label.is_some()
        })?;
        volume.label = label.or(volume.label);
        Ok(volume)
    }

    /// Whether the volume is called so; case does not count.
    pub fn is_labelled(&self, name: &str) -> bool {
        self.label.is_some_and(|label| label.trim_ascii_end().eq_ignore_ascii_case(name.as_bytes()))
    }

    /// The whole content of `name` in the root directory, if it has at most `max` bytes; case does not count.
    pub fn read(&mut self, name: &str, max: u64) -> Result<Vec<u8>, FatError> {
        let file = self.find(name)?;
        if file.len > max {
            return Err(FatError::TooLong(max));
        }
        let mut bytes = vec![0; usize::try_from(file.len).map_err(|_| FatError::TooLong(max))?];
        let mut cluster = file.cluster;
        let pieces = bytes.chunks_mut(usize::try_from(self.layout.cluster_len).unwrap_or(usize::MAX));
        let count = pieces.len();
        for (index, piece) in pieces.enumerate() {
            read_at(&mut self.device, self.layout.cluster(cluster)?, piece)?;
            if index + 1 < count {
                cluster = self.next(cluster)?.ok_or(FatError::Damaged("the file ends too early"))?;
            }
        }
        Ok(bytes)
    }

    fn find(&mut self, name: &str) -> Result<File, FatError> {
        let mut found = None;
        let wide = self.layout.kind == Kind::Fat32;
        self.walk(|entry, long_name| {
            let plain = entry[11] & (ATTRIBUTE_LABEL | ATTRIBUTE_DIRECTORY) == 0;
            if plain && (long_name.eq_ignore_ascii_case(name) || short_name(entry).eq_ignore_ascii_case(name))
            {
                let high = if wide { u64::from(u16_at(entry, 20)) << 16 } else { 0 };
                let cluster = high | u64::from(u16_at(entry, 26));
                found = Some(File { cluster, len: u32_at(entry, 28).into() });
            }
            found.is_some()
        })?;
        found.ok_or(FatError::NoFile)
    }

    /// Shows each entry in use, with its long name or an empty one, until `visit` answers that it is enough.
    fn walk(&mut self, mut visit: impl FnMut(&[u8; ENTRY], &str) -> bool) -> Result<(), FatError> {
        let (mut at, mut end, mut cluster) = match self.layout.root {
            Root::Region { start, len } => (start, start + len, None),
            Root::Chain { cluster } => {
                let start = self.layout.cluster(cluster)?;
                (start, start + self.layout.cluster_len, Some(cluster))
            }
        };
        let mut long_name = LongName::default();
        for _ in 0..ENTRIES_MAX {
            if at >= end {
                let Some(here) = cluster else { return Ok(()) };
                let Some(next) = self.next(here)? else { return Ok(()) };
                at = self.layout.cluster(next)?;
                end = at + self.layout.cluster_len;
                cluster = Some(next);
            }
            let mut entry = [0; ENTRY];
            read_at(&mut self.device, at, &mut entry)?;
            at += ENTRY as u64;
            match entry[0] {
                0 => return Ok(()),
                0xe5 => long_name = LongName::default(),
                _ if entry[11] & 0x3f == ATTRIBUTE_LONG_NAME => long_name.add(&entry),
                _ => {
                    if visit(&entry, &std::mem::take(&mut long_name).of(&entry)) {
                        return Ok(());
                    }
                }
            }
        }
        Err(FatError::Damaged("the root directory has no end"))
    }

    /// The cluster after this one, or `None` if it is the last.
    fn next(&mut self, cluster: u64) -> Result<Option<u64>, FatError> {
        let offset = match self.layout.kind {
            Kind::Fat12 => cluster + cluster / 2,
            Kind::Fat16 => cluster * 2,
            Kind::Fat32 => cluster * 4,
        };
        let mut field = [0; 4];
        let width = if self.layout.kind == Kind::Fat32 { 4 } else { 2 };
        if offset + width > self.layout.fat_len {
            return Err(FatError::Damaged("a cluster's number"));
        }
        read_at(&mut self.device, self.layout.fat + offset, &mut field[..width as usize])?;
        let value = u64::from(u32::from_le_bytes(field));
        let (value, last) = match self.layout.kind {
            Kind::Fat12 if cluster % 2 == 1 => (value >> 4, 0xff8),
            Kind::Fat12 => (value & 0xfff, 0xff8),
            Kind::Fat16 => (value, 0xfff8),
            Kind::Fat32 => (value & 0x0fff_ffff, 0x0fff_fff8),
        };
        Ok(if value >= last { None } else { Some(value) })
    }
}

impl Layout {
    fn parse(sector: &[u8; 512]) -> Result<Layout, FatError> {
        if sector[510..] != [0x55, 0xaa] || !matches!(sector[0], 0xeb | 0xe9) {
            return Err(FatError::NotFat);
        }
        let sector_len = u64::from(u16_at(sector, 11));
        let per_cluster = u64::from(sector[13]);
        let reserved = u64::from(u16_at(sector, 14));
        let fats = u64::from(sector[16]);
        if !(512..=4096).contains(&sector_len)
            || !sector_len.is_power_of_two()
            || !per_cluster.is_power_of_two()
            || reserved == 0
            || !(1..=2).contains(&fats)
        {
            return Err(FatError::NotFat);
        }
        let either = |short: u16, long: u32| if short == 0 { u64::from(long) } else { u64::from(short) };
        let total = either(u16_at(sector, 19), u32_at(sector, 32));
        let fat_sectors = either(u16_at(sector, 22), u32_at(sector, 36));
        let root_len = u64::from(u16_at(sector, 17)) * ENTRY as u64;
        let root_start = reserved + fats * fat_sectors;
        let data = root_start + root_len.div_ceil(sector_len);
        let clusters = total.checked_sub(data).ok_or(FatError::Damaged("the volume's size"))? / per_cluster;
        // The number of clusters alone decides (fatgen103, "FAT Type Determination").
        let kind = match clusters {
            0 => return Err(FatError::Damaged("the volume's size")),
            1..4_085 => Kind::Fat12,
            4_085..65_525 => Kind::Fat16,
            _ => Kind::Fat32,
        };
        let root = match kind {
            Kind::Fat32 => Root::Chain { cluster: u32_at(sector, 44).into() },
            _ => Root::Region { start: root_start * sector_len, len: root_len },
        };
        Ok(Layout {
            kind,
            fat: reserved * sector_len,
            fat_len: fat_sectors * sector_len,
            root,
            data: data * sector_len,
            cluster_len: per_cluster * sector_len,
            clusters,
        })
    }

    /// Where a cluster begins; the first one has number 2.
    fn cluster(&self, number: u64) -> Result<u64, FatError> {
        match number.checked_sub(2) {
            Some(index) if index < self.clusters => Ok(self.data + index * self.cluster_len),
            _ => Err(FatError::Damaged("a cluster's number")),
        }
    }
}

/// The parts that were seen before the entry that they name, last part first.
#[derive(Debug, Default)]
struct LongName {
    units: [[u16; PART]; NAME_PARTS_MAX],
    /// Parts still missing; the name is whole at 0.
    missing: usize,
    parts: usize,
    checksum: u8,
}

impl LongName {
    fn add(&mut self, entry: &[u8; ENTRY]) {
        const LAST: u8 = 0x40;
        let number = usize::from(entry[0] & !LAST);
        if entry[0] & LAST != 0 && (1..=NAME_PARTS_MAX).contains(&number) {
            *self = LongName { missing: number, parts: number, checksum: entry[13], ..LongName::default() };
        }
        if number == 0 || number != self.missing || entry[13] != self.checksum {
            *self = LongName::default();
            return;
        }
        self.missing -= 1;
        let places = (1..11).step_by(2).chain((14..26).step_by(2)).chain((28..32).step_by(2));
        if let Some(part) = self.units.get_mut(self.missing) {
            for (unit, at) in part.iter_mut().zip(places) {
                *unit = u16_at(entry, at);
            }
        }
    }

    /// The name, or an empty one if it is not that of `entry`.
    fn of(&self, entry: &[u8; ENTRY]) -> String {
        let sum = entry[..11].iter().fold(0_u8, |sum, byte| sum.rotate_right(1).wrapping_add(*byte));
        if self.parts == 0 || self.missing != 0 || sum != self.checksum {
            return String::new();
        }
        let units = self.units.iter().take(self.parts).flatten().copied().take_while(|unit| *unit != 0);
        char::decode_utf16(units).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
    }
}

/// `NAME.EXT`.
fn short_name(entry: &[u8; ENTRY]) -> String {
    let (base, extension) = (entry[..8].trim_ascii_end(), entry[8..11].trim_ascii_end());
    let mut name = String::from_utf8_lossy(base).into_owned();
    if !extension.is_empty() {
        name.push('.');
        name.push_str(&String::from_utf8_lossy(extension));
    }
    name
}

fn boot_sector_label(sector: &[u8; 512], kind: Kind) -> Option<[u8; 11]> {
    let extended = if kind == Kind::Fat32 { 66 } else { 38 };
    if sector[extended] != 0x29 {
        return None;
    }
    sector.get(extended + 5..).and_then(|rest| rest.first_chunk()).copied()
}

fn read_at<D: Read + Seek>(device: &mut D, offset: u64, buffer: &mut [u8]) -> Result<(), FatError> {
    device.seek(SeekFrom::Start(offset)).map_err(|_| FatError::Device)?;
    device.read_exact(buffer).map_err(|error| match error {
        embedded_io::ReadExactError::UnexpectedEof => FatError::Damaged("it is longer than its device"),
        embedded_io::ReadExactError::Other(_) => FatError::Device,
    })
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |field| u16::from_le_bytes(*field))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |field| u32::from_le_bytes(*field))
}

#[cfg(test)]
mod tests;
