//! What a server is told of a name, and which stream it leads to.

use config_schema::{RealmName, StreamName, StreamNameError, user_lookup::mailbox::Mailbox};

/// The name as the server is told it; `typed` is what the person typed.
pub fn login_name(mailbox: &Mailbox, typed: &str) -> String {
    let name = if mailbox.strip_domain { without_domain(typed) } else { typed };
    if mailbox.lower_case { name.to_lowercase() } else { name.to_owned() }
}

/// The stream that someone sees who has no entry in the configuration.
///
/// # Errors
/// When the name is none of a stream.
pub fn home_stream(mailbox: &Mailbox, typed: &str, realm: RealmName) -> Result<StreamName, StreamNameError> {
    let name = if mailbox.strip_domain_from_stream { without_domain(typed) } else { typed };
    StreamName::new(realm, name)
}

fn without_domain(name: &str) -> &str {
    name.rsplit_once('@').map_or(name, |(local, _)| local)
}
