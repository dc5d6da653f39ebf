//! Carries out what the [`Supervisor`] decides: forks the roles, listens to them, and reports.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use sys::process::{self, Pid};
use sys::signal::{SIGCHLD, Signals};
use sys::status::{Channel, ChannelError, FromRole};

use crate::console::Wish;
use crate::role::{DataDisk, GatewayIo, NetIo, Nic, NicKind, Role, Roles, Seed};
use crate::sandbox::{OnForbidden, Sandbox, Strictness};
use crate::supervise::{Action, Ending, Input, Supervisor};
use crate::text::escaped;
use zeroize::Zeroize;

/// What the image and a developer's machine do differently.
pub(crate) trait Surroundings {
    /// A line of the console page; an empty text removes it. Foreign text: not escaped yet.
    fn line(&mut self, label: &str, text: &str);
    /// What happened, for people; escaped.
    fn event(&mut self, text: &str);
    /// Both roles serve.
    fn ready(&mut self);
    fn feed_watchdog(&mut self);
    fn set_clock(&mut self, unix_seconds: i64, nanoseconds: u32) -> io::Result<()>;
    fn mix_entropy(&mut self, bytes: &[u8; 32]) -> io::Result<()>;
    /// What to wait for besides the roles.
    fn descriptors(&self) -> Vec<BorrowedFd<'_>>;
    /// One of them is ready, or a signal came.
    fn attend(&mut self, signal: Option<i32>) -> Option<Wish>;
}

/// What the roles are made of, at each start anew.
#[derive(Debug)]
pub(crate) struct Household {
    pub(crate) roles: Roles,
    pub(crate) nic: Nic,
    pub(crate) disk: DataDisk,
    pub(crate) seed: Option<SealedSeed>,
    pub(crate) admin: Option<UnixListener>,
    pub(crate) strictness: Strictness,
    pub(crate) on_forbidden: OnForbidden,
    pub(crate) net: Sandbox,
    pub(crate) gateway: Sandbox,
    /// A TAP device vanishes when nobody holds it, and can be opened once: it is kept.
    pub(crate) tap: Option<OwnedFd>,
}

/// The configuration file in a descriptor of its own: this process keeps no copy that `net` would inherit.
#[derive(Debug)]
pub(crate) struct SealedSeed {
    name: String,
    file: File,
    len: usize,
}

/// A role that was started.
#[derive(Debug)]
struct Child {
    role: Role,
    pid: Pid,
    /// `None` once its other end is gone.
    status: Option<Channel>,
    stderr: Option<File>,
    /// What came on its standard error since the last line's end.
    line: Vec<u8>,
}

/// The longest line of a role's standard error that is shown, bytes.
const STDERR_LINE_MAX: usize = 500;
/// Messages taken from one role before the others have their turn.
const MESSAGES_A_TURN: usize = 32;
/// Exit code of a role whose sandbox could not be made.
const EXIT_SANDBOX: i32 = 102;

impl Household {
    /// Serves until an end is asked for and reached. Needs a process of one thread.
    pub(crate) fn run(
        mut self,
        signals: &Signals,
        surroundings: &mut dyn Surroundings,
    ) -> io::Result<Ending> {
        let start = Instant::now();
        let mut supervisor = Supervisor::new(Duration::ZERO);
        let mut children: Vec<Child> = Vec::new();
        let mut inputs = vec![Input::Time];
        loop {
            for input in std::mem::take(&mut inputs) {
                let mut actions = Vec::new();
                supervisor.handle(start.elapsed(), input, &mut actions);
                for action in actions {
                    if let Action::End(ending) = action {
                        return Ok(ending);
                    }
                    inputs.extend(self.act(action, &mut children, surroundings));
                }
            }
            if !inputs.is_empty() {
                continue;
            }
            wait(&children, signals, surroundings, supervisor.deadline().saturating_sub(start.elapsed()))?;
            for child in &mut children {
                child.listen(surroundings, &mut inputs);
            }
            take_signals(signals, surroundings, &mut inputs)?;
            // After what they said, so that the last words of a role that ended are heard.
            reap(&mut children, surroundings, &mut inputs)?;
            inputs.push(Input::Time);
        }
    }

