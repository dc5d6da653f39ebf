//! A message on its way from the session into the spool.

use bytes::Bytes;
use store::message::NewMessage;
use store::spool::SpoolWriter;
use store::{MessageId, Store, StoreError, Timestamp};

use super::fault::MessageFault;
use crate::message::Incoming;

/// One message being received. Dropped without [`commit`](Self::commit), nothing of it stays.
#[derive(Debug)]
pub(super) struct Intake {
    id: MessageId,
    /// `None` after a fault: what was received is given back at once, and what still comes is dropped.
    open: Option<Open>,
    fault: Option<MessageFault>,
}

#[derive(Debug)]
struct Open {
    writer: SpoolWriter,
    incoming: Incoming,
    /// What passed the header filter of one piece.
    passed: Vec<u8>,
}

impl Intake {
    /// Begins a message; `received` writes its trace field, which names the id.
    pub(super) async fn begin(
        store: &Store,
        now: Timestamp,
        incoming: Incoming,
        received: impl FnOnce(MessageId) -> String,
    ) -> Result<Intake, MessageFault> {
        let mut writer = store.begin(now)?;
        let id = writer.id();
        write(&mut writer, received(id).as_bytes()).await?;
        let open = Open { writer, incoming, passed: Vec::new() };
        Ok(Intake { id, open: Some(open), fault: None })
    }

    pub(super) fn id(&self) -> MessageId {
        self.id
    }

    /// Takes the next octets of the body. Waits while the store writes, which makes the client wait.
    pub(super) async fn push(&mut self, octets: &Bytes) {
        let Some(open) = &mut self.open else { return };
        if let Err(fault) = open.push(octets).await {
            self.open = None;
            self.fault = Some(fault);
        }
    }

    /// Returns when the message is durable.
    pub(super) async fn commit(self, new: NewMessage) -> Result<MessageId, MessageFault> {
        let Some(mut open) = self.open else {
            return Err(self.fault.unwrap_or(MessageFault::NoTransaction));
        };
        open.passed.clear();
        open.incoming.finish(&mut open.passed)?;
        write(&mut open.writer, &open.passed).await?;
        Ok(open.writer.commit(new).await?.id)
    }
}

impl Open {
    async fn push(&mut self, octets: &Bytes) -> Result<(), MessageFault> {
        if self.incoming.is_body() {
            return Ok(write(&mut self.writer, octets).await?);
        }
        self.passed.clear();
        self.incoming.push(octets, &mut self.passed)?;
        write(&mut self.writer, &self.passed).await?;
        if self.incoming.is_body() {
            self.passed = Vec::new();
        }
        Ok(())
    }
}

async fn write(writer: &mut SpoolWriter, octets: &[u8]) -> Result<(), StoreError> {
    match writer.write(octets)? {
        Some(spilled) => spilled.await,
        None => Ok(()),
    }
}
