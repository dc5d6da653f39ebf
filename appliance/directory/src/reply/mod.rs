//! What a next hop's reply means, and whose fault it is: by code *and* text, never by the first digit alone.
//!
//! The rules are data ([`table`]); the first that fits decides. They come from what Exchange Online is documented
//! and seen to say, and hold for any next hop.

mod table;
mod text;

pub use table::LIMITED_BY_ADDRESS;

use serde::{Deserialize, Serialize};
use smtp::{
    client::Stage,
    reply::{EnhancedCode, Reply},
};

/// What to do about a recipient, or about the whole message when the reply was to no recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Meaning {
    /// Try again later; the destination wants fewer connections.
    Busy,
    /// Try again later.
    Temporary,
    /// Try again later, at most for a day, although the code is 5xx.
    Patience,
    /// Came by IPv6 and should not have: another address, or later.
    NotByIpv6,
    /// The rest of the recipients in another transaction, at once.
    TooManyRecipients,
    /// Our configuration or the tenant's: everything for this destination waits until it is mended.
    Configuration,
    /// Something between the sender's domain and us: this message waits for the administrator, and no notice goes
    /// to a sender who may be forged.
    Administrator,
    /// The recipient does not exist; subject to the breaker.
    UnknownRecipient,
    /// The recipient exists and does not take this.
    Recipient,
    /// The message or its sender.
    Message,
}

/// What a verification server's reply to the same question would say of the recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Recipient {
    /// It exists.
    Valid,
    /// It does not.
    Invalid,
    /// The reply says nothing of it.
    Unknown,
}

/// The rule that fits a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// The number of the rule, for the log.
    pub rule: u8,
    /// What delivery does.
    pub meaning: Meaning,
    /// What the domain check and the verification server conclude.
    pub recipient: Recipient,
}

/// Reads a reply of class 4 or 5 that was given at `stage`.
pub fn read(reply: &Reply, stage: Stage) -> Verdict {
    let text = text::own_words(&reply.text());
    let fits = |rule: &&table::Rule| rule.when.iter().any(|when| when.fits(reply, &text, stage));
    let rule = table::RULES.iter().find(fits).unwrap_or(&table::REST);
    // Nothing up to MAIL is about a recipient.
    let recipient = if is_early(stage) { Recipient::Unknown } else { rule.recipient };
    Verdict { rule: rule.number, meaning: rule.meaning, recipient }
}

/// What the rule of this number says; a number that no rule has is that of the last, about the message.
pub fn meaning(rule: u8) -> Meaning {
    table::RULES.iter().find(|known| known.number == rule).unwrap_or(&table::REST).meaning
}

impl table::When {
    fn fits(&self, reply: &Reply, text: &str, stage: Stage) -> bool {
        self.code.fits(reply.code())
            && self.enhanced.fits(reply.enhanced_code())
            && text::has(text, self.text)
            && self.stage.fits(stage)
    }
}

impl table::Code {
    fn fits(self, code: u16) -> bool {
        match self {
            table::Code::Any => true,
            table::Code::Is(known) => code == known,
            table::Code::Class(class) => code / 100 == class,
        }
    }
}

impl table::Enhanced {
    fn fits(self, code: Option<EnhancedCode>) -> bool {
        match (self, code) {
            (table::Enhanced::Any, _) | (table::Enhanced::NotOfAddress, None) => true,
            (table::Enhanced::NotOfAddress, Some(EnhancedCode(_, subject, _))) => subject != 1,
            (_, None) => false,
            (table::Enhanced::Is(class, subject, detail), Some(code)) => {
                code == EnhancedCode(class, subject, detail)
            }
            (table::Enhanced::From(class, subject, first, last), Some(EnhancedCode(c, s, d))) => {
                (c, s) == (class, subject) && (first..=last).contains(&d)
            }
        }
    }
}

impl table::At {
    fn fits(self, stage: Stage) -> bool {
        match self {
            table::At::Any => true,
            table::At::BeforeRecipients => is_early(stage),
            table::At::FromRecipients => !is_early(stage),
            table::At::Recipient => stage == Stage::Rcpt,
        }
    }
}

/// Whether no recipient had been named by then.
fn is_early(stage: Stage) -> bool {
    use Stage::{Ehlo, Greeting, Helo, Idle, Mail, StartTls, Tls};
    matches!(stage, Greeting | Ehlo | Helo | StartTls | Tls | Idle | Mail)
}

#[cfg(test)]
mod tests;
