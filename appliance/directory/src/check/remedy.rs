//! What to do about a finding, in the administrator's words.

use super::finding::{Acceptor, Reason};

impl Reason {
    /// What to do; `None`: nothing.
    pub fn remedy(&self) -> Option<&'static str> {
        Some(match self {
            Reason::Validated | Reason::DirectoryValidates { redundant_server: false, .. } => return None,
            Reason::DirectoryValidates { redundant_server: true, .. } => {
                "The verification server entry is redundant: remove it."
            }
            Reason::AcceptsAll { by: Acceptor::Server } => ACCEPTS_ALL,
            Reason::AcceptsAll { by: Acceptor::Lookup(_) } => {
                "The user lookup finds an entry for any address: narrow its filter so that only the address \
                 asked for is found, or choose another method for this domain."
            }
            Reason::Misconfigured { rule } => rule_remedy(*rule),
            Reason::Unreachable => {
                "Check that the verification server's or directory's host name is right, that it answers, and \
                 that no firewall stands between; its credentials may have expired. The check runs again \
                 tomorrow, or when it is asked for."
            }
            Reason::TemporarilyRefused { rule: 5 } => {
                "Microsoft 365 limits our address because no inbound connector names it: add one (Partner, \
                 sender domain *, our IPv4 address), then check again."
            }
            Reason::TemporarilyRefused { .. } => {
                "The server answers every question with a temporary error: exempt our address from its \
                 greylisting and rate limits, then check again."
            }
            Reason::Unchecked => {
                "Choose a user lookup (Setup, Domain Mappings), a verification server (Setup, Verification \
                 Servers), or import the valid recipients and switch S-700 on."
            }
            Reason::Suspended => "The realm is suspended: its domains are checked when it no longer is.",
        })
    }
}

const ACCEPTS_ALL: &str = "The server accepts any recipient. At Microsoft 365, turn on Directory-Based Edge \
    Blocking: set the accepted domain to Authoritative (Exchange admin center, Mail flow, Accepted domains). Since \
    June 2025 public folders and dynamic distribution groups are no reason for Internal relay. If it is \
    Authoritative already, remove our address from the IP Allow List, which bypasses the check, and allow up to 24 \
    hours. Or choose another method: a user lookup, or valid recipients with S-700.";

/// What is wrong when a reply fits this rule.
fn rule_remedy(rule: u8) -> &'static str {
    match rule {
        2 => {
            "The host serves another Microsoft 365 region, or the tenant has moved: use the host that the tenant's \
             admin center shows for this domain, best that of its initial onmicrosoft.com domain."
        }
        3 => "The tenant has no Exchange licence for this domain, or it has expired: renew it.",
        4 => "The server refuses us because we came by IPv6: give the route an IPv4 address.",
        9 => {
            "A partner connector of the tenant names other addresses or another certificate than ours: add our \
             IPv4 address, or our certificate's subject, to that inbound connector."
        }
        10 => {
            "No connector of the tenant matches us any more, or the domain is not the tenant's: compare the \
             inbound connector with our address and certificate, and the accepted domains with this one."
        }
        11 => {
            "The tenant rejects direct send and no connector matches us: add an inbound connector with our \
             address, or let the probe's sender be the null sender."
        }
        12 => "A connector of the tenant does not match us: compare it with our address and certificate.",
        13 => {
            "Microsoft has blocked the tenant's inbound connector as compromised: see Get-BlockedConnector, and \
             release it by Remove-BlockedConnector."
        }
        14 => {
            "Our address is on a block list: ask for its removal at sender.office.com, at delist@microsoft.com \
             or at Spamhaus, as the reply says."
        }
        15 => "The tenant's IP Block List names our address: remove it there.",
        16 => "Our host name is one that the server takes for its own: change [network] hostname.",
        17 => "The domain is not one that this host accepts: add it there, or correct the host.",
        18 => {
            "The host wants a login, so that it is one for sending mail, such as smtp.office365.com: use the \
             domain's MX host of Microsoft 365 instead."
        }
        19 => "The tenant is limited or banned from sending: see its admin center and the text of the reply.",
        20 => {
            "Mail for this domain goes in circles: at Microsoft 365 the accepted domain is Internal relay while \
             its MX is us. Set it to Authoritative."
        }
        26 => "The server wants the probe's sender to pass SPF or DMARC: publish SPF for our host name.",
        28 => {
            "The server refuses us before a recipient is named: see its reply, and whether it takes mail from \
             our address and with a null sender."
        }
        _ => {
            "The server refuses the recipient in words that do not say that it is unknown, so that they cannot be \
             told from a refusal of us: let it answer 550 5.1.1, or choose another method."
        }
    }
}
