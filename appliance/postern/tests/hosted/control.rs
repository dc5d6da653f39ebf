//! Operations of the running appliance, as an administrator asks for them.

use std::process::{Command, Output};

use crate::lab::{Lab, executable};

/// Runs `postern ctl`.
pub(crate) fn control(lab: &Lab, words: &[&str]) -> Output {
    let mut command = Command::new(executable());
    command.arg("ctl").arg("--disk").arg(lab.disk()).arg("--json").args(words).output().unwrap()
}

/// How many deliveries are in the queue.
pub(crate) fn queued(lab: &Lab) -> u64 {
    let status: serde_json::Value = serde_json::from_slice(&control(lab, &["status"]).stdout).unwrap();
    status["status"]["queued"].as_u64().unwrap()
}
