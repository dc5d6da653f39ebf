use super::{Meaning::*, Recipient::*, *};

/// A reply as it comes, and where; the expected rule and meaning.
const REPLIES: &[(&str, Stage, u8, Meaning, super::Recipient)] = &[
    (
        "421 4.3.2 The maximum number of concurrent connections per resource forest has exceeded a limit, closing transmission channel",
        Stage::Ehlo,
        1,
        Busy,
        Unknown,
    ),
    ("421 4.7.66 TLS 1.0 and 1.1 are not supported", Stage::Mail, 1, Busy, Unknown),
    (
        "451 4.4.62 Mail sent to the wrong Office 365 region. ATTR35. For more information",
        Stage::Rcpt,
        2,
        Configuration,
        Unknown,
    ),
    (
        "451 4.4.4 Mail received as unauthenticated, incoming to a recipient domain configured in a hosted tenant which has no mail-enabled subscriptions. ATTR5 [X 2026 1]",
        Stage::Rcpt,
        3,
        Configuration,
        Unknown,
    ),
    ("550 4.4.4 Mail received as unauthenticated. ATTR5", Stage::Rcpt, 3, Configuration, Unknown),
    (
        "450 4.7.26 Access denied, a message sent over IPv6 must pass SPF or DKIM",
        Stage::EndOfData,
        4,
        NotByIpv6,
        Unknown,
    ),
    (
        "550 5.7.25 The sending IPv6 address must have a reverse DNS record",
        Stage::Mail,
        4,
        NotByIpv6,
        Unknown,
    ),
    ("550 5.7.508 Access denied, ipv6 range exceeded", Stage::Rcpt, 4, NotByIpv6, Unknown),
    (
        "451 4.7.500 Server busy. Please try again later from [192.0.2.10]. (S77714)",
        Stage::Rcpt,
        5,
        Busy,
        Unknown,
    ),
    ("451 4.7.699 Access denied, please try again later", Stage::Mail, 5, Busy, Unknown),
    ("451 4.7.860 Access denied, please try again later", Stage::Mail, 5, Busy, Unknown),
    (
        "451 4.7.650 The mail server has been temporarily rate limited due to IP reputation",
        Stage::Mail,
        6,
        Busy,
        Unknown,
    ),
    ("451 4.7.700 PFA agent busy, please try again", Stage::Rcpt, 6, Busy, Unknown),
    ("450 4.5.127 Message rejected. Excessive message rate from sender", Stage::EndOfData, 6, Busy, Unknown),
    ("452 4.5.3 Too many recipients", Stage::Rcpt, 7, TooManyRecipients, Unknown),
    ("552 Too many recipients", Stage::Rcpt, 7, TooManyRecipients, Unknown),
    ("432 4.3.2 STOREDRV.Deliver; recipient thread limit exceeded", Stage::EndOfData, 8, Temporary, Unknown),
    ("450 mailbox busy", Stage::Rcpt, 8, Temporary, Unknown),
    (
        "550 5.7.51 TenantInboundAttribution; There is a partner connector configured that matched the message's recipient domain. The connector had either the RestrictDomainsToIPAddresses or RestrictDomainsToCertificate set [X]",
        Stage::Rcpt,
        9,
        Configuration,
        Unknown,
    ),
    ("550 5.7.64 TenantAttribution; Relay Access Denied [X]", Stage::Rcpt, 10, Configuration, Unknown),
    (
        "550 5.7.68 TenantInboundAttribution; Direct Send not allowed for this organization from unauthorized sources",
        Stage::EndOfData,
        11,
        Configuration,
        Unknown,
    ),
    ("550 5.7.1 tenantinboundattribution; something new", Stage::Rcpt, 12, Configuration, Unknown),
    ("550 5.7.711 Access denied, bad inbound connector. AS(2204)", Stage::Rcpt, 13, Configuration, Unknown),
    (
        "550 5.7.606 Access denied, banned sending IP [192.0.2.10]. To request removal",
        Stage::Rcpt,
        14,
        Configuration,
        Unknown,
    ),
    ("550 5.7.511 Access denied, banned sender[192.0.2.10]", Stage::Rcpt, 14, Configuration, Unknown),
    (
        "550 5.7.1 Service unavailable, Client host [192.0.2.10] blocked using Spamhaus.",
        Stage::Mail,
        14,
        Configuration,
        Unknown,
    ),
    (
        "550 5.7.513 Service unavailable, Client host [192.0.2.10] blocked by example.com using Customer Block list (AS16012607)",
        Stage::Rcpt,
        15,
        Configuration,
        Unknown,
    ),
    ("550 5.7.507 Access denied, rejected by recipient", Stage::Rcpt, 15, Configuration, Unknown),
    ("550 5.7.506 Access Denied, Bad HELO", Stage::Mail, 16, Configuration, Unknown),
    (
        "550 5.4.1 All recipient addresses rejected : Relay Access Denied",
        Stage::Rcpt,
        17,
        Configuration,
        Unknown,
    ),
    ("550 5.7.1 Unable to relay", Stage::Rcpt, 17, Configuration, Unknown),
    ("530 5.7.57 Client not authenticated to send mail", Stage::Mail, 18, Configuration, Unknown),
    ("530 5.7.1 Client was not authenticated", Stage::Mail, 18, Configuration, Unknown),
    (
        "550 5.7.708 Service unavailable. Access denied, traffic not accepted from this IP",
        Stage::Rcpt,
        19,
        Configuration,
        Unknown,
    ),
    ("550 5.1.8 Access denied, bad outbound sender", Stage::Rcpt, 19, Configuration, Unknown),
    (
        "554 5.4.14 Hop count exceeded - possible mail loop ATTR34",
        Stage::EndOfData,
        20,
        Configuration,
        Unknown,
    ),
    (
        "550 5.4.1 Recipient address rejected: Access denied. AS(201806281) [X 2026 1]",
        Stage::Rcpt,
        21,
        UnknownRecipient,
        Invalid,
    ),
    (
        "550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup",
        Stage::Rcpt,
        22,
        UnknownRecipient,
        Invalid,
    ),
    (
        "550 5.1.1 <a@example.com>: Recipient address rejected: User unknown",
        Stage::Rcpt,
        22,
        UnknownRecipient,
        Invalid,
    ),
    ("550 5.5.0 Requested action not taken: mailbox unavailable", Stage::Rcpt, 22, UnknownRecipient, Invalid),
    (
        "550 5.7.133 RESOLVER.RST.SenderNotAuthenticatedForGroup",
        Stage::EndOfData,
        23,
        Meaning::Recipient,
        Valid,
    ),
    (
        "550 5.7.1 TRANSPORT.RULES.RejectMessage; the message was rejected by organization policy",
        Stage::EndOfData,
        23,
        Meaning::Recipient,
        Valid,
    ),
    ("554 5.2.121 Recipient's per sender message limit exceeded", Stage::EndOfData, 24, Patience, Valid),
    ("550 5.2.2 mailbox full", Stage::Rcpt, 25, Meaning::Recipient, Valid),
    ("552 message size exceeds fixed limit", Stage::Mail, 25, Meaning::Recipient, Unknown),
    (
        "550 5.7.509 Access denied, sending domain [x] does not pass DMARC verification and has a DMARC policy of reject.",
        Stage::EndOfData,
        26,
        Administrator,
        Unknown,
    ),
    (
        "550 5.7.23 The message was rejected because of Sender Policy Framework violation",
        Stage::EndOfData,
        26,
        Administrator,
        Unknown,
    ),
    ("550 5.6.11 Invalid characters: bare line feed", Stage::EndOfData, 27, Message, Unknown),
    ("554 no SMTP service here", Stage::Greeting, 28, Configuration, Unknown),
    ("550 we do not like you", Stage::Mail, 28, Configuration, Unknown),
    ("550 5.1.1 sender unknown", Stage::Mail, 28, Configuration, Unknown),
    ("550 5.5.0 Requested action not taken: mailbox unavailable", Stage::Mail, 28, Configuration, Unknown),
    ("550 5.4.1 Recipient address rejected: Access denied", Stage::Mail, 28, Configuration, Unknown),
    ("550 no such user", Stage::Rcpt, 22, UnknownRecipient, Invalid),
    ("550 Unrouteable address", Stage::Rcpt, 22, UnknownRecipient, Invalid),
    ("550 something else", Stage::Rcpt, 29, UnknownRecipient, Unknown),
    ("550 5.4.1 no answer from host", Stage::Rcpt, 29, UnknownRecipient, Unknown),
    ("451 4.7.850 Access denied, please try again later", Stage::Rcpt, 5, Busy, Unknown),
    ("451 4.7.899 Access denied, please try again later", Stage::Rcpt, 5, Busy, Unknown),
    (
        "451 4.7.651 The mail server has been temporarily rate limited due to IP reputation",
        Stage::Mail,
        6,
        Busy,
        Unknown,
    ),
    (
        "550 5.7.510 Access denied, contact domain does not accept email over IPv6",
        Stage::Rcpt,
        4,
        NotByIpv6,
        Unknown,
    ),
    ("550 5.7.649 Access denied, banned sending IP [192.0.2.10]", Stage::Rcpt, 14, Configuration, Unknown),
    ("550 5.7.650 something new", Stage::Rcpt, 29, UnknownRecipient, Unknown),
    ("550 5.7.30 Basic authentication is not supported", Stage::Mail, 18, Configuration, Unknown),
    ("550 5.7.703 Your message can't be delivered", Stage::EndOfData, 19, Configuration, Unknown),
    (
        "550 5.7.705 Access denied, tenant has exceeded threshold",
        Stage::EndOfData,
        19,
        Configuration,
        Unknown,
    ),
    (
        "550 5.7.750 Client blocked from sending from unregistered domains",
        Stage::EndOfData,
        19,
        Configuration,
        Unknown,
    ),
    (
        "550 5.1.90 Your message can't be sent because you've reached your daily limit",
        Stage::EndOfData,
        19,
        Configuration,
        Unknown,
    ),
    (
        "550 5.7.232 Your message can't be sent because your trial tenant has exceeded its daily limit",
        Stage::EndOfData,
        19,
        Configuration,
        Unknown,
    ),
    (
        "550 5.7.233 Your message can't be sent because your tenant exceeded its daily limit",
        Stage::EndOfData,
        19,
        Configuration,
        Unknown,
    ),
    ("554 5.4.6 Hop count exceeded - possible mail loop", Stage::EndOfData, 20, Configuration, Unknown),
    (
        "550 5.4.1 Recipient address rejected: Access denied. For more information see https://aka.ms/EXOSmtpErrors [SA2PEPF00003AE6.namprd02.prod.outlook.com 2026-10-08T20:36:23.875Z 08DF254F56560914]",
        Stage::Rcpt,
        21,
        UnknownRecipient,
        Invalid,
    ),
    (
        "550 5.7.504 [email@contoso.com]: Recipient address rejected: Access denied",
        Stage::Rcpt,
        21,
        UnknownRecipient,
        Invalid,
    ),
    ("550 5.7.505 Access denied, banned recipient", Stage::Rcpt, 21, UnknownRecipient, Invalid),
    ("550 RESOLVER.ADR.RecipientNotFound", Stage::EndOfData, 22, UnknownRecipient, Invalid),
    (
        "550 5.7.12 Sender was not authenticated by organization",
        Stage::EndOfData,
        23,
        Meaning::Recipient,
        Valid,
    ),
    ("550 5.7.124 Sender not in allowed-senders list", Stage::EndOfData, 23, Meaning::Recipient, Valid),
    (
        "550 5.7.13 Sender was not authenticated for public folder",
        Stage::EndOfData,
        23,
        Meaning::Recipient,
        Valid,
    ),
    ("550 5.7.136 Sender was not authenticated", Stage::EndOfData, 23, Meaning::Recipient, Valid),
    ("550 5.7.193 Your message can't be delivered", Stage::EndOfData, 23, Meaning::Recipient, Valid),
    ("550 5.7.1 Delivery not authorized, message refused", Stage::Rcpt, 23, Meaning::Recipient, Valid),
    ("554 5.2.122 The recipient has exceeded their limit", Stage::EndOfData, 24, Patience, Valid),
    ("554 5.2.3 Message too large", Stage::EndOfData, 25, Meaning::Recipient, Valid),
    (
        "552 5.3.4 Message size exceeds fixed maximum message size",
        Stage::EndOfData,
        25,
        Meaning::Recipient,
        Valid,
    ),
    (
        "550 5.7.512 Access denied, message must be RFC 5322 section 3.6.2 compliant",
        Stage::EndOfData,
        27,
        Message,
        Unknown,
    ),
    (
        "550 5.1.20 Multiple From addresses are not allowed without Sender",
        Stage::EndOfData,
        27,
        Message,
        Unknown,
    ),
    ("550 5.0.350 Remote server returned an error", Stage::EndOfData, 27, Message, Unknown),
    // A sender chooses the recipient, whose address the reply repeats.
    (
        "550 5.1.1 <attr5@example.com>: Recipient address rejected: User unknown",
        Stage::Rcpt,
        22,
        UnknownRecipient,
        Invalid,
    ),
    ("550 5.1.1 tenantattribution: User unknown", Stage::Rcpt, 22, UnknownRecipient, Invalid),
    ("550 \"unable to relay\"@example.com is unknown", Stage::Rcpt, 29, UnknownRecipient, Unknown),
    ("550 5.7.1 ATTR51", Stage::Rcpt, 29, UnknownRecipient, Unknown),
    ("554 looks like spam", Stage::EndOfData, 30, Message, Unknown),
    ("554 no valid recipients", Stage::Data, 30, Message, Unknown),
];

