//! A network on which every name is this machine.

use std::{collections::VecDeque, io, net::SocketAddr, sync::Mutex, time::Duration};

use gateway::transport::{Boxed, ConnectFault, Datagrams, Stream, Transport};
use tokio::{net::TcpStream, sync::Notify};

/// TCP goes to the loopback interface; whatever name is asked for by DNS, it is 127.0.0.1.
pub(crate) struct Loopback;

impl Transport for Loopback {
    fn connect(&self, to: SocketAddr, deadline: Duration) -> Boxed<'_, Result<Stream, ConnectFault>> {
        Box::pin(async move {
            let connected = tokio::time::timeout(deadline, TcpStream::connect(to)).await;
            let stream = connected.map_err(|_| ConnectFault::Timeout(deadline))?;
            let stream = stream.map_err(|_| ConnectFault::Refused)?;
            let local = stream.local_addr().map_err(|why| ConnectFault::Ours(why.to_string()))?;
            Ok(Stream { io: Box::new(stream), local, peer: to })
        })
    }

    fn udp(&self, _to: SocketAddr) -> Boxed<'_, io::Result<Box<dyn Datagrams>>> {
        Box::pin(async { Ok(Box::new(Names::default()) as Box<dyn Datagrams>) })
    }
}

/// A name server for one flow.
#[derive(Default)]
struct Names {
    answers: Mutex<VecDeque<Vec<u8>>>,
    rung: Notify,
}

impl Datagrams for Names {
    fn send<'a>(&'a self, datagram: &'a [u8]) -> Boxed<'a, io::Result<()>> {
        self.answers.lock().unwrap().push_back(answer(datagram));
        self.rung.notify_one();
        Box::pin(async { Ok(()) })
    }

    fn recv<'a>(&'a self, into: &'a mut [u8]) -> Boxed<'a, io::Result<usize>> {
        Box::pin(async move {
            loop {
                let answer = self.answers.lock().unwrap().pop_front();
                if let Some(answer) = answer {
                    into[..answer.len()].copy_from_slice(&answer);
                    return Ok(answer.len());
                }
                self.rung.notified().await;
            }
        })
    }
}

/// RFC 1035 §4.1: the question again, and 127.0.0.1 if an A record was asked for.
fn answer(question: &[u8]) -> Vec<u8> {
    let name = question[12..].iter().position(|byte| *byte == 0).unwrap();
    let end = 12 + name + 5;
    let is_a = question[end - 4..end - 2] == [0, 1];
    let mut answer = question[..2].to_vec();
    answer.extend([0x81, 0x80, 0, 1, 0, u8::from(is_a), 0, 0, 0, 0]);
    answer.extend(&question[12..end]);
    if is_a {
        answer.extend([0xC0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1]);
    }
    answer
}
