//! The control socket's wire: one JSON document a line, a request and its answer in turn.

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};

use crate::operation::{Operation, Outcome, Refusal};

/// The longest line of either direction: the largest CSV, escaped, fits in it.
pub const LINE_MAX: usize = 24 * 1024 * 1024;

/// The version of this wire; the client says it first, in every request.
pub const VERSION: u16 = 1;

/// What the client writes.
#[derive(Debug, Serialize, Deserialize)]
pub struct Request {
    pub version: u16,
    pub operation: Operation,
}

/// What the appliance answers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    Done(Outcome),
    Refused(Refusal),
}

/// Why the wire broke.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    #[error("a line is longer than {LINE_MAX} bytes")]
    TooLong,
    #[error("not a message of this protocol: {0}")]
    Malformed(#[from] serde_json::Error),
    #[error("the appliance closed the connection without an answer")]
    Closed,
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

async fn read_line<R: AsyncRead + Unpin>(reader: &mut BufReader<R>) -> Result<Option<Vec<u8>>, WireError> {
    let mut line = Vec::new();
    let n = reader.take(LINE_MAX as u64 + 1).read_until(b'\n', &mut line).await?;
    match n {
        0 => Ok(None),
        _ if line.len() > LINE_MAX => Err(WireError::TooLong),
        _ => Ok(Some(line)),
    }
}

async fn write_line<W: AsyncWrite + Unpin>(writer: &mut W, value: &impl Serialize) -> Result<(), WireError> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    writer.write_all(&line).await?;
    Ok(writer.flush().await?)
}

/// Answers requests on one connection until it closes.
///
/// A request that cannot be read is answered with [`Refusal::Malformed`], and ends the connection.
pub async fn serve<S, F>(stream: S, mut execute: impl FnMut(Operation) -> F) -> Result<(), WireError>
where
    S: AsyncRead + AsyncWrite,
    F: Future<Output = Result<Outcome, Refusal>>,
{
    let (reader, mut writer) = tokio::io::split(stream);
    let mut reader = BufReader::new(reader);
    while let Some(line) = read_line(&mut reader).await? {
        let request = match serde_json::from_slice::<Request>(&line) {
            Ok(request) if request.version == VERSION => request,
            Ok(request) => {
                let why = format!("version {} of the control protocol, expected {VERSION}", request.version);
                return write_line(&mut writer, &Answer::Refused(Refusal::Malformed(why))).await;
            }
            Err(error) => {
                let refusal = Refusal::Malformed(error.to_string());
                return write_line(&mut writer, &Answer::Refused(refusal)).await;
            }
        };
        let answer = match execute(request.operation).await {
            Ok(outcome) => Answer::Done(outcome),
            Err(refusal) => Answer::Refused(refusal),
        };
        write_line(&mut writer, &answer).await?;
    }
    Ok(())
}

/// Asks one operation over a connection.
pub async fn ask<S>(stream: S, operation: Operation) -> Result<Answer, WireError>
where
    S: AsyncRead + AsyncWrite,
{
    let (reader, mut writer) = tokio::io::split(stream);
    write_line(&mut writer, &Request { version: VERSION, operation }).await?;
    let line = read_line(&mut BufReader::new(reader)).await?.ok_or(WireError::Closed)?;
    Ok(serde_json::from_slice(&line)?)
}
