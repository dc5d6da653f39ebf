//! Outcomes on recipients, streams, domains, user lookups and logins as text.

use super::line;
use crate::operation::{
    CountView, DomainView, EnrolmentView, ImportView, LoginView, LookupView, MappingOutcome, MappingView,
    ProvisioningView, SettingView, StreamView, ValidRecipientView,
};

pub(super) fn mapping(out: &mut String, mapping: &MappingView) {
    let outcome = match mapping.outcome {
        MappingOutcome::Accepted => "accepted",
        MappingOutcome::Refused => "refused",
        MappingOutcome::Deferred => "deferred",
    };
    line(out, &format!("{} is {outcome}: {}", mapping.address, mapping.reply));
    if let Some(stream) = &mapping.stream {
        line(out, &format!("stream {stream}"));
    }
    for (at, step) in mapping.trace.iter().enumerate() {
        line(out, &format!("{:>3}. {step}", at + 1));
    }
}

pub(super) fn domains(out: &mut String, domains: &[DomainView]) {
    if domains.is_empty() {
        line(out, "no domain is configured");
    }
    for view in domains {
        let state = match &view.check {
            None => "not checked yet".to_owned(),
            Some(check) if check.validated => format!("validated ({}, {})", check.reason, check.at),
            Some(check) => format!("NOT validated ({}, {})", check.reason, check.at),
        };
        line(out, &format!("{} in realm {}: {state}", view.domain, view.realm));
        line(out, &format!("    mapping {}, route {}", view.mapping, view.route.join(" ")));
        if let Some(server) = &view.verification_server {
            line(out, &format!("    verification server {server}"));
        }
        if let Some(mx) = &view.mx {
            line(out, &format!("    publish {} MX 10 {mx}", view.domain));
        }
        if let Some(check) = &view.check {
            line(out, &format!("    {}", check.explanation));
            for evidence in &check.evidence {
                line(out, &format!("      {evidence}"));
            }
            if let Some(remedy) = &check.remedy {
                line(out, &format!("    what to do: {remedy}"));
            }
        }
        for note in &view.notes {
            line(out, &format!("    note: {note}"));
        }
    }
}

pub(super) fn settings(out: &mut String, settings: &[SettingView]) {
    for setting in settings {
        line(
            out,
            &format!("{:<7} {:<10} from {:<24} {}", setting.id, setting.value, setting.from, setting.about),
        );
    }
}

pub(super) fn streams(out: &mut String, streams: &[StreamView]) {
    if streams.is_empty() {
        line(out, "there is no stream yet: one is created when mail for a valid recipient first arrives");
    }
    for stream in streams {
        let last = stream.last_mail_at.as_deref().unwrap_or("never");
        line(out, &format!("{} created {}, last mail {last}", stream.stream, stream.created_at));
    }
}

pub(super) fn provisioning(out: &mut String, view: &ProvisioningView) {
    line(out, &format!("billing cycle {}", view.cycle));
    for (what, counts) in [("domain", &view.domains), ("realm", &view.realms)] {
        counts.iter().for_each(|count| line(out, &count_line(what, count)));
    }
    for stream in &view.streams {
        let when = format!("{} to {}, {} messages", stream.first_at, stream.last_at, stream.messages);
        line(out, &format!("    {} ({}): {when}; {}", stream.stream, stream.domain, stream.because));
    }
    line(out, &format!("cycles kept: {}", view.cycles.join(" ")));
}

fn count_line(what: &str, count: &CountView) -> String {
    match count.streams {
        Some(streams) => format!("{what} {}: {streams} streams", count.name),
        None => format!("{what} {}: no number, since the domain is not validated", count.name),
    }
}

pub(super) fn valid_recipients(out: &mut String, entries: &[ValidRecipientView]) {
    if entries.is_empty() {
        line(out, "the Valid Recipients table is empty");
    }
    for entry in entries {
        line(out, &format!("{} in {} by {}", entry.address, entry.stream, entry.by));
    }
}

pub(super) fn import(out: &mut String, import: &ImportView) {
    for mistake in &import.mistakes {
        line(out, mistake);
    }
    let text = if import.imported {
        format!(
            "{} added, {} removed, {} lines left out",
            import.added,
            import.removed,
            import.mistakes.len()
        )
    } else {
        format!("nothing was imported: {} lines are wrong", import.mistakes.len())
    };
    line(out, &text);
}

pub(super) fn lookups(out: &mut String, lookups: &[LookupView]) {
    if lookups.is_empty() {
        line(out, "no user lookup is configured");
    }
    for lookup in lookups {
        line(
            out,
            &format!("{} ({}) in realm {}: {}", lookup.name, lookup.method, lookup.realm, lookup.state),
        );
        if let Some(addresses) = lookup.addresses {
            let at = lookup.synced_at.as_deref().unwrap_or("never");
            line(out, &format!("    {addresses} addresses, whole as of {at}"));
        }
        if let Some(held) = &lookup.held {
            line(out, &format!("    HELD: {held}"));
        }
        for alarm in &lookup.alarms {
            line(out, &format!("    alarm: {alarm}"));
        }
    }
}

pub(super) fn login(out: &mut String, login: &LoginView) {
    let outcome = if login.accepted { "accepted" } else { "refused" };
    line(out, &format!("{}: {outcome}: {}", login.user, login.because));
    let known = [("realm", &login.realm), ("role", &login.role), ("home stream", &login.home_stream)];
    for (what, value) in known {
        if let Some(value) = value {
            line(out, &format!("    {what} {value}"));
        }
    }
    if !login.streams.is_empty() {
        line(out, &format!("    may also open {}", login.streams.join(" ")));
    }
    if let Some(seconds) = login.wait_seconds {
        line(out, &format!("    try again in {seconds} s"));
    }
}

pub(super) fn enrolment(out: &mut String, enrolment: &EnrolmentView) {
    if let Some(url) = &enrolment.url {
        line(out, url);
        line(out, "put this into an authenticator, then confirm it with a code");
    }
    for code in &enrolment.recovery_codes {
        line(out, code);
    }
}
