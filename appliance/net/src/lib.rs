//! A TCP/IP server in user space: frames to byte streams.
//!
//! [`control`] is what the other side (the gateway) needs: the messages that ask for listeners and
//! connections, and that bring their streams.

pub mod control;
