//! What an administrator may ask of the directory: mappings, domains, streams, settings, user lookups, logins.

use std::net::{IpAddr, Ipv4Addr};

use config_schema::{Config, LookupName, StreamName, setting::Known};
use control::{
    Refusal,
    operation::{
        Directory, DomainView, EnrolmentView, ImportMode, ImportView, Login, LoginView, LookupView,
        MappingOutcome, MappingView, ProvisioningView, ROWS_MAX, SettingView, StreamView, ValidRecipientView,
        time,
    },
};
use directory::decision::{Outcome, Verdict};
use smtp::{
    address::{Address, ForwardPath},
    reply::Reply,
};

use super::{Live, valid_recipients};
use crate::{
    provisioning::{self, cycle},
    recipient::{self, RecipientFault},
};

impl Directory for Live {
    async fn map(&self, address: &str, client: Option<IpAddr>) -> Result<MappingView, Refusal> {
        let address = parse_address(address)?;
        let config = self.0.appliance.config();
        // A stranger is one that no known network holds.
        let from = client.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        let path = ForwardPath::Address(address.clone());
        let fault = match recipient::decide(&config, from, &path) {
            Err(refusal) => RecipientFault::from(refusal),
            Ok(recipient) if recipient.relayed => return Ok(relayed(&address)),
            Ok(_) => match self.0.directory.decide(&config, client, &address).await {
                Ok(verdict) => return Ok(mapped(&address, &verdict)),
                Err(_) => recipient::Refusal::RelayingDenied.into(),
            },
        };
        Ok(view(&address, None, &Err(fault.clone()), vec![fault.to_string()]))
    }

    fn domains(&self, name: Option<&str>) -> Result<Vec<DomainView>, Refusal> {
        self.0.directory.domains(name)
    }

    async fn check_domains(&self, name: Option<&str>) -> Result<Vec<DomainView>, Refusal> {
        self.0.directory.check(name).await?;
        self.0.directory.domains(name)
    }

    async fn remove_verification_server(&self, domain: &str) -> Result<(), Refusal> {
        let config = self.0.appliance.config();
        let name = domain.parse().map_err(|error| Refusal::Malformed(format!("`{domain}`: {error}")))?;
        let changed = config.without_verification_server(&name).ok_or_else(|| Refusal::NotFound {
            what: "verification server of".to_owned(),
            id: domain.to_owned(),
        })?;
        self.put_in_force(changed, "redundant verification server removed").await
    }

    async fn forget(&self, what: Option<&str>) -> Result<usize, Refusal> {
        Ok(self.0.directory.forget(what))
    }

    fn settings(&self, stream: &str, id: Option<&str>) -> Result<Vec<SettingView>, Refusal> {
        let stream = self.stream(stream)?;
        let config = self.0.appliance.config();
        let all: Vec<SettingView> =
            Known::ALL.iter().filter_map(|known| setting(&config, &stream, known)).collect();
        let Some(id) = id else { return Ok(all) };
        let found: Vec<SettingView> =
            all.into_iter().filter(|view| view.id.eq_ignore_ascii_case(id)).collect();
        if found.is_empty() { Err(not_found("setting", id)) } else { Ok(found) }
    }

    fn streams(&self, realm: Option<&str>) -> Result<Vec<StreamView>, Refusal> {
        let config = self.0.appliance.config();
        let mut views = Vec::new();
        for stream in self.0.appliance.store.streams() {
            let stream = stream?;
            let of = stream.name.split_once(':').map_or("", |(realm, _)| realm);
            if realm.is_some_and(|wanted| !wanted.eq_ignore_ascii_case(of)) || views.len() >= ROWS_MAX {
                continue;
            }
            let name = stream.name.parse::<StreamName>().ok();
            views.push(StreamView {
                created_at: time(stream.created_at),
                last_mail_at: stream.last_mail_at.map(time),
                own_settings: name.map_or(0, |name| config.own_settings(&name)),
                stream: stream.name.into(),
            });
        }
        Ok(views)
    }

    async fn prepare_stream(&self, stream: &str) -> Result<(), Refusal> {
        let stream = self.stream(stream)?;
        let store = &self.0.appliance.store;
        store.prepare_stream(&stream.to_string(), self.0.appliance.clock.now()).await?;
        Ok(())
    }

    async fn remove_stream(&self, stream: &str) -> Result<(), Refusal> {
        let stream = self.stream(stream)?;
        self.0.appliance.store.remove_stream(&stream.to_string()).await?;
        Ok(())
    }

    fn provisioning(&self, wanted: Option<&str>) -> Result<ProvisioningView, Refusal> {
        let appliance = &self.0.appliance;
        let config = appliance.config();
        let wanted = match wanted {
            None => cycle::of(appliance.clock.now(), config.provisioning.cycle_day),
            Some(text) => cycle::parse(text).ok_or_else(|| {
                Refusal::Malformed(format!("`{text}`: not a billing cycle, expected such as 2026-11"))
            })?,
        };
        let ours = |domain: &str| domain.parse().is_ok_and(|name| config.domain(&name).is_some());
        let validated = |domain: &str| !ours(domain) || self.0.directory.is_validated(domain);
        Ok(provisioning::view(&appliance.store, &config, wanted, validated)?)
    }

