//! The notice itself: `multipart/report` with a text for people, the status for machines, and what is returned.

use std::time::Duration;

use smtp::{address::Address, envelope::OriginalRecipient};
use store::Timestamp;

use super::{Action, Facts, Notice, RECIPIENTS_MAX, Reported, address_of, lines::Lines, returned};

/// Writes the notice; `None` when there is nobody to send it to: a null sender (RFC 5321 §4.5.5) or no recipients.
pub fn compose(facts: &Facts<'_>) -> Option<Notice> {
    let to = facts.message.envelope.from.address()?.clone();
    if facts.recipients.is_empty() {
        return None;
    }
    // Unique per notice; base64 and our own fixed texts never hold it, and a quoted header that does is cut there.
    let boundary = format!("=_{}_{}", facts.name, facts.now.unix_micros());
    let mut out = Lines::default();
    head(&mut out, facts, &to, &boundary);
    part(&mut out, &boundary, |out| text_part(out, facts));
    part(&mut out, &boundary, |out| status_part(out, facts));
    part(&mut out, &boundary, |out| returned::write(out, facts, &boundary));
    out.add(&format!("--{boundary}--"));
    let smtputf8 = !to.is_ascii();
    Some(Notice { to, body: out.into_bytes(), smtputf8 })
}

fn part(out: &mut Lines, boundary: &str, write: impl FnOnce(&mut Lines)) {
    out.add(&format!("--{boundary}"));
    write(out);
    out.empty();
}

fn head(out: &mut Lines, facts: &Facts<'_>, to: &Address, boundary: &str) {
    let hostname = facts.hostname;
    let subject = match facts.action {
        Action::Failed => "Your message could not be delivered",
        Action::Delayed { .. } => "Your message is delayed",
        Action::Relayed => "Your message was passed on",
    };
    out.add(&format!("From: Mail Delivery System <postmaster@{hostname}>"));
    out.add(&format!("To: <{to}>"));
    out.add(&format!("Subject: {subject}"));
    out.add(&format!("Date: {}", date(facts.now)));
    out.add(&format!("Message-ID: <{}@{hostname}>", facts.name));
    // RFC 3834 §5: so that no robot answers.
    out.add("Auto-Submitted: auto-replied");
    out.add("MIME-Version: 1.0");
    out.add("Content-Type: multipart/report; report-type=delivery-status;");
    out.add(&format!("\tboundary=\"{boundary}\""));
    out.empty();
    out.add("This is a delivery status notification in MIME format.");
    out.empty();
}

fn text_part(out: &mut Lines, facts: &Facts<'_>) {
    let mut text = Lines::default();
    text.add(&format!("This is the mail gateway {}.", facts.hostname));
    text.empty();
    match facts.action {
        Action::Failed => {
            text.add("Your message could not be delivered to the recipients below. It was given up.")
        }
        Action::Delayed { until } => {
            text.add("Your message has not been delivered to the recipients below yet.");
            text.add(&format!("You need not send it again: it is tried until {}.", date(until)));
        }
        Action::Relayed => {
            text.add(
                "Your message was passed to a mail system that sends no notices about the recipients below.",
            );
        }
    }
    for reported in shown(facts) {
        text.empty();
        text.add(&format!("<{}>", name(reported)));
        let host = if reported.reply.host.is_empty() { "this gateway" } else { &reported.reply.host };
        text.add(&format!("    {host} said: {}", diagnostic(reported)));
    }
    out.add("Content-Type: text/plain; charset=utf-8");
    body(out, text.as_bytes());
}

/// Writes the rest of a part: as it is if it is ASCII, else in base64, which passes everywhere.
pub(super) fn body(out: &mut Lines, octets: &[u8]) {
    match std::str::from_utf8(octets) {
        Ok(text) if text.is_ascii() => {
            out.empty();
            text.lines().for_each(|line| out.add(line));
        }
        _ => {
            out.add("Content-Transfer-Encoding: base64");
            out.empty();
            out.base64(octets);
        }
    }
}

