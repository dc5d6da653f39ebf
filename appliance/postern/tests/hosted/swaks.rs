//! The sender that shows its dialogue.

use std::process::Output;

use crate::lab::{GUEST, Lab, text};

/// Sends a message; the words are added to its command line.
pub(crate) fn swaks(lab: &Lab, words: &[&str]) -> Output {
    let server = GUEST.to_string();
    let mut command = lab.command("swaks");
    command.args(["--server", &server, "--timeout", "60", "--helo", "client.example.net"]).args(words);
    command.output().expect("swaks is installed")
}

/// Sends a message to one recipient.
pub(crate) fn send(lab: &Lab, to: &str) -> Output {
    swaks(lab, &["--from", "sender@example.net", "--to", to])
}

/// Sends a message, which is taken.
pub(crate) fn accepted(lab: &Lab, to: &str) {
    let sent = send(lab, to);
    assert!(sent.status.success(), "{to}: {}", text(&sent));
}

/// Sends a message, which is answered with this.
pub(crate) fn refused(lab: &Lab, to: &str, reply: &str) {
    let sent = send(lab, to);
    assert!(!sent.status.success() && text(&sent).contains(reply), "{to}, not {reply}: {}", text(&sent));
}
