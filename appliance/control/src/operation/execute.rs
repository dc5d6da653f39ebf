//! Carries an operation out.

use std::net::IpAddr;

use store::{
    DeliveryId, MessageId, SessionId, StoreError,
    log::{Event, Query},
    queue::{Delivery, Destination, Hold, HoldReason},
};

use super::{
    Appliance, CSV_MAX, DELIVERIES_MAX, DeliveryView, EventView, ImportMode, LogQuery, Operation, Outcome,
    Power, QueueFilter, Refusal, Selection, view,
};
use crate::permission::Role;

/// Entries of a list when no limit was given.
const LIST_USUAL: usize = 100;

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Refusal {
        match error {
            StoreError::NotFound { what, name } => Refusal::NotFound { what: what.to_owned(), id: name },
            error => Refusal::Store(error.to_string()),
        }
    }
}

/// Carries `operation` out for somebody in `role`; whatever changes something is written to the audit log first.
///
/// # Errors
/// A [`Refusal`]; nothing was changed then, except that an operation on many deliveries may have changed some.
pub async fn execute<A: Appliance>(
    appliance: &A,
    role: Role,
    operation: Operation,
) -> Result<Outcome, Refusal> {
    let permission = operation.permission();
    if !role.may(permission) {
        return Err(Refusal::Forbidden);
    }
    if permission != crate::Permission::Read {
        audit(appliance, &operation).await?;
    }
    match operation {
        Operation::Status => Ok(Outcome::Status(Box::new(appliance.status()))),
        Operation::Log(query) => log(appliance, &query),
        Operation::QueueList(filter) => list(appliance, &filter),
        Operation::QueueShow { delivery } => show(appliance, &delivery),
        Operation::QueueRetry(selection) => retry(appliance, &selection).await,
        Operation::QueueRelease(selection) => retry(appliance, &selection).await,
        Operation::QueueHold { selection, text } => hold(appliance, &selection, &text).await,
        Operation::QueueBounce(selection) => bounce(appliance, &selection).await,
        Operation::QueuePurge(selection) => purge(appliance, &selection).await,
        Operation::ConfigExport { passphrase } => {
            appliance.export(passphrase.as_deref()).map(Outcome::Configuration)
        }
        Operation::ConfigImport { name, text } => {
            appliance.import(&name, &text).await?;
            Ok(Outcome::Done)
        }
        Operation::Reboot => appliance.power(Power::Reboot).map(|()| Outcome::Done),
        Operation::PowerOff => appliance.power(Power::Off).map(|()| Outcome::Done),
        operation => on_directory(appliance, operation).await,
    }
}

/// The operations on recipients, streams, domains, user lookups and logins.
async fn on_directory<A: Appliance>(appliance: &A, operation: Operation) -> Result<Outcome, Refusal> {
    match operation {
        Operation::Map { address, client } => {
            let client = client.as_deref().map(client_address).transpose()?;
            appliance.map(&address, client).await.map(|mapping| Outcome::Mapping(Box::new(mapping)))
        }
        Operation::DomainList => appliance.domains(None).map(Outcome::Domains),
        Operation::DomainShow { domain } => appliance.domains(Some(&domain)).map(Outcome::Domains),
        Operation::DomainCheck { domain } => {
            appliance.check_domains(domain.as_deref()).await.map(Outcome::Domains)
        }
        Operation::DomainRemoveVerificationServer { domain } => {
            done(appliance.remove_verification_server(&domain).await)
        }
        Operation::VerificationForget { about } => {
            appliance.forget(about.as_deref()).await.map(|addresses| Outcome::Forgotten { addresses })
        }
        Operation::Settings { stream, id } => {
            appliance.settings(&stream, id.as_deref()).map(Outcome::Settings)
        }
        Operation::StreamList { realm } => appliance.streams(realm.as_deref()).map(Outcome::Streams),
        Operation::StreamPrepare { stream } => done(appliance.prepare_stream(&stream).await),
        Operation::StreamRemove { stream } => done(appliance.remove_stream(&stream).await),
        Operation::Provisioning { cycle } => {
            appliance.provisioning(cycle.as_deref()).map(|view| Outcome::Provisioning(Box::new(view)))
        }
        Operation::LookupList => Ok(Outcome::Lookups(appliance.lookups())),
        Operation::LookupSync { lookup } => {
            appliance.sync_lookup(&lookup).await.map(|view| Outcome::Lookups(vec![view]))
        }
        Operation::LookupConfirm { lookup } => {
            appliance.confirm_lookup(&lookup).await.map(|view| Outcome::Lookups(vec![view]))
        }
        Operation::LoginCheck(login) => {
            appliance.login(&login).await.map(|view| Outcome::Login(Box::new(view)))
        }
        Operation::LoginEnrol { user } => appliance.enrol(&user).await.map(Outcome::Enrolment),
        Operation::LoginConfirm { user, code } => {
            appliance.confirm_enrolment(&user, &code).await.map(Outcome::Enrolment)
        }
        Operation::LoginReset { user } => done(appliance.reset_second_factor(&user).await),
        operation => on_valid_recipients(appliance, operation).await,
    }
}

