//! Clients that name recipients and send nothing, over socket pairs as they come from `net`.

use std::time::Instant;

use gateway::listener::{Accepted, Bulk, Listener};
use smtp::address::Address;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::OwnedReadHalf;

/// Clients at a time.
const CLIENTS: usize = 4;
/// Recipients of a transaction, pipelined.
const RECIPIENTS: usize = 1_000;

/// How many answers to RCPT the listener gives in a second; all of them accept.
pub(crate) async fn answers(listener: &Listener, addresses: &[Address]) -> f64 {
    let started = Instant::now();
    let tasks: Vec<_> = addresses
        .chunks(addresses.len().div_ceil(CLIENTS))
        .map(|part| {
            let transactions: Vec<String> = part.chunks(RECIPIENTS).map(transaction).collect();
            tokio::spawn(client(listener.clone(), transactions, part.len()))
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    addresses.len() as f64 / started.elapsed().as_secs_f64()
}

fn transaction(recipients: &[Address]) -> String {
    let recipients: String = recipients.iter().map(|address| format!("RCPT TO:<{address}>\r\n")).collect();
    format!("MAIL FROM:<sender@example.org>\r\n{recipients}RSET\r\n")
}

async fn client(listener: Listener, transactions: Vec<String>, recipients: usize) {
    let (client, stream) = UnixStream::pair().unwrap();
    let (peer, local) = ("192.0.2.7:40000".parse().unwrap(), "192.0.2.1:25".parse().unwrap());
    tokio::spawn(listener.serve(Accepted { stream, peer, local, bulk: Bulk::default() }));
    let (read, mut write) = client.into_split();
    let mut read = BufReader::new(read);
    reply(&mut read, "220").await;
    write.write_all(b"EHLO client.example.org\r\n").await.unwrap();
    reply(&mut read, "250").await;
    let replies = recipients + 2 * transactions.len();
    let writing = tokio::spawn(async move {
        for text in transactions {
            write.write_all(text.as_bytes()).await.unwrap();
        }
        write
    });
    for _ in 0..replies {
        reply(&mut read, "250").await;
    }
    drop(writing.await.unwrap());
}

/// Reads one reply, which has this code.
async fn reply(read: &mut BufReader<OwnedReadHalf>, code: &str) {
    let mut line = String::new();
    loop {
        line.clear();
        read.read_line(&mut line).await.unwrap();
        assert!(line.starts_with(code), "{line:?}");
        if line.as_bytes().get(3) == Some(&b' ') {
            return;
        }
    }
}
