//! Operations of the running appliance, as an administrator asks for them.

use std::process::{Command, Output};

use serde_json::Value;

use crate::lab::{Lab, executable, text};

/// Runs `postern ctl`.
pub(crate) fn control(lab: &Lab, words: &[&str]) -> Output {
    let mut command = Command::new(executable());
    command.arg("ctl").arg("--disk").arg(lab.disk()).arg("--json").args(words).output().unwrap()
}

/// What an operation that is done says.
pub(crate) fn ask(lab: &Lab, words: &[&str]) -> Value {
    let output = control(lab, words);
    assert!(output.status.success(), "{words:?}: {}", text(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// What is said of an address, and what RCPT would be answered.
pub(crate) fn map(lab: &Lab, address: &str) -> Value {
    ask(lab, &["map", address])["mapping"].clone()
}

/// A domain as My Domains shows it, when its check has come to an end.
pub(crate) fn checked(lab: &Lab, domain: &str) -> Value {
    ask(lab, &["domain", "check", domain])["domains"][0].clone()
}

/// Streams that were counted, with how many messages each has got, in the order of their names.
pub(crate) fn counted(lab: &Lab) -> Vec<(String, u64)> {
    let counts = ask(lab, &["provisioning"]);
    let row = |row: &Value| (row["stream"].as_str().unwrap().to_owned(), row["messages"].as_u64().unwrap());
    let mut rows: Vec<_> = counts["provisioning"]["streams"].as_array().unwrap().iter().map(row).collect();
    rows.sort();
    rows
}

/// Tries to log in; `more` words are added.
pub(crate) fn log_in(lab: &Lab, user: &str, password: &str, more: &[&str]) -> Value {
    let mut command = Command::new(executable());
    command.arg("ctl").arg("--disk").arg(lab.disk()).args(["--json", "login", "check", user]).args(more);
    let mut child =
        command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), format!("{password}\n").as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    let login = said["login"].clone();
    assert_eq!(output.status.code(), Some(i32::from(login["accepted"] != true)), "{said}");
    login
}

/// How many deliveries are in the queue.
pub(crate) fn queued(lab: &Lab) -> u64 {
    let status = ask(lab, &["status"]);
    status["status"]["queued"].as_u64().unwrap()
}
