//! Next hops that refuse, close, dawdle and talk nonsense: what is delivered is delivered once, what is refused is
//! bounced, and what may be a fault of the configuration is held.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::Duration,
};

use crate::{
    configuration::{ROOMY, with_domains},
    control::{control, queued},
    lab::{GUEST, Lab, PATIENCE, text, wait_for},
    next_hop::{NextHop, listen},
    requirements::available,
};

/// Where in the dialogue it misbehaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Greeting,
    Ehlo,
    Mail,
    Rcpt,
    Data,
    Dot,
}

#[derive(Debug, Clone, Copy)]
enum Act {
    /// Says this in place of what is due.
    Say(&'static str),
    /// As `Say`, and closes.
    SayAndClose(&'static str),
    Close,
    /// A reply that never ends its line.
    Endless,
    /// The due reply, an octet at a time.
    Drip,
}

/// What the appliance makes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Delivered,
    Bounced,
    Held,
}

use Act::{Close, Drip, Endless, Say, SayAndClose};
use At::{Data, Dot, Ehlo, Greeting, Mail, Rcpt};
use End::{Bounced, Delivered, Held};

const ALWAYS: u32 = u32::MAX;

/// Name, where, what, how often, and what becomes of the message.
const CASES: &[(&str, At, Act, u32, End)] = &[
    ("greets-with-421", Greeting, SayAndClose("421 4.3.2 Busy"), 1, Delivered),
    ("closes-at-once", Greeting, Close, 1, Delivered),
    ("greets-with-nonsense", Greeting, Say("SSH-2.0-OpenSSH_9.2"), 1, Delivered),
    ("greets-with-554", Greeting, Say("554 5.7.1 Go away"), ALWAYS, Held),
    ("knows-no-ehlo", Ehlo, Say("502 5.5.1 What?"), ALWAYS, Delivered),
    ("ehlo-451", Ehlo, Say("451 4.3.0 Later"), 1, Delivered),
    ("mail-451", Mail, Say("451 4.3.0 Later"), 1, Delivered),
    ("mail-421", Mail, SayAndClose("421 4.3.2 Busy"), 1, Delivered),
    ("mail-530", Mail, Say("530 5.7.0 Authenticate first"), ALWAYS, Held),
    ("closes-at-mail", Mail, Close, 1, Delivered),
    ("endless-reply", Mail, Endless, 1, Delivered),
    ("rcpt-450", Rcpt, Say("450 4.2.1 Greylisted"), 2, Delivered),
    ("rcpt-550", Rcpt, Say("550 5.1.1 No such user"), ALWAYS, Bounced),
    ("rcpt-unable-to-relay", Rcpt, Say("550 5.7.1 Unable to relay"), ALWAYS, Held),
    ("drips", Rcpt, Drip, ALWAYS, Delivered),
    ("data-451", Data, Say("451 4.3.0 Later"), 1, Delivered),
    ("data-554", Data, Say("554 5.3.0 No"), ALWAYS, Bounced),
    ("dot-452", Dot, Say("452 4.3.1 Full"), 1, Delivered),
    ("dot-554", Dot, Say("554 5.6.0 I do not like it"), ALWAYS, Bounced),
    ("dot-nonsense", Dot, Say("yes"), 1, Delivered),
    ("closes-after-dot", Dot, Close, 1, Delivered),
];

/// How often a next hop saw the whole message, and how often it answered that with 250.
#[derive(Debug, Default)]
struct Counts {
    seen: AtomicU32,
    taken: AtomicU32,
}

/// The port of a case.
fn port(case: usize) -> u16 {
    2600 + case as u16
}

#[test]
fn each_comes_to_its_end() {
    if !available(&["python3"]) {
        return;
    }
    let lab = Lab::new();
    // The senders' domain, where bounces go.
    let bounces = NextHop::start(listen(&lab, 2526));
    let names: Vec<String> = CASES.iter().map(|(name, ..)| format!("{name}.example")).collect();
    let mut domains = vec![("example.com", 2526)];
    let mut counts = Vec::new();
    for (case, (name, at, act, times, _)) in CASES.iter().enumerate() {
        let hop = Misbehaving { at: *at, act: *act, left: AtomicU32::new(*times), counts: Arc::default() };
        counts.push(hop.counts.clone());
        hop.start(listen(&lab, port(case)));
        domains.push((&names[case], port(case)));
        assert!(name.len() < 60);
    }
    let _appliance = lab.start(&with_domains(&domains, ROOMY));
    send(&lab, &names);

    let mut bounced: BTreeMap<String, u32> = BTreeMap::new();
    for _ in CASES.iter().filter(|(.., end)| *end == Bounced) {
        let bounce = bounces.take();
        assert_eq!(bounce.sender, "");
        let name = names.iter().find(|name| bounce.text.contains(&format!("user@{name}"))).unwrap();
        *bounced.entry(name.clone()).or_default() += 1;
    }
    let held = CASES.iter().filter(|(.., end)| *end == Held).count() as u64;
    wait_for("all but what is held leaves the queue", || (queued(&lab) <= held).then_some(()));
    let waiting = text(&control(&lab, &["queue", "list", "--held"]));
    for ((case, counts), name) in CASES.iter().zip(&counts).zip(&names) {
        let end = case.4;
        let taken = counts.taken.load(Ordering::SeqCst);
        assert_eq!(taken, u32::from(end == Delivered), "{case:?}: taken");
        assert_eq!(bounced.get(name).copied().unwrap_or(0), u32::from(end == Bounced), "{case:?}: bounces");
        assert_eq!(waiting.contains(&format!("user@{name}")), end == Held, "{case:?}: held");
        // RFC 1047: who says nothing after the dot may have taken it, and gets it once more.
        let twice = matches!(case, (_, Dot, _, 1, Delivered));
        let whole = if twice { 2 } else { u32::from(end == Delivered || case.1 == Dot) };
        assert_eq!(counts.seen.load(Ordering::SeqCst), whole, "{case:?}: seen");
    }
    assert!(bounces.try_take().is_none(), "nothing was bounced twice, and nothing else");
}

/// One message to each name, over one connection.
fn send(lab: &Lab, names: &[String]) {
    const SCRIPT: &str = "\
import smtplib, sys
with smtplib.SMTP(sys.argv[1], 25, 'client.example.net', timeout=60) as smtp:
    for name in sys.argv[2:]:
        smtp.sendmail('sender@example.com', ['user@' + name], 'Subject: to ' + name + '\\n\\nbody\\n')
";
    let sent = lab.command("python3").args(["-c", SCRIPT, &GUEST.to_string()]).args(names).output().unwrap();
    assert!(sent.status.success(), "{}", text(&sent));
}

struct Misbehaving {
    at: At,
    act: Act,
    /// How often it still misbehaves.
    left: AtomicU32,
    counts: Arc<Counts>,
}

impl Misbehaving {
    fn start(self, listener: TcpListener) {
        let hop = Arc::new(self);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let hop = hop.clone();
                thread::spawn(move || hop.serve(&stream));
            }
        });
    }

    /// `None` ends the connection.
    fn serve(&self, stream: &TcpStream) -> Option<()> {
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        let mut lines = BufReader::new(stream.try_clone().ok()?).lines().map_while(Result::ok);
        self.reply(stream, At::Greeting, "220 next.example.net ESMTP")?;
        while let Some(line) = lines.next() {
            match line.get(..4).unwrap_or(&line).to_ascii_uppercase().as_str() {
                "EHLO" => self.reply(stream, At::Ehlo, "250 next.example.net")?,
                "MAIL" => self.reply(stream, At::Mail, "250 2.1.0 Sender")?,
                "RCPT" => self.reply(stream, At::Rcpt, "250 2.1.5 Recipient")?,
                "DATA" if self.misbehaves(At::Data) => self.act(stream, "354 Go on")?,
                "DATA" => {
                    say(stream, "354 Go on")?;
                    lines.find(|line| line == ".")?;
                    self.counts.seen.fetch_add(1, Ordering::SeqCst);
                    self.end_of_data(stream)?;
                }
                "QUIT" => return say(stream, "221 2.0.0 Bye"),
                _ => say(stream, "250 2.0.0 Ok")?,
            }
        }
        None
    }

    fn end_of_data(&self, stream: &TcpStream) -> Option<()> {
        if self.misbehaves(At::Dot) {
            return self.act(stream, "250 2.0.0 Kept");
        }
        self.counts.taken.fetch_add(1, Ordering::SeqCst);
        say(stream, "250 2.0.0 Kept")
    }

    fn reply(&self, stream: &TcpStream, at: At, due: &str) -> Option<()> {
        if self.misbehaves(at) { self.act(stream, due) } else { say(stream, due) }
    }

    fn misbehaves(&self, at: At) -> bool {
        let one_less = |left: u32| (left > 0).then(|| if left == ALWAYS { left } else { left - 1 });
        self.at == at && self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less).is_ok()
    }

    fn act(&self, mut stream: &TcpStream, due: &str) -> Option<()> {
        match self.act {
            Say(text) => say(stream, text),
            SayAndClose(text) => say(stream, text).and(None),
            Close => None,
            Endless => {
                // Until the client has had enough, which is far below this.
                (0..10_000).try_for_each(|_| stream.write_all(&[b'2'; 1_000])).ok().and(None)
            }
            Drip => format!("{due}\r\n").bytes().try_for_each(|octet| {
                thread::sleep(Duration::from_millis(40));
                stream.write_all(&[octet]).ok()
            }),
        }
    }
}

fn say(mut stream: &TcpStream, text: &str) -> Option<()> {
    stream.write_all(format!("{text}\r\n").as_bytes()).ok()
}
