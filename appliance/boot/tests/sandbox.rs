//! Each role's sandbox from within: what it must not do fails, what it needs works.
//!
//! A program of its own, without the test harness: a child is forked from a process of one thread only.
#![allow(unsafe_code)] // System calls by number: no library offers most of what is forbidden.
#![allow(clippy::unwrap_used)] // A panic is how a test fails.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::fs::FileExt;

use boot::role::Role;
use boot::sandbox::{OnForbidden, Sandbox, Strictness};
use sys::frames::Frames;
use sys::process::{self, Exit};

fn main() {
    let mut failed = 0;
    let mut check = |what: String, outcome: Result<(), String>| match outcome {
        Ok(()) => println!("test {what} ... ok"),
        Err(why) => {
            failed += 1;
            println!("test {what} ... FAILED: {why}");
        }
    };
    for role in Role::ALL {
        for (name, number, arguments) in forbidden() {
            check(format!("{role}: {name} fails"), fails(role, number, arguments));
        }
    }
    check("net: streams, memory and waiting work".into(), works(Role::Net, &[], net_life));
    check("net: frames come through a packet socket that it is given".into(), frames());
    let disk = tempfile::tempfile().expect("a file in the temporary directory");
    let keep = [disk.as_raw_fd()];
    check(
        "gateway: threads, disk and streams work".into(),
        works(Role::Gateway, &keep, || gateway_life(&disk)),
    );
    check("net: no thread can be made".into(), ends(Role::Net, a_thread, Exit::Signal(libc::SIGSYS)));
    check("a forbidden call is named when asked for".into(), named());
    check(
        "a panic is told from an exit".into(),
        ends(Role::Gateway, || panic!("on purpose"), Exit::Code(101)),
    );
    check("every call is listed once and with a reason".into(), reasons());
    assert_eq!(failed, 0, "{failed} failed");
}

/// A path that exists, so that only the sandbox can be the reason.
const PATH: &std::ffi::CStr = c"/dev/null";

