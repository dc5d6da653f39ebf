//! Every kind of event, with the name it has in the log.

/// What kind of thing happened. The first word of a name is the part of the gateway that says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// A connection was taken.
    Connected,
    /// A connection was refused before the greeting.
    ConnectionRefused,
    /// A source is banned from now on.
    Banned,
    /// TLS is on.
    TlsEstablished,
    /// A TLS handshake failed, took too long, or came when too many were under way.
    TlsFailed,
    /// MAIL was refused.
    SenderRefused,
    /// RCPT was refused.
    RecipientRefused,
    /// A message was committed and answered 250.
    Accepted,
    /// A message was refused or put off after its recipients were accepted.
    MessageRefused,
    /// A session has ended.
    SessionEnded,
    /// The certificate that we show was made or changed.
    CertificateChanged,
    /// A certificate of the configuration cannot be used, or has ended.
    CertificateUnusable,
    /// A certificate of the configuration ends soon.
    CertificateEnds,
    /// The next hop took responsibility for recipients.
    Delivered,
    /// Recipients are tried again later.
    DeliveryDeferred,
    /// Recipients were given up.
    DeliveryFailed,
    /// A delivery waits until it is released.
    DeliveryHeld,
    /// An administrator gave recipients up.
    Bounced,
    /// A status notification was enqueued for the sender.
    NoticeSent,
    /// An alarm: everything for a destination waits until our configuration, or the tenant's, is mended.
    DestinationHeld,
    /// An alarm: Microsoft 365 has limited our mail for an hour, since no connector matches our address.
    DestinationLimited,
    /// An alarm: a destination refuses what comes by IPv6.
    Ipv6Refused,
    /// A held destination takes mail again.
    DestinationReleased,
    /// The queue, or an entry of it, cannot be read.
    QueueUnreadable,
    /// What an attempt came to was refused by the store.
    AttemptUnrecorded,
    /// An alarm: a verification server refuses, and not because of a recipient.
    VerificationRefused,
    /// What verification servers said cannot be read from the disk or written to it.
    VerificationUnkept,
    /// A domain was checked.
    DomainChecked,
    /// A user lookup cannot do its work, or can again.
    LookupChanged,
    /// A login was checked.
    Login,
    /// Streams that had no mail for long are gone.
    StreamsExpired,
    /// The time was found by SNTP.
    ClockSet,
    /// An alarm: the clock is off, or nobody says what time it is.
    ClockUnsure,
    /// A directory was read to its end; what was read is in use.
    DirectoryRead,
    /// A directory is read from its beginning, as it no longer knows what we have read.
    DirectoryRestarted,
    /// An alarm: a reading would lose many addresses, and waits to be confirmed.
    DirectoryHeld,
    /// What was held is in use.
    DirectoryReleased,
    /// A directory cannot be read.
    DirectoryFault,
    /// A directory is read again.
    DirectoryRecovered,
}

impl Kind {
    /// The name in the log: dotted words.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Connected => "smtp.connected",
            Kind::ConnectionRefused => "smtp.connection-refused",
            Kind::Banned => "smtp.banned",
            Kind::TlsEstablished => "smtp.tls",
            Kind::TlsFailed => "smtp.tls-failed",
            Kind::SenderRefused => "smtp.sender-refused",
            Kind::RecipientRefused => "smtp.recipient-refused",
            Kind::Accepted => "smtp.accepted",
            Kind::MessageRefused => "smtp.message-refused",
            Kind::SessionEnded => "smtp.ended",
            Kind::CertificateChanged => "tls.certificate-changed",
            Kind::CertificateUnusable => "tls.certificate-unusable",
            Kind::CertificateEnds => "tls.certificate-ends",
            Kind::Delivered => "delivery.delivered",
            Kind::DeliveryDeferred => "delivery.deferred",
            Kind::DeliveryFailed => "delivery.failed",
            Kind::DeliveryHeld => "delivery.held",
            Kind::Bounced => "delivery.bounced",
            Kind::NoticeSent => "delivery.notice",
            Kind::DestinationHeld => "delivery.destination-held",
            Kind::DestinationLimited => "delivery.destination-limited",
            Kind::Ipv6Refused => "delivery.ipv6-refused",
            Kind::DestinationReleased => "delivery.destination-released",
            Kind::QueueUnreadable => "delivery.queue-unreadable",
            Kind::AttemptUnrecorded => "delivery.unrecorded",
            Kind::VerificationRefused => "verification.refused",
            Kind::VerificationUnkept => "verification.unkept",
            Kind::DomainChecked => "domain.checked",
            Kind::LookupChanged => "lookup.changed",
            Kind::Login => "login.checked",
            Kind::StreamsExpired => "stream.expired",
            Kind::ClockSet => "time.set",
            Kind::ClockUnsure => "time.unsure",
            Kind::DirectoryRead => "directory.read",
            Kind::DirectoryRestarted => "directory.restarted",
            Kind::DirectoryHeld => "directory.held",
            Kind::DirectoryReleased => "directory.released",
            Kind::DirectoryFault => "directory.fault",
            Kind::DirectoryRecovered => "directory.recovered",
        }
    }
}
