//! How a directory stands, for pages and alarms.

use config_schema::user_lookup::ldap::Server;
use directory::ldap::client::Fault;

use super::connection::OpenFault;

/// How a directory stands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Standing {
    /// The server that was connected to last.
    pub server: Option<Server>,
    /// Why none could be used when it was tried last; `None` since one could.
    pub trouble: Option<Trouble>,
}

/// Why a server cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// Which.
    pub server: Server,
    /// For whoever configures the lookup: one of a few sentences, which tell nothing of what else is in the network.
    pub shown: &'static str,
    /// For the log.
    pub detail: String,
}

impl Standing {
    pub(super) fn served(&mut self, server: &Server) {
        *self = Standing { server: Some(server.clone()), trouble: None };
    }

    pub(super) fn failed(&mut self, server: &Server, fault: &OpenFault) {
        let detail = format!("{server}: {fault}");
        self.trouble = Some(Trouble { server: server.clone(), shown: shown(fault), detail });
    }
}

fn shown(fault: &OpenFault) -> &'static str {
    match fault {
        OpenFault::Route(_)
        | OpenFault::Connect(_)
        | OpenFault::Slow
        | OpenFault::Waiting(_)
        | OpenFault::ShuttingDown
        | OpenFault::Dialogue { fault: Fault::Closed | Fault::Slow(_), .. } => "the server cannot be reached",
        OpenFault::Tls(_) => "the server's certificate is not accepted, or it does not speak TLS",
        OpenFault::Dialogue { fault: Fault::NoTls(_), .. } => "the server offers no StartTLS",
        OpenFault::Dialogue { fault: Fault::Bind(_), .. } => {
            "the server refuses the name or password to bind with"
        }
        OpenFault::Dialogue { .. } => "what answers is no directory server that can be used",
    }
}
