//! QEMU's monitor protocol (docs/interop/qmp-spec): a JSON object a line, each command answered once.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use serde_json::{Value, json};

use crate::{Error, Result};

/// A monitor after its greeting.
#[derive(Debug)]
pub(super) struct Monitor {
    reader: BufReader<UnixStream>,
    stream: UnixStream,
}

impl Monitor {
    /// Takes the greeting and leaves negotiation.
    pub(super) fn connect(stream: UnixStream) -> Result<Self> {
        let failed = |error: std::io::Error| monitor_error("connect", error.to_string());
        stream.set_read_timeout(Some(ANSWER_MAX)).map_err(failed)?;
        stream.set_write_timeout(Some(ANSWER_MAX)).map_err(failed)?;
        let reader = BufReader::new(stream.try_clone().map_err(failed)?);
        let mut monitor = Monitor { reader, stream };
        monitor.line("greeting")?;
        monitor.execute("qmp_capabilities", json!({}))?;
        Ok(monitor)
    }

    /// Sends a command and returns its answer; events in between are passed over.
    pub(super) fn execute(&mut self, command: &str, arguments: Value) -> Result<Value> {
        let line = format!("{}\n", json!({ "execute": command, "arguments": arguments }));
        self.stream.write_all(line.as_bytes()).map_err(|error| monitor_error(command, error.to_string()))?;
        loop {
            let mut answer = self.line(command)?;
            if let Some(value) = answer.get_mut("return") {
                return Ok(value.take());
            }
            if let Some(error) = answer.get("error") {
                return Err(monitor_error(command, error.to_string()));
            }
        }
    }

    fn line(&mut self, command: &str) -> Result<Value> {
        let mut line = String::new();
        match self.reader.read_line(&mut line) {
            Ok(0) => Err(monitor_error(command, "QEMU ended".into())),
            Ok(_) => serde_json::from_str(&line).map_err(|error| monitor_error(command, error.to_string())),
            Err(error) => Err(monitor_error(command, error.to_string())),
        }
    }
}

fn monitor_error(command: &str, reason: String) -> Error {
    Error::Monitor { command: command.to_owned(), reason }
}

/// QEMU answers at once, unless the machine under it is very busy.
const ANSWER_MAX: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    /// A monitor that says all of this, whatever it is asked.
    fn scripted(lines: &str) -> (Result<Monitor>, UnixStream) {
        let (mut qemu, ours) = UnixStream::pair().unwrap();
        qemu.write_all(lines.as_bytes()).unwrap();
        (Monitor::connect(ours), qemu)
    }

    #[test]
    fn events_are_passed_over() {
        let (monitor, _qemu) =
            scripted("{\"QMP\":{}}\n{\"return\":{}}\n{\"event\":\"RESUME\"}\n{\"return\":{\"a\":1}}\n");
        assert_eq!(monitor.unwrap().execute("query", json!({})).unwrap(), json!({"a": 1}));
    }

    #[test]
    fn a_refusal_is_an_error() {
        let (monitor, _qemu) =
            scripted("{\"QMP\":{}}\n{\"return\":{}}\n{\"error\":{\"desc\":\"no such\"}}\n");
        let error = monitor.unwrap().execute("fly", json!({})).unwrap_err().to_string();
        assert!(error.contains("fly") && error.contains("no such"), "{error}");
    }

    #[test]
    fn an_end_is_an_error() {
        let (qemu, ours) = UnixStream::pair().unwrap();
        drop(qemu);
        assert!(Monitor::connect(ours).is_err());
    }
}
