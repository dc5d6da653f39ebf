use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use serde_json::json;

use super::console::Console;
use super::monitor::Monitor;
use super::{Forward, Machine};
use crate::workspace::Scratch;
use crate::{Doing, Error, Result};

/// A machine that is running. Dropping it is pulling the plug.
#[derive(Debug)]
pub struct Guest {
    child: Child,
    monitor: Monitor,
    console: Console,
    keyboard: UnixStream,
    forwards: Vec<Forward>,
    _scratch: Scratch,
}

impl Guest {
    /// Switches the machine on. What it writes to its serial port is copied to `show`.
    ///
    /// It must be kept by the thread that started it: it ends when that thread does.
    ///
    /// # Errors
    /// When QEMU does not start; its own message is on standard error.
    pub fn start(machine: &Machine, show: Option<Box<dyn Write + Send>>) -> Result<Self> {
        let scratch = Scratch::new("machine")?;
        let (monitor, monitor_end) = UnixStream::pair().doing(|| "make a socket pair")?;
        let (console, console_end) = UnixStream::pair().doing(|| "make a socket pair")?;
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "qemu-system-x86_64"])
            .args(machine.arguments(scratch.path())?)
            .stdin(Stdio::from(OwnedFd::from(monitor_end)))
            .stdout(Stdio::from(OwnedFd::from(console_end)))
            // Ctrl-C at the terminal is for us, who then ask the guest to stop.
            .process_group(0)
            .spawn()
            .doing(|| "start `setpriv` with `qemu-system-x86_64`")?;
        let child = Unplugged(Some(child));
        let keyboard = console.try_clone().doing(|| "share the console's socket")?;
        let console = Console::read(console, show);
        let mut monitor = Monitor::connect(monitor)?;
        let forwards = forwards(&mut monitor)?;
        Ok(Guest { child: child.started(), monitor, console, keyboard, forwards, _scratch: scratch })
    }

    /// Where on this machine the guest's `port` is reached.
    ///
    /// # Errors
    /// When it is not forwarded.
    pub fn port(&self, port: u16) -> Result<SocketAddr> {
        let forward = self.forwards.iter().find(|forward| forward.guest == port);
        let forward =
            forward.ok_or_else(|| Error::Usage(format!("the guest's port {port} is not forwarded")))?;
        Ok((Ipv4Addr::LOCALHOST, forward.host).into())
    }

    /// Waits until the guest's console shows `text`.
    ///
    /// # Errors
    /// When it does not within `within`, or QEMU ends.
    pub fn wait_for_serial(&self, text: &str, within: Duration) -> Result<()> {
        if self.console.wait_for(text, within) {
            return Ok(());
        }
        Err(self.did_not(&format!("write {text:?} on its console"), within))
    }

    /// Waits until an SMTP server greets on the guest's `port`, and returns the greeting's first line.
    ///
    /// # Errors
    /// When it does not within `within`, or QEMU ends.
    pub fn wait_for_banner(&self, port: u16, within: Duration) -> Result<String> {
        let greeting = self.console.wait_for_banner(self.port(port)?, within);
        greeting.ok_or_else(|| self.did_not(&format!("greet on port {port}"), within))
    }

    /// Waits until the guest has switched itself off, and returns how QEMU ended.
    ///
    /// # Errors
    /// When it does not within `within`.
    pub fn wait_for_end(&mut self, within: Duration) -> Result<ExitStatus> {
        if self.console.wait_for_end(within) {
            return self.child.wait().doing(|| "wait for QEMU");
        }
        Err(self.did_not("switch itself off", within))
    }

    /// Whether QEMU is still there.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Presses the power button.
    ///
    /// # Errors
    /// When the monitor does not answer.
    pub fn press_power_button(&mut self) -> Result<()> {
        self.monitor.execute("system_powerdown", json!({})).map(drop)
    }

    /// Pulls the network cable, or puts it back.
    ///
    /// # Errors
    /// When the monitor refuses.
    pub fn plug(&mut self, up: bool) -> Result<()> {
        self.monitor.execute("set_link", json!({ "name": "lan", "up": up })).map(drop)
    }

    /// Writes a picture of the screen, as PNG.
    ///
    /// # Errors
    /// When the monitor refuses.
    pub fn photograph(&mut self, file: &Path) -> Result<()> {
        self.monitor.execute("screendump", json!({ "filename": file, "format": "png" })).map(drop)
    }

    /// A second hand on the serial console's keyboard.
    ///
    /// # Errors
    /// When the system has no descriptor left.
    pub fn keyboard(&self) -> Result<UnixStream> {
        self.keyboard.try_clone().doing(|| "share the console's socket")
    }

    /// What the guest writes on its serial console.
    pub fn console(&self) -> &Console {
        &self.console
    }

    /// Pulls the plug: QEMU is killed, at whatever it is doing.
    pub fn cut_power(mut self) {
        // An error says that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    fn did_not(&self, event: &str, within: Duration) -> Error {
        let text = self.console.text();
        let lines: Vec<&str> = text.lines().collect();
        let end = lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n  ");
        let serial = if end.is_empty() { "; its console is empty".into() } else { format!(":\n  {end}") };
        Error::Guest { event: event.to_owned(), within, serial }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        // Both fail only where QEMU has ended and was waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Ends QEMU if what comes after its start fails.
struct Unplugged(Option<Child>);

impl Unplugged {
    fn started(mut self) -> Child {
        self.0.take().expect("taken only here, where self is consumed")
    }
}

impl Drop for Unplugged {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Asks QEMU which ports it took.
fn forwards(monitor: &mut Monitor) -> Result<Vec<Forward>> {
    let arguments = json!({ "command-line": "info usernet" });
    let text = monitor.execute("human-monitor-command", arguments)?;
    Ok(text.as_str().map(parse_forwards).unwrap_or_default())
}

/// Lines such as `TCP[HOST_FORWARD]  12  127.0.0.1  2525  10.0.2.15  25  0  0`.
fn parse_forwards(text: &str) -> Vec<Forward> {
    let forward = |line: &str| {
        let rest = line.trim().strip_prefix("TCP[HOST_FORWARD]")?;
        let mut words = rest.split_whitespace().skip(2);
        let host = words.next()?.parse().ok()?;
        let guest = words.nth(1)?.parse().ok()?;
        Some(Forward { host, guest })
    };
    text.lines().filter_map(forward).collect()
}

/// How many lines of the console an error repeats.
const SHOWN_LINES: usize = 25;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forwards_are_read() {
        let text = "Hub -1 (lan):\r\n  Protocol[State]    FD  Source Address  Port   Dest. Address  Port RecvQ SendQ\r\n  \
                    TCP[HOST_FORWARD]  12       127.0.0.1 40123       10.0.2.15    25     0     0\r\n  \
                    UDP[226 sec]  14 10.0.2.15 68 10.0.2.2 67 0 0\r\n";
        assert_eq!(parse_forwards(text), [Forward { host: 40123, guest: 25 }]);
        assert_eq!(parse_forwards("TCP[HOST_FORWARD] x"), []);
    }
}
