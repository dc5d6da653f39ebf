//! A message under construction, line by line.

use base64::{Engine as _, engine::general_purpose::STANDARD};

/// RFC 5322 §2.1.1, without the line end.
pub(super) const LINE_MAX: usize = 998;
/// RFC 2045 §6.8.
const BASE64_LINE: usize = 76;

/// Lines, each ended by CR LF when it is added and by nothing else.
#[derive(Debug, Default)]
pub(super) struct Lines(Vec<u8>);

impl Lines {
    /// Adds a line. What is no part of a line (controls) becomes `?`; what is longer than a line may be is cut.
    pub(super) fn add(&mut self, text: &str) {
        let before = self.0.len();
        for c in text.chars() {
            let c = if c.is_control() && c != '\t' { '?' } else { c };
            if self.0.len() - before + c.len_utf8() > LINE_MAX {
                break;
            }
            self.0.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        }
        self.0.extend_from_slice(b"\r\n");
    }

    /// Adds a line of ASCII only: other characters become `?`.
    pub(super) fn ascii(&mut self, text: &str) {
        self.add(&text.chars().map(|c| if c.is_ascii() { c } else { '?' }).collect::<String>());
    }

    pub(super) fn empty(&mut self) {
        self.add("");
    }

    /// Adds `octets` as base64.
    pub(super) fn base64(&mut self, octets: &[u8]) {
        for line in STANDARD.encode(octets).as_bytes().chunks(BASE64_LINE) {
            self.0.extend_from_slice(line);
            self.0.extend_from_slice(b"\r\n");
        }
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}
