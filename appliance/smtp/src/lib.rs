//! The SMTP protocol, both sides. Deterministic: it opens nothing, sleeps never and reads no clock.