    fn valid_recipients(&self, stream: Option<&str>) -> Result<Vec<ValidRecipientView>, Refusal> {
        self.listed(stream.map(|stream| self.stream(stream)).transpose()?.as_ref())
    }

    async fn change_valid_recipient(&self, stream: &str, address: &str, listed: bool) -> Result<(), Refusal> {
        let (stream, address) = (self.stream(stream)?, parse_address(address)?);
        if listed { self.list(&stream, &address).await } else { self.unlist(&stream, &address).await }
    }

    async fn import_valid_recipients(
        &self,
        stream: &str,
        csv: &str,
        mode: ImportMode,
        skip_bad: bool,
    ) -> Result<ImportView, Refusal> {
        self.import_listed(&self.stream(stream)?, csv, mode, skip_bad).await
    }

    fn export_valid_recipients(&self, stream: Option<&str>) -> Result<String, Refusal> {
        let entries = self.valid_recipients(stream)?;
        Ok(valid_recipients::export(&entries))
    }

    fn lookups(&self) -> Vec<LookupView> {
        self.0.directory.lookup_views()
    }

    async fn sync_lookup(&self, name: &str) -> Result<LookupView, Refusal> {
        let name = self.lookup_name(name)?;
        self.0.directory.sync_lookup(&name).await
    }

    async fn confirm_lookup(&self, name: &str) -> Result<LookupView, Refusal> {
        let name = self.lookup_name(name)?;
        self.0.directory.confirm_lookup(&name).await
    }

    async fn enrol(&self, user: &str) -> Result<EnrolmentView, Refusal> {
        self.0.directory.enrol(user).await
    }

    async fn confirm_enrolment(&self, user: &str, code: &str) -> Result<EnrolmentView, Refusal> {
        self.0.directory.confirm_enrolment(user, code).await
    }

    async fn reset_second_factor(&self, user: &str) -> Result<(), Refusal> {
        self.0.directory.reset_second_factor(user).await
    }

    async fn login(&self, login: &Login) -> Result<LoginView, Refusal> {
        self.0.directory.login(login).await
    }
}

impl Live {
    /// A stream of a realm that exists; the stream itself may be one that has not begun.
    pub(super) fn stream(&self, text: &str) -> Result<StreamName, Refusal> {
        let stream: StreamName =
            text.parse().map_err(|error| Refusal::Malformed(format!("`{text}`: {error}")))?;
        let realm = stream.realm();
        if self.0.appliance.config().has_realm(realm) {
            Ok(stream)
        } else {
            Err(not_found("realm", realm.as_str()))
        }
    }

    fn lookup_name(&self, text: &str) -> Result<LookupName, Refusal> {
        text.parse().map_err(|error| Refusal::Malformed(format!("`{text}`: {error}")))
    }
}

fn parse_address(text: &str) -> Result<Address, Refusal> {
    let text = text.trim_start_matches('<').trim_end_matches('>');
    Address::parse(text).map_err(|error| Refusal::Malformed(format!("`{text}`: {error}")))
}

fn not_found(what: &str, id: &str) -> Refusal {
    Refusal::NotFound { what: what.to_owned(), id: id.to_owned() }
}

fn setting(config: &Config, stream: &StreamName, known: &Known) -> Option<SettingView> {
    let resolved = config.setting(stream, known.id)?;
    let from = resolved.from.map_or_else(|| "built-in".to_owned(), |from| from.to_string());
    let (id, about) = (format!("S-{}", known.id), known.about.to_owned());
    Some(SettingView { id, about, value: resolved.value.to_string(), from })
}

fn mapped(address: &Address, verdict: &Verdict) -> MappingView {
    let trace = verdict.trace.iter().map(ToString::to_string).chain([verdict.outcome.to_string()]).collect();
    match &verdict.outcome {
        Outcome::Accept { stream, .. } => view(address, Some(stream), &Ok(()), trace),
        Outcome::Refuse { why } => view(address, None, &Err(RecipientFault::Refused(why.clone())), trace),
        Outcome::Defer { why } => view(address, None, &Err(RecipientFault::Deferred(why.clone())), trace),
    }
}

fn relayed(address: &Address) -> MappingView {
    let trace = vec!["the domain is not ours, and the client's known network may relay".to_owned()];
    view(address, None, &Ok(()), trace)
}

fn view(
    address: &Address,
    stream: Option<&StreamName>,
    result: &Result<(), RecipientFault>,
    trace: Vec<String>,
) -> MappingView {
    let (outcome, reply) = match result {
        Ok(()) => (MappingOutcome::Accepted, Reply::new(250, "Ok").enhanced(2, 1, 5)),
        Err(fault) => {
            let reply = fault.reply();
            let deferred = reply.code() < 500;
            (if deferred { MappingOutcome::Deferred } else { MappingOutcome::Refused }, reply)
        }
    };
    let stream = stream.map(ToString::to_string);
    MappingView { address: address.key(), stream, outcome, reply: reply.to_string(), trace }
}
