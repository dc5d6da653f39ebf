//! What an attempt came to for each recipient, and what is recorded of it.
//!
//! Pure: the delivery, the fates and the time in; the record, the notices and the alarm out.

use std::time::Duration;

use config_schema::Delivery as Limits;
use directory::reply::{self, Meaning};
use smtp::{
    client::{Failure, Outcome, Stage},
    reply::EnhancedCode,
};
use store::{
    Timestamp,
    message::{Recipient, RecipientState},
    queue::{AttemptResult, Delivery, Hold, HoldReason, Reply},
};

use super::{
    breaker::{Doubt, SECOND_LOOK},
    schedule,
};
use crate::dsn::{self, Action};

/// Microsoft asks for patience with full hours of a mailbox, although it says 5xx.
const PATIENCE: Duration = Duration::from_secs(86_400);

/// What became of one recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fate {
    /// `None`: delivered.
    pub(super) meaning: Option<Meaning>,
    /// The rule that said so, for the log; 0 where no rule was asked.
    pub(super) rule: u8,
    pub(super) reply: Reply,
    /// Whether the next hop sends the notices from here on.
    pub(super) dsn: bool,
    /// Whether another host may do better at once.
    pub(super) elsewhere: bool,
}

/// How the fates become a record.
#[derive(Debug)]
pub(super) struct Terms<'a> {
    pub(super) now: Timestamp,
    pub(super) limits: &'a Limits,
    /// Whether the next hop is Microsoft 365.
    pub(super) microsoft: bool,
    /// Whether the destination is a domain of ours, so that refusals may be the fault of our configuration.
    pub(super) configured: bool,
    pub(super) random: u32,
}

/// What follows from an attempt.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Conclusion {
    pub(super) record: AttemptResult,
    /// What the sender hears, of which recipients.
    pub(super) notices: Vec<(Action, Vec<usize>)>,
    /// The destination has to wait: everything else for it too.
    pub(super) blocks: Option<Hold>,
}

/// What the server's answers to a transaction mean for each of its recipients, in their order.
pub(super) fn read(outcome: &Outcome, host: &str, now: Timestamp) -> Vec<Fate> {
    let whole = match &outcome.result {
        Ok(reply) => said(reply, None, 0, host, now),
        Err(failure) => failed(failure, host, now),
    };
    let own = |reply: &smtp::reply::Reply| {
        let verdict = reply::read(reply, Stage::Rcpt);
        said(reply, Some(verdict.meaning), verdict.rule, host, now)
    };
    // RFC 2920 §3.1: after a refused MAIL the answers to the RCPTs that were sent behind it say nothing of recipients.
    let sender_refused = matches!(&outcome.result, Err(Failure::Refused { stage: Stage::Mail, .. }));
    let one = |answer: &Option<smtp::reply::Reply>| match answer {
        Some(reply) if !reply.is_positive() && !sender_refused => own(reply),
        _ => whole.clone(),
    };
    let mut fates: Vec<Fate> = outcome.recipients.iter().map(one).collect();
    fates.iter_mut().for_each(|fate| fate.dsn = outcome.dsn);
    fates
}

