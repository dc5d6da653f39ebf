//! The table of valid recipients as CSV (RFC 4180), in and out.
//!
//! In: UTF-8 with or without a byte order mark, `,` or `;`, CRLF or LF, a header or none; columns `address` and
//! perhaps `stream`, or Exchange Online's own export with its column `EmailAddresses`. Every bad line is reported by
//! its number; nothing is taken of a file with a bad line unless that is asked for.

mod cell;
mod columns;
mod mistake;
mod records;
mod write;

use config_schema::{RealmName, StreamName, name::DomainName};
use smtp::address::Address;

pub use mistake::{Mistake, Mistakes, Problem};
pub use write::{HEADER, row};

use cell::proxy_addresses;
use columns::Columns;
use records::{Record, Records};

/// Octets of a file.
pub const BYTES_MAX: usize = 32 << 20;
/// Lines of a file.
pub const LINES_MAX: u32 = 1_000_000;
/// Addresses of a file: what the table holds in all.
pub const ENTRIES_MAX: usize = 500_000;
/// Octets of a line, and of a quoted cell over several.
pub const RECORD_MAX: usize = 64 << 10;
/// Cells of a line.
pub const CELLS_MAX: usize = 256;
/// Mistakes that are listed; further ones are counted.
pub const MISTAKES_MAX: usize = 1_000;

/// Where the addresses go to.
#[derive(Clone, Copy)]
pub struct Terms<'a> {
    /// The realm of the streams.
    pub realm: &'a RealmName,
    /// Whether a domain is one of the realm's.
    pub is_ours: &'a dyn Fn(&DomainName) -> bool,
    /// Whether good lines are taken of a file that has bad ones.
    pub skip_bad: bool,
}

/// A valid recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The line it stands in, or begins in, from 1.
    pub line: u32,
    /// Of one of the realm's domains.
    pub address: Address,
    /// Whose table it belongs to, if the file says so.
    pub stream: Option<StreamName>,
}

/// What a file holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Import {
    /// In the order of the file.
    pub entries: Vec<Entry>,
    /// The bad lines that were left out; always empty unless that was asked for.
    pub mistakes: Mistakes,
    /// Addresses of an Exchange export that are not of the realm's domains, or are none of mail.
    pub foreign: usize,
}

/// Reads a file.
///
/// # Errors
/// All its mistakes, unless bad lines are to be skipped. What is wrong with the file as a whole is always an error.
pub fn read(file: &[u8], terms: Terms<'_>) -> Result<Import, Mistakes> {
    let text = records::text(file).map_err(Mistakes::whole)?;
    let mut import = Import::default();
    let mut columns = None;
    for record in Records::new(text) {
        if let Err(problem) = take(record, &mut columns, &terms, &mut import) {
            import.mistakes.add(problem);
        }
        if import.mistakes.is_fatal() {
            return Err(import.mistakes);
        }
    }
    if import.mistakes.is_empty() || terms.skip_bad { Ok(import) } else { Err(import.mistakes) }
}

fn take(
    record: Result<Record<'_>, Mistake>,
    columns: &mut Option<Columns>,
    terms: &Terms<'_>,
    import: &mut Import,
) -> Result<(), Mistake> {
    let record = record?;
    let line = record.line;
    let at = |problem| Mistake { line, problem };
    let columns = match columns {
        Some(columns) => *columns,
        None => {
            let (found, is_header) = Columns::of(&record).map_err(at)?;
            *columns = Some(found);
            if is_header {
                return Ok(());
            }
            found
        }
    };
    let cells = record.texts().map_err(at)?;
    let stream = columns.stream(&cells, terms.realm).map_err(at)?;
    if let Some(cell) = columns.proxies(&cells) {
        let (addresses, others) = proxy_addresses(cell, terms.is_ours).map_err(at)?;
        import.foreign += others;
        for address in addresses {
            import.add(Entry { line, address, stream: stream.clone() })?;
        }
        return Ok(());
    }
    let address = columns.address(&cells, terms.is_ours).map_err(at)?;
    import.add(Entry { line, address, stream })
}

impl Import {
    fn add(&mut self, entry: Entry) -> Result<(), Mistake> {
        if self.entries.len() >= ENTRIES_MAX {
            return Err(Mistake { line: entry.line, problem: Problem::Entries });
        }
        self.entries.push(entry);
        Ok(())
    }
}

impl std::fmt::Debug for Terms<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Terms").field("realm", self.realm).field("skip_bad", &self.skip_bad).finish()
    }
}

#[cfg(test)]
mod tests;
