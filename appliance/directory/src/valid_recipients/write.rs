//! The table as it is exported.

use config_schema::StreamName;
use smtp::address::Address;

use super::cell::with_prefix;

/// The first line.
pub const HEADER: &str = "address,stream\r\n";

/// The line of one valid recipient.
pub fn row(address: &Address, stream: &StreamName) -> String {
    format!("{},{}\r\n", cell(&address.to_string()), cell(&stream.to_string()))
}

/// RFC 4180 §2: what holds a separator, a quote or a line end stands in quotes.
fn cell(text: &str) -> String {
    let text = with_prefix(text);
    if text.contains(['"', ',', ';', '\r', '\n']) || text.starts_with(' ') || text.ends_with(' ') {
        return format!("\"{}\"", text.replace('"', "\"\""));
    }
    text
}
