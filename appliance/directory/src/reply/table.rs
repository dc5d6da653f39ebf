//! The rules, in the order in which they are tried. Texts are in lower case.

use super::{
    Meaning::{
        self, Administrator, Busy, Configuration, Message, NotByIpv6, Patience, Temporary, TooManyRecipients,
        UnknownRecipient,
    },
    Recipient::{self, Invalid, Unknown, Valid},
};

/// One rule: it fits when one of its conditions does.
pub(super) struct Rule {
    pub(super) number: u8,
    pub(super) when: &'static [When],
    pub(super) meaning: Meaning,
    pub(super) recipient: Recipient,
}

/// A condition: all of it must hold.
pub(super) struct When {
    pub(super) code: Code,
    pub(super) enhanced: Enhanced,
    pub(super) text: &'static str,
    pub(super) stage: At,
}

#[derive(Clone, Copy)]
pub(super) enum Code {
    Any,
    Is(u16),
    Class(u16),
}

#[derive(Clone, Copy)]
pub(super) enum Enhanced {
    Any,
    /// None, or one that is not x.1.y: those are about an address, which their text may repeat.
    NotOfAddress,
    Is(u8, u16, u16),
    /// The last number lies between these two.
    From(u8, u16, u16, u16),
}

#[derive(Clone, Copy)]
pub(super) enum At {
    Any,
    /// Up to MAIL: nothing there is about a recipient.
    BeforeRecipients,
    /// From RCPT on: an unknown address at MAIL is the sender's.
    FromRecipients,
    Recipient,
}

const fn code(code: u16) -> When {
    When { code: Code::Is(code), enhanced: Enhanced::Any, text: "", stage: At::Any }
}

const fn class(class: u16) -> When {
    When { code: Code::Class(class), enhanced: Enhanced::Any, text: "", stage: At::Any }
}

const fn enhanced(class: u8, subject: u16, detail: u16) -> When {
    When { code: Code::Any, enhanced: Enhanced::Is(class, subject, detail), text: "", stage: At::Any }
}

const fn from(class: u8, subject: u16, first: u16, last: u16) -> When {
    When { code: Code::Any, enhanced: Enhanced::From(class, subject, first, last), text: "", stage: At::Any }
}

const fn text(text: &'static str) -> When {
    When { code: Code::Any, enhanced: Enhanced::NotOfAddress, text, stage: At::Any }
}

impl When {
    const fn and(self, text: &'static str) -> When {
        When { text, ..self }
    }

    const fn at(self, stage: At) -> When {
        When { stage, ..self }
    }
}

const fn rule(number: u8, when: &'static [When], meaning: Meaning, recipient: Recipient) -> Rule {
    Rule { number, when, meaning, recipient }
}

/// The rule that an address is limited for what comes from it: no connector of the tenant knows it.
pub const LIMITED_BY_ADDRESS: u8 = 5;

