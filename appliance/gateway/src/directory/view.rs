//! A domain as My Domains shows it.

use config_schema::{Config, Domain, Mapping};
use control::operation::{DomainCheckView, DomainView, time};
use directory::check::{Exchange, Finding, Reason, State};
use store::Timestamp;

pub(super) fn domain(config: &Config, domain: &Domain, state: Option<State>) -> DomainView {
    let validated = state.as_ref().is_some_and(|state| state.validated);
    let check = state.as_ref().and_then(|state| {
        // A doubt is news: it is shown although it does not count yet.
        state.doubt.as_ref().or(state.finding.as_ref()).map(|finding| check(finding, state.validated))
    });
    DomainView {
        domain: domain.name.to_string(),
        realm: domain.realm.to_string(),
        mapping: domain.mapping.as_str().to_owned(),
        route: domain.route.iter().map(ToString::to_string).collect(),
        verification_server: config.verification_server(&domain.name).map(ToString::to_string),
        check,
        mx: validated.then(|| config.network.hostname.to_string()),
        notes: notes(domain, state.as_ref()),
    }
}

fn check(finding: &Finding, validated: bool) -> DomainCheckView {
    DomainCheckView {
        validated,
        at: time(Timestamp::from_unix_seconds(finding.at)),
        reason: word(&finding.reason).to_owned(),
        explanation: finding.reason.to_string(),
        remedy: finding.reason.remedy().map(str::to_owned),
        evidence: finding.dialogue.iter().map(exchange).collect(),
    }
}

fn exchange(exchange: &Exchange) -> String {
    let at = time(Timestamp::from_unix_seconds(exchange.at));
    format!("{at} {}: {}", exchange.address, exchange.said)
}

fn word(reason: &Reason) -> &'static str {
    match reason {
        Reason::Validated => "validated",
        Reason::DirectoryValidates { .. } => "directory-validates",
        Reason::AcceptsAll { .. } => "accepts-all",
        Reason::Misconfigured { .. } => "misconfigured",
        Reason::Unreachable => "unreachable",
        Reason::TemporarilyRefused { .. } => "temporarily-refused",
        Reason::Unchecked => "unchecked",
        Reason::Suspended => "suspended",
    }
}

fn notes(domain: &Domain, state: Option<&State>) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some(State { doubt: Some(_), validated: true, .. }) = state {
        notes.push("the domain still counts as validated: one more address is tried first".to_owned());
    }
    if let Some(finding) = state.and_then(|state| state.finding.as_ref())
        && let Reason::DirectoryValidates { redundant_server: true, .. } = finding.reason
        && domain.verification_server.is_some()
    {
        let name = &domain.name;
        notes.push(format!(
            "the verification server is redundant: `postern ctl domain remove-verification-server {name}`"
        ));
    }
    if domain.mapping == Mapping::ChopDomain {
        notes.push("streams are named after the local part alone".to_owned());
    }
    notes
}
