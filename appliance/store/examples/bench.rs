//! How fast the store is on the disk of this machine: messages of 20 kB received, and delivered, by 1 to 256
//! senders; bytes written for each byte of mail; the time to open it after a power cut; memory.
//!
//! `cargo run --release -p store --example bench -- [--json FILE]`; the disk is a file in the working folder.

use std::{
    io,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use smtp::{
    address::{ForwardPath, ReversePath},
    envelope::{MailParameters, RcptParameters},
};
use store::{
    Disk, FileDisk, Limits, SessionId, Store, StoreError, Timestamp,
    message::{Envelope, NewMessage, Recipient, RecipientState, Source},
    queue::{AttemptResult, Destination, NewDelivery, Reply},
    testing::Random,
};

const MESSAGE: usize = 20_000;
const CAPACITY: u64 = 8 << 30;
const ROUND: Duration = Duration::from_secs(3);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = PathBuf::from("store-bench.disk");
    let _ = std::fs::remove_file(&path);
    let disk = Arc::new(Counting::open(&path)?);
    let store = Store::open(disk.clone(), Limits::default())?;
    println!("flush of one page: {:.2} ms", flush_time(&path)?.as_secs_f64() * 1e3);
    println!("senders  received/s  a commit  written/mail   received+delivered/s  written/mail");
    let mut figures = Vec::new();
    for senders in [1, 8, 64, 256] {
        let accepted = round(&store, &disk, senders, false)?;
        empty(&store)?;
        let delivered = round(&store, &disk, senders, true)?;
        println!(
            "{senders:7}  {:10.0}  {:8.1}  {:12.2}   {:20.0}  {:12.2}",
            accepted.rate(),
            accepted.messages as f64 * 2.0 / accepted.flushes.max(1) as f64,
            accepted.amplification(),
            delivered.rate(),
            delivered.amplification(),
        );
        figures.push(format!(
            r#"{{"senders":{senders},"received":{:.1},"received_and_delivered":{:.1}}}"#,
            accepted.rate(),
            delivered.rate()
        ));
        empty(&store)?;
    }
    let filled = round(&store, &disk, 64, false)?;
    println!("memory after {} messages: {} kB resident", filled.messages, resident_kb());
    // As after a power cut: the first handle writes nothing more, and never closes.
    disk.stop();
    disk.disk.forget_cache();
    let before = Instant::now();
    let again = Store::open(Arc::new(FileDisk::open(&path, CAPACITY)?), Limits::default())?;
    let opened = before.elapsed();
    let usage = again.usage();
    println!(
        "opened after a power cut with {} messages, {} MB: {:.1} ms",
        usage.messages,
        usage.extent >> 20,
        opened.as_secs_f64() * 1e3
    );
    drop(again);
    std::fs::remove_file(&path)?;
    if let Some(file) = json_file() {
        let rates = figures.join(",");
        let milliseconds = opened.as_secs_f64() * 1e3;
        let text = format!(r#"{{"messages_a_second":[{rates}],"milliseconds_to_open":{milliseconds:.1}}}"#);
        std::fs::write(file, text)?;
    }
    Ok(())
}

/// The word after `--json`.
fn json_file() -> Option<PathBuf> {
    std::env::args_os().skip_while(|word| word != "--json").nth(1).map(PathBuf::from)
}

/// What a round came to.
struct Round {
    messages: u64,
    time: Duration,
    bytes: u64,
    flushes: u64,
}

impl Round {
    fn rate(&self) -> f64 {
        self.messages as f64 / self.time.as_secs_f64()
    }

    fn amplification(&self) -> f64 {
        self.bytes as f64 / (self.messages.max(1) * MESSAGE as u64) as f64
    }
}

/// `senders` threads receive, and perhaps deliver, for [`ROUND`].
fn round(store: &Store, disk: &Counting, senders: u64, deliver: bool) -> Result<Round, StoreError> {
    let (bytes, flushes) = (disk.bytes.load(Ordering::Relaxed), disk.flushes.load(Ordering::Relaxed));
    let begin = Instant::now();
    let messages = std::thread::scope(|scope| {
        let work = |sender| {
            let store = store.clone();
            scope.spawn(move || send(&store, sender, begin + ROUND, deliver))
        };
        let threads: Vec<_> = (0..senders).map(work).collect();
        threads.into_iter().map(|thread| thread.join().expect("no sender panics")).sum::<Result<u64, _>>()
    })?;
    Ok(Round {
        messages,
        time: begin.elapsed(),
        bytes: disk.bytes.load(Ordering::Relaxed) - bytes,
        flushes: disk.flushes.load(Ordering::Relaxed) - flushes,
    })
}

fn send(store: &Store, sender: u64, until: Instant, deliver: bool) -> Result<u64, StoreError> {
    let mut random = Random::new(sender);
    let text: Vec<u8> = (0..MESSAGE / 8).flat_map(|_| random.next().to_le_bytes()).collect();
    let mut messages = 0;
    while Instant::now() < until {
        let mut writer = store.begin(now())?;
        for part in text.chunks(16 << 10) {
            drop(writer.write(part)?);
        }
        let enqueued = writer.commit(message()).wait()?;
        if deliver {
            let read: u64 =
                store.body(enqueued.id)?.map(|piece| piece.map_or(0, |piece| piece.len() as u64)).sum();
            assert_eq!(read, text.len() as u64);
            store.record(done(enqueued.deliveries[0]), vec![], vec![]).wait()?;
        }
        messages += 1;
    }
    Ok(messages)
}

fn empty(store: &Store) -> Result<(), StoreError> {
    let ids: Result<Vec<_>, _> =
        store.deliveries().map(|delivery| delivery.map(|delivery| delivery.id)).collect();
    for some in ids?.chunks(1000) {
        let purged: Vec<_> = some.iter().map(|&id| store.purge(id)).collect();
        purged.into_iter().try_for_each(store::Pending::wait)?;
    }
    Ok(())
}

fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Timestamp::MIN.after(since)
}

