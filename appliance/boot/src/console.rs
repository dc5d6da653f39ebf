//! The console page: what the appliance is and does, on the screen and on the serial line.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;

use crate::devices::libc_nonblock;
use crate::supervise::Ending;
use crate::text::escaped;

/// The page and where it is shown.
#[derive(Debug)]
pub(crate) struct Console {
    page: Page,
    screen: Option<Terminal>,
    serial: Option<Terminal>,
}

/// What is on it; no foreign control character ever is.
#[derive(Debug, Default)]
pub(crate) struct Page {
    lines: Vec<(String, String)>,
    events: Vec<String>,
}

/// Lines that roles may have; what comes beyond is not shown.
const LINES_MAX: usize = 14;
/// The last events.
const EVENTS_MAX: usize = 4;
/// A screen's width less the label, characters.
const LABEL_MAX: usize = 16;
const TEXT_MAX: usize = 60;
const EVENT_MAX: usize = 500;
/// Longest command that is typed, bytes.
const COMMAND_MAX: usize = 64;

#[derive(Debug)]
struct Terminal {
    file: File,
    typed: Vec<u8>,
}

impl Console {
    /// A terminal that is not there is left out.
    pub(crate) fn open() -> Console {
        let open = |path| {
            let file =
                File::options().read(true).write(true).custom_flags(libc_nonblock()).open(path).ok()?;
            Some(Terminal { file, typed: Vec::new() })
        };
        Console { page: Page::default(), screen: open("/dev/tty0"), serial: open("/dev/ttyS0") }
    }

    /// Sets, or with an empty text removes, a line.
    pub(crate) fn line(&mut self, label: &str, text: &str) {
        if let Some(changed) = self.page.set(label, text) {
            self.show(&changed);
        }
    }

    pub(crate) fn event(&mut self, text: &str) {
        let changed = self.page.add(text);
        self.show(&changed);
    }

    pub(crate) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.screen.iter().chain(&self.serial).map(|terminal| terminal.file.as_fd())
    }

    /// What was typed and ended by Enter, if it is a command.
    pub(crate) fn command(&mut self) -> Option<Ending> {
        let commands = self.screen.iter_mut().chain(&mut self.serial).filter_map(Terminal::line);
        commands.into_iter().find_map(|line| match line.trim_ascii() {
            b"reboot" => Some(Ending::Restart),
            b"power off" => Some(Ending::PowerOff),
            _ => None,
        })
    }

    /// The whole page on the screen, what changed on the serial line: that one is often a log.
    fn show(&mut self, changed: &str) {
        if let Some(screen) = &mut self.screen {
            // Home, clear.
            screen.write(&format!("\x1b[H\x1b[2J{}", self.page.print()));
        }
        if let Some(serial) = &mut self.serial {
            serial.write(&format!("{changed}\r\n"));
        }
    }
}

impl Page {
    /// The line as it is now, if that is new.
    fn set(&mut self, label: &str, text: &str) -> Option<String> {
        let (label, text) = (escaped(label.as_bytes(), LABEL_MAX), escaped(text.as_bytes(), TEXT_MAX));
        let printed = format!("{label}: {text}");
        match self.lines.iter().position(|line| line.0 == label) {
            Some(index) if text.is_empty() => {
                self.lines.remove(index);
            }
            Some(index) => {
                let line = self.lines.get_mut(index)?;
                if line.1 == text {
                    return None;
                }
                line.1 = text;
            }
            None if text.is_empty() || self.lines.len() == LINES_MAX => return None,
            None => self.lines.push((label, text)),
        }
        Some(printed)
    }

    fn add(&mut self, text: &str) -> String {
        if self.events.len() == EVENTS_MAX {
            self.events.remove(0);
        }
        let text = escaped(text.as_bytes(), EVENT_MAX);
        self.events.push(text.clone());
        text
    }

    fn print(&self) -> String {
        let mut page = String::from("Postern\r\n\r\n");
        for (label, text) in &self.lines {
            page.push_str(&format!("  {label:LABEL_MAX$} {text}\r\n"));
        }
        page.push_str("\r\n");
        for event in &self.events {
            page.push_str(&format!("  {event:.76}\r\n"));
        }
        page.push_str("\r\nType \"reboot\" or \"power off\", and Enter.\r\n");
        page
    }
}

impl Terminal {
    fn write(&mut self, text: &str) {
        // A terminal that does not take it, such as a serial line that nobody reads, holds up nothing.
        let _ = self.file.write(text.as_bytes());
    }

    /// What was typed up to Enter.
    fn line(&mut self) -> Option<Vec<u8>> {
        let mut bytes = [0; COMMAND_MAX];
        let n = self.file.read(&mut bytes).unwrap_or(0);
        for &byte in bytes.iter().take(n) {
            if byte == b'\n' || byte == b'\r' {
                return Some(std::mem::take(&mut self.typed));
            }
            if self.typed.len() < COMMAND_MAX {
                self.typed.push(byte);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_shown_when_it_changes_and_goes_when_it_is_empty() {
        let mut page = Page::default();
        assert_eq!(page.set("address", "192.0.2.10/24").as_deref(), Some("address: 192.0.2.10/24"));
        assert_eq!(page.set("address", "192.0.2.10/24"), None);
        assert!(page.print().contains("  address          192.0.2.10/24\r\n"));
        assert!(page.set("address", "").is_some());
        assert!(!page.print().contains("address"));
        assert_eq!(page.set("address", ""), None);
    }

    #[test]
    fn lines_and_events_are_bounded_and_harmless() {
        let mut page = Page::default();
        for number in 0..LINES_MAX * 2 {
            page.set(&format!("label {number}"), "\x1b[2Jtext");
            page.add(&format!("\x1b]0;event {number}\x07{}", "x".repeat(1000)));
        }
        assert_eq!((page.lines.len(), page.events.len()), (LINES_MAX, EVENTS_MAX));
        let printed = page.print();
        assert!(
            !printed.contains('\x1b')
                && printed.lines().all(|line| line.len() < 80 && !line.contains('\x07'))
        );
    }
}
