//! PID 1 of the image: makes the machine ready, serves, and ends it.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::mount::MountFlags;
use rustix::system::RebootCommand;
use sys::signal::{SIGCHLD, SIGINT, SIGPWR, SIGTERM, Signals};
use sys::watchdog::Watchdog;

use crate::console::{Console, Wish};
use crate::devices::{self, Found};
use crate::erase;
use crate::household::{Household, SealedSeed, Surroundings};
use crate::role::{Nic, Role, Roles};
use crate::sandbox::{OnForbidden, Sandbox, Strictness};
use crate::seed_volume;
use crate::supervise::Ending;

/// Runs the appliance until the machine is switched off or restarted. Only for PID 1.
pub fn run(roles: Roles) -> ! {
    let mut console = None;
    let ending = serve(roles, &mut console).unwrap_or_else(|error| {
        let text = format!("the appliance cannot run: {error}; it restarts in {} s", RETRY.as_secs());
        match &mut console {
            Some(machine) => machine.console.event(&text),
            None => eprintln!("{text}"),
        }
        std::thread::sleep(RETRY);
        Ending::Restart
    });
    rustix::fs::sync();
    let command = if ending == Ending::PowerOff { RebootCommand::PowerOff } else { RebootCommand::Restart };
    let error = rustix::system::reboot(command);
    // Not reached on a machine that can do it; the watchdog, no longer fed, resets one that cannot.
    eprintln!("the machine does not end: {error:?}");
    loop {
        std::thread::sleep(RETRY);
    }
}

/// Before the machine is restarted because it cannot serve: time to read why.
const RETRY: Duration = Duration::from_secs(10);
/// Between two looks for a disk or an interface that is not there yet.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How long the machine lives without PID 1.
const WATCHDOG: Duration = Duration::from_secs(60);
/// Of stick and drive on USB, which appear after the start: how long the seed volume is waited for while they do.
const USB_WAIT: Duration = Duration::from_secs(5);
/// Erased at a time, bytes: within the watchdog's patience on the slowest disk.
const ERASE_PIECE: u64 = 16 << 20;
const SAY_EVERY: Duration = Duration::from_secs(2);
const RTC: &str = "/dev/rtc0";

/// What the image has around its roles.
struct Machine {
    console: Console,
    watchdog: Option<Watchdog>,
    buttons: Vec<File>,
}

fn serve(roles: Roles, place: &mut Option<Machine>) -> io::Result<Ending> {
    mount()?;
    let signals = Signals::new(&[SIGTERM, SIGINT, SIGPWR, SIGCHLD])?;
    // Ctrl-Alt-Del becomes a signal to us, so that it stops as cleanly as everything else.
    rustix::system::reboot(RebootCommand::CadOff)?;
    // `net` reserves far more address space than it touches.
    fs::write("/proc/sys/vm/overcommit_memory", "1")?;
    let machine = place.insert(Machine {
        console: Console::open(),
        watchdog: Watchdog::arm(Path::new("/dev/watchdog"), WATCHDOG).ok(),
        buttons: devices::power_buttons(),
    });
    machine.console.line("version", env!("CARGO_PKG_VERSION"));
    machine.check_clock();
    if machine.watchdog.is_none() {
        machine.console.event("this machine has no watchdog");
    }
    let found = match machine.look_for(&signals, "disk", find_disk)? {
        Ok(found) => found,
        Err(ending) => return Ok(ending),
    };
    machine.console.line("disk", &found.name);
    let nic = match machine.look_for(&signals, "network", find_interface)? {
        Ok(nic) => nic,
        Err(ending) => return Ok(ending),
    };
    sys::link::set_up(&nic.name)?;
    let seed = machine.look_for_seed().map(SealedSeed::seal).transpose()?;
    let sandbox = |role| Sandbox::of(role).map_err(io::Error::other);
    let on_forbidden = if cfg!(debug_assertions) { OnForbidden::Report } else { OnForbidden::Kill };
    let (flushed, data) =
        (found.disk.file.try_clone()?, found.disk.offset..found.disk.offset + found.disk.len);
    let household = Household {
        roles,
        nic,
        disk: found.disk,
        seed,
        admin: None,
        strictness: Strictness::Whole,
        on_forbidden,
        net: sandbox(Role::Net)?,
        gateway: sandbox(Role::Gateway)?,
        tap: None,
    };
    let ending = household.run(&signals, machine)?;
    if ending == Ending::Erase {
        machine.erase(&flushed, data)?;
    }
    flushed.sync_all()?;
    machine.console.event(if ending == Ending::PowerOff { "power off" } else { "restart" });
    Ok(ending)
}

impl Machine {
    /// Looks until it is there, or until somebody wants an end.
    fn look_for<T>(
        &mut self,
        signals: &Signals,
        what: &str,
        find: fn(&mut Vec<String>) -> Option<T>,
    ) -> io::Result<Result<T, Ending>> {
        let mut told = Vec::new();
        loop {
            let mut problems = Vec::new();
            if let Some(found) = find(&mut problems) {
                for problem in problems {
                    self.console.event(&problem);
                }
                return Ok(Ok(found));
            }
            // Said once, however often it is looked for.
            if told != problems {
                for problem in &problems {
                    self.console.event(problem);
                }
                told = problems;
            }
            self.console.line(what, "none found yet");
            self.feed_watchdog();
            self.pause(signals)?;
            match self.attend(signals.take()?) {
                None => {}
                Some(Wish::End(ending)) => return Ok(Err(ending)),
                Some(Wish::Change(_)) => {
                    self.console.event("nothing was changed: the configuration is on the disk")
                }
            }
        }
    }

