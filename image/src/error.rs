use std::io;
use std::process::ExitStatus;
use std::time::Duration;

/// Why a build, a run or a test could not go on. The text says what was being done and with what.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file, folder or socket of this machine refused.
    #[error("{doing}: {source}")]
    Io {
        /// What was being done, in words.
        doing: String,
        /// What the system answered.
        source: io::Error,
    },
    /// Another program ended badly.
    #[error("{doing}: `{program}` ended with {status}{output}")]
    Program {
        /// What was being done, in words.
        doing: String,
        /// The program's name.
        program: String,
        /// How it ended.
        status: ExitStatus,
        /// The last lines that it wrote, after a line break, where they were kept.
        output: String,
    },
    /// Kconfig did not take a line of the fragment.
    #[error("{0}")]
    Fragment(#[from] crate::kernel::Unheld),
    /// The partition table could not be written.
    #[error("partition table of {file}: {reason}")]
    Table {
        /// The disk image.
        file: String,
        /// What the table's writer said.
        reason: String,
    },
    /// The guest did not do what was waited for.
    #[error("the guest did not {event} within {} s{serial}", within.as_secs())]
    Guest {
        /// What was waited for, as the end of the sentence.
        event: String,
        /// How long.
        within: Duration,
        /// The end of the guest's console, after a line break.
        serial: String,
    },
    /// QEMU's monitor answered with an error or not at all.
    #[error("QEMU's monitor, {command}: {reason}")]
    Monitor {
        /// The command sent.
        command: String,
        /// What came back.
        reason: String,
    },
    /// The test double could not be set up.
    #[error("the next hop's certificate: {0}")]
    Certificate(String),
    /// The command line asks for something that is not there.
    #[error("{0}")]
    Usage(String),
    /// Some parts of a test, fuzz or benchmark run failed; their own output has said why.
    #[error("failed: {}", .0.join(", "))]
    Failed(Vec<String>),
}

/// Adds what was being done to an error of the system.
pub trait Doing<T> {
    /// `doing` is read only when there is an error.
    fn doing<D: Into<String>>(self, doing: impl FnOnce() -> D) -> Result<T, Error>;
}

impl<T> Doing<T> for io::Result<T> {
    fn doing<D: Into<String>>(self, doing: impl FnOnce() -> D) -> Result<T, Error> {
        self.map_err(|source| Error::Io { doing: doing().into(), source })
    }
}
