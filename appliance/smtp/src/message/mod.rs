//! What a gateway writes into and takes out of a message's header section as it passes.

pub mod header;
pub mod received;
