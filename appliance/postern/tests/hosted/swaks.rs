//! The sender that shows its dialogue.

use std::process::Output;

use crate::lab::{GUEST, Lab};

/// Sends a message; the words are added to its command line.
pub(crate) fn swaks(lab: &Lab, words: &[&str]) -> Output {
    let server = GUEST.to_string();
    let mut command = lab.command("swaks");
    command.args(["--server", &server, "--timeout", "60", "--helo", "client.example.net"]).args(words);
    command.output().expect("swaks is installed")
}
