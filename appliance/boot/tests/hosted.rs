//! The hosted parent with roles that only keep up appearances: readiness, crashes, hangs of the start, a clean stop.
//!
//! A program of its own, without the test harness: roles are forked from a process of one thread only. It starts itself
//! again as the appliance, with the scenario as its argument.
#![allow(clippy::unwrap_used)] // A panic is how a test fails.

use std::io::{self, BufRead, BufReader, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use boot::hosted::{Options, run};
use boot::role::{GatewayIo, NetIo, Nic, Roles};
use rustix::event::{PollFd, PollFlags};
use sys::status::{Channel, ChannelError, FromRole, ToRole};
use tempfile::TempDir;

fn main() {
    if let (Some(scenario), Some(dir)) = (std::env::args().nth(1), std::env::args().nth(2)) {
        std::process::exit(appliance(&scenario, dir.as_ref()));
    }
    stops_cleanly();
    both_start_again_when_one_dies();
    one_disk_one_appliance();
    roles_end_with_their_parent();
    println!("test result: ok");
}

/// Everything here happens within a second; a machine may be busy.
const PATIENCE: Duration = Duration::from_secs(60);

fn stops_cleanly() {
    let mut appliance = Appliance::start("plain");
    assert_eq!(appliance.line(), "ready");
    appliance.signal(rustix::process::Signal::TERM);
    let (status, said) = appliance.end();
    assert!(status.success(), "{said}");
    assert!(said.contains("gateway: seed of 4 bytes, disk of 1048576 bytes"), "{said}");
    assert!(said.contains("gateway: committed"), "{said}");
    assert!(said.contains("address: \\x1b192.0.2.1"), "{said}");
    println!("test it stops cleanly, and shows what roles say ... ok");
}

fn both_start_again_when_one_dies() {
    let mut appliance = Appliance::start("net dies once");
    // Ready before the death, and again after it.
    assert_eq!(appliance.line(), "ready");
    assert_eq!(appliance.line(), "ready");
    appliance.signal(rustix::process::Signal::TERM);
    let (status, said) = appliance.end();
    assert!(status.success(), "{said}");
    assert!(
        said.contains("net exited with code 7") && said.contains("note: net exited with code 7"),
        "{said}"
    );
    println!("test both start again when one dies, and the gateway is told ... ok");
}

fn one_disk_one_appliance() {
    let mut first = Appliance::start("plain");
    assert_eq!(first.line(), "ready");
    let second = Appliance::start_in("plain", first.dir.path());
    let (status, said) = second.end();
    assert!(!status.success() && said.contains("another appliance has it open"), "{said}");
    first.signal(rustix::process::Signal::INT);
    assert!(first.end().0.success());
    println!("test one disk is one appliance's ... ok");
}

fn roles_end_with_their_parent() {
    let mut appliance = Appliance::start("plain");
    assert_eq!(appliance.line(), "ready");
    appliance.signal(rustix::process::Signal::KILL);
    let file = std::fs::File::open(appliance.dir.path().join("disk")).unwrap();
    assert_eq!(appliance.end().0.signal(), Some(9));
    // The roles hold the lock while they live.
    let deadline = Instant::now() + PATIENCE;
    while file.try_lock().is_err() {
        assert!(Instant::now() < deadline, "the roles live on");
        std::thread::yield_now();
    }
    println!("test roles end with their parent ... ok");
}

struct Appliance {
    child: Child,
    stdout: BufReader<ChildStdout>,
    dir: TempDir,
}

impl Appliance {
    fn start(scenario: &str) -> Appliance {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("postern.toml"), "seed").unwrap();
        let mut appliance = Appliance::start_in(scenario, dir.path());
        appliance.dir = dir;
        appliance
    }

    fn start_in(scenario: &str, dir: &std::path::Path) -> Appliance {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.arg(scenario).arg(dir).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Appliance { child, stdout, dir: tempfile::tempdir().unwrap() }
    }

    fn line(&mut self) -> String {
        let mut polled = [PollFd::new(self.stdout.get_ref(), PollFlags::IN)];
        let limit = rustix::event::Timespec::try_from(PATIENCE).unwrap();
        assert_eq!(rustix::event::poll(&mut polled, Some(&limit)).unwrap(), 1, "nothing was said");
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        line.trim_end().into()
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    fn end(mut self) -> (ExitStatus, String) {
        let mut said = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        (self.child.wait().unwrap(), said)
    }
}

fn appliance(scenario: &str, dir: &std::path::Path) -> i32 {
    let roles = Roles {
        open_device: |_: &Nic| Ok(OwnedFd::from(std::fs::File::open("/dev/null")?)),
        net: if scenario == "plain" { |io| serve_net(io, false) } else { |io| serve_net(io, true) },
        gateway: serve_gateway,
    };
    let options = Options {
        tap: "test".into(),
        disk: dir.join("disk"),
        size: Some(1 << 20),
        config: Some(dir.join("postern.toml")),
        admin: None,
        roles,
    };
    match run(options) {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("{error}");
            1
        }
    }
}

fn serve_net(io: NetIo, dies: bool) -> i32 {
    io.status.send(&FromRole::Ready).unwrap();
    // The gateway marks the disk at its first start and says so to whoever is at the other end.
    let mut first = [0];
    wait(io.control.as_fd());
    let n = rustix::io::read(&io.control, &mut first).unwrap_or(0);
    if dies && n == 1 && first == [1] {
        return 7;
    }
    answer(&io.status, |_| true)
}

fn serve_gateway(io: GatewayIo) -> i32 {
    let mut mark = [0];
    io.disk.file.read_exact_at(&mut mark, 0).unwrap();
    io.disk.file.write_all_at(&[1], 0).unwrap();
    eprintln!("seed of {} bytes, disk of {} bytes", io.seed.map_or(0, |seed| seed.bytes.len()), io.disk.len);
    let line = FromRole::Console { label: "address".into(), text: "\x1b192.0.2.1".into() };
    io.status.send(&line).unwrap();
    io.status.send(&FromRole::Ready).unwrap();
    // Only once PID 1 knows that both are ready: it asks from then on.
    wait(io.status.as_fd());
    rustix::io::write(&io.control, &[if mark == [0] { 1 } else { 2 }]).unwrap();
    answer(&io.status, |message| {
        match message {
            ToRole::Note(note) => eprintln!("note: {note}"),
            ToRole::Shutdown => {
                io.disk.file.sync_all().unwrap();
                eprintln!("committed");
                io.status.send(&FromRole::Stopped).unwrap();
                return false;
            }
            ToRole::Ping(_) | ToRole::Change(_) => {}
        }
        true
    })
}

/// Answers until `more` says no, or PID 1 is gone.
fn answer(status: &Channel, mut more: impl FnMut(&ToRole) -> bool) -> i32 {
    loop {
        match status.receive::<ToRole>() {
            Ok(message) => {
                if let ToRole::Ping(number) = message {
                    status.send(&FromRole::Pong(number)).unwrap();
                }
                if !more(&message) {
                    return 0;
                }
            }
            Err(ChannelError::WouldBlock) => wait(status.as_fd()),
            Err(_) => return 1,
        }
    }
}

fn wait(fd: std::os::fd::BorrowedFd<'_>) {
    let mut polled = [PollFd::from_borrowed_fd(fd, PollFlags::IN)];
    let waited: io::Result<_> = rustix::event::poll(&mut polled, None).map_err(Into::into);
    waited.unwrap();
}
