//! Giving up by hand: what an administrator bounces ends like what the queue gives up by itself.

use std::sync::Arc;

use store::{DeliveryId, StoreError, Timestamp, queue::Delivery};

use directory::reply::Meaning;

use super::{
    attempt,
    fate::{self, Conclusion, Fate, Terms},
    notice,
    shared::{Claim, Shared},
};
use crate::event::Kind;

/// What the sender is told, before the last reply if there was one.
const TEXT: &str = "given up by an administrator";

/// Gives up every open recipient of a delivery now, and tells the sender who wants to hear of failures. False while
/// an attempt is under way: what it comes to decides.
///
/// # Errors
/// What the store says; nothing was changed then.
pub(super) async fn bounce(shared: &Arc<Shared>, id: DeliveryId) -> Result<bool, StoreError> {
    if !shared.state().claim(id) {
        return Ok(false);
    }
    let _claim = Claim { shared, id };
    let store = &shared.appliance.store;
    let (delivery, message) = (store.delivery(id)?, store.message(id.message)?);
    let (config, now) = (shared.appliance.config(), shared.appliance.clock.now());
    let (conclusion, fates) = conclude(&delivery, &config.delivery, now);
    let notices = notice::write(store, &config, &delivery, &message, &conclusion, now);
    let event = shared.appliance.events.event(Kind::Bounced).delivery(id);
    let event = event.field("destination", &delivery.destination).field("recipients", fates.len());
    let mut events = vec![crate::event::escaped(event)];
    events.extend(attempt::notice_events(shared, id, &conclusion).map(crate::event::escaped));
    let recorded = store.record(conclusion.record, notices, events).await?;
    if !recorded.notices.is_empty() {
        shared.appliance.queued.notify_one();
    }
    Ok(true)
}

fn conclude(
    delivery: &Delivery,
    limits: &config_schema::Delivery,
    now: Timestamp,
) -> (Conclusion, Vec<(usize, Fate)>) {
    let text = match &delivery.last_reply {
        Some(last) if last.code != 0 => format!("{TEXT}; the last reply was {} {}", last.code, last.text),
        Some(last) => format!("{TEXT}; the last attempt ended so: {}", last.text),
        None => TEXT.to_owned(),
    };
    let open = delivery.recipients.iter().enumerate().filter(|(_, recipient)| recipient.is_open());
    let fates: Vec<(usize, Fate)> = open
        .map(|(index, _)| (index, fate::unheard(Meaning::Message, Some((5, 0, 0)), &text, "", now)))
        .collect();
    let terms = Terms { now, limits, microsoft: false, configured: false, random: 0 };
    (fate::conclude(delivery, &fates, &[], &terms), fates)
}
