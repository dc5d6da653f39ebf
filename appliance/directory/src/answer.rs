//! What a user lookup says of an address.

/// The answer of a user lookup, whichever its method.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LookupAnswer {
    /// The address is real, and its mail belongs to this stream.
    Stream {
        /// The stream's name within the domain's realm.
        stream: Box<str>,
        /// What vouches for it, for people: such as `user cn=Ann,dc=example,dc=com` or `shared mailbox 0f3c…`.
        because: Box<str>,
    },
    /// The directory was asked, or its copy is fresh enough, and knows no such address.
    Unknown,
    /// Nobody can say now; the address must not be refused for good.
    Unavailable {
        /// Why, for people and the log.
        why: Box<str>,
    },
}