fn message() -> NewMessage {
    let recipient = Recipient::new(
        ForwardPath::parse("<someone@example.com>").expect("an address"),
        RcptParameters::default(),
    );
    NewMessage {
        envelope: Envelope {
            from: ReversePath::parse("<sender@example.net>").expect("an address"),
            parameters: MailParameters::default(),
        },
        source: Source::Smtp {
            session: SessionId(1),
            peer: ([192, 0, 2, 1], 25025).into(),
            helo: "client.example.net".into(),
            tls: true,
        },
        received_at: now(),
        deliveries: vec![NewDelivery {
            destination: Destination::new("mx.example.com").expect("a destination"),
            recipients: vec![recipient],
            next_attempt: now(),
            expires: now().after(Duration::from_secs(432_000)),
        }],
        events: vec![store::log::Event::new(now(), "smtp.accepted").field("from", "sender@example.net")],
        streams: Vec::new(),
    }
}

fn done(id: store::DeliveryId) -> AttemptResult {
    let reply = Reply {
        code: 250,
        enhanced: None,
        text: "2.0.0 OK".into(),
        host: "mx.example.com".into(),
        at: now(),
    };
    AttemptResult {
        id,
        recipients: vec![(0, RecipientState::Delivered(reply.clone()))],
        next_attempt: now(),
        last_reply: Some(reply),
        hold: None,
        delay_notified: false,
        counts: true,
    }
}

/// What the disk itself can do: one page and a flush, again and again.
fn flush_time(path: &std::path::Path) -> io::Result<Duration> {
    use std::os::unix::fs::FileExt;
    const TIMES: u32 = 50;
    let path = path.with_extension("flush");
    let file = std::fs::File::create(&path)?;
    let begin = Instant::now();
    for _ in 0..TIMES {
        file.write_all_at(&[1; 4096], 0)?;
        file.sync_data()?;
    }
    let time = begin.elapsed() / TIMES;
    std::fs::remove_file(&path)?;
    Ok(time)
}

fn resident_kb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// A file that counts what is written, and can be stopped as if the power were off.
#[derive(Debug)]
struct Counting {
    disk: FileDisk,
    bytes: AtomicU64,
    flushes: AtomicU64,
    stopped: std::sync::atomic::AtomicBool,
}

impl Counting {
    fn open(path: &std::path::Path) -> io::Result<Self> {
        let disk = FileDisk::open(path, CAPACITY)?;
        Ok(Self { disk, bytes: 0.into(), flushes: 0.into(), stopped: false.into() })
    }

    fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
    }

    fn check(&self) -> io::Result<()> {
        if self.stopped.load(Ordering::Acquire) { Err(io::Error::other("the power is off")) } else { Ok(()) }
    }
}

impl Disk for Counting {
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.disk.read_at(offset, out)
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.check()?;
        self.bytes.fetch_add(data.len() as u64, Ordering::Relaxed);
        self.disk.write_at(offset, data)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.check()?;
        self.flushes.fetch_add(1, Ordering::Relaxed);
        self.disk.sync_data()
    }

    fn len(&self) -> io::Result<u64> {
        self.disk.len()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.check()?;
        self.disk.set_len(len)
    }

    fn capacity(&self) -> u64 {
        self.disk.capacity()
    }
}
