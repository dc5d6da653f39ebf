//! What the mail system sends out by itself: reports, and mail for recipients who are elsewhere.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, SystemTime};

use super::received::Received;
use super::session::{HOST, date};

/// How long the host that it is sent to may take for one step.
const PATIENCE: Duration = Duration::from_secs(60);
/// Longest line of a reply that is read.
const REPLY_LINE_MAX: u64 = 4096;

/// A message to be sent by the recipient's MX.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// Empty for the null sender.
    pub sender: String,
    /// One recipient.
    pub recipient: String,
    /// Header and body, not dot-stuffed.
    pub message: Vec<u8>,
}

impl Outgoing {
    /// What goes on to a recipient who is elsewhere.
    pub(super) fn passed_on(received: &Received, recipient: &str, now: SystemTime) -> Self {
        let trace = format!(
            "Received: from {} ([{}])\r\n by {HOST} with Microsoft SMTP Server; {}\r\n",
            received.helo,
            received.peer.ip(),
            date(now)
        );
        Outgoing {
            sender: received.sender.clone(),
            recipient: recipient.to_owned(),
            message: [trace.as_bytes(), &received.message].concat(),
        }
    }

    /// The report to the sender about a recipient; `None` when nobody sent it (RFC 5321 §6.1).
    pub(super) fn report(received: &Received, recipient: &str, now: SystemTime) -> Option<Self> {
        if received.sender.is_empty() {
            return None;
        }
        let subject = received.header("Subject").unwrap_or_default();
        let message = format!(
            "From: Microsoft Outlook <postmaster@{HOST}>\r\nTo: {sender}\r\nDate: {date}\r\n\
             Subject: Undeliverable: {subject}\r\nAuto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n\
             Content-Type: multipart/report; report-type=delivery-status; boundary=\"_ndr_\"\r\n\r\n\
             --_ndr_\r\n\r\nYour message to {recipient} couldn't be delivered.\r\n\
             --_ndr_\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns;{HOST}\r\n\r\n\
             Final-Recipient: rfc822;{recipient}\r\nAction: failed\r\nStatus: 5.1.10\r\n\
             Diagnostic-Code: smtp;550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address \
             lookup\r\n\r\n--_ndr_--\r\n",
            sender = received.sender,
            date = date(now),
        );
        Some(Outgoing {
            sender: String::new(),
            recipient: received.sender.clone(),
            message: message.into_bytes(),
        })
    }

    /// Hands it to the host at `to`; returns the reply to the end of the data.
    ///
    /// # Errors
    /// When the connection fails, or a step before is refused.
    pub(super) fn send(&self, to: SocketAddr) -> io::Result<String> {
        let stream = TcpStream::connect_timeout(&to, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut dialogue = Dialogue { reader: BufReader::new(stream.try_clone()?), writer: stream };
        dialogue.expect("2")?;
        dialogue.say(&format!("EHLO {HOST}"), "2")?;
        dialogue.say(&format!("MAIL FROM:<{}>", self.sender), "2")?;
        dialogue.say(&format!("RCPT TO:<{}>", self.recipient), "2")?;
        dialogue.say("DATA", "3")?;
        dialogue.writer.write_all(&stuffed(&self.message))?;
        let last = dialogue.expect("")?;
        // The message is where it was to go; how the host says goodbye does not matter.
        let _ = dialogue.say("QUIT", "2");
        Ok(last)
    }
}

/// RFC 5321 §4.5.2, with the end of data.
fn stuffed(message: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.len() + 8);
    for line in message.split_inclusive(|&octet| octet == b'\n') {
        if line.starts_with(b".") {
            out.push(b'.');
        }
        out.extend_from_slice(line);
    }
    if !out.ends_with(b"\r\n") {
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b".\r\n");
    out
}

struct Dialogue {
    reader: BufReader<TcpStream>,
    writer: TcpStream,
}

impl Dialogue {
    fn say(&mut self, line: &str, expected: &str) -> io::Result<String> {
        self.writer.write_all(format!("{line}\r\n").as_bytes())?;
        self.expect(expected)
    }

    /// The last line of a reply, which must begin with `expected`.
    fn expect(&mut self, expected: &str) -> io::Result<String> {
        loop {
            let mut line = String::new();
            if self.reader.by_ref().take(REPLY_LINE_MAX).read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if line.as_bytes().get(3) == Some(&b'-') {
                continue;
            }
            let line = line.trim_end().to_owned();
            return if line.starts_with(expected) { Ok(line) } else { Err(io::Error::other(line)) };
        }
    }
}
