//! Who sends mail to the guest: swaks, and a plain sender that counts what was acknowledged.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

use image::{Doing, Result};

/// What swaks said and how it ended.
#[derive(Debug)]
pub struct Swaks {
    /// Its exit status: 0 for a message accepted, 24 for no recipient accepted.
    pub status: Option<i32>,
    /// The dialogue.
    pub dialogue: String,
}

/// Runs swaks against `server` with further arguments.
///
/// # Errors
/// When it is not installed.
pub fn swaks(server: SocketAddr, arguments: &[&str]) -> Result<Swaks> {
    let output = Command::new("swaks")
        .args(["--server", &server.to_string(), "--ehlo", "client.example.org", "--timeout", "60"])
        .args(arguments)
        .output()
        .doing(|| "start `swaks`")?;
    let dialogue =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    Ok(Swaks { status: output.status.code(), dialogue })
}

/// One connection that sends message after message.
#[derive(Debug)]
pub struct Sender {
    reader: BufReader<TcpStream>,
    stream: TcpStream,
}

impl Sender {
    /// Connects, and takes greeting and EHLO.
    ///
    /// # Errors
    /// When the server is not there or refuses.
    pub fn connect(server: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&server, ANSWER_MAX)?;
        stream.set_read_timeout(Some(ANSWER_MAX))?;
        stream.set_write_timeout(Some(ANSWER_MAX))?;
        stream.set_nodelay(true)?;
        let mut sender = Sender { reader: BufReader::new(stream.try_clone()?), stream };
        sender.expect("220")?;
        sender.command("EHLO client.example.org", "250")?;
        Ok(sender)
    }

    /// Sends one message with this subject; an `Ok` is the server's word that it keeps it.
    ///
    /// # Errors
    /// When any answer is another than the expected, or none comes. The server may then have kept the message
    /// all the same.
    pub fn send(&mut self, subject: &str, body: &str) -> io::Result<()> {
        self.command("MAIL FROM:<sender@example.org>", "250")?;
        self.command("RCPT TO:<alice@example.com>", "250")?;
        self.command("DATA", "354")?;
        let message = format!(
            "From: <sender@example.org>\r\nTo: <alice@example.com>\r\nMessage-ID: <{subject}@client.example.org>\r\n\
             Date: Thu, 01 Jan 2026 00:00:00 +0000\r\nSubject: {subject}\r\n\r\n{body}\r\n."
        );
        self.command(&message, "250")
    }

    fn command(&mut self, line: &str, code: &str) -> io::Result<()> {
        self.stream.write_all(format!("{line}\r\n").as_bytes())?;
        self.expect(code)
    }

    fn expect(&mut self, code: &str) -> io::Result<()> {
        loop {
            let mut line = String::new();
            if self.reader.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if !line.starts_with(code) {
                return Err(io::Error::other(format!("expected {code}, got {line:?}")));
            }
            if line.as_bytes().get(3) != Some(&b'-') {
                return Ok(());
            }
        }
    }
}

const ANSWER_MAX: Duration = Duration::from_secs(60);
