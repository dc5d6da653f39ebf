//! What stands in a cell.

use config_schema::name::DomainName;
use smtp::address::Address;

use super::Problem;

/// What a spreadsheet takes for a formula when a cell begins with it, and our own prefix.
const FORMULA: [char; 7] = ['=', '+', '-', '@', '\t', '\r', PREFIX];
/// Makes a cell a text.
const PREFIX: char = '\'';
/// Characters of a bad cell that are shown.
const SHOWN: usize = 80;

/// The cell so that no spreadsheet calculates it.
pub(super) fn with_prefix(cell: &str) -> String {
    if cell.starts_with(FORMULA) { format!("{PREFIX}{cell}") } else { cell.to_owned() }
}

/// The cell as it was before [`with_prefix`].
pub(super) fn without_prefix(cell: &str) -> &str {
    cell.strip_prefix(PREFIX).filter(|rest| rest.starts_with(FORMULA)).unwrap_or(cell)
}

pub(super) fn address(text: &str) -> Result<Address, Problem> {
    let shown = || text.chars().map(|c| if c.is_control() { '?' } else { c }).take(SHOWN).collect();
    Address::parse(text).map_err(|error| Problem::Address { text: shown(), error })
}

/// The addresses of our domains in a cell such as `SMTP:a@b;smtp:c@d;X500:…`, and how many others it has.
pub(super) fn proxy_addresses(
    cell: &str,
    is_ours: &dyn Fn(&DomainName) -> bool,
) -> Result<(Vec<Address>, usize), Problem> {
    let cell = without_prefix(cell).trim();
    // `System.String[]`, `System.Collections.ArrayList`, `Microsoft.Exchange.Data.ProxyAddressCollection`.
    if cell.starts_with("System.") || cell.starts_with("Microsoft.") {
        return Err(Problem::NotWrittenOut);
    }
    let cell = cell.strip_prefix('{').and_then(|cell| cell.strip_suffix('}')).unwrap_or(cell);
    let (mut addresses, mut others) = (Vec::new(), 0);
    // PowerShell joins by what it is told, and by a space if by nothing. An X500 address may hold any of the
    // separators: what follows it without a kind of its own is a piece of it.
    let mut is_mail = true;
    for part in cell.split([';', ',', ' ', '\t', '\r', '\n']).filter(|part| !part.is_empty()) {
        let mail = match part.split_once(':') {
            Some((kind, address)) if kind.chars().all(|c| c.is_ascii_alphanumeric()) => {
                is_mail = kind.eq_ignore_ascii_case("smtp");
                others += usize::from(!is_mail);
                address
            }
            _ => part,
        };
        if !is_mail {
            continue;
        }
        let address = address(mail)?;
        if address.domain().is_some_and(is_ours) { addresses.push(address) } else { others += 1 }
    }
    Ok((addresses, others))
}
