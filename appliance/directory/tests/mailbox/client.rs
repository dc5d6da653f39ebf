//! The conversation, carried over a socket.

use std::{net::SocketAddr, time::Instant};

use config_schema::user_lookup::mailbox::{Protocol, Security};
use directory::login::{
    Credentials,
    mailbox::{Action, Input, Outcome, Session, Unavailable},
};
use smtp::Time;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

use crate::certificates::Trust;

pub(crate) trait Wire: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Wire for T {}

pub(crate) async fn log_in(
    at: SocketAddr,
    trust: &Trust,
    protocol: Protocol,
    security: Security,
    who: Credentials,
) -> Outcome {
    let mut io: Box<dyn Wire> = match TcpStream::connect(at).await {
        Ok(stream) => Box::new(stream),
        Err(error) => return Outcome::Unavailable(Unavailable::Unreachable(error.to_string().into())),
    };
    let start = Instant::now();
    let (mut session, mut actions) = Session::new(protocol, security, who, Time::default());
    let mut heard = [0; 4096];
    loop {
        for action in std::mem::take(&mut actions) {
            match action {
                Action::Write(octets) => {
                    let _ = io.write_all(&octets).await;
                    let _ = io.flush().await;
                }
                Action::StartTls => {
                    let shaken =
                        TlsConnector::from(trust.config.clone()).connect(trust.name.clone(), io).await;
                    let input = if shaken.is_ok() { Input::TlsDone } else { Input::TlsFailed };
                    io = shaken
                        .map_or_else(|_| Box::new(tokio::io::empty()) as Box<dyn Wire>, |tls| Box::new(tls));
                    actions.extend(session.handle(Time::from_start(start.elapsed()), input));
                }
                Action::WakeAt(_) => {}
                Action::Done(outcome) => return outcome,
            }
        }
        if !actions.is_empty() {
            continue;
        }
        let read = io.read(&mut heard).await;
        let now = Time::from_start(start.elapsed());
        actions = match read {
            Ok(read) if read > 0 => session.handle(now, Input::Bytes(&heard[..read])),
            _ => session.handle(now, Input::PeerClosed),
        };
        actions.extend(session.handle(now, Input::Timeout));
    }
}
