//! What the page says, and how it is printed.

use crate::text::escaped;

/// What is on it; no foreign control character ever is.
#[derive(Debug, Default)]
pub(crate) struct Page {
    lines: Vec<(String, String)>,
    events: Vec<String>,
}

/// Lines that roles may have; what comes beyond is not shown.
const LINES_MAX: usize = 11;
/// The last events.
const EVENTS_MAX: usize = 4;
/// A screen's width less the label, characters.
const LABEL_MAX: usize = 16;
const TEXT_MAX: usize = 60;
const EVENT_MAX: usize = 500;
/// With it the page fills a screen of 25 lines.
const HELP: &str = "\r\nType a command, and Enter:\r\n  \
     address dhcp\r\n  \
     address 192.0.2.10/24 gateway 192.0.2.1 dns 192.0.2.53\r\n  \
     reset settings\r\n  \
     reset everything\r\n  \
     reboot, power off\r\n";
impl Page {
    /// The line as it is now, if that is new; an empty text removes it.
    pub(super) fn set(&mut self, label: &str, text: &str) -> Option<String> {
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

    pub(super) fn add(&mut self, text: &str) -> String {
        if self.events.len() == EVENTS_MAX {
            self.events.remove(0);
        }
        let text = escaped(text.as_bytes(), EVENT_MAX);
        self.events.push(text.clone());
        text
    }

    pub(super) fn print(&self) -> String {
        let mut page = String::from("Postern\r\n\r\n");
        for (label, text) in &self.lines {
            page.push_str(&format!("  {label:LABEL_MAX$} {text}\r\n"));
        }
        page.push_str("\r\n");
        for event in &self.events {
            page.push_str(&format!("  {event:.76}\r\n"));
        }
        page.push_str(HELP);
        page
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_shown_when_it_changes_and_goes_when_it_is_empty() {
        let mut page = Page::default();
        assert_eq!(page.set("host", "mx.example.com").as_deref(), Some("host: mx.example.com"));
        assert_eq!(page.set("host", "mx.example.com"), None);
        assert!(page.print().contains("  host             mx.example.com\r\n"));
        assert!(page.set("host", "").is_some());
        assert!(!page.print().contains("host"));
        assert_eq!(page.set("host", ""), None);
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
        assert!(printed.lines().count() <= 25, "a screen shows it whole");
        assert!(
            !printed.contains('\x1b')
                && printed.lines().all(|line| line.len() < 80 && !line.contains('\x07'))
        );
    }
}
