//! `postern config check` as people run it.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::{path::PathBuf, process::Command};

/// Runs it on a file with this text; the exit code, what stands on standard output and on standard error.
fn check(name: &str, text: &str) -> (Option<i32>, String, String) {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, text).unwrap();
    let run =
        Command::new(env!("CARGO_BIN_EXE_postern")).args(["config", "check"]).arg(&path).output().unwrap();
    std::fs::remove_file(&path).unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (run.status.code(), text(run.stdout), text(run.stderr))
}

const HEAD: &str = "version = 1\nnetwork = { hostname = \"mx.example.net\", address = \"dhcp\" }\n";

#[test]
fn a_warning_is_told_and_is_no_mistake() {
    assert_eq!(check("right.toml", HEAD), (Some(0), String::new(), String::new()));
    let text = format!("{HEAD}[[domain]]\nname = \"example.com\"\nroute = \"mail.example.net\"\n");
    let (code, out, err) = check("warning.toml", &text);
    assert_eq!((code, out.as_str()), (Some(0), ""));
    assert!(err.starts_with("warning: domain[0]: nothing says who is a recipient in `example.com`"), "{err}");
    assert_eq!(err.lines().count(), 1, "{err}");
}

#[test]
fn a_mistake_is_told_with_its_line() {
    let (code, out, err) = check("wrong.toml", &format!("{HEAD}nework = 5\n"));
    assert_eq!((code, err.as_str()), (Some(1), ""));
    assert!(out.contains("wrong.toml:3:1: nework: unknown key, did you mean `network`?"), "{out}");
}
