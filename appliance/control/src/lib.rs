//! Everything an administrator may do, as typed operations.
