//! What is said of a recipient, and on what grounds.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};
use smtp::client::{Failure, Stage};

use crate::reply::{self, Meaning, Recipient, Verdict};

/// Characters of a reply that are kept.
pub const REPLY_MAX: usize = 500;

/// The answer to one question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// What is to be done about it: accepted, refused, or asked to come again.
    pub recipient: Recipient,
    /// Why.
    pub because: Because,
}

/// The grounds of an [`Answer`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Because {
    /// The server said so just now.
    Said(Said),
    /// It said so before.
    Remembered {
        /// How long ago.
        ago: Duration,
    },
    /// It was valid when the server could last be asked.
    Stale {
        /// How long ago that was.
        ago: Duration,
        /// Why there is no newer answer.
        trouble: Trouble,
    },
    /// It was valid lately and is refused now: only a second refusal counts.
    SecondProbe {
        /// The earliest moment for it.
        within: Duration,
    },
    /// There is no answer.
    Trouble(Trouble),
}

/// A reply, as it is shown and kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    /// The number of the rule that read it; 0 for a positive reply.
    pub rule: u8,
    /// Code and text; at most [`REPLY_MAX`] characters.
    pub reply: Box<str>,
}

/// Why a server has no answer for us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// It said something that is not about the recipient.
    Said(Said),
    /// It did not answer in time.
    Late,
    /// It cannot be reached, or broke off.
    Unreachable(Box<str>),
    /// More questions wait than may.
    Busy,
}

impl Said {
    /// A reply and the rule that fits it at RCPT.
    pub fn at_rcpt(reply: &smtp::reply::Reply) -> (Said, Verdict) {
        if reply.is_positive() {
            let verdict = Verdict { rule: 0, meaning: Meaning::Recipient, recipient: Recipient::Valid };
            return (Said::new(reply, 0), verdict);
        }
        Said::at(reply, Stage::Rcpt)
    }

    pub(crate) fn at(reply: &smtp::reply::Reply, stage: Stage) -> (Said, Verdict) {
        let verdict = reply::read(reply, stage);
        (Said::new(reply, verdict.rule), verdict)
    }

    fn new(reply: &smtp::reply::Reply, rule: u8) -> Said {
        Said { rule, reply: reply.to_string().chars().take(REPLY_MAX).collect() }
    }
}

impl Trouble {
    /// What a failed dialogue says.
    pub fn of(failure: &Failure) -> Trouble {
        match failure {
            Failure::Refused { stage, reply } => Trouble::Said(Said::at(reply, *stage).0),
            Failure::Timeout(_) => Trouble::Late,
            failure => Trouble::Unreachable(failure.to_string().chars().take(REPLY_MAX).collect()),
        }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.recipient {
            Recipient::Valid => "valid",
            Recipient::Invalid => "invalid",
            Recipient::Unknown => "not known now",
        };
        write!(f, "{word}: {}", self.because)
    }
}

impl fmt::Display for Because {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Because::Said(said) => said.fmt(f),
            Because::Remembered { ago } => write!(f, "the server said so {} s ago", ago.as_secs()),
            Because::Stale { ago, trouble } => {
                write!(f, "the server said so {} s ago; now {trouble}", ago.as_secs())
            }
            Because::SecondProbe { within } => {
                write!(f, "refused now but valid lately; asked again in {} s", within.as_secs())
            }
            Because::Trouble(trouble) => trouble.fmt(f),
        }
    }
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the server says `{}`", self.reply)?;
        if self.rule == 0 { Ok(()) } else { write!(f, " (rule {})", self.rule) }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::Said(said) => said.fmt(f),
            Trouble::Late => f.write_str("the server does not answer in time"),
            Trouble::Unreachable(why) => write!(f, "the server cannot be asked: {why}"),
            Trouble::Busy => f.write_str("too many questions wait"),
        }
    }
}
