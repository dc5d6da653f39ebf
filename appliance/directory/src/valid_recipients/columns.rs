//! Which cell of a line is what.

use config_schema::{RealmName, StreamName, name::DomainName};
use smtp::address::Address;

use super::{
    Problem,
    cell::{self, without_prefix},
    records::Record,
};

const ADDRESS: &str = "address";
const STREAM: &str = "stream";
const PROXIES: &str = "EmailAddresses";

/// The columns of a file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Columns {
    address: Option<usize>,
    stream: Option<usize>,
    proxies: Option<usize>,
    /// Without a header a line has these columns and no more.
    header: bool,
}

impl Columns {
    /// The columns by the first line, and whether that is a header.
    pub(super) fn of(first: &Record<'_>) -> Result<(Columns, bool), Problem> {
        let plain = Columns { address: Some(0), stream: Some(1), proxies: None, header: false };
        let cells = first.texts()?;
        let find = |name: &'static str| {
            let mut found = (0..cells.len()).filter(|at| cells[*at].trim().eq_ignore_ascii_case(name));
            let first = found.next();
            if found.next().is_some() { Err(Problem::ColumnTwice(name)) } else { Ok(first) }
        };
        let header =
            Columns { address: find(ADDRESS)?, stream: find(STREAM)?, proxies: find(PROXIES)?, header: true };
        if header.address.is_some() || header.proxies.is_some() {
            return Ok((header, true));
        }
        if header.stream.is_some() || !cells.iter().any(|cell| cell.contains('@')) {
            return Err(Problem::NoAddressColumn);
        }
        let list =
            cells.len() == 1 && cells[0].get(..5).is_some_and(|start| start.eq_ignore_ascii_case("smtp:"));
        if list {
            return Ok((Columns { address: None, stream: None, proxies: Some(0), header: false }, false));
        }
        Ok((plain, false))
    }

    /// The cell of proxy addresses, where there is such a column.
    pub(super) fn proxies<'t>(&self, cells: &[&'t str]) -> Option<&'t str> {
        self.proxies.map(|at| cells.get(at).copied().unwrap_or_default())
    }

    pub(super) fn address(
        &self,
        cells: &[&str],
        is_ours: &dyn Fn(&DomainName) -> bool,
    ) -> Result<Address, Problem> {
        if !self.header && cells.len() > 2 {
            return Err(Problem::Cells(cells.len()));
        }
        let cell = self.address.and_then(|at| cells.get(at)).copied().unwrap_or_default();
        let text = without_prefix(cell).trim();
        if text.is_empty() {
            return Err(Problem::NoAddress);
        }
        let address = cell::address(text)?;
        match address.domain() {
            Some(domain) if is_ours(domain) => Ok(address),
            Some(domain) => Err(Problem::Domain(domain.clone())),
            None => Err(Problem::Literal),
        }
    }

    /// `realm:stream`, or the name alone.
    pub(super) fn stream(&self, cells: &[&str], realm: &RealmName) -> Result<Option<StreamName>, Problem> {
        let cell = self.stream.and_then(|at| cells.get(at)).copied().unwrap_or_default();
        let text = without_prefix(cell).trim();
        if text.is_empty() {
            return Ok(None);
        }
        let stream = match text.contains(':') {
            true => text.parse::<StreamName>(),
            false => StreamName::new(realm.clone(), text),
        };
        let stream = stream.map_err(Problem::Stream)?;
        if stream.realm() == realm {
            Ok(Some(stream))
        } else {
            Err(Problem::OtherRealm(stream.realm().clone()))
        }
    }
}
