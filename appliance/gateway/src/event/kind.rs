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
    /// The certificate of the configuration cannot be used.
    CertificateUnusable,
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
    /// A held destination takes mail again.
    DestinationReleased,
    /// The queue, or an entry of it, cannot be read.
    QueueUnreadable,
    /// What an attempt came to was refused by the store.
    AttemptUnrecorded,
    /// The time was found by SNTP.
    ClockSet,
    /// An alarm: the clock is off, or nobody says what time it is.
    ClockUnsure,
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
            Kind::Delivered => "delivery.delivered",
            Kind::DeliveryDeferred => "delivery.deferred",
            Kind::DeliveryFailed => "delivery.failed",
            Kind::DeliveryHeld => "delivery.held",
            Kind::Bounced => "delivery.bounced",
            Kind::NoticeSent => "delivery.notice",
            Kind::DestinationHeld => "delivery.destination-held",
            Kind::DestinationReleased => "delivery.destination-released",
            Kind::QueueUnreadable => "delivery.queue-unreadable",
            Kind::AttemptUnrecorded => "delivery.unrecorded",
            Kind::ClockSet => "time.set",
            Kind::ClockUnsure => "time.unsure",
        }
    }
}