    fn act(
        &mut self,
        action: Action,
        children: &mut Vec<Child>,
        surroundings: &mut dyn Surroundings,
    ) -> Option<Input> {
        match action {
            Action::Start => {
                return Some(match self.start(children) {
                    Ok(()) => Input::Started,
                    Err(error) => Input::NotStarted(error.to_string()),
                });
            }
            Action::Kill(role) => {
                if let Some(child) = children.iter().find(|child| child.role == role)
                    && let Err(error) = process::kill(child.pid)
                {
                    surroundings.event(&format!("{role} cannot be killed: {error}"));
                }
            }
            Action::Send(role, message) => {
                let status =
                    children.iter().find(|child| child.role == role).and_then(|child| child.status.as_ref());
                // A full or closed channel shows in the answer that does not come.
                if let Some(status) = status {
                    let _ = status.send(&message);
                }
            }
            Action::FeedWatchdog => surroundings.feed_watchdog(),
            Action::Ready => surroundings.ready(),
            Action::SetClock { unix_seconds, nanoseconds } => {
                if let Err(error) = surroundings.set_clock(unix_seconds, nanoseconds) {
                    surroundings.event(&format!("the clock could not be set: {error}"));
                }
            }
            Action::MixEntropy(bytes) => {
                if let Err(error) = surroundings.mix_entropy(&bytes) {
                    surroundings.event(&format!("the stored seed of randomness was not used: {error}"));
                }
            }
            Action::Line { label, text } => surroundings.line(&label, &text),
            Action::Event(text) => surroundings.event(&escaped(text.as_bytes(), STDERR_LINE_MAX)),
            Action::End(_) => {}
        }
        None
    }

    /// Both or none.
    fn start(&mut self, children: &mut Vec<Child>) -> io::Result<()> {
        let device = self.device()?;
        let (net_end, gateway_end) = sys::channel::pair()?;
        let net = self.start_net(device, net_end)?;
        match self.start_gateway(gateway_end) {
            Ok(gateway) => {
                children.push(net);
                children.push(gateway);
                Ok(())
            }
            Err(error) => {
                process::kill(net.pid)?;
                process::wait_for(net.pid)?;
                Err(error)
            }
        }
    }

    fn device(&mut self) -> io::Result<OwnedFd> {
        let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", self.nic.name));
        match self.nic.kind {
            NicKind::Packet => (self.roles.open_device)(&self.nic).map_err(named),
            NicKind::Tap => {
                if self.tap.is_none() {
                    self.tap = Some((self.roles.open_device)(&self.nic).map_err(named)?);
                }
                let tap = self.tap.as_ref().ok_or_else(|| io::Error::other("no TAP device"))?;
                tap.try_clone()
            }
        }
    }

    fn start_net(&self, device: OwnedFd, control: OwnedFd) -> io::Result<Child> {
        let (ours, theirs) = Channel::pair()?;
        let (reader, writer) = stderr_pipe()?;
        let io = NetIo { nic: self.nic.clone(), device, control, status: theirs };
        let keep = [io.device.as_raw_fd(), io.control.as_raw_fd(), io.status.as_fd().as_raw_fd()];
        let pid = process::spawn(&keep, writer, || match self.enter(&self.net) {
            true => (self.roles.net)(io),
            false => EXIT_SANDBOX,
        })?;
        Ok(Child::new(Role::Net, pid, ours, reader))
    }

    fn start_gateway(&self, control: OwnedFd) -> io::Result<Child> {
        let (ours, theirs) = Channel::pair()?;
        let (reader, writer) = stderr_pipe()?;
        let disk = DataDisk { file: self.disk.file.try_clone()?, ..self.disk };
        let admin = self.admin.as_ref().map(UnixListener::try_clone).transpose()?;
        let io = GatewayIo { disk, control, status: theirs, seed: None, admin };
        let mut keep = vec![io.disk.file.as_raw_fd(), io.control.as_raw_fd(), io.status.as_fd().as_raw_fd()];
        keep.extend(io.admin.as_ref().map(AsRawFd::as_raw_fd));
        keep.extend(self.seed.as_ref().map(|seed| seed.file.as_raw_fd()));
        let pid = process::spawn(&keep, writer, || {
            let seed = match self.seed.as_ref().map(SealedSeed::open).transpose() {
                Ok(seed) => seed,
                Err(error) => {
                    // The store holds the configuration imported last.
                    eprintln!("the configuration file cannot be read again: {error}");
                    None
                }
            };
            match self.enter(&self.gateway) {
                true => (self.roles.gateway)(GatewayIo { seed, ..io }),
                false => EXIT_SANDBOX,
            }
        })?;
        Ok(Child::new(Role::Gateway, pid, ours, reader))
    }

    /// In the child.
    fn enter(&self, sandbox: &Sandbox) -> bool {
        match sandbox.enter(self.strictness, self.on_forbidden) {
            Ok(()) => true,
            Err(error) => {
                eprintln!("no sandbox, so that it does not run: {error}");
                false
            }
        }
    }
}

