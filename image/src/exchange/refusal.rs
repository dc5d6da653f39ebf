//! What Exchange Online says when it refuses, word for word.

use std::net::IpAddr;

/// A refusal by its cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// No such recipient (Directory-Based Edge Blocking).
    Unknown,
    /// The same in the words used until 2023.
    UnknownOlder,
    /// A connector restricts the domain, and we do not match it.
    ConnectorNotMatched,
    /// A sender in the tenant's own domain, and no connector matches.
    DirectSend,
    /// The domain is not the tenant's, or its connector does not match any more.
    TenantAttribution,
    /// Our address is banned.
    BannedAddress,
    /// Our address is listed by Spamhaus.
    Spamhaus,
    /// Too much from an address that no connector knows.
    Busy,
    /// The route leads to the wrong region.
    WrongRegion,
    /// The tenant has no licence for mail.
    NoSubscription,
    /// The connector was blocked as compromised.
    BadConnector,
    /// More than 200 recipients of a domain.
    TooManyRecipients,
    /// The message went round.
    Loop,
}

impl Refusal {
    /// Those that are about our configuration or the tenant's, not about a recipient or the message.
    pub const CONFIGURATION: [Refusal; 8] = [
        Refusal::ConnectorNotMatched,
        Refusal::DirectSend,
        Refusal::TenantAttribution,
        Refusal::BannedAddress,
        Refusal::Spamhaus,
        Refusal::WrongRegion,
        Refusal::NoSubscription,
        Refusal::BadConnector,
    ];

    pub(super) fn comes_at_mail(self) -> bool {
        self == Refusal::Spamhaus
    }

    /// The reply to a client at `address`; `stamp` ends most of them.
    pub(super) fn reply(self, address: IpAddr, stamp: &str) -> String {
        match self {
            Refusal::Unknown => format!(
                "550 5.4.1 Recipient address rejected: Access denied. For more information see \
                 https://aka.ms/EXOSmtpErrors{stamp}"
            ),
            Refusal::UnknownOlder => {
                format!("550 5.4.1 Recipient address rejected: Access denied. AS(201806281){stamp}")
            }
            Refusal::ConnectorNotMatched => format!(
                "550 5.7.51 TenantInboundAttribution; There is a partner connector configured that matched the \
                 message's recipient domain. The connector had either the RestrictDomainsToIPAddresses or \
                 RestrictDomainsToCertificate set{stamp}"
            ),
            Refusal::DirectSend => format!(
                "550 5.7.68 TenantInboundAttribution; Direct Send not allowed for this organization from \
                 unauthorized sources{stamp}"
            ),
            Refusal::TenantAttribution => {
                format!("550 5.7.64 TenantAttribution; Relay Access Denied{stamp}")
            }
            Refusal::BannedAddress => format!(
                "550 5.7.606 Access denied, banned sending IP [{address}]. To request removal from this list \
                 please visit https://sender.office.com/ and follow the directions. For more information please \
                 go to http://go.microsoft.com/fwlink/?LinkID=526655 (AS16012609){stamp}"
            ),
            Refusal::Spamhaus => format!(
                "550 5.7.1 Service unavailable, Client host [{address}] blocked using Spamhaus. To request \
                 removal from this list see https://www.spamhaus.org/query/ip/{address} (AS3130).{stamp}"
            ),
            Refusal::Busy => {
                format!("451 4.7.500 Server busy. Please try again later from [{address}]. (S77714){stamp}")
            }
            Refusal::WrongRegion => {
                "451 4.4.62 Mail sent to the wrong Office 365 region. ATTR35. For more information please go to \
                 https://go.microsoft.com/fwlink/?linkid=865268"
                    .to_owned()
            }
            Refusal::NoSubscription => format!(
                "451 4.4.4 Mail received as unauthenticated, incoming to a recipient domain configured in a hosted \
                 tenant which has no mail-enabled subscriptions. ATTR5{stamp}"
            ),
            Refusal::BadConnector => {
                format!("550 5.7.711 Access denied, bad inbound connector. AS(2204){stamp}")
            }
            Refusal::TooManyRecipients => "452 4.5.3 Too many recipients".to_owned(),
            Refusal::Loop => {
                format!("554 5.4.14 Hop count exceeded - possible mail loop ATTR34{stamp}")
            }
        }
    }
}
