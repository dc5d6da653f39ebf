//! The stream of a session, plain or inside TLS. Holds no buffer of its own while it waits.

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;

use crate::tls::server::{Handshake, TlsFacts};

/// Octets read at a time, on the stack: an idle session has no read buffer.
const READ: usize = 32 * 1024;
/// How long the last replies may take to be written.
const CLOSE_TIME: Duration = Duration::from_secs(5);
/// How long, and how much, is read and dropped after the end, so that the last reply is not lost to a reset.
const LINGER_TIME: Duration = Duration::from_secs(2);
const LINGER_OCTETS: usize = 1 << 20;

/// One connection's stream.
#[derive(Debug)]
pub(super) enum Wire<S> {
    Plain(S),
    Tls(Box<TlsStream<S>>),
    /// A handshake failed and took the stream with it.
    Gone,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    /// Waits for octets and shows them to `take`; none at all mean the end of the stream.
    pub(super) async fn read<R>(&mut self, take: impl FnOnce(&[u8]) -> R) -> io::Result<R> {
        let mut take = Some(take);
        poll_fn(|context| {
            let mut space = [MaybeUninit::uninit(); READ];
            let mut octets = ReadBuf::uninit(&mut space);
            match self {
                Wire::Plain(stream) => ready!(Pin::new(stream).poll_read(context, &mut octets))?,
                Wire::Tls(stream) => ready!(Pin::new(stream).poll_read(context, &mut octets))?,
                Wire::Gone => return Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
            }
            let take = take.take().expect("a future is not polled after it was ready");
            Poll::Ready(Ok(take(octets.filled())))
        })
        .await
    }

    /// What has come already, without waiting.
    pub(super) async fn read_ready<R>(&mut self, take: impl FnOnce(&[u8]) -> R) -> Option<io::Result<R>> {
        let mut read = std::pin::pin!(self.read(take));
        poll_fn(|context| match read.as_mut().poll(context) {
            Poll::Ready(result) => Poll::Ready(Some(result)),
            Poll::Pending => Poll::Ready(None),
        })
        .await
    }

    pub(super) async fn write(&mut self, octets: &[u8]) -> io::Result<()> {
        match self {
            Wire::Plain(stream) => {
                stream.write_all(octets).await?;
                stream.flush().await
            }
            Wire::Tls(stream) => {
                stream.write_all(octets).await?;
                stream.flush().await
            }
            Wire::Gone => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Goes on inside TLS. On an error the stream is gone.
    pub(super) async fn start_tls(&mut self, handshake: Handshake) -> io::Result<TlsFacts> {
        match std::mem::replace(self, Wire::Gone) {
            Wire::Plain(stream) => {
                let (stream, facts) = handshake.accept(stream).await?;
                *self = Wire::Tls(Box::new(stream));
                Ok(facts)
            }
            other => {
                *self = other;
                Err(io::ErrorKind::Unsupported.into())
            }
        }
    }

    /// Writes the last octets and ends our direction; with `linger`, drops what still comes for a moment.
    pub(super) async fn close(mut self, last: &[u8], linger: bool) {
        let farewell = async {
            self.write(last).await?;
            match &mut self {
                Wire::Plain(stream) => stream.shutdown().await,
                Wire::Tls(stream) => stream.shutdown().await,
                Wire::Gone => Ok(()),
            }
        };
        // A peer that is gone already, or reads no more, loses what it did not wait for.
        if !matches!(timeout(CLOSE_TIME, farewell).await, Ok(Ok(()))) || !linger {
            return;
        }
        let mut left = LINGER_OCTETS;
        let drain = async {
            while let Ok(octets) = self.read(<[u8]>::len).await {
                left = left.saturating_sub(octets);
                if octets == 0 || left == 0 {
                    break;
                }
            }
        };
        // Time or octets are spent: nothing is left to be said either way.
        let _ = timeout(LINGER_TIME, drain).await;
    }
}