type Call = (&'static str, i64, [usize; 5]);

#[rustfmt::skip]
fn forbidden() -> Vec<Call> {
    let path = PATH.as_ptr() as usize;
    let parent = std::process::id() as usize;
    let cwd = libc::AT_FDCWD as usize;
    vec![
        ("open", libc::SYS_open, [path, 0, 0, 0, 0]),
        ("openat", libc::SYS_openat, [cwd, path, 0, 0, 0]),
        ("openat2", libc::SYS_openat2, [cwd, path, 0, 0, 0]),
        ("creat", libc::SYS_creat, [path, 0, 0, 0, 0]),
        ("socket AF_INET", libc::SYS_socket, [libc::AF_INET as usize, libc::SOCK_STREAM as usize, 0, 0, 0]),
        ("socket AF_INET6", libc::SYS_socket, [libc::AF_INET6 as usize, libc::SOCK_DGRAM as usize, 0, 0, 0]),
        ("socket AF_UNIX", libc::SYS_socket, [libc::AF_UNIX as usize, libc::SOCK_STREAM as usize, 0, 0, 0]),
        ("socket AF_PACKET", libc::SYS_socket, [libc::AF_PACKET as usize, libc::SOCK_RAW as usize, 0, 0, 0]),
        ("socketpair AF_NETLINK", libc::SYS_socketpair, [libc::AF_NETLINK as usize, 2, 0, 0, 0]),
        ("connect", libc::SYS_connect, [0, path, 16, 0, 0]),
        ("bind", libc::SYS_bind, [0, path, 16, 0, 0]),
        ("listen", libc::SYS_listen, [0, 1, 0, 0, 0]),
        ("execve", libc::SYS_execve, [path, 0, 0, 0, 0]),
        ("execveat", libc::SYS_execveat, [cwd, path, 0, 0, 0]),
        ("fork", libc::SYS_fork, [0; 5]),
        ("vfork", libc::SYS_vfork, [0; 5]),
        ("clone of a process", libc::SYS_clone, [libc::SIGCHLD as usize, 0, 0, 0, 0]),
        ("clone3", libc::SYS_clone3, [0; 5]),
        ("ptrace", libc::SYS_ptrace, [libc::PTRACE_ATTACH as usize, parent, 0, 0, 0]),
        ("process_vm_readv", libc::SYS_process_vm_readv, [parent, 0, 0, 0, 0]),
        ("kill of another", libc::SYS_kill, [parent, 0, 0, 0, 0]),
        ("tgkill of another", libc::SYS_tgkill, [parent, parent, libc::SIGTERM as usize, 0, 0]),
        ("pidfd_open", libc::SYS_pidfd_open, [parent, 0, 0, 0, 0]),
        ("mount", libc::SYS_mount, [path, path, path, 0, 0]),
        ("umount2", libc::SYS_umount2, [path, 0, 0, 0, 0]),
        ("chroot", libc::SYS_chroot, [path, 0, 0, 0, 0]),
        ("unshare", libc::SYS_unshare, [libc::CLONE_NEWUSER as usize, 0, 0, 0, 0]),
        ("setuid", libc::SYS_setuid, [0; 5]),
        ("setresuid", libc::SYS_setresuid, [0; 5]),
        ("capset", libc::SYS_capset, [0; 5]),
        ("bpf", libc::SYS_bpf, [0; 5]),
        ("io_uring_setup", libc::SYS_io_uring_setup, [1, 0, 0, 0, 0]),
        ("perf_event_open", libc::SYS_perf_event_open, [0; 5]),
        ("userfaultfd", libc::SYS_userfaultfd, [0; 5]),
        ("keyctl", libc::SYS_keyctl, [0; 5]),
        ("reboot", libc::SYS_reboot, [0; 5]),
        ("clock_settime", libc::SYS_clock_settime, [0; 5]),
        ("init_module", libc::SYS_init_module, [0; 5]),
        ("mmap of executable memory", libc::SYS_mmap, [0, 4096, 7, 0x22, usize::MAX]),
        ("mprotect to executable", libc::SYS_mprotect, [0, 4096, 5, 0, 0]),
        ("ioctl TIOCSTI", libc::SYS_ioctl, [2, 0x5412, path, 0, 0]),
        ("ioctl SIOCSIFFLAGS", libc::SYS_ioctl, [2, 0x8914, path, 0, 0]),
        ("unlink", libc::SYS_unlink, [path, 0, 0, 0, 0]),
        ("seccomp", libc::SYS_seccomp, [0; 5]),
        ("prctl PR_SET_DUMPABLE", libc::SYS_prctl, [libc::PR_SET_DUMPABLE as usize, 1, 0, 0, 0]),
    ]
}

/// The kernel ends the process, or answers an error that the list asks for.
fn fails(role: Role, number: i64, a: [usize; 5]) -> Result<(), String> {
    let attempt = move || {
        // SAFETY: each call gets pointers that are null or to a text that is never written; if one succeeded, the
        // child would end at once all the same.
        let answer = unsafe { libc::syscall(number, a[0], a[1], a[2], a[3], a[4]) };
        let error = io::Error::last_os_error().raw_os_error();
        i32::from(answer != -1 || !matches!(error, Some(libc::EACCES | libc::ENOSYS)))
    };
    match inside(role, OnForbidden::Kill, &[], attempt)? {
        (Exit::Signal(libc::SIGSYS) | Exit::Code(0), _) => Ok(()),
        other => Err(format!("{other:?}")),
    }
}

fn works(role: Role, keep: &[RawFd], life: impl FnOnce() -> io::Result<()>) -> Result<(), String> {
    let (end, said) = inside(role, OnForbidden::Report, keep, || match life() {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("{error}");
            1
        }
    })?;
    if end == Exit::Code(0) { Ok(()) } else { Err(format!("{end}: {said}")) }
}

fn ends(role: Role, program: impl FnOnce() -> i32, expected: Exit) -> Result<(), String> {
    let (end, said) = inside(role, OnForbidden::Kill, &[], program)?;
    if end == expected { Ok(()) } else { Err(format!("{end}: {said}")) }
}

fn named() -> Result<(), String> {
    let (end, said) = inside(Role::Net, OnForbidden::Report, &[], || {
        let _ = rustix::process::test_kill_process(rustix::process::getpid());
        0
    })?;
    if end == Exit::Code(159) && said == "forbidden system call: kill (62)\n" { Ok(()) } else { Err(said) }
}

fn reasons() -> Result<(), String> {
    for role in Role::ALL {
        let sandbox = Sandbox::of(role).map_err(|error| error.to_string())?;
        if sandbox.calls().entries().len() < 10 {
            return Err(format!("{role}: hardly a list"));
        }
    }
    Ok(())
}

/// Runs `program` in a child in the role's sandbox; its end, and what it wrote to its standard error.
fn inside(
    role: Role,
    on_forbidden: OnForbidden,
    keep: &[RawFd],
    program: impl FnOnce() -> i32,
) -> Result<(Exit, String), String> {
    let sandbox = Sandbox::of(role).map_err(|error| error.to_string())?;
    let (mut reader, writer) = io::pipe().map_err(|error| error.to_string())?;
    let pid = process::spawn(keep, OwnedFd::from(writer), || {
        match sandbox.enter(Strictness::AsFarAsAllowed, on_forbidden) {
            Ok(()) => program(),
            Err(error) => {
                eprintln!("{error}");
                99
            }
        }
    })
    .map_err(|error| error.to_string())?;
    let mut said = String::new();
    reader.read_to_string(&mut said).map_err(|error| error.to_string())?;
    Ok((process::wait_for(pid).map_err(|error| error.to_string())?, said))
}