/// What a failure means for everyone whom it concerns.
pub(super) fn failed(failure: &Failure, host: &str, now: Timestamp) -> Fate {
    let early = |stage: &Stage| !matches!(stage, Stage::Rcpt | Stage::Data | Stage::Body | Stage::EndOfData);
    let (meaning, elsewhere) = match failure {
        Failure::Refused { stage, reply } => {
            let verdict = reply::read(reply, *stage);
            let mut fate = said(reply, Some(verdict.meaning), verdict.rule, host, now);
            let opening = early(stage) && *stage != Stage::Mail;
            let passing = matches!(verdict.meaning, Meaning::Busy | Meaning::Temporary | Meaning::NotByIpv6);
            fate.elsewhere = opening || (passing && early(stage));
            return fate;
        }
        // Until our final dot nothing was taken; after it another host might make a duplicate (RFC 1047).
        Failure::Peer { stage, .. } | Failure::Timeout(stage) | Failure::Closed(stage) => {
            (Meaning::Busy, *stage != Stage::EndOfData)
        }
        Failure::NoRecipients => (Meaning::Temporary, false),
        Failure::Unsupported(_) | Failure::TooLarge { .. } => (Meaning::Message, true),
        Failure::TlsUnavailable(_) | Failure::TlsFailed => (Meaning::Configuration, true),
        Failure::Body(_) | Failure::NotSevenBit => (Meaning::Administrator, false),
        _ => (Meaning::Temporary, false),
    };
    let enhanced = match failure {
        Failure::TooLarge { .. } => Some((5, 3, 4)),
        Failure::Unsupported(_) => Some((5, 6, 7)),
        Failure::TlsUnavailable(_) | Failure::TlsFailed => Some((4, 7, 5)),
        Failure::Timeout(_) | Failure::Closed(_) => Some((4, 4, 2)),
        _ => None,
    };
    unheard(meaning, enhanced, &failure.to_string(), host, now).elsewhere(elsewhere)
}

/// A fate without a reply: `text` says what kept us from one.
pub(super) fn unheard(
    meaning: Meaning,
    enhanced: Option<(u8, u16, u16)>,
    text: &str,
    host: &str,
    now: Timestamp,
) -> Fate {
    let reply = Reply { code: 0, enhanced, text: text.into(), host: host.into(), at: now };
    Fate { meaning: Some(meaning), rule: 0, reply, dsn: false, elsewhere: false }
}

impl Fate {
    pub(super) fn elsewhere(mut self, elsewhere: bool) -> Fate {
        self.elsewhere = elsewhere;
        self
    }
}

fn said(reply: &smtp::reply::Reply, meaning: Option<Meaning>, rule: u8, host: &str, now: Timestamp) -> Fate {
    let enhanced = reply.enhanced_code().map(|EnhancedCode(class, subject, detail)| (class, subject, detail));
    let reply = Reply { code: reply.code(), enhanced, text: reply.text().into(), host: host.into(), at: now };
    Fate { meaning, rule, reply, dsn: false, elsewhere: false }
}

/// Draws the conclusion. `fates` are by the index of the recipient; `doubts` say of unknown recipients whether the
/// breaker believes their refusal.
pub(super) fn conclude(
    delivery: &Delivery,
    fates: &[(usize, Fate)],
    doubts: &[(usize, Doubt)],
    terms: &Terms<'_>,
) -> Conclusion {
    let mut states: Vec<(usize, RecipientState)> = Vec::new();
    let mut notices = Notices::default();
    let mut hold: Option<Hold> = None;
    // Whether anybody waits for something else than a second look.
    let mut soon = false;
    for (index, fate) in fates {
        let Some(recipient) = delivery.recipients.get(*index) else { continue };
        let doubt = doubts.iter().find(|(of, _)| of == index).map_or(Doubt::None, |(_, doubt)| *doubt);
        let verdict = judge(delivery, fate, doubt, terms);
        soon |= verdict == Judgement::Later && doubt == Doubt::None;
        if let Some(reason) = verdict.holds() {
            let text = fate.reply.text.clone();
            let stronger = hold.as_ref().is_none_or(|known| weight(reason) > weight(known.reason));
            if stronger {
                hold = Some(Hold { reason, since: terms.now, text });
            }
        }
        states.push((*index, verdict.state(fate)));
        match verdict {
            Judgement::Delivered if !fate.dsn => notices.add(Action::Relayed, *index, recipient),
            Judgement::Failed => notices.add(Action::Failed, *index, recipient),
            _ => {}
        }
    }
    let late = hold.is_none() && is_late(delivery, terms);
    if late {
        notices.delayed(delivery, &states);
    }
    let mut wait = schedule::wait(
        delivery.attempts.saturating_add(1),
        terms.limits.first_retry.duration(),
        terms.limits.longest_retry.duration(),
        terms.microsoft,
        terms.random,
    );
    if !soon && doubts.iter().any(|(_, doubt)| *doubt == Doubt::Once) {
        wait = SECOND_LOOK;
    }
    let blocks = hold.clone().filter(|hold| hold.reason != HoldReason::Administrator);
    let record = AttemptResult {
        id: delivery.id,
        recipients: states,
        next_attempt: terms.now.after(wait),
        last_reply: fates.iter().map(|(_, fate)| &fate.reply).next_back().cloned(),
        hold,
        delay_notified: late,
        counts: true,
    };
    Conclusion { record, notices: notices.0, blocks }
}