pub(super) const RULES: &[Rule] = &[
    rule(1, &[code(421)], Busy, Unknown),
    // Wrong region: the route host is wrong, or the tenant moved. Five days of retries would bounce it.
    rule(2, &[enhanced(4, 4, 62), text("attr35")], Configuration, Unknown),
    // The tenant has no licence for the domain.
    rule(3, &[enhanced(4, 4, 4).and("no mail-enabled subscriptions"), text("attr5")], Configuration, Unknown),
    rule(
        4,
        &[enhanced(4, 7, 26), enhanced(5, 7, 25), enhanced(5, 7, 508), enhanced(5, 7, 510)],
        NotByIpv6,
        Unknown,
    ),
    rule(
        LIMITED_BY_ADDRESS,
        &[from(4, 7, 500, 649), from(4, 7, 652, 699), from(4, 7, 850, 899)],
        Busy,
        Unknown,
    ),
    rule(6, &[from(4, 7, 650, 651), enhanced(4, 7, 700), enhanced(4, 5, 127)], Busy, Unknown),
    // RFC 5321 §4.5.3.1.10: 552 for too many recipients is to be read as 452.
    rule(
        7,
        &[enhanced(4, 5, 3), code(452).and("too many recipients"), code(552).and("too many recipients")],
        TooManyRecipients,
        Unknown,
    ),
    rule(8, &[class(4)], Temporary, Unknown),
    rule(
        9,
        &[enhanced(5, 7, 51), text("restrictdomainstoipaddresses"), text("restrictdomainstocertificate")],
        Configuration,
        Unknown,
    ),
    rule(10, &[enhanced(5, 7, 64)], Configuration, Unknown),
    rule(11, &[enhanced(5, 7, 68)], Configuration, Unknown),
    rule(12, &[text("tenantinboundattribution"), text("tenantattribution")], Configuration, Unknown),
    rule(13, &[enhanced(5, 7, 711), text("bad inbound connector")], Configuration, Unknown),
    rule(
        14,
        &[
            from(5, 7, 606, 649),
            enhanced(5, 7, 511),
            text("banned sending ip"),
            enhanced(5, 7, 1).and("blocked using spamhaus"),
        ],
        Configuration,
        Unknown,
    ),
    rule(
        15,
        &[enhanced(5, 7, 513), text("using customer block list"), enhanced(5, 7, 507)],
        Configuration,
        Unknown,
    ),
    rule(16, &[enhanced(5, 7, 506)], Configuration, Unknown),
    rule(17, &[text("relay access denied"), text("unable to relay")], Configuration, Unknown),
    rule(
        18,
        &[
            enhanced(5, 7, 57),
            enhanced(5, 7, 30),
            code(530),
            enhanced(5, 7, 1).and("client was not authenticated"),
        ],
        Configuration,
        Unknown,
    ),
    rule(
        19,
        &[
            from(5, 7, 700, 799),
            enhanced(5, 1, 8),
            enhanced(5, 1, 90),
            enhanced(5, 7, 232),
            enhanced(5, 7, 233),
        ],
        Configuration,
        Unknown,
    ),
    rule(20, &[enhanced(5, 4, 14), enhanced(5, 4, 6), text("attr34")], Configuration, Unknown),
    // Only with these words: 5.4.1 alone says that the next host does not answer (RFC 3463 §3.5).
    rule(
        21,
        &[
            enhanced(5, 4, 1).and("recipient address rejected: access denied").at(At::FromRecipients),
            enhanced(5, 7, 504).at(At::FromRecipients),
            enhanced(5, 7, 505).at(At::FromRecipients),
        ],
        UnknownRecipient,
        Invalid,
    ),
    rule(
        22,
        &[
            enhanced(5, 1, 10).at(At::FromRecipients),
            enhanced(5, 1, 1).at(At::FromRecipients),
            enhanced(5, 5, 0).and("mailbox unavailable").at(At::FromRecipients),
            text("recipientnotfound").at(At::FromRecipients),
            // Other servers' words, often without an enhanced code.
            code(550).and("unknown user").at(At::Recipient),
            code(550).and("user unknown").at(At::Recipient),
            code(550).and("no such user").at(At::Recipient),
            code(550).and("no such recipient").at(At::Recipient),
            code(550).and("unknown recipient").at(At::Recipient),
            code(550).and("recipient unknown").at(At::Recipient),
            code(550).and("unrouteable address").at(At::Recipient),
            code(550).and("mailbox not found").at(At::Recipient),
            code(550).and("no mailbox here").at(At::Recipient),
            code(550).and("user not found").at(At::Recipient),
            code(550).and("recipient not found").at(At::Recipient),
        ],
        UnknownRecipient,
        Invalid,
    ),
    rule(
        23,
        &[
            enhanced(5, 7, 12),
            enhanced(5, 7, 124),
            enhanced(5, 7, 13),
            from(5, 7, 133, 136),
            enhanced(5, 7, 193),
            enhanced(5, 7, 1).and("delivery not authorized"),
            enhanced(5, 7, 1).and("transport.rules"),
        ],
        Meaning::Recipient,
        Valid,
    ),
    rule(24, &[from(5, 2, 121, 122)], Patience, Valid),
    rule(
        25,
        &[enhanced(5, 2, 2), enhanced(5, 2, 3), enhanced(5, 3, 4), code(552)],
        Meaning::Recipient,
        Valid,
    ),
    rule(
        26,
        &[
            enhanced(5, 7, 509),
            enhanced(5, 7, 23),
            text("does not pass dmarc"),
            text("sender policy framework"),
        ],
        Administrator,
        Unknown,
    ),
    rule(
        27,
        &[enhanced(5, 7, 512), enhanced(5, 1, 20), enhanced(5, 6, 11), enhanced(5, 0, 350)],
        Message,
        Unknown,
    ),
    rule(28, &[class(5).at(At::BeforeRecipients)], Configuration, Unknown),
    rule(29, &[class(5).at(At::Recipient)], UnknownRecipient, Unknown),
];

/// An unknown 5xx to the message itself.
pub(super) const REST: Rule = rule(30, &[], Message, Unknown);
