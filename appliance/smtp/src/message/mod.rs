//! What a gateway writes into a message's header section as it passes.

pub mod received;
