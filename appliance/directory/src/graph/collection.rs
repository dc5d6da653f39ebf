//! What is read of a tenant: three collections, each on its own.

use serde::{Deserialize, Serialize};

/// One of the collections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Collection {
    /// People, and shared, room and equipment mailboxes; mail users and guests.
    Users,
    /// Distribution lists, mail-enabled security groups, Microsoft 365 groups.
    Groups,
    /// Mail contacts.
    Contacts,
}

impl Collection {
    /// All of them, in the order in which they are read.
    pub const ALL: [Collection; 3] = [Collection::Users, Collection::Groups, Collection::Contacts];

    /// Where its first page is; what is asked for stands in the first request only.
    pub const fn first(self) -> &'static str {
        match self {
            Collection::Users => {
                "/v1.0/users/delta?$select=id,userPrincipalName,mail,proxyAddresses,otherMails,accountEnabled,userType,displayName"
            }
            Collection::Groups => {
                "/v1.0/groups/delta?$select=id,mail,proxyAddresses,mailEnabled,groupTypes,displayName"
            }
            Collection::Contacts => "/v1.0/contacts/delta?$select=id,mail,proxyAddresses,displayName",
        }
    }

    /// The least application permission that shows it.
    pub const fn permission(self) -> &'static str {
        match self {
            Collection::Users => "User.Read.All",
            Collection::Groups => "GroupMember.Read.All",
            Collection::Contacts => "OrgContact.Read.All",
        }
    }

    /// Its name in Graph.
    pub const fn name(self) -> &'static str {
        match self {
            Collection::Users => "users",
            Collection::Groups => "groups",
            Collection::Contacts => "contacts",
        }
    }
}
