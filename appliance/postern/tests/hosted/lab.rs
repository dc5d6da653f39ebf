//! A network of the test's own: a namespace with one TAP link, the appliance on one end of it, peers on the other.

use std::{
    fs::File,
    io::{BufRead, BufReader, Read},
    net::{Ipv4Addr, TcpStream},
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
    sync::{
        atomic::{AtomicU32, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// The peers' end of the link.
pub(crate) const HOST: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
/// The appliance's end.
pub(crate) const GUEST: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);

/// How long a test waits for what must happen; only a broken program reaches it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

static COUNT: AtomicU32 = AtomicU32::new(0);

/// A namespace and a folder, gone when dropped.
#[derive(Debug)]
pub(crate) struct Lab {
    pub(crate) name: String,
    pub(crate) folder: PathBuf,
}

/// The executable under test; for a benchmark, the one that `POSTERN_EXECUTABLE` names.
pub(crate) fn executable() -> PathBuf {
    let named =
        || std::env::var_os("POSTERN_EXECUTABLE").expect("POSTERN_EXECUTABLE names an executable").into();
    option_env!("CARGO_BIN_EXE_postern").map_or_else(named, PathBuf::from)
}

/// What a program said, for a failure's text.
pub(crate) fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// Asks again until there is an answer; panics if none comes.
pub(crate) fn wait_for<T>(what: &str, mut answer: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = answer() {
            return answer;
        }
        assert!(Instant::now() < deadline, "{what}");
        thread::sleep(Duration::from_millis(50));
    }
}

impl Lab {
    pub(crate) fn new() -> Lab {
        let name = format!("postern-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let folder = std::env::temp_dir().join(&name);
        std::fs::create_dir_all(&folder).unwrap();
        ip(&["netns", "add", &name]);
        let lab = Lab { name, folder };
        lab.ip(&["link", "set", "lo", "up"]);
        lab.ip(&["tuntap", "add", "tap0", "mode", "tap"]);
        lab.ip(&["addr", "add", &format!("{HOST}/24"), "dev", "tap0"]);
        lab.ip(&["link", "set", "tap0", "up"]);
        lab
    }

    fn ip(&self, words: &[&str]) {
        ip(&[&["-n", &self.name], words].concat());
    }

    /// A program that will run inside the namespace.
    pub(crate) fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name]).arg(program.as_ref()).stdin(Stdio::null());
        command
    }

    /// Runs `work` on a thread whose sockets are in the namespace.
    pub(crate) fn inside<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let path = format!("/run/netns/{}", self.name);
        let worker = thread::spawn(move || {
            let namespace = File::open(path).unwrap();
            move_into_link_name_space(std::os::fd::AsFd::as_fd(&namespace), Some(LinkNameSpaceType::Network))
                .unwrap();
            work()
        });
        worker.join().unwrap()
    }

    /// Returns when something listens on the peers' end.
    pub(crate) fn wait_for_port(&self, port: u16) {
        wait_for(&format!("a peer listens on port {port}"), || {
            self.inside(move || TcpStream::connect((HOST, port)).ok())
        });
    }

    /// Writes the configuration and starts the appliance; returns when it is ready.
    pub(crate) fn start(&self, configuration: &str) -> Appliance {
        let config = self.folder.join("postern.toml");
        std::fs::write(&config, configuration).unwrap();
        let mut child = self
            .command(executable())
            .args(["run", "--tap", "tap0", "--size", "2GB", "--disk"])
            .arg(self.disk())
            .arg("--config")
            .arg(&config)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = child.stdout.take().unwrap();
        let appliance = Appliance { child };
        wait_for_ready(output);
        appliance
    }

    pub(crate) fn disk(&self) -> PathBuf {
        self.folder.join("disk")
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.name]).status();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn ip(words: &[&str]) {
    let output = Command::new("ip").args(words).output().expect("iproute2 is installed");
    assert!(output.status.success(), "ip {words:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Reads on after `ready`, so that the appliance never blocks on its own output.
fn wait_for_ready(output: impl Read + Send + 'static) {
    let (sender, ready) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            eprintln!("postern: {line}");
            if line.trim() == "ready" {
                let _ = sender.send(());
            }
        }
    });
    ready.recv_timeout(PATIENCE).expect("the appliance says `ready`");
}

/// A running appliance; every process of it dies where it is when this is dropped.
#[derive(Debug)]
pub(crate) struct Appliance {
    /// The process that started the roles.
    pub(crate) child: Child,
}

impl Appliance {
    /// Asks it to stop, and waits until it has.
    pub(crate) fn stop(mut self) -> std::process::ExitStatus {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        wait_for("the appliance stops on SIGTERM", || self.child.try_wait().unwrap())
    }
}

impl Drop for Appliance {
    fn drop(&mut self) {
        kill_tree(self.child.id());
        let _ = self.child.wait();
    }
}

/// Kills a process and all that it started, and waits until what they held is free.
pub(crate) fn kill_tree(pid: u32) {
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    if let Some(pid) = rustix::process::Pid::from_raw(pid as i32) {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
    for child in children.split_whitespace().filter_map(|pid| pid.parse().ok()) {
        kill_tree(child);
    }
    wait_for("a killed process ends", || has_ended(pid).then_some(()));
}

/// Whether nothing but an entry for its parent is left of a process. What it held is free when its last thread is gone,
/// which may be later than its first.
fn has_ended(pid: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count);
    let waits = |state: &str| state.contains('Z') && threads <= 1;
    status.lines().find(|line| line.starts_with("State:")).is_none_or(waits)
}