async fn on_valid_recipients<A: Appliance>(appliance: &A, operation: Operation) -> Result<Outcome, Refusal> {
    match operation {
        Operation::ValidRecipientList { stream } => {
            appliance.valid_recipients(stream.as_deref()).map(Outcome::ValidRecipients)
        }
        Operation::ValidRecipientExport { stream } => {
            appliance.export_valid_recipients(stream.as_deref()).map(Outcome::Csv)
        }
        Operation::ValidRecipientAdd { stream, address } => {
            done(appliance.change_valid_recipient(&stream, &address, true).await)
        }
        Operation::ValidRecipientRemove { stream, address } => {
            done(appliance.change_valid_recipient(&stream, &address, false).await)
        }
        Operation::ValidRecipientImport { csv, .. } if csv.len() > CSV_MAX => {
            Err(Refusal::Malformed(format!("{} bytes of CSV, expected at most {CSV_MAX}", csv.len())))
        }
        Operation::ValidRecipientImport { stream, csv, mode, skip_bad } => {
            appliance.import_valid_recipients(&stream, &csv, mode, skip_bad).await.map(Outcome::Import)
        }
        _ => Err(Refusal::Unavailable("this operation is not known here".to_owned())),
    }
}

fn done(result: Result<(), Refusal>) -> Result<Outcome, Refusal> {
    result.map(|()| Outcome::Done)
}

fn client_address(text: &str) -> Result<IpAddr, Refusal> {
    text.parse()
        .map_err(|_| Refusal::Malformed(format!("`{text}`: not an address, expected such as 192.0.2.7")))
}

