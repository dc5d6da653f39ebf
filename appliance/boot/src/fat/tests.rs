use std::process::Command;

use embedded_io::{ErrorType, SeekFrom};

use super::*;

/// A device in memory.
struct Ram {
    bytes: Vec<u8>,
    at: usize,
}

impl ErrorType for Ram {
    type Error = core::convert::Infallible;
}

impl Read for Ram {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Self::Error> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let n = rest.len().min(buffer.len());
        buffer[..n].copy_from_slice(&rest[..n]);
        self.at += n;
        Ok(n)
    }
}

impl Seek for Ram {
    fn seek(&mut self, to: SeekFrom) -> Result<u64, Self::Error> {
        if let SeekFrom::Start(at) = to {
            self.at = usize::try_from(at).unwrap_or(usize::MAX);
        }
        Ok(self.at as u64)
    }
}

const TEXT_LEN: usize = 30_000;

fn text() -> Vec<u8> {
    (0..TEXT_LEN).map(|index| b' ' + (index % 90) as u8).collect()
}

/// Made by dosfstools and mtools: other people's reading of the specification.
fn volume(kib: u32, bits: &str) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let (image, file) = (dir.path().join("image"), dir.path().join("postern.toml"));
    std::fs::write(&file, text()).unwrap();
    let run = |command: &mut Command| assert!(command.output().unwrap().status.success(), "{command:?}");
    run(Command::new("mkfs.vfat").args(["-C", "-n", "POSTERN", "-F", bits]).arg(&image).arg(kib.to_string()));
    // Neighbours before it, one of them with a long name.
    for other in ["::README", "::a long name before it.txt"] {
        run(Command::new("mcopy").arg("-i").arg(&image).arg(&file).arg(other));
    }
    run(Command::new("mcopy").arg("-i").arg(&image).arg(&file).arg("::postern.toml"));
    std::fs::read(image).unwrap()
}

fn read(bytes: Vec<u8>) -> Result<Vec<u8>, FatError> {
    let mut volume = Volume::open(Ram { bytes, at: 0 })?;
    volume.is_labelled("POSTERN");
    volume.read("postern.toml", 1 << 20)
}

const SIZES: [(u32, &str); 3] = [(1_440, "12"), (16_384, "16"), (40_960, "32")];

#[test]
fn each_kind_of_volume_is_read() {
    for (kib, bits) in SIZES {
        let mut volume = Volume::open(Ram { bytes: volume(kib, bits), at: 0 }).unwrap();
        assert_eq!(format!("{:?}", volume.layout.kind), format!("Fat{bits}"));
        assert!(volume.is_labelled("POSTERN") && !volume.is_labelled("POSTER"));
        assert!(volume.read("Postern.TOML", TEXT_LEN as u64).unwrap() == text());
        assert_eq!(volume.read("other.toml", 1 << 20), Err(FatError::NoFile));
        let limit = TEXT_LEN as u64 - 1;
        assert_eq!(volume.read("postern.toml", limit), Err(FatError::TooLong(limit)));
    }
}

#[test]
fn what_is_no_volume_is_said_to_be_none() {
    assert_eq!(read(vec![0; 4096]), Err(FatError::NotFat));
    assert_eq!(read(vec![0; 100]), Err(FatError::NotFat));
}

#[test]
fn a_chain_that_loops_or_leaves_the_volume_ends() {
    let mut bytes = volume(1_440, "12");
    let fat = 512..512 * 10;
    for value in [0x00, 0x22, 0xff] {
        bytes[fat.clone()].fill(value);
        let _ = read(bytes.clone());
    }
    let mut bytes = volume(40_960, "32");
    let fat = 32 * 512;
    // The root directory's chain points to itself, and the directory is full.
    let root = Volume::open(Ram { bytes: bytes.clone(), at: 0 }).unwrap();
    let start = root.layout.cluster(2).unwrap() as usize;
    bytes[start..start + 512].fill(0x41);
    bytes[fat + 8..fat + 12].copy_from_slice(&2_u32.to_le_bytes());
    assert!(read(bytes).is_err());
}

#[test]
fn a_volume_cut_anywhere_is_an_error_not_a_panic() {
    for (kib, bits) in SIZES {
        let whole = volume(kib, bits);
        for len in [0, 1, 511, 512, 513, 5_000, 20_000, 100_000] {
            assert!(read(whole[..len].to_vec()).is_err());
        }
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_damage_makes_it_panic_or_read_too_much(changes in proptest::collection::vec((0_usize..24_000, proptest::num::u8::ANY), 1..12)) {
        static WHOLE: std::sync::LazyLock<Vec<u8>> = std::sync::LazyLock::new(|| volume(1_440, "12")[..64_000].to_vec());
        let mut bytes = WHOLE.clone();
        for (at, value) in changes {
            bytes[at] = value;
        }
        if let Ok(text) = read(bytes) {
            assert!(text.len() <= 1 << 20);
        }
    }

    #[test]
    fn no_first_sector_makes_it_panic(mut sector in proptest::collection::vec(proptest::num::u8::ANY, 512)) {
        sector[0] = 0xeb;
        sector[510..].copy_from_slice(&[0x55, 0xaa]);
        sector[11..13].copy_from_slice(&512_u16.to_le_bytes());
        sector[13] = 1 << (sector[13] % 8);
        sector[16] = 1;
        sector.resize(8_192, 0x41);
        let _ = read(sector);
    }
}