impl SealedSeed {
    /// Moves the text out of this process's memory; what is left of it there is overwritten.
    pub(crate) fn seal(mut seed: Seed) -> io::Result<SealedSeed> {
        let file = sys::memory::sealed("configuration", &seed.bytes);
        let len = seed.bytes.len();
        seed.bytes.zeroize();
        Ok(SealedSeed { name: seed.name, file: file?, len })
    }

    fn open(&self) -> io::Result<Seed> {
        let mut bytes = vec![0; self.len];
        self.file.read_exact_at(&mut bytes, 0)?;
        Ok(Seed { name: self.name.clone(), bytes })
    }
}

impl Child {
    fn new(role: Role, pid: Pid, status: Channel, stderr: File) -> Child {
        Child { role, pid, status: Some(status), stderr: Some(stderr), line: Vec::new() }
    }

    fn listen(&mut self, surroundings: &mut dyn Surroundings, inputs: &mut Vec<Input>) {
        for _ in 0..MESSAGES_A_TURN {
            let Some(status) = &self.status else { break };
            match status.receive::<FromRole>() {
                Ok(message) => inputs.push(Input::Said(self.role, message)),
                Err(ChannelError::WouldBlock) => break,
                // Its exit follows; a role that lives on is found by its silence.
                Err(ChannelError::Closed) => self.status = None,
                Err(ChannelError::Malformed | ChannelError::Io(_)) => {
                    self.status = None;
                    inputs.push(Input::Babbled(self.role));
                }
            }
        }
        self.hear_stderr(surroundings);
    }

    fn hear_stderr(&mut self, surroundings: &mut dyn Surroundings) {
        let mut piece = [0; 4096];
        let Some(stderr) = &mut self.stderr else { return };
        let n = match stderr.read(&mut piece) {
            Ok(n) => n,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
            Err(_) => 0,
        };
        if n == 0 {
            self.stderr = None;
        }
        for &byte in piece.iter().take(n) {
            if byte == b'\n' {
                self.end_line(surroundings);
            } else if self.line.len() < STDERR_LINE_MAX {
                self.line.push(byte);
            }
        }
    }

    fn end_line(&mut self, surroundings: &mut dyn Surroundings) {
        let line = std::mem::take(&mut self.line);
        if !line.is_empty() {
            surroundings.event(&format!("{}: {}", self.role, escaped(&line, STDERR_LINE_MAX)));
        }
    }
}

impl From<Wish> for Input {
    fn from(wish: Wish) -> Input {
        match wish {
            Wish::End(ending) => Input::Stop(ending),
            Wish::Change(change) => Input::Change(change),
        }
    }
}

/// Until something happened or `timeout` is over.
fn wait(
    children: &[Child],
    signals: &Signals,
    surroundings: &dyn Surroundings,
    timeout: Duration,
) -> io::Result<()> {
    let mut polled = vec![PollFd::from_borrowed_fd(signals.as_fd(), PollFlags::IN)];
    for child in children {
        polled.extend(
            child.status.as_ref().map(|status| PollFd::from_borrowed_fd(status.as_fd(), PollFlags::IN)),
        );
        polled
            .extend(child.stderr.as_ref().map(|file| PollFd::from_borrowed_fd(file.as_fd(), PollFlags::IN)));
    }
    polled
        .extend(surroundings.descriptors().into_iter().map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
    let timeout = Timespec::try_from(timeout).map_err(io::Error::other)?;
    match rustix::event::poll(&mut polled, Some(&timeout)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn take_signals(
    signals: &Signals,
    surroundings: &mut dyn Surroundings,
    inputs: &mut Vec<Input>,
) -> io::Result<()> {
    inputs.extend(surroundings.attend(None).map(Input::from));
    while let Some(signal) = signals.take()? {
        if signal != SIGCHLD {
            inputs.extend(surroundings.attend(Some(signal)).map(Input::from));
        }
    }
    Ok(())
}

/// Ours, and as PID 1 those of nobody.
fn reap(
    children: &mut Vec<Child>,
    surroundings: &mut dyn Surroundings,
    inputs: &mut Vec<Input>,
) -> io::Result<()> {
    while let Some((pid, exit)) = process::reap()? {
        if let Some(index) = children.iter().position(|child| child.pid == pid) {
            let mut child = children.remove(index);
            child.listen(surroundings, inputs);
            child.end_line(surroundings);
            inputs.push(Input::Exited(child.role, exit));
        }
    }
    Ok(())
}

/// The reading end does not block.
fn stderr_pipe() -> io::Result<(File, OwnedFd)> {
    let (reader, writer) = io::pipe()?;
    rustix::io::ioctl_fionbio(&reader, true)?;
    Ok((File::from(OwnedFd::from(reader)), writer.into()))
}
