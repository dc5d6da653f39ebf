//! How somebody's password is checked, by the configuration.

use config_schema::{Config, LookupName, Method, User, UserLookup, UserName, user::Password};

/// How a login is checked.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Way<'c> {
    /// By the hash that is kept here.
    Here(&'c User),
    /// By a user lookup.
    Lookup {
        /// Which one.
        lookup: &'c UserLookup,
        /// Whoever has an entry in the configuration; everybody else is an end user whose home stream follows from
        /// the name.
        user: Option<&'c User>,
    },
    /// Nobody of this name can log in. The same work is to be done as for [`Way::Here`], without a hash.
    Nobody,
}

impl<'c> Way<'c> {
    /// The way for a name: that of its own entry, or else of its domain's authentication mapping.
    pub fn find(config: &'c Config, name: &UserName) -> Way<'c> {
        let lookup = |name: &LookupName| config.user_lookups.iter().find(|lookup| lookup.name == *name);
        let user = config.user(name);
        let lookup = match user.map(|user| &user.password) {
            Some(Password::Hash(_)) => return user.map_or(Way::Nobody, Way::Here),
            Some(Password::Lookup(name)) => lookup(name),
            None => config
                .domain(name.domain())
                .and_then(|domain| domain.authentication.as_ref())
                .and_then(lookup)
                // The users of this file have an entry, or there are none.
                .filter(|lookup| lookup.method != Method::Local),
        };
        lookup.map_or(Way::Nobody, |lookup| Way::Lookup { lookup, user })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
version = 1
[network]
hostname = "mx.example.net"
address = "dhcp"
[[user-lookup]]
name = "mailboxes"
method = "imap"
servers = "imap.example.com"
[[user-lookup]]
name = "here"
method = "local"
[[domain]]
name = "example.com"
route = "mail.example.com"
authentication = "mailboxes"
[[domain]]
name = "example.org"
route = "mail.example.com"
authentication = "here"
[[domain]]
name = "example.net"
route = "mail.example.com"
[[user]]
name = "ann@example.com"
password-hash = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQxMjM$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
[[user]]
name = "bob@elsewhere.example"
lookup = "mailboxes"
"#;

    #[test]
    fn an_entry_comes_before_the_domain() {
        let config = Config::parse("file", FILE).unwrap();
        let way = |name: &str| Way::find(&config, &name.parse().unwrap());
        assert!(matches!(way("Ann@example.com"), Way::Here(user) if user.name.local_part() == "ann"));
        assert!(matches!(
            way("bob@elsewhere.example"),
            Way::Lookup { lookup, user: Some(_) } if lookup.name.as_str() == "mailboxes"
        ));
        assert!(matches!(
            way("carol@example.com"),
            Way::Lookup { lookup, user: None } if lookup.name.as_str() == "mailboxes"
        ));
        for nobody in ["carol@example.org", "carol@example.net", "carol@elsewhere.example"] {
            assert_eq!(way(nobody), Way::Nobody, "{nobody}");
        }
    }
}