/// What becomes of a recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Judgement {
    Delivered,
    Later,
    Held(HoldReason),
    Failed,
}

fn judge(delivery: &Delivery, fate: &Fate, doubt: Doubt, terms: &Terms<'_>) -> Judgement {
    let expired = terms.now >= delivery.expires;
    let later = if expired { Judgement::Failed } else { Judgement::Later };
    match fate.meaning {
        None => Judgement::Delivered,
        Some(Meaning::Busy | Meaning::Temporary | Meaning::NotByIpv6 | Meaning::TooManyRecipients) => later,
        Some(Meaning::Patience) if terms.now.since(delivery.queued_at) >= PATIENCE => Judgement::Failed,
        Some(Meaning::Patience) => later,
        // No clock runs against mail that waits for us to mend something.
        Some(Meaning::Configuration) if terms.configured => Judgement::Held(HoldReason::Configuration),
        // A foreign domain that refuses us is no configuration of ours: its refusal is the last word when it is 5xx.
        Some(Meaning::Configuration) if fate.reply.code >= 500 => Judgement::Failed,
        Some(Meaning::Configuration) => later,
        Some(Meaning::Administrator) => Judgement::Held(HoldReason::Administrator),
        Some(Meaning::UnknownRecipient) if doubt == Doubt::Everybody => Judgement::Held(HoldReason::Breaker),
        Some(Meaning::UnknownRecipient) if doubt == Doubt::Once => later,
        Some(Meaning::UnknownRecipient | Meaning::Recipient | Meaning::Message) => Judgement::Failed,
    }
}

impl Judgement {
    fn holds(self) -> Option<HoldReason> {
        if let Judgement::Held(reason) = self { Some(reason) } else { None }
    }

    fn state(self, fate: &Fate) -> RecipientState {
        let reply = fate.reply.clone();
        match self {
            Judgement::Delivered => RecipientState::Delivered(reply),
            Judgement::Later | Judgement::Held(_) => RecipientState::Deferred(reply),
            Judgement::Failed => RecipientState::Failed(reply),
        }
    }
}

/// What stops a whole destination says more than what stops one message.
fn weight(reason: HoldReason) -> u8 {
    match reason {
        HoldReason::Configuration => 2,
        HoldReason::Breaker => 1,
        _ => 0,
    }
}

fn is_late(delivery: &Delivery, terms: &Terms<'_>) -> bool {
    !delivery.delay_notified && terms.now.since(delivery.queued_at) >= terms.limits.delay_notice.duration()
}

/// Recipients by what is reported of them.
#[derive(Default)]
struct Notices(Vec<(Action, Vec<usize>)>);

impl Notices {
    fn add(&mut self, action: Action, index: usize, recipient: &Recipient) {
        if !dsn::is_wanted(action, recipient) {
            return;
        }
        match self.0.iter_mut().find(|(known, _)| *known == action) {
            Some((_, indices)) => indices.push(index),
            None => self.0.push((action, vec![index])),
        }
    }

    /// Those who are still open after this attempt.
    fn delayed(&mut self, delivery: &Delivery, states: &[(usize, RecipientState)]) {
        let action = Action::Delayed { until: delivery.expires };
        for (index, state) in states {
            if let (RecipientState::Deferred(_), Some(recipient)) = (state, delivery.recipients.get(*index)) {
                self.add(action, *index, recipient);
            }
        }
    }
}

#[cfg(test)]
mod tests;
