//! Each role's sandbox from within: what it must not do fails, what it needs works.
//!
//! A program of its own, without the test harness: a child is forked from a process of one thread only.
#![allow(clippy::unwrap_used)] // A panic is how a test fails.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::fs::FileExt;

use boot::role::Role;
use boot::sandbox::{OnForbidden, Sandbox, Strictness};
use sys::frames::Frames;
use sys::process::{self, Exit};
use sys::testing::{Call, forbidden_calls};

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
        for call in forbidden_calls() {
            check(format!("{role}: {} fails", call.name()), fails(role, &call));
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

/// The kernel ends the process, or answers an error that the list asks for.
fn fails(role: Role, call: &Call) -> Result<(), String> {
    let attempt = || match call.attempt() {
        Err(error) if matches!(error.raw_os_error(), Some(libc::EACCES | libc::ENOSYS)) => 0,
        _ => 1,
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
