//! The seed volume: a FAT volume labelled `POSTERN` with `postern.toml` on it.

use std::fs::File;
use std::path::Path;

use embedded_io::{ErrorType, Read, Seek, SeekFrom};

use crate::devices;
use crate::fat::{FatError, Volume};
use crate::role::{SEED_MAX, Seed};

const LABEL: &str = "POSTERN";
const FILE: &str = "postern.toml";

/// The first seed volume by device name, read only. `problems` gets what is wrong with one.
pub(crate) fn find(problems: &mut Vec<String>) -> Option<Seed> {
    devices::block_devices().into_iter().find_map(|name| match read(&devices::node(&name)) {
        Ok(None) => None,
        Ok(Some(bytes)) => Some(Seed { name: format!("{FILE} on {name}"), bytes }),
        Err(error) => {
            problems.push(format!("FAT volume on {name}: {error}"));
            None
        }
    })
}

fn read(node: &Path) -> Result<Option<Vec<u8>>, FatError> {
    let Ok(file) = File::open(node) else { return Ok(None) };
    let mut volume = match Volume::open(Device(file)) {
        Ok(volume) => volume,
        // Whether a damaged volume is ours cannot be told.
        Err(error @ FatError::Damaged(_)) => return Err(error),
        Err(_) => return Ok(None),
    };
    if !volume.is_labelled(LABEL) {
        return Ok(None);
    }
    volume.read(FILE, SEED_MAX).map(Some)
}

/// A block device's node for the reader.
struct Device(File);

impl ErrorType for Device {
    type Error = std::io::Error;
}

impl Read for Device {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, std::io::Error> {
        std::io::Read::read(&mut self.0, buffer)
    }
}

impl Seek for Device {
    fn seek(&mut self, to: SeekFrom) -> Result<u64, std::io::Error> {
        std::io::Seek::seek(&mut self.0, to.into())
    }
}