/// One entry of the audit log: what was asked, without the texts and secrets in it.
async fn audit<A: Appliance>(appliance: &A, operation: &Operation) -> Result<(), Refusal> {
    let (what, about) = match operation {
        Operation::QueueRetry(selection) => ("queue.retry", describe(selection)),
        Operation::QueueHold { selection, .. } => ("queue.hold", describe(selection)),
        Operation::QueueRelease(selection) => ("queue.release", describe(selection)),
        Operation::QueueBounce(selection) => ("queue.bounce", describe(selection)),
        Operation::QueuePurge(selection) => ("queue.purge", describe(selection)),
        Operation::ConfigExport { passphrase } => (
            "config.export",
            if passphrase.is_some() { "with sealed secrets" } else { "without secrets" }.to_owned(),
        ),
        // The import writes its own entry, together with the configuration.
        Operation::ConfigImport { .. } => return Ok(()),
        Operation::Reboot => ("power.reboot", String::new()),
        Operation::PowerOff => ("power.off", String::new()),
        Operation::DomainCheck { domain } => {
            ("domain.check", domain.clone().unwrap_or_else(|| "all".to_owned()))
        }
        Operation::DomainRemoveVerificationServer { domain } => {
            ("domain.remove-verification-server", domain.clone())
        }
        Operation::VerificationForget { about } => {
            ("verification.forget", about.clone().unwrap_or_else(|| "all".to_owned()))
        }
        Operation::StreamPrepare { stream } => ("stream.prepare", stream.clone()),
        Operation::StreamRemove { stream } => ("stream.remove", stream.clone()),
        Operation::ValidRecipientAdd { stream, address } => {
            ("valid-recipient.add", format!("{address} in {stream}"))
        }
        Operation::ValidRecipientRemove { stream, address } => {
            ("valid-recipient.remove", format!("{address} in {stream}"))
        }
        Operation::ValidRecipientImport { stream, csv, mode, .. } => {
            let mode = if *mode == ImportMode::Replace { "replaced" } else { "added to" };
            ("valid-recipient.import", format!("{} bytes, {stream} {mode}", csv.len()))
        }
        Operation::LookupSync { lookup } => ("lookup.sync", lookup.clone()),
        Operation::LookupConfirm { lookup } => ("lookup.confirm", lookup.clone()),
        Operation::LoginCheck(login) => ("login.check", login.user.clone()),
        Operation::LoginEnrol { user } => ("login.enrol", user.clone()),
        Operation::LoginConfirm { user, .. } => ("login.confirm", user.clone()),
        Operation::LoginReset { user } => ("login.reset", user.clone()),
        Operation::Status
        | Operation::Log(_)
        | Operation::QueueList(_)
        | Operation::QueueShow { .. }
        | Operation::Map { .. }
        | Operation::DomainList
        | Operation::DomainShow { .. }
        | Operation::Settings { .. }
        | Operation::StreamList { .. }
        | Operation::Provisioning { .. }
        | Operation::ValidRecipientList { .. }
        | Operation::ValidRecipientExport { .. }
        | Operation::LookupList => return Ok(()),
    };
    let event = Event::new(appliance.now(), what).field("about", about);
    Ok(appliance.store().audit(event).await?)
}

fn describe(selection: &Selection) -> String {
    match selection {
        Selection::All => "all".to_owned(),
        Selection::Destination(destination) => format!("destination {destination}"),
        Selection::Deliveries(ids) => ids.join(" "),
    }
}

fn log<A: Appliance>(appliance: &A, query: &LogQuery) -> Result<Outcome, Refusal> {
    let page = appliance.store().events(&log_query(query)?)?;
    Ok(Outcome::Log(page.events.iter().map(|(_, event)| EventView::new(event)).collect()))
}

fn log_query(query: &LogQuery) -> Result<Query, Refusal> {
    let time = |text: &Option<String>, otherwise| match text {
        None => Ok(otherwise),
        Some(text) => view::parse_time(text).ok_or_else(|| {
            Refusal::Malformed(format!("`{text}`: not a time, expected such as 2026-11-23T12:00:00Z"))
        }),
    };
    let bounds = query.since.is_some() || query.until.is_some();
    let (since, until) =
        (time(&query.since, store::Timestamp::MIN)?, time(&query.until, store::Timestamp::MAX)?);
    Ok(Query {
        time: bounds.then_some(since..until),
        kind: query.kind.clone(),
        session: query.session.as_deref().map(id::<SessionId>).transpose()?,
        message: query.message.as_deref().map(id::<MessageId>).transpose()?,
        text: query.text.clone(),
        limit: if query.limit == 0 { LIST_USUAL } else { query.limit },
        ..Query::default()
    })
}

fn id<T: std::str::FromStr<Err = store::IdError>>(text: &str) -> Result<T, Refusal> {
    text.parse().map_err(|error| Refusal::Malformed(format!("`{text}`: {error}")))
}

fn list<A: Appliance>(appliance: &A, filter: &QueueFilter) -> Result<Outcome, Refusal> {
    let limit = if filter.limit == 0 { LIST_USUAL } else { filter.limit.min(DELIVERIES_MAX) };
    let mut deliveries = Vec::new();
    let wanted = |delivery: &Delivery| {
        filter.destination.as_deref().is_none_or(|wanted| delivery.destination.as_str() == wanted)
            && filter.held.is_none_or(|held| delivery.hold.is_some() == held)
    };
    for delivery in appliance.store().deliveries() {
        let delivery = delivery?;
        if !wanted(&delivery) {
            continue;
        }
        if deliveries.len() == limit {
            return Ok(Outcome::Queue { deliveries, more: true });
        }
        deliveries.push(view_of(appliance, &delivery));
    }
    Ok(Outcome::Queue { deliveries, more: false })
}

