//! The appliance on a developer's machine: the same roles on a TAP device and a file.

use std::fs::{File, TryLockError};
use std::io::{self, Read, Write};
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use sys::signal::{SIGCHLD, SIGHUP, SIGINT, SIGTERM, Signals};

use crate::console::Wish;
use crate::household::{Household, SealedSeed, Surroundings};
use crate::role::{DataDisk, Nic, NicKind, Role, Roles, SEED_MAX, Seed};
use crate::sandbox::{OnForbidden, Sandbox, Strictness};
use crate::supervise::Ending;
use crate::text::escaped;

/// What `postern run` was asked for.
#[derive(Debug)]
pub struct Options {
    /// The TAP device; made if it does not exist.
    pub tap: String,
    /// The store's file; created if absent.
    pub disk: PathBuf,
    /// Size of a new file, or the new size of an old one if that is smaller; bytes.
    pub size: Option<u64>,
    /// The configuration file.
    pub config: Option<PathBuf>,
    /// Where `postern ctl` connects, already bound.
    pub admin: Option<UnixListener>,
    pub roles: Roles,
}

/// Why it did not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error("{path}: {source}", path = .path.display())]
    File { path: PathBuf, source: std::io::Error },
    #[error("{path}: another appliance has it open", path = .path.display())]
    InUse { path: PathBuf },
    #[error("{path}: longer than {max} bytes, which no configuration is", path = .path.display())]
    ConfigTooLong { path: PathBuf, max: u64 },
    #[error("a role's list of system calls: {0}")]
    Sandbox(String),
    #[error("{what}: {source}")]
    Io { what: &'static str, source: std::io::Error },
}

/// Size of a new file when none is asked for, bytes. It is sparse: it takes what is written.
pub const SIZE_DEFAULT: u64 = 4 << 30;

/// Longest IP packet on a TAP device, bytes; Ethernet's.
const MTU: u32 = 1500;

/// Serves until SIGTERM or SIGINT, then stops cleanly; prints `ready` on standard output when both roles serve.
///
/// Call it before there is a second thread. The clock, the watchdog and the power stay the machine's own.
pub fn run(options: Options) -> Result<(), RunError> {
    let during = |what| move |source| RunError::Io { what, source };
    // Before anything is started, so that no signal meets a program that is half up.
    let signals = Signals::new(&[SIGTERM, SIGINT, SIGHUP, SIGCHLD]).map_err(during("signals"))?;
    let seed = options.config.as_deref().map(read_config).transpose()?;
    let seed = seed.map(SealedSeed::seal).transpose().map_err(during("the configuration file"))?;
    let disk = open_disk(&options.disk, options.size)?;
    let sandbox = |role| Sandbox::of(role).map_err(|error| RunError::Sandbox(error.to_string()));
    let household = Household {
        roles: options.roles,
        nic: tap(options.tap),
        disk,
        seed,
        admin: options.admin,
        strictness: Strictness::AsFarAsAllowed,
        on_forbidden: OnForbidden::Report,
        net: sandbox(Role::Net)?,
        gateway: sandbox(Role::Gateway)?,
        tap: None,
    };
    let flushed = household.disk.file.try_clone().map_err(during("the disk"))?;
    household.run(&signals, &mut Terminal).map_err(during("supervision"))?;
    flushed.sync_all().map_err(during("the disk"))
}

/// Standard output says `ready`; everything else is on standard error.
struct Terminal;

/// Longest line, characters.
const LINE_MAX: usize = 500;

impl Surroundings for Terminal {
    fn line(&mut self, label: &str, text: &str) {
        if !text.is_empty() {
            eprintln!("{}: {}", escaped(label.as_bytes(), LINE_MAX), escaped(text.as_bytes(), LINE_MAX));
        }
    }

    fn event(&mut self, text: &str) {
        eprintln!("{text}");
    }

    fn ready(&mut self) {
        // Whoever waits for it may be gone; the appliance serves all the same.
        let mut stdout = io::stdout();
        let _ = writeln!(stdout, "ready").and_then(|()| stdout.flush());
    }

    fn feed_watchdog(&mut self) {}

    fn set_clock(&mut self, _: i64, _: u32) -> io::Result<()> {
        Ok(())
    }

    fn mix_entropy(&mut self, _: &[u8; 32]) -> io::Result<()> {
        Ok(())
    }

    fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        Vec::new()
    }

    fn attend(&mut self, signal: Option<i32>) -> Option<Wish> {
        match signal {
            Some(SIGTERM | SIGINT | SIGHUP) => Some(Wish::End(Ending::Exit)),
            _ => None,
        }
    }
}

fn read_config(path: &Path) -> Result<Seed, RunError> {
    let failed = |source| RunError::File { path: path.into(), source };
    let file = File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    file.take(SEED_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    match bytes.len() as u64 {
        len if len > SEED_MAX => Err(RunError::ConfigTooLong { path: path.into(), max: SEED_MAX }),
        _ => Ok(Seed { name: path.display().to_string(), bytes }),
    }
}

fn open_disk(path: &Path, size: Option<u64>) -> Result<DataDisk, RunError> {
    let failed = |source| RunError::File { path: path.into(), source };
    let file =
        File::options().read(true).write(true).create(true).truncate(false).open(path).map_err(failed)?;
    // Held by the roles too, so that it lasts as long as any of them.
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(RunError::InUse { path: path.into() }),
        Err(TryLockError::Error(source)) => return Err(failed(source)),
    }
    let old = file.metadata().map_err(failed)?.len();
    let len = if old == 0 { size.unwrap_or(SIZE_DEFAULT) } else { old.max(size.unwrap_or(0)) };
    if len > old {
        file.set_len(len).map_err(failed)?;
    }
    Ok(DataDisk { file, offset: 0, len })
}

fn tap(name: String) -> Nic {
    // Locally administered, and the same for the same name: neighbours remember it.
    let sum = crc32fast::hash(name.as_bytes()).to_be_bytes();
    let mac = [0x02, 0x50, sum[0], sum[1], sum[2], sum[3]];
    Nic { kind: NicKind::Tap, name, index: 0, mac, mtu: MTU }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_made_once_grows_and_is_one_appliances() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("disk");
        let first = open_disk(&path, Some(1 << 20)).unwrap();
        assert_eq!((first.offset, first.len), (0, 1 << 20));
        assert!(matches!(open_disk(&path, None), Err(RunError::InUse { .. })));
        drop(first);
        assert_eq!(open_disk(&path, Some(1)).unwrap().len, 1 << 20);
        assert_eq!(open_disk(&path, Some(2 << 20)).unwrap().len, 2 << 20);
    }

    #[test]
    fn a_configuration_has_its_limit() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("postern.toml");
        std::fs::write(&path, vec![b' '; SEED_MAX as usize]).unwrap();
        assert_eq!(read_config(&path).unwrap().bytes.len() as u64, SEED_MAX);
        std::fs::write(&path, vec![b' '; SEED_MAX as usize + 1]).unwrap();
        assert!(matches!(read_config(&path), Err(RunError::ConfigTooLong { .. })));
        assert!(matches!(read_config(&dir.path().join("none")), Err(RunError::File { .. })));
    }
}
