//! Outcomes as text for people, a line each.

mod directory;

use std::fmt::Write as _;

use crate::operation::{DeliveryView, EventView, Outcome, ReplyView, Status};

/// What is printed when no JSON was asked for. Foreign text was escaped when it was stored, and is again here.
pub fn text(outcome: &Outcome) -> String {
    let mut out = String::new();
    match outcome {
        Outcome::Status(status) => print_status(&mut out, status),
        Outcome::Log(events) => events.iter().rev().for_each(|event| print_event(&mut out, event)),
        Outcome::Queue { deliveries, more } => {
            deliveries.iter().for_each(|delivery| print_delivery(&mut out, delivery));
            if *more {
                line(&mut out, "… more: raise --limit");
            }
            if deliveries.is_empty() {
                line(&mut out, "the queue is empty");
            }
        }
        Outcome::Delivery(delivery) => print_whole(&mut out, delivery),
        Outcome::Changed { deliveries } => line(&mut out, &format!("{deliveries} changed")),
        Outcome::Configuration(text) | Outcome::Csv(text) => out.push_str(text),
        Outcome::Mapping(mapping) => directory::mapping(&mut out, mapping),
        Outcome::Domains(domains) => directory::domains(&mut out, domains),
        Outcome::Settings(settings) => directory::settings(&mut out, settings),
        Outcome::Streams(streams) => directory::streams(&mut out, streams),
        Outcome::Provisioning(view) => directory::provisioning(&mut out, view),
        Outcome::ValidRecipients(entries) => directory::valid_recipients(&mut out, entries),
        Outcome::Import(import) => directory::import(&mut out, import),
        Outcome::Lookups(lookups) => directory::lookups(&mut out, lookups),
        Outcome::Enrolment(enrolment) => directory::enrolment(&mut out, enrolment),
        Outcome::Login(login) => directory::login(&mut out, login),
        Outcome::Forgotten { addresses } => line(&mut out, &format!("{addresses} addresses forgotten")),
        Outcome::Done => line(&mut out, "done"),
    }
    out
}

/// One line; control characters cannot break it or drive the terminal.
fn line(out: &mut String, text: &str) {
    for c in text.chars() {
        if c.is_control() {
            let _ = write!(out, "{}", c.escape_default());
        } else {
            out.push(c);
        }
    }
    out.push('\n');
}

fn print_status(out: &mut String, status: &Status) {
    line(out, &format!("version    {}", status.version));
    line(out, &format!("host       {} {}", status.hostname, status.addresses.join(" ")));
    line(out, &format!("sessions   {}", status.sessions));
    line(out, &format!("queue      {} waiting, {} held", status.queued, status.held));
    let disk = &status.disk;
    line(out, &format!("disk       {} of {} bytes, {} kept free", disk.used, disk.capacity, disk.reserve));
    for alarm in &status.alarms {
        line(out, &format!("alarm      {alarm}"));
    }
}

fn print_event(out: &mut String, event: &EventView) {
    let mut text = format!("{} {}", event.at, event.kind);
    let ids = [
        ("session", &event.session),
        ("message", &event.message),
        ("delivery", &event.delivery),
        ("fault", &event.fault),
    ];
    for (name, id) in ids {
        if let Some(id) = id {
            let _ = write!(text, " {name}={id}");
        }
    }
    for (name, value) in &event.fields {
        let _ = write!(text, " {name}={value:?}");
    }
    line(out, &text);
}

fn print_delivery(out: &mut String, delivery: &DeliveryView) {
    let recipients: Vec<&str> =
        delivery.recipients.iter().map(|recipient| recipient.address.as_str()).collect();
    let state = match &delivery.held {
        Some(why) => format!("held: {why}"),
        None => format!("next {}", delivery.next_attempt),
    };
    line(
        out,
        &format!(
            "{} {} B <{}> → {} via {}; {} attempts; {state}",
            delivery.delivery,
            delivery.size,
            delivery.sender,
            recipients.join(","),
            delivery.destination,
            delivery.attempts,
        ),
    );
    if let Some(reply) = &delivery.last_reply {
        line(out, &format!("    {}", reply_text(reply)));
    }
}

fn reply_text(reply: &ReplyView) -> String {
    let enhanced = reply.enhanced.as_deref().map_or_else(String::new, |enhanced| format!("{enhanced} "));
    format!("{} {}: {} {enhanced}{}", reply.at, reply.host, reply.code, reply.text)
}

fn print_whole(out: &mut String, delivery: &DeliveryView) {
    print_delivery(out, delivery);
    line(out, &format!("    queued {}, given up {}", delivery.queued_at, delivery.expires));
    if let Some(client) = &delivery.client {
        line(out, &format!("    from {client}"));
    }
    for recipient in &delivery.recipients {
        line(out, &format!("    <{}> {}", recipient.address, recipient.state));
        if let Some(reply) = &recipient.reply {
            line(out, &format!("        {}", reply_text(reply)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_cannot_break_a_line() {
        let event = EventView {
            at: "2026-11-23T12:00:00.000Z".to_owned(),
            kind: "smtp.accepted".to_owned(),
            session: None,
            message: Some("0abc".to_owned()),
            delivery: None,
            fault: None,
            fields: vec![("helo".to_owned(), "a\r\nb\u{1b}[0m".to_owned())],
        };
        let text = text(&Outcome::Log(vec![event]));
        assert_eq!(text, "2026-11-23T12:00:00.000Z smtp.accepted message=0abc helo=\"a\\r\\nb\\u{1b}[0m\"\n");
    }
}