fn view_of<A: Appliance>(appliance: &A, delivery: &Delivery) -> DeliveryView {
    // A message that has just been delivered is gone between the two reads.
    let message = appliance.store().message(delivery.id.message).ok();
    DeliveryView::new(message.as_ref(), delivery)
}

fn show<A: Appliance>(appliance: &A, delivery: &str) -> Result<Outcome, Refusal> {
    let delivery = appliance.store().delivery(id(delivery)?)?;
    Ok(Outcome::Delivery(Box::new(view_of(appliance, &delivery))))
}

/// The deliveries that are meant; those that were named must exist.
fn select<A: Appliance>(appliance: &A, selection: &Selection) -> Result<Vec<DeliveryId>, Refusal> {
    let store = appliance.store();
    let destination = match selection {
        Selection::Deliveries(ids) => {
            let ids = ids.iter().map(|text| id(text)).collect::<Result<Vec<DeliveryId>, _>>()?;
            for id in &ids {
                store.delivery(*id)?;
            }
            return Ok(ids);
        }
        Selection::All => None,
        Selection::Destination(name) => {
            Some(Destination::new(name).map_err(|error| Refusal::Malformed(format!("`{name}`: {error}")))?)
        }
    };
    let mut ids = Vec::new();
    for delivery in store.deliveries() {
        let delivery = delivery?;
        if destination.as_ref().is_none_or(|wanted| *wanted == delivery.destination)
            && ids.len() < DELIVERIES_MAX
        {
            ids.push(delivery.id);
        }
    }
    Ok(ids)
}

/// Waits for a change; a delivery that has left the queue meanwhile needs none.
async fn changed(pending: store::Pending<()>) -> Result<usize, Refusal> {
    match pending.await {
        Ok(()) => Ok(1),
        Err(StoreError::NotFound { .. }) => Ok(0),
        Err(error) => Err(error.into()),
    }
}

async fn retry<A: Appliance>(appliance: &A, selection: &Selection) -> Result<Outcome, Refusal> {
    let now = appliance.now();
    let pending: Vec<_> =
        select(appliance, selection)?.into_iter().map(|id| appliance.store().retry_now(id, now)).collect();
    finish(appliance, pending).await
}

async fn hold<A: Appliance>(appliance: &A, selection: &Selection, text: &str) -> Result<Outcome, Refusal> {
    let hold = Hold { reason: HoldReason::Administrator, since: appliance.now(), text: text.into() };
    let pending: Vec<_> = select(appliance, selection)?
        .into_iter()
        .map(|id| appliance.store().hold(id, hold.clone()))
        .collect();
    finish(appliance, pending).await
}

async fn bounce<A: Appliance>(appliance: &A, selection: &Selection) -> Result<Outcome, Refusal> {
    let mut deliveries = 0;
    // One after another: each makes a notice, and all of them at once would be a storm of our own.
    for id in select(appliance, selection)? {
        match appliance.bounce(id).await {
            Ok(bounced) => deliveries += usize::from(bounced),
            Err(StoreError::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    appliance.queue_changed();
    Ok(Outcome::Changed { deliveries })
}

async fn purge<A: Appliance>(appliance: &A, selection: &Selection) -> Result<Outcome, Refusal> {
    let pending: Vec<_> =
        select(appliance, selection)?.into_iter().map(|id| appliance.store().purge(id)).collect();
    finish(appliance, pending).await
}

async fn finish<A: Appliance>(appliance: &A, pending: Vec<store::Pending<()>>) -> Result<Outcome, Refusal> {
    let mut deliveries = 0;
    for pending in pending {
        deliveries += changed(pending).await?;
    }
    appliance.queue_changed();
    Ok(Outcome::Changed { deliveries })
}
