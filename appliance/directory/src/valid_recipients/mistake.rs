//! What is wrong with a file, line by line.

use std::fmt;

use config_schema::{RealmName, StreamNameError, name::DomainName};
use smtp::address::AddressError;

use super::{BYTES_MAX, CELLS_MAX, ENTRIES_MAX, LINES_MAX, MISTAKES_MAX, RECORD_MAX};

/// A bad line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// From 1; 0: the file as a whole.
    pub line: u32,
    /// What is wrong.
    pub problem: Problem,
}

/// The bad lines of a file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mistakes {
    /// The first of them, in the order of the file; at most [`MISTAKES_MAX`].
    pub listed: Vec<Mistake>,
    /// How many more there are.
    pub more: usize,
}

/// What is wrong with a line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Beyond [`BYTES_MAX`].
    #[error("the file is longer than {BYTES_MAX} bytes")]
    Bytes,
    /// Beyond [`LINES_MAX`].
    #[error("the file has more than {LINES_MAX} lines")]
    Lines,
    /// Beyond [`ENTRIES_MAX`].
    #[error("the file has more than {ENTRIES_MAX} addresses")]
    Entries,
    /// It begins as UTF-16 does.
    #[error("the file is UTF-16, expected UTF-8: save it as `CSV UTF-8`")]
    Utf16,
    /// Not UTF-8.
    #[error("not UTF-8, expected a file saved as `CSV UTF-8`")]
    NotUtf8,
    /// Beyond [`RECORD_MAX`].
    #[error("longer than {RECORD_MAX} bytes, or a quote that is opened here is not closed before that")]
    RecordTooLong,
    /// Beyond [`CELLS_MAX`].
    #[error("more than {CELLS_MAX} cells")]
    TooManyCells,
    /// A quoted cell has no end.
    #[error("a quote is opened and never closed")]
    Unclosed,
    /// A quoted cell does not end with its quote.
    #[error("text follows a closing quote, expected the next cell; a quote within quotes is written twice")]
    BehindQuote,
    /// The header names a column twice.
    #[error("column `{0}` stands twice in the header")]
    ColumnTwice(&'static str),
    /// The header has no column that is an address.
    #[error("the header has no column `address` or `EmailAddresses`")]
    NoAddressColumn,
    /// More cells than there are columns, in a file without a header.
    #[error("{0} cells, expected an address and perhaps a stream")]
    Cells(usize),
    /// No address.
    #[error("no address")]
    NoAddress,
    /// Not an address.
    #[error("`{text}` is no address, {error}")]
    Address {
        /// Its beginning.
        text: Box<str>,
        /// What is wrong.
        error: AddressError,
    },
    /// The domain is not the realm's.
    #[error("domain `{0}` is not one of the realm's")]
    Domain(DomainName),
    /// An address literal.
    #[error("an address literal, expected a domain of the realm's")]
    Literal,
    /// Not a stream.
    #[error("the stream is wrong: {0}")]
    Stream(StreamNameError),
    /// A stream of another realm.
    #[error("a stream of realm `{0}`, expected one of this realm's")]
    OtherRealm(RealmName),
    /// PowerShell has written the type of a list for the list.
    #[error(
        "the addresses were not written out, expected them joined: \
         @{{n='EmailAddresses'; e={{$_.EmailAddresses -join ';'}}}}"
    )]
    NotWrittenOut,
}

impl Mistakes {
    pub(super) fn whole(problem: Problem) -> Mistakes {
        Mistakes { listed: vec![Mistake { line: 0, problem }], more: 0 }
    }

    pub(super) fn add(&mut self, mistake: Mistake) {
        // What ends the reading is always told.
        if self.listed.len() < MISTAKES_MAX || mistake.problem.is_fatal() {
            self.listed.push(mistake);
        } else {
            self.more += 1;
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.listed.is_empty()
    }

    pub(super) fn is_fatal(&self) -> bool {
        self.listed.last().is_some_and(|mistake| mistake.problem.is_fatal())
    }
}

impl Problem {
    /// Whether nothing can be made of the rest of the file.
    fn is_fatal(&self) -> bool {
        use Problem::{Bytes, ColumnTwice, Entries, Lines, NoAddressColumn, Utf16};
        matches!(self, Bytes | Lines | Entries | Utf16 | ColumnTwice(_) | NoAddressColumn)
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => self.problem.fmt(f),
            line => write!(f, "line {line}: {}", self.problem),
        }
    }
}

impl fmt::Display for Mistakes {
    /// One a line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.listed.iter().try_for_each(|mistake| writeln!(f, "{mistake}"))?;
        if self.more == 0 { Ok(()) } else { writeln!(f, "and {} more", self.more) }
    }
}
