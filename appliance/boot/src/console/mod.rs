//! The console page: what the appliance is and does, on the screen and on the serial line, and what may be asked of it
//! there.

mod command;
mod page;

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;

use crate::devices::libc_nonblock;
pub(crate) use command::Wish;
use command::{Command, Dialogue};
use page::Page;

/// The page and where it is shown.
#[derive(Debug)]
pub(crate) struct Console {
    page: Page,
    dialogue: Dialogue,
    screen: Option<Terminal>,
    serial: Option<Terminal>,
}

/// Longest command that is typed, bytes: three addresses of IPv6 and their words fit.
const COMMAND_MAX: usize = 200;

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
        Console {
            page: Page::default(),
            dialogue: Dialogue::default(),
            screen: open("/dev/tty0"),
            serial: open("/dev/ttyS0"),
        }
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

    /// What is wished by what was typed and ended by Enter.
    pub(crate) fn wish(&mut self) -> Option<Wish> {
        let terminals = self.screen.iter_mut().chain(&mut self.serial);
        let lines: Vec<Vec<u8>> = terminals.filter_map(Terminal::line).collect();
        for line in lines {
            match self.dialogue.hear(&line) {
                Command::Nothing => {}
                Command::Say(text) => self.event(&text),
                Command::Do(wish) => return Some(wish),
            }
        }
        None
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