fn parse(line: &str) -> Reply {
    let mut reader = smtp::reply::ReplyReader::default();
    let wire = format!("{line}\r\n");
    let mut input = wire.as_bytes();
    reader.read(&mut input).unwrap().unwrap()
}

#[test]
fn each_rule_reads_its_replies() {
    for (line, stage, rule, meaning, recipient) in REPLIES {
        let expected = Verdict { rule: *rule, meaning: *meaning, recipient: *recipient };
        assert_eq!(read(&parse(line), *stage), expected, "{line}");
    }
}

#[test]
fn every_rule_is_tried() {
    for rule in table::RULES.iter().chain([&table::REST]) {
        assert!(REPLIES.iter().any(|(_, _, number, _, _)| *number == rule.number), "rule {}", rule.number);
    }
}

#[test]
fn nothing_said_before_a_recipient_is_about_one() {
    for (line, ..) in REPLIES {
        for stage in [Stage::Greeting, Stage::Ehlo, Stage::StartTls, Stage::Idle, Stage::Mail] {
            let verdict = read(&parse(line), stage);
            assert_eq!(verdict.recipient, Unknown, "{line}");
            assert_ne!(verdict.meaning, UnknownRecipient, "{line}");
        }
    }
}

#[test]
fn the_case_of_letters_does_not_matter() {
    for (line, stage, rule, ..) in REPLIES {
        assert_eq!(read(&parse(&line.to_ascii_uppercase()), *stage).rule, *rule, "{line}");
        assert_eq!(read(&parse(&line.to_ascii_lowercase()), *stage).rule, *rule, "{line}");
    }
}
