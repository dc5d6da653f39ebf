//! A next hop that does as it is told.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufStream, DuplexStream};

use crate::transport::memory::Memory;

/// What it does instead of saying yes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Does {
    Say(&'static str),
    SayAndClose(&'static str),
    Close,
    /// A reply without end.
    Flood,
    /// A line without end.
    LongLine,
}

/// What it does at each verb; at what is not named it says yes.
#[derive(Debug, Clone, Default)]
pub(super) struct Script {
    verbs: HashMap<&'static str, Does>,
    recipients: HashMap<&'static str, &'static str>,
    offers: Vec<&'static str>,
    takes: Option<usize>,
}

impl Script {
    /// At `verb`, which may be `GREETING` and `DOT`, does this.
    pub(super) fn on(mut self, verb: &'static str, does: Does) -> Script {
        self.verbs.insert(verb, does);
        self
    }

    pub(super) fn rcpt(mut self, path: &'static str, reply: &'static str) -> Script {
        self.recipients.insert(path, reply);
        self
    }

    pub(super) fn offers(mut self, extension: &'static str) -> Script {
        self.offers.push(extension);
        self
    }

    /// At most so many recipients at once.
    pub(super) fn takes(mut self, recipients: usize) -> Script {
        self.takes = Some(recipients);
        self
    }
}

/// A message that it took.
#[derive(Debug, Clone, Default)]
pub(super) struct Mail {
    pub(super) from: String,
    pub(super) to: Vec<String>,
    pub(super) body: Vec<u8>,
}

#[derive(Clone)]
pub(super) struct Hop(Arc<Mutex<State>>);

struct State {
    script: Script,
    mail: Vec<Mail>,
    connections: usize,
}

impl Hop {
    pub(super) fn listen(network: &Memory, at: SocketAddr, script: Script) -> Hop {
        let hop = Hop(Arc::new(Mutex::new(State { script, mail: vec![], connections: 0 })));
        let mut connections = network.listen(at);
        let own = hop.clone();
        tokio::spawn(async move {
            while let Some(stream) = connections.recv().await {
                own.0.lock().unwrap().connections += 1;
                let hop = own.clone();
                tokio::spawn(async move { hop.serve(BufStream::new(stream)).await });
            }
        });
        hop
    }

    pub(super) fn mail(&self) -> Vec<Mail> {
        self.0.lock().unwrap().mail.clone()
    }

    pub(super) fn connections(&self) -> usize {
        self.0.lock().unwrap().connections
    }

    pub(super) fn change(&self, script: Script) {
        self.0.lock().unwrap().script = script;
    }

    /// An error is the end of the connection, as the script or the client wished.
    async fn serve(&self, mut stream: BufStream<DuplexStream>) -> Option<()> {
        let mut mail = Mail::default();
        self.answer(&mut stream, "GREETING", "220 hop.example ESMTP").await?;
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await.ok()? == 0 {
                return None;
            }
            let line = line.trim_end();
            let verb = line.split([' ', ':']).next()?.to_ascii_uppercase();
            match verb.as_str() {
                "EHLO" => {
                    let mut reply = String::from("250-hop.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n");
                    let offers = self.0.lock().unwrap().script.offers.clone();
                    offers.iter().for_each(|offer| reply += &format!("250-{offer}\r\n"));
                    self.answer(&mut stream, "EHLO", &(reply + "250 SIZE")).await?;
                }
                "MAIL" => {
                    mail = Mail { from: path(line), ..Mail::default() };
                    self.answer(&mut stream, "MAIL", "250 2.1.0 ok").await?;
                }
                "RCPT" => self.recipient(&mut stream, &mut mail, path(line)).await?,
                "DATA" => {
                    self.answer(&mut stream, "DATA", "354 go on").await?;
                    if !self.says(&["DATA"]) {
                        mail.body = data(&mut stream).await?;
                        self.answer(&mut stream, "DOT", "250 2.6.0 queued").await?;
                        if !self.says(&["DOT"]) {
                            self.0.lock().unwrap().mail.push(std::mem::take(&mut mail));
                        }
                    }
                }
                "STARTTLS" => self.answer(&mut stream, "STARTTLS", "220 go on").await?,
                "RSET" => self.answer(&mut stream, "RSET", "250 ok").await?,
                "QUIT" => self.answer(&mut stream, "QUIT", "221 bye").await?,
                _ => self.answer(&mut stream, "OTHER", "500 what").await?,
            }
        }
    }

    fn says(&self, verbs: &[&str]) -> bool {
        verbs.iter().any(|verb| self.0.lock().unwrap().script.verbs.contains_key(verb))
    }

    async fn recipient(
        &self,
        stream: &mut BufStream<DuplexStream>,
        mail: &mut Mail,
        to: String,
    ) -> Option<()> {
        let (refusal, takes) = {
            let state = self.0.lock().unwrap();
            (state.script.recipients.get(to.as_str()).copied(), state.script.takes)
        };
        let full =
            takes.is_some_and(|takes| mail.to.len() >= takes).then_some("452 4.5.3 Too many recipients");
        match refusal.or(full) {
            Some(reply) => say(stream, reply).await,
            None => {
                mail.to.push(to);
                self.answer(stream, "RCPT", "250 2.1.5 ok").await
            }
        }
    }

    async fn answer(&self, stream: &mut BufStream<DuplexStream>, verb: &str, usual: &str) -> Option<()> {
        let does = self.0.lock().unwrap().script.verbs.get(verb).copied();
        match does {
            None => say(stream, usual).await,
            Some(Does::Say(reply)) => say(stream, reply).await,
            Some(Does::SayAndClose(reply)) => {
                say(stream, reply).await?;
                // Once: the second connection finds it mended.
                self.0.lock().unwrap().script = Script::default();
                None
            }
            Some(Does::Close) => None,
            Some(Does::Flood) => loop {
                say(stream, "220-on and on").await?;
            },
            Some(Does::LongLine) => loop {
                stream.write_all(b"250 and so on and on and on").await.ok()?;
                stream.flush().await.ok()?;
            },
        }
    }
}

async fn say(stream: &mut BufStream<DuplexStream>, reply: &str) -> Option<()> {
    stream.write_all(format!("{reply}\r\n").as_bytes()).await.ok()?;
    stream.flush().await.ok()
}

fn path(line: &str) -> String {
    let path = line.split_once(':').map_or("", |(_, rest)| rest);
    path.split(' ').next().unwrap_or_default().to_owned()
}

/// The data up to its end, unstuffed.
async fn data(stream: &mut BufStream<DuplexStream>) -> Option<Vec<u8>> {
    let mut all = Vec::new();
    let mut octet = [0; 1];
    while !(all == b".\r\n" || all.ends_with(b"\r\n.\r\n")) {
        stream.read_exact(&mut octet).await.ok()?;
        all.push(octet[0]);
    }
    all.truncate(all.len() - 3);
    let text = String::from_utf8(all).ok()?;
    Some(
        text.split_inclusive("\r\n")
            .map(|line| line.strip_prefix('.').unwrap_or(line))
            .collect::<String>()
            .into_bytes(),
    )
}