fn a_thread() -> i32 {
    let _ = std::thread::Builder::new().spawn(|| ());
    0
}

fn net_life() -> io::Result<()> {
    streams()?;
    let mut random = [0; 16];
    rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())?;
    let arena = vec![1_u8; 4 << 20];
    assert_eq!(arena.iter().map(|&byte| u64::from(byte)).sum::<u64>(), 4 << 20);
    Ok(())
}

/// The device is opened before the sandbox is entered, its filter set up inside.
fn frames() -> Result<(), String> {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: a packet socket needs root");
        return Ok(());
    }
    let loopback = {
        let socket = std::os::unix::net::UnixDatagram::unbound().map_err(|error| error.to_string())?;
        rustix::net::netdevice::name_to_index(&socket, "lo").map_err(|error| error.to_string())?
    };
    let open = || sys::packet::open(loopback).map_err(|error| error.to_string());
    let (socket, sender) = (open()?, open()?);
    let keep = [socket.as_raw_fd(), sender.as_raw_fd()];
    works(Role::Net, &keep, || {
        let mut receiver = Frames::attach(socket)?;
        let sender = Frames::attach(sender)?;
        assert!(!sys::link::has_carrier(&receiver, "no-such")?);
        // ARP, of a kind that nobody answers.
        let mut frame = [0; 60];
        (frame[12], frame[13], frame[59]) = (0x08, 0x06, 0x5a);
        assert_eq!(sender.send([&frame[..]].into_iter())?, 1);
        let mut seen = false;
        while !seen {
            let mut wait = [rustix::event::PollFd::new(&receiver, rustix::event::PollFlags::IN)];
            let patience = rustix::event::Timespec { tv_sec: 60, tv_nsec: 0 };
            assert_ne!(rustix::event::poll(&mut wait, Some(&patience))?, 0, "the frame comes in time");
            receiver.receive(64, |got, _| seen |= got == frame)?;
        }
        Ok(())
    })
}

fn gateway_life(disk: &File) -> io::Result<()> {
    streams()?;
    disk.set_len(1 << 20)?;
    disk.write_all_at(b"durable", 4096)?;
    disk.sync_data()?;
    disk.sync_all()?;
    let mut read = [0; 7];
    disk.read_exact_at(&mut read, 4096)?;
    assert_eq!((&read, disk.metadata()?.len()), (b"durable", 1 << 20));
    let (sender, receiver) = std::sync::mpsc::channel();
    let workers: Vec<_> = (0..4)
        .map(|number| {
            let sender = sender.clone();
            std::thread::Builder::new().name(format!("worker {number}")).spawn(move || {
                let big = vec![number; 1 << 20];
                std::thread::sleep(std::time::Duration::from_millis(1));
                sender.send(big.len()).ok();
            })
        })
        .collect::<io::Result<_>>()?;
    for _ in &workers {
        receiver.recv().map_err(io::Error::other)?;
    }
    for worker in workers {
        worker.join().map_err(|_| io::Error::other("a worker panicked"))?;
    }
    assert!(std::thread::available_parallelism()?.get() > 0);
    Ok(())
}

fn streams() -> io::Result<()> {
    let (mut one, mut two) = std::os::unix::net::UnixStream::pair()?;
    one.set_nonblocking(true)?;
    one.write_all(b"x")?;
    two.read_exact(&mut [0])?;
    let (control, other) = sys::channel::pair()?;
    sys::channel::send_with_fds(&control, b"fd", &[std::os::fd::AsFd::as_fd(&one)])
        .map_err(io::Error::other)?;
    assert_eq!(sys::channel::recv_with_fds(&other, &mut [0; 8]).map_err(io::Error::other)?.fds.len(), 1);
    let epoll = rustix::event::epoll::create(rustix::event::epoll::CreateFlags::CLOEXEC)?;
    let data = rustix::event::epoll::EventData::new_u64(1);
    rustix::event::epoll::add(&epoll, &two, data, rustix::event::epoll::EventFlags::IN)?;
    one.write_all(b"y")?;
    let mut events = Vec::with_capacity(4);
    let seen = rustix::event::epoll::wait(&epoll, rustix::buffer::spare_capacity(&mut events), None)?;
    assert_eq!(seen, 1);
    one.shutdown(std::net::Shutdown::Write)?;
    Ok(())
}
