//! Who may do what. One list for pages, API and command line alike.

use crate::operation::Operation;

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Sees everything of the appliance, changes nothing.
    ApplianceReader,
    /// May do everything.
    ApplianceAdministrator,
}

/// What an operation asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permission {
    /// Look at the appliance's state, queue and log.
    Read,
    /// Change the queue.
    ChangeQueue,
    /// Change streams, the Valid Recipients table, and what is remembered of directories.
    ChangeRecipients,
    /// Try somebody's password.
    CheckLogin,
    /// Set up or forget somebody's second factor.
    ChangeLogins,
    /// Change the configuration, or see what it holds.
    ChangeConfiguration,
    /// Stop or restart the machine.
    ChangePower,
}

impl Operation {
    /// The permission that this operation needs.
    pub fn permission(&self) -> Permission {
        match self {
            Operation::Status
            | Operation::Log(_)
            | Operation::QueueList(_)
            | Operation::QueueShow { .. }
            | Operation::Map { .. }
            | Operation::DomainList
            | Operation::DomainShow { .. }
            | Operation::Settings { .. }
            | Operation::StreamList { .. }
            | Operation::Provisioning { .. }
            | Operation::ValidRecipientList { .. }
            | Operation::ValidRecipientExport { .. }
            | Operation::LookupList => Permission::Read,
            Operation::DomainCheck { .. }
            | Operation::VerificationForget { .. }
            | Operation::StreamPrepare { .. }
            | Operation::StreamRemove { .. }
            | Operation::ValidRecipientAdd { .. }
            | Operation::ValidRecipientRemove { .. }
            | Operation::ValidRecipientImport { .. }
            | Operation::LookupSync { .. }
            | Operation::LookupConfirm { .. } => Permission::ChangeRecipients,
            Operation::LoginCheck(_) => Permission::CheckLogin,
            Operation::LoginEnrol { .. } | Operation::LoginConfirm { .. } | Operation::LoginReset { .. } => {
                Permission::ChangeLogins
            }
            Operation::QueueRetry(_)
            | Operation::QueueHold { .. }
            | Operation::QueueRelease(_)
            | Operation::QueueBounce(_)
            | Operation::QueuePurge(_) => Permission::ChangeQueue,
            Operation::ConfigExport { .. }
            | Operation::ConfigImport { .. }
            | Operation::DomainRemoveVerificationServer { .. } => Permission::ChangeConfiguration,
            Operation::Reboot | Operation::PowerOff => Permission::ChangePower,
        }
    }
}

impl Role {
    /// Whether this role holds `permission`.
    pub fn may(self, permission: Permission) -> bool {
        match self {
            Role::ApplianceReader => permission == Permission::Read,
            Role::ApplianceAdministrator => true,
        }
    }
}
