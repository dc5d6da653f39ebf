//! Every process is killed at random moments of a load; what was acknowledged arrives.

use std::{
    collections::BTreeMap,
    hash::{BuildHasher, Hasher, RandomState},
    io::{self, BufRead, BufReader, Write},
    net::{Shutdown, TcpStream},
    sync::{Arc, Mutex, mpsc},
    thread,
    time::Duration,
};

use crate::{
    configuration::{ROOMY, with_domains},
    control::{control, queued},
    lab::{Appliance, GUEST, Lab, PATIENCE, wait_for},
    next_hop::{NextHop, listen},
    requirements::available,
};

const CUTS: u64 = 10;
/// Each has one message at most that is not acknowledged.
pub(crate) const SENDERS: u64 = 8;
/// A cut falls within this time after the first message was acknowledged.
const LOAD_MAX: Duration = Duration::from_millis(500);
/// As `ROOMY` has it: so many messages may be between the next hop's 250 and our record of it.
const CONNECTIONS_TO_NEXT_HOP: u64 = 20;

#[test]
fn what_was_acknowledged_survives_kills_of_all_processes() {
    if !available(&[]) {
        return;
    }
    let lab = Lab::new();
    let next_hop = NextHop::start(listen(&lab, 2526));
    let configuration = with_domains(&[("example.com", 2526)], ROOMY);
    // How often each acknowledged message came.
    let mut acknowledged = BTreeMap::new();
    let mut moments = Vec::new();
    for cut in 0..CUTS {
        let moment = LOAD_MAX.mul_f64((RandomState::new().build_hasher().finish() % 1000) as f64 / 1000.0);
        moments.push(moment);
        let subjects = load_until_cut(&lab, lab.start(&configuration), cut, moment);
        acknowledged.extend(subjects.into_iter().map(|subject| (subject, 0)));
    }
    let _appliance = lab.start(&configuration);
    assert!(control(&lab, &["queue", "retry", "--all"]).status.success());
    wait_for("the queue is empty", || (queued(&lab) == 0).then_some(()));
    while let Some(received) = next_hop.try_take() {
        // What came without having been acknowledged is not counted: its sender will send it again.
        acknowledged.entry(received.subject().to_owned()).and_modify(|count| *count += 1);
    }
    let lost: Vec<_> = acknowledged.iter().filter(|(_, count)| **count == 0).collect();
    assert!(lost.is_empty(), "cuts after {moments:?} lost {lost:?} of {}", acknowledged.len());
    assert!(acknowledged.len() as u64 >= CUTS, "there was load");
    let twice = acknowledged.values().filter(|count| **count > 1).count() as u64;
    assert!(twice <= CUTS * CONNECTIONS_TO_NEXT_HOP, "{twice} came twice");
}

/// Kills everything in the middle of a load; the subjects of what was acknowledged before.
pub(crate) fn load_until_cut(lab: &Lab, appliance: Appliance, cut: u64, moment: Duration) -> Vec<String> {
    let acknowledged = Arc::new(Mutex::new(Vec::new()));
    let (first, started) = mpsc::channel();
    let connect = |_| lab.inside(|| TcpStream::connect((GUEST, 25)).unwrap());
    let streams: Vec<TcpStream> = (0..SENDERS).map(connect).collect();
    let senders: Vec<_> = (0_u32..)
        .zip(&streams)
        .map(|(sender, stream)| {
            let (acknowledged, first) = (acknowledged.clone(), first.clone());
            let stream = stream.try_clone().unwrap();
            thread::spawn(move || {
                // It ends when the connection breaks, which is how each of these ends.
                let _ = send(stream, &format!("{cut}-{sender}"), |subject| {
                    acknowledged.lock().unwrap().push(subject);
                    let _ = first.send(());
                });
            })
        })
        .collect();
    started.recv_timeout(PATIENCE).expect("a message is acknowledged");
    // How long the load lasts is what is tried: nothing is waited for.
    thread::sleep(moment);
    drop(appliance);
    // Nobody is left who would reset the connections; one that is broken already says so.
    streams.iter().for_each(|stream| drop(stream.shutdown(Shutdown::Both)));
    senders.into_iter().for_each(|sender| sender.join().unwrap());
    std::mem::take(&mut *acknowledged.lock().unwrap())
}

/// Sends message after message, each with a subject of its own, until something fails.
fn send(stream: TcpStream, name: &str, mut acknowledged: impl FnMut(String)) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut replies = BufReader::new(stream.try_clone()?);
    let mut say = |text: &str, code: &str| {
        (&stream).write_all(text.as_bytes())?;
        expect(&mut replies, code)
    };
    say("", "220")?;
    say("EHLO client.example.net\r\n", "250")?;
    for number in 0.. {
        let subject = format!("{name}-{number}");
        say("MAIL FROM:<sender@example.net>\r\n", "250")?;
        say("RCPT TO:<user@example.com>\r\n", "250")?;
        say("DATA\r\n", "354")?;
        let body = "0123456789abcdef\r\n".repeat(500);
        say(&format!("Subject: {subject}\r\n\r\n{body}.\r\n"), "250")?;
        acknowledged(subject);
    }
    Ok(())
}

fn expect(replies: &mut impl BufRead, code: &str) -> io::Result<()> {
    loop {
        let mut line = String::new();
        replies.read_line(&mut line)?;
        if !line.starts_with(code) {
            return Err(io::Error::other(format!("expected {code}, got {line:?}")));
        }
        if line.as_bytes().get(3) == Some(&b' ') {
            return Ok(());
        }
    }
}
