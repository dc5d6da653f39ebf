//! Other programs, run with an error that says what for.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::{Doing, Error, Result};

/// How many lines of a failed program's output the error repeats.
const TAIL_LINES: usize = 40;

/// A program about to be run.
#[derive(Debug)]
pub struct Program {
    command: Command,
    name: String,
    doing: String,
}

impl Program {
    /// `name` is looked for in `PATH`; `doing` begins the error's text if it fails.
    pub fn new(name: &str, doing: &str) -> Self {
        Program { command: Command::new(name), name: name.to_owned(), doing: doing.to_owned() }
    }

    /// Adds an argument.
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    /// Adds several arguments.
    pub fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.command.args(args);
        self
    }

    /// Sets a variable of its environment.
    pub fn env(mut self, key: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(key, value);
        self
    }

    /// Takes a variable out of its environment.
    pub fn without_env(mut self, key: &str) -> Self {
        self.command.env_remove(key);
        self
    }

    /// Runs it in this folder.
    pub fn dir(mut self, dir: &Path) -> Self {
        self.command.current_dir(dir);
        self
    }

    /// Runs it with our own standard output and error.
    pub fn run(mut self) -> Result<()> {
        let status = self.command.stdin(Stdio::null()).status().doing(|| self.starting())?;
        if status.success() { Ok(()) } else { Err(self.ended(status, String::new())) }
    }

    /// Runs it with its output in a file; the file's end becomes part of the error.
    pub fn run_into(mut self, log: &Path) -> Result<()> {
        let out = File::options().create(true).append(true).open(log);
        let out = out.doing(|| format!("open {}", log.display()))?;
        let err = out.try_clone().doing(|| format!("open {}", log.display()))?;
        self.command.stdin(Stdio::null()).stdout(out).stderr(err);
        let status = self.command.status().doing(|| self.starting())?;
        if status.success() {
            return Ok(());
        }
        let text = fs::read(log).unwrap_or_default();
        let output = format!("; the end of {}:\n{}", log.display(), tail(&text));
        Err(self.ended(status, output))
    }

    /// Runs it and returns its standard output; its standard error becomes part of an error.
    pub fn output(mut self) -> Result<String> {
        let output = self.command.stdin(Stdio::null()).output().doing(|| self.starting())?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let text = format!(":\n{}{}", tail(&output.stdout), tail(&output.stderr));
        Err(self.ended(output.status, text))
    }

    /// Runs it with its output shown and handed line by line to `each`.
    pub fn run_watched(mut self, mut each: impl FnMut(&str)) -> Result<()> {
        let (reader, writer) = io::pipe().doing(|| "make a pipe")?;
        let errors = writer.try_clone().doing(|| "make a pipe")?;
        let starting = self.starting();
        let mut child =
            self.command.stdin(Stdio::null()).stdout(writer).stderr(errors).spawn().doing(|| &*starting)?;
        // The command holds the pipe's other end: without it the reading ends with the program.
        self.command = Command::new("");
        for line in BufReader::new(reader).split(b'\n') {
            let line = line.doing(|| format!("{}: read its output", self.doing))?;
            let line = String::from_utf8_lossy(&line);
            println!("{line}");
            each(&line);
        }
        let status = child.wait().doing(|| starting)?;
        if status.success() { Ok(()) } else { Err(self.ended(status, String::new())) }
    }

    fn starting(&self) -> String {
        format!("{}: start `{}`", self.doing, self.name)
    }

    fn ended(self, status: std::process::ExitStatus, output: String) -> Error {
        Error::Program { doing: self.doing, program: self.name, status, output }
    }
}

fn tail(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].iter().map(|line| format!("  {line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_is_returned() {
        let text = Program::new("sh", "speak").args(["-c", "echo hello"]).output().unwrap();
        assert_eq!(text, "hello\n");
    }

    #[test]
    fn a_failure_says_what_for_and_repeats_what_was_written() {
        let error = Program::new("sh", "speak").args(["-c", "echo no >&2; exit 3"]).output().unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with("speak: `sh` ended with exit status: 3"), "{text}");
        assert!(text.contains("no"), "{text}");
    }

    #[test]
    fn only_the_end_of_a_long_output_is_repeated() {
        let text: String = (0..1000).map(|line| format!("line {line}\n")).collect();
        assert_eq!(tail(text.as_bytes()).lines().count(), TAIL_LINES);
    }

    #[test]
    fn a_missing_program_is_named() {
        let error = Program::new("no-such-program", "try").run().unwrap_err();
        assert!(error.to_string().contains("no-such-program"));
    }
}
