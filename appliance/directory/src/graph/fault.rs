//! What goes wrong with a tenant, sorted by whose fault it is.

use super::{collection::Collection, link::LinkError};
use crate::http::Failure;

/// Longest text of a login service that is passed on, in characters.
const TEXT_MAX: usize = 300;

/// Why a tenant could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// No answer came.
    #[error(transparent)]
    Carrier(#[from] Failure),
    /// Graph or the login service asks for patience.
    #[error("asked to come back later (status {0})")]
    Busy(u16),
    /// A status that only the server can explain.
    #[error("answered by status {0}")]
    Status(u16),
    /// Not JSON, or not what was asked for.
    #[error("the answer is not what was asked for: {0}")]
    Malformed(Box<str>),
    /// A link that is not followed.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// Page after page without an end.
    #[error("{} have no end after {} pages", .0.name(), .1)]
    Endless(Collection, u32),
    /// A full read was refused as if it had been a continued one.
    #[error("{} cannot be read from their beginning", .0.name())]
    NoBeginning(Collection),
    /// The application's secret has ended.
    #[error("the application's secret has ended; make a new one in the portal: {0}")]
    SecretExpired(Box<str>),
    /// The application's secret is not the right one.
    #[error("the application's secret is wrong: {0}")]
    SecretWrong(Box<str>),
    /// The certificate is not the application's.
    #[error("the application's certificate is not known there: {0}")]
    CertificateRefused(Box<str>),
    /// There is no such tenant.
    #[error("there is no such tenant: {0}")]
    UnknownTenant(Box<str>),
    /// There is no such application in the tenant.
    #[error("there is no such application in the tenant: {0}")]
    UnknownApplication(Box<str>),
    /// One of the two clocks is wrong.
    #[error("our clock and the login service's differ: {0}")]
    Clock(Box<str>),
    /// Another reason of the login service's.
    #[error("no token: {0}")]
    SignIn(Box<str>),
    /// A token that was just given out is not taken.
    #[error("Graph takes no token of this application")]
    TokenRefused,
    /// A permission was not granted.
    #[error("the application may not read {}: grant it {} and consent as administrator", .0.name(), .0.permission())]
    PermissionMissing(Collection),
    /// The key cannot sign.
    #[error(transparent)]
    Key(#[from] super::assertion::KeyError),
    /// More than a copy holds.
    #[error("{} are more than a copy holds", .0.name())]
    TooMany(Collection),
    /// The copy cannot be written to the disk.
    #[error("the copy cannot be kept")]
    NotKept,
}

/// Who has to do something about a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// Microsoft, or the network between.
    Peer,
    /// The administrator, here or in the tenant.
    Configuration,
    /// This machine is too small or its disk full.
    Resource,
}

impl Fault {
    /// Whose fault it is.
    pub fn whose(&self) -> Whose {
        match self {
            Fault::Carrier(Failure::Ours(_)) | Fault::TooMany(_) | Fault::NotKept => Whose::Resource,
            Fault::Carrier(_)
            | Fault::Busy(_)
            | Fault::Status(_)
            | Fault::Malformed(_)
            | Fault::Link(_)
            | Fault::Endless(..)
            | Fault::NoBeginning(_) => Whose::Peer,
            Fault::SecretExpired(_)
            | Fault::SecretWrong(_)
            | Fault::CertificateRefused(_)
            | Fault::UnknownTenant(_)
            | Fault::UnknownApplication(_)
            | Fault::Clock(_)
            | Fault::SignIn(_)
            | Fault::TokenRefused
            | Fault::PermissionMissing(_)
            | Fault::Key(_) => Whose::Configuration,
        }
    }

    /// What the login service's own number means, with its text (Microsoft: "Microsoft Entra authentication and
    /// authorization error codes").
    pub(super) fn of_login(codes: &[u32], description: &str) -> Fault {
        // Behind the first line come numbers for Microsoft's support.
        let line = description.lines().next().unwrap_or_default();
        let text: Box<str> =
            line.chars().filter(|c| !c.is_control()).take(TEXT_MAX).collect::<String>().into();
        match codes.first() {
            Some(7_000_222) => Fault::SecretExpired(text),
            Some(7_000_215) => Fault::SecretWrong(text),
            Some(700_027 | 700_023) => Fault::CertificateRefused(text),
            Some(700_024) => Fault::Clock(text),
            Some(90_002 | 900_023) => Fault::UnknownTenant(text),
            Some(700_016) => Fault::UnknownApplication(text),
            _ => Fault::SignIn(text),
        }
    }
}