    fn pause(&self, signals: &Signals) -> io::Result<()> {
        let mut polled = vec![PollFd::from_borrowed_fd(signals.as_fd(), PollFlags::IN)];
        polled.extend(self.descriptors().into_iter().map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
        let timeout = Timespec::try_from(LOOK_EVERY).map_err(io::Error::other)?;
        match rustix::event::poll(&mut polled, Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn look_for_seed(&mut self) -> Option<crate::role::Seed> {
        let start = Instant::now();
        loop {
            let mut problems = Vec::new();
            let seed = seed_volume::find(&mut problems);
            if seed.is_some() || start.elapsed() >= USB_WAIT || !devices::usb_storage_is_coming() {
                for problem in problems {
                    self.console.event(&problem);
                }
                if let Some(seed) = &seed {
                    self.console.line("seed", &seed.name);
                }
                return seed;
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Leaves zeros only. From the end to the beginning, where it is written whose data this is: an erasure that is
    /// cut short leaves a store that does not open, never one that looks new.
    fn erase(&mut self, file: &File, data: Range<u64>) -> io::Result<()> {
        self.console.event("erasing");
        let started = Instant::now();
        let mut end = data.end;
        let mut said = started;
        while end > data.start {
            let start = end.saturating_sub(ERASE_PIECE).max(data.start);
            erase::zero(file, start..end)?;
            end = start;
            self.feed_watchdog();
            if said.elapsed() >= SAY_EVERY {
                said = Instant::now();
                self.console.line("to erase", &format!("{} MB", (end - data.start) / 1_000_000));
            }
        }
        file.sync_all()?;
        self.console.event("everything is erased");
        Ok(())
    }

    /// No time before this program was made is true.
    fn check_clock(&mut self) {
        let made = option_env!("SOURCE_DATE_EPOCH").and_then(|seconds| seconds.parse().ok()).unwrap_or(0);
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
        if now < made {
            let seconds = i64::try_from(made).unwrap_or(i64::MAX);
            match sys::clock::set_system(seconds, 0) {
                Ok(()) => self.console.event("the clock was before this version's date and was set to that"),
                Err(error) => {
                    self.console.event(&format!("the clock is wrong and could not be set: {error}"))
                }
            }
        }
    }
}

impl Surroundings for Machine {
    fn line(&mut self, label: &str, text: &str) {
        self.console.line(label, text);
    }

    fn event(&mut self, text: &str) {
        self.console.event(text);
    }

    fn ready(&mut self) {
        self.console.event("ready");
    }

    fn feed_watchdog(&mut self) {
        if let Some(watchdog) = &mut self.watchdog {
            // If it takes no food it resets the machine, which is what it is for.
            let _ = watchdog.feed();
        }
    }

    fn set_clock(&mut self, unix_seconds: i64, nanoseconds: u32) -> io::Result<()> {
        sys::clock::set_system(unix_seconds, nanoseconds)?;
        // Virtual machines may have none.
        match sys::clock::set_rtc(Path::new(RTC), unix_seconds) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    fn mix_entropy(&mut self, bytes: &[u8; 32]) -> io::Result<()> {
        // Mixed in, but not counted: whoever had the disk may know it.
        File::options().write(true).open("/dev/urandom")?.write_all(bytes)
    }

    fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        self.buttons.iter().map(File::as_fd).chain(self.console.descriptors()).collect()
    }

    fn attend(&mut self, signal: Option<i32>) -> Option<Wish> {
        match signal {
            Some(SIGINT) => return Some(Wish::End(Ending::Restart)),
            Some(SIGTERM | SIGPWR) => return Some(Wish::End(Ending::PowerOff)),
            _ => {}
        }
        for button in &mut self.buttons {
            let mut event = [0; 24];
            while button.read(&mut event).is_ok_and(|n| n == event.len()) {
                if devices::is_power_key(&event) {
                    return Some(Wish::End(Ending::PowerOff));
                }
            }
        }
        self.console.wish()
    }
}

fn find_disk(problems: &mut Vec<String>) -> Option<Found> {
    let found = devices::find_disk(problems);
    if found.is_none() {
        problems.push("no disk has a partition for data; none was changed".into());
    }
    found
}

fn find_interface(problems: &mut Vec<String>) -> Option<Nic> {
    let mut interfaces = devices::interfaces().into_iter();
    let first = interfaces.next()?;
    let others: Vec<String> = interfaces.map(|nic| nic.name).collect();
    if !others.is_empty() {
        problems.push(format!(
            "several network interfaces: {} is used, not {}",
            first.name,
            others.join(", ")
        ));
    }
    Some(first)
}

fn mount() -> io::Result<()> {
    let closed = MountFlags::NOSUID | MountFlags::NOEXEC | MountFlags::NODEV;
    rustix::mount::mount("proc", "/proc", "proc", closed, None)?;
    rustix::mount::mount("sysfs", "/sys", "sysfs", closed, None)?;
    let devices = MountFlags::NOSUID | MountFlags::NOEXEC;
    match rustix::mount::mount("devtmpfs", "/dev", "devtmpfs", devices, None) {
        // The kernel may have done it.
        Ok(()) | Err(rustix::io::Errno::BUSY) => {}
        Err(error) => return Err(error.into()),
    }
    // Only on a machine that was started by UEFI.
    let variables = "/sys/firmware/efi/efivars";
    if Path::new(variables).is_dir() {
        rustix::mount::mount("efivarfs", variables, "efivarfs", closed, None)?;
    }
    Ok(())
}
