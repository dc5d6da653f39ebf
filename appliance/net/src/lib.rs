//! A TCP/IP server in user space: frames to byte streams.
