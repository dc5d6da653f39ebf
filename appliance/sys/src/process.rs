//! Children of a single-threaded parent: forked without exec, reaped, killed.

use std::io;
use std::os::fd::{OwnedFd, RawFd};

use rustix::process::{self, WaitOptions};

pub use rustix::process::{Pid, Signal};

/// Exit code of a child whose program panicked; the message is on its standard error.
pub const EXIT_PANIC: i32 = 101;

/// How a child ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    Code(i32),
    Signal(i32),
}

/// Starts `program` in a child that holds `keep`, `stderr` as its standard error, and nothing else: every other
/// descriptor is closed, standard input and output are `/dev/null`, no signal is blocked.
///
/// `program` may use only descriptors in `keep`; any other that it captured is closed under it. What it captured is
/// dropped in the parent, so that a descriptor moved into it is the child's alone. Its return value is the exit code; a panic is [`EXIT_PANIC`]. Destructors of what the parent had do not run in the child.
///
/// Fails if this process has more than one thread: a lock that another one holds would stay held in the child.
pub fn spawn(keep: &[RawFd], stderr: OwnedFd, program: impl FnOnce() -> i32) -> io::Result<Pid> {
    let threads = std::fs::read_dir("/proc/self/task")?.count();
    if threads != 1 {
        return Err(io::Error::other(format!("cannot fork safely: {threads} threads")));
    }
    let null = OwnedFd::from(std::fs::File::options().read(true).write(true).open("/dev/null")?);
    let mut kept = keep.to_vec();
    kept.sort_unstable();
    // SAFETY: there is one thread, so that no lock is held by a thread which the child lacks; the child leaves by
    // `_exit` only, so that nothing of the parent's is dropped or flushed twice.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            let code = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                match prepare(&kept, &null, &stderr) {
                    Ok(()) => program(),
                    Err(_) => EXIT_PANIC,
                }
            }))
            .unwrap_or(EXIT_PANIC);
            // SAFETY: ends the process; no memory is touched afterwards.
            unsafe { libc::_exit(code) }
        }
        pid => Pid::from_raw(pid).ok_or_else(|| io::Error::other("fork returned no process number")),
    }
}

/// Takes the exit of one child that ended, ours or an orphan that PID 1 inherited; `None` if there is none now.
pub fn reap() -> io::Result<Option<(Pid, Exit)>> {
    loop {
        match process::wait(WaitOptions::NOHANG) {
            Ok(None) | Err(rustix::io::Errno::CHILD) => return Ok(None),
            Ok(Some((pid, status))) => {
                if let Some(code) = status.exit_status() {
                    return Ok(Some((pid, Exit::Code(code))));
                }
                if let Some(signal) = status.terminating_signal() {
                    return Ok(Some((pid, Exit::Signal(signal))));
                }
            }
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Waits until `pid`, a child, has ended.
pub fn wait_for(pid: Pid) -> io::Result<Exit> {
    loop {
        match process::waitpid(Some(pid), WaitOptions::empty()) {
            Ok(Some((_, status))) => {
                if let Some(code) = status.exit_status() {
                    return Ok(Exit::Code(code));
                }
                if let Some(signal) = status.terminating_signal() {
                    return Ok(Exit::Signal(signal));
                }
            }
            Ok(None) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Ends a child that was not reaped yet, so that its number is still its own.
pub fn kill(pid: Pid) -> io::Result<()> {
    Ok(process::kill_process(pid, Signal::KILL)?)
}

impl std::fmt::Display for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match *self {
            Exit::Code(EXIT_PANIC) => f.write_str("panicked"),
            Exit::Code(code) => write!(f, "exited with code {code}"),
            Exit::Signal(libc::SIGSYS) => f.write_str("made a system call that it may not"),
            Exit::Signal(libc::SIGKILL) => f.write_str("was killed"),
            Exit::Signal(signal) => write!(f, "ended by signal {signal}"),
        }
    }
}

fn prepare(kept: &[RawFd], null: &OwnedFd, stderr: &OwnedFd) -> io::Result<()> {
    crate::signal::unblock_all()?;
    rustix::stdio::dup2_stdin(null)?;
    rustix::stdio::dup2_stdout(null)?;
    rustix::stdio::dup2_stderr(stderr)?;
    let mut first = 3;
    for &fd in kept {
        if fd > first {
            close_range(first, fd - 1)?;
        }
        first = first.max(fd + 1);
    }
    close_range(first, RawFd::MAX)
}

fn close_range(first: RawFd, last: RawFd) -> io::Result<()> {
    // SAFETY: only a fresh child comes here, and it never runs the destructors of what owned these descriptors.
    match unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
