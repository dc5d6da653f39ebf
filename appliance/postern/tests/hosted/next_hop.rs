//! A next hop that takes whatever comes and keeps it.

use std::{
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    thread,
};

use crate::lab::{HOST, Lab, PATIENCE};

/// A listener on the peers' end.
pub(crate) fn listen(lab: &Lab, port: u16) -> TcpListener {
    lab.inside(move || TcpListener::bind((HOST, port)).unwrap())
}

/// One message as the next hop got it.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    pub(crate) sender: String,
    pub(crate) recipients: Vec<String>,
    /// The lines of the message, dot-unstuffed, with CRLF.
    pub(crate) text: String,
}

impl Received {
    /// The value of its first `Subject`, as UTF-8.
    pub(crate) fn subject(&self) -> &str {
        self.text.lines().find_map(|line| line.strip_prefix("Subject: ")).unwrap_or_default()
    }

    /// What our trace field says that it came by.
    pub(crate) fn protocol(&self) -> Option<&str> {
        let (_, after) = self.text.split_once(" with ")?;
        after.split_whitespace().next()
    }
}

#[derive(Debug)]
pub(crate) struct NextHop {
    messages: mpsc::Receiver<Received>,
}

impl NextHop {
    pub(crate) fn start(listener: TcpListener) -> NextHop {
        let (sender, messages) = mpsc::channel();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let sender = sender.clone();
                thread::spawn(move || serve(stream, &sender));
            }
        });
        NextHop { messages }
    }

    /// The next message; panics if none comes.
    pub(crate) fn take(&self) -> Received {
        self.messages.recv_timeout(PATIENCE).expect("a message arrives at the next hop")
    }

    /// A message that is already there.
    pub(crate) fn try_take(&self) -> Option<Received> {
        self.messages.try_recv().ok()
    }
}

fn serve(stream: TcpStream, messages: &mpsc::Sender<Received>) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let say = |text: &str| (&stream).write_all(format!("{text}\r\n").as_bytes()).ok();
    say("220 next.example.net ESMTP")?;
    let mut message = Received { sender: String::new(), recipients: Vec::new(), text: String::new() };
    loop {
        let line = read_line(&mut reader)?;
        match line.get(..4).unwrap_or(&line).to_ascii_uppercase().as_str() {
            "EHLO" => say(
                "250-next.example.net\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-SIZE 52428800\r\n250 DSN",
            )?,
            "MAIL" => {
                message.sender = path(&line);
                say("250 2.1.0 sender")?;
            }
            "RCPT" => {
                message.recipients.push(path(&line));
                say("250 2.1.5 recipient")?;
            }
            "DATA" => {
                say("354 go on")?;
                loop {
                    let line = read_line(&mut reader)?;
                    if line == "." {
                        break;
                    }
                    message.text += line.strip_prefix('.').unwrap_or(&line);
                    message.text += "\r\n";
                }
                let done = Received { text: std::mem::take(&mut message.text), ..message.clone() };
                message.recipients.clear();
                messages.send(done).ok()?;
                say("250 2.0.0 kept")?;
            }
            "RSET" => {
                message.recipients.clear();
                say("250 2.0.0 forgotten")?;
            }
            "QUIT" => return say("221 2.0.0 bye"),
            _ => say("500 5.5.2 what")?,
        };
    }
}

fn read_line(reader: &mut impl BufRead) -> Option<String> {
    let mut line = Vec::new();
    reader.read_until(b'\n', &mut line).ok()?;
    let line = String::from_utf8_lossy(&line);
    line.strip_suffix("\r\n").map(str::to_owned)
}

fn path(line: &str) -> String {
    let start = line.find('<').map_or(0, |at| at + 1);
    let end = line.find('>').unwrap_or(line.len());
    line.get(start..end).unwrap_or_default().to_owned()
}
