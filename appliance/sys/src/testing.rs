//! What no role may do, to be tried from within a sandbox.

use std::io;

/// A system call by its number: no library offers most of them.
#[derive(Debug, Clone, Copy)]
pub struct Call {
    name: &'static str,
    number: i64,
    arguments: [usize; 5],
}

/// Calls that must fail in every sandbox.
pub fn forbidden_calls() -> Vec<Call> {
    table().into_iter().map(|(name, number, arguments)| Call { name, number, arguments }).collect()
}

impl Call {
    /// What is tried, for people.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Tries it. A process in which it succeeds is to end at once.
    ///
    /// # Errors
    /// The kernel's, as it should be.
    pub fn attempt(&self) -> io::Result<()> {
        let [a, b, c, d, e] = self.arguments;
        // SAFETY: the arguments are this file's: null, numbers, or the address of a text that is never written; the
        // calls that would change this process's memory get no address of it.
        match unsafe { libc::syscall(self.number, a, b, c, d, e) } {
            -1 => Err(io::Error::last_os_error()),
            _ => Ok(()),
        }
    }
}

/// A path that exists, so that only the sandbox can be the reason.
const PATH: &std::ffi::CStr = c"/dev/null";

#[rustfmt::skip]
fn table() -> Vec<(&'static str, i64, [usize; 5])> {
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