/// RFC 3464 §2: fields about the message, then a group for each recipient. All of it is ASCII: addresses that are
/// not are written as utf-8-addr-xtext (RFC 6533 §3).
fn status_part(out: &mut Lines, facts: &Facts<'_>) {
    out.add("Content-Type: message/delivery-status");
    out.empty();
    if let Some(envid) = &facts.message.envelope.parameters.envid {
        out.ascii(&format!("Original-Envelope-Id: {}", envid.as_str()));
    }
    out.ascii(&format!("Reporting-MTA: dns; {}", facts.hostname));
    out.ascii(&format!("Arrival-Date: {}", date(facts.message.received_at)));
    for reported in shown(facts) {
        out.empty();
        if let Some(original) = &reported.recipient.parameters.orcpt {
            out.ascii(&format!("Original-Recipient: {}", original_recipient(original)));
        }
        out.ascii(&format!("Final-Recipient: {}", final_recipient(reported)));
        out.add(match facts.action {
            Action::Failed => "Action: failed",
            Action::Delayed { .. } => "Action: delayed",
            Action::Relayed => "Action: relayed",
        });
        out.add(&format!("Status: {}", status(facts.action, reported)));
        let reply = reported.reply;
        // The remote MTA and its words only where one spoke.
        if reply.code != 0 && !reply.host.is_empty() {
            out.ascii(&format!("Remote-MTA: dns; {}", reply.host));
            out.ascii(&format!("Diagnostic-Code: smtp; {}", diagnostic(reported)));
        }
        out.ascii(&format!("Last-Attempt-Date: {}", date(reply.at)));
        if let Action::Delayed { until } = facts.action {
            out.ascii(&format!("Will-Retry-Until: {}", date(until)));
        }
    }
}

fn shown<'a>(facts: &'a Facts<'a>) -> impl Iterator<Item = &'a Reported<'a>> {
    facts.recipients.iter().take(RECIPIENTS_MAX)
}

fn name(reported: &Reported<'_>) -> String {
    address_of(reported.recipient).map_or_else(|| "postmaster".into(), Address::to_string)
}

fn original_recipient(original: &OriginalRecipient) -> String {
    match original.kind() {
        "utf-8" => format!("utf-8;{}", utf8_xtext(original.address())),
        kind => format!("{kind};{}", original.address()),
    }
}

fn final_recipient(reported: &Reported<'_>) -> String {
    let name = name(reported);
    if name.is_ascii() { format!("rfc822; {name}") } else { format!("utf-8; {}", utf8_xtext(&name)) }
}

/// RFC 6533 §3, utf-8-addr-xtext.
fn utf8_xtext(address: &str) -> String {
    let plain = |c: &char| ('!'..='~').contains(c) && !matches!(c, '\\' | '+' | '=');
    address
        .chars()
        .map(|c| if plain(&c) { c.to_string() } else { format!("\\x{{{:X}}}", u32::from(c)) })
        .collect()
}

/// RFC 3463: the reply's own code where its class fits the action, else one that does.
fn status(action: Action, reported: &Reported<'_>) -> String {
    let class = match action {
        Action::Failed => 5,
        Action::Delayed { .. } => 4,
        Action::Relayed => 2,
    };
    match reported.reply.enhanced {
        Some((c, subject, detail)) if c == class => format!("{c}.{subject}.{detail}"),
        // RFC 3463 §3.5, X.4.7: delivery time expired; what failed for the moment until then keeps its own subject.
        Some((4, subject, detail)) if class == 5 => format!("5.{subject}.{detail}"),
        _ => format!("{class}.0.0"),
    }
}

fn diagnostic(reported: &Reported<'_>) -> String {
    let reply = reported.reply;
    let enhanced = reply.enhanced.map(|(c, s, d)| format!("{c}.{s}.{d} ")).unwrap_or_default();
    match reply.code {
        0 => reply.text.to_string(),
        code => format!("{code} {enhanced}{}", reply.text),
    }
}

/// RFC 5322 §3.3, in UTC.
fn date(at: Timestamp) -> String {
    let since = Duration::from_secs(at.unix_seconds());
    let second = i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
    match jiff::Timestamp::from_second(second) {
        Ok(time) => time.strftime("%a, %d %b %Y %H:%M:%S +0000").to_string(),
        Err(_) => "Thu, 01 Jan 1970 00:00:00 +0000".into(),
    }
}
