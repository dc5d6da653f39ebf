//! The SMTP listener's policy, the pipeline, the queue and delivery.
