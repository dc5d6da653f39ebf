//! The one mechanism that is spoken.

use base64::{Engine, engine::general_purpose::STANDARD};
use zeroize::Zeroizing;

use crate::login::Credentials;

/// RFC 4616 §2: `authzid NUL authcid NUL passwd`, the first left empty, in Base64. [`Credentials`] have no NUL.
pub(in crate::login) fn plain(credentials: &Credentials) -> Zeroizing<Vec<u8>> {
    let message = Zeroizing::new(format!("\0{}\0{}", credentials.name(), credentials.password().expose()));
    Zeroizing::new(STANDARD.encode(message.as_bytes()).into_bytes())
}
