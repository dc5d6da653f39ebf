//! Texts in one piece of memory.

use super::{CopyFull, TEXT_MAX};

/// Where a text stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Text {
    at: u32,
    len: u16,
}

#[derive(Debug, Default)]
pub(super) struct Arena {
    text: String,
    /// Octets that nothing names any more.
    garbage: usize,
}

impl Arena {
    pub(super) fn add(&mut self, text: &str) -> Result<Text, CopyFull> {
        let at = u32::try_from(self.text.len()).map_err(|_| CopyFull::Text)?;
        let len = u16::try_from(text.len()).map_err(|_| CopyFull::Text)?;
        if self.text.len() + text.len() > TEXT_MAX {
            return Err(CopyFull::Text);
        }
        self.text.push_str(text);
        Ok(Text { at, len })
    }

    pub(super) fn get(&self, text: Text) -> &str {
        let at = text.at as usize;
        &self.text[at..at + usize::from(text.len)]
    }

    pub(super) fn forget(&mut self, text: Text) {
        self.garbage += usize::from(text.len);
    }

    pub(super) fn has_room_for(&self, octets: usize) -> bool {
        self.text.len() + octets <= TEXT_MAX
    }

    /// More than half is garbage, and enough to be worth the work.
    pub(super) fn is_wasteful(&self) -> bool {
        self.garbage > 1 << 16 && self.garbage > self.text.len() / 2
    }

    pub(super) fn shrink(&mut self) {
        self.text.shrink_to_fit();
    }

    pub(super) fn capacity(&self) -> usize {
        self.text.capacity()
    }
}
