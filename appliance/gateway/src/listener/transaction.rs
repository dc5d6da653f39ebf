//! One transaction: the sender and the recipients that were accepted, until the message is committed or forgotten.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use smtp::address::{ForwardPath, ReversePath};
use smtp::envelope::{BodyKind, MailParameters, RcptParameters};
use store::Timestamp;
use store::message::{Envelope, Recipient};
use store::queue::{Destination, NewDelivery};
use store::stream::StreamMail;

use super::intake::Intake;
use crate::recipient::{self, Streamed};

/// What is known between MAIL and the end of the message. The session bounds how many recipients there are.
#[derive(Debug)]
pub(super) struct Transaction {
    from: ReversePath,
    parameters: MailParameters,
    recipients: Vec<Accepted>,
    named: HashSet<String>,
    pub(super) intake: Option<Intake>,
}

/// A recipient that was accepted.
#[derive(Debug)]
struct Accepted {
    to: ForwardPath,
    destination: Destination,
    parameters: RcptParameters,
    /// None for a recipient that is relayed to.
    streamed: Option<Streamed>,
}

impl Transaction {
    pub(super) fn new(mail: smtp::server::Mail) -> Transaction {
        let smtp::server::Mail { from, parameters } = mail;
        Transaction { from, parameters, recipients: Vec::new(), named: HashSet::new(), intake: None }
    }

    pub(super) fn from(&self) -> &ReversePath {
        &self.from
    }

    pub(super) fn utf8(&self) -> bool {
        self.parameters.smtputf8
    }

    /// A recipient who is named again gets the message once, with what was asked for first. In domains of ours the
    /// case of the letters is of no meaning; elsewhere it may be (RFC 5321 §2.4).
    pub(super) fn add(
        &mut self,
        recipient: recipient::Recipient,
        parameters: RcptParameters,
        streamed: Option<Streamed>,
    ) {
        let recipient::Recipient { address, destination, relayed } = recipient;
        if !self.named.insert(if relayed { address.to_string() } else { address.key() }) {
            return;
        }
        self.recipients.push(Accepted {
            to: ForwardPath::Address(address),
            destination,
            parameters,
            streamed,
        });
    }

    /// What the message is to its streams: it counts for each once in a billing cycle.
    pub(super) fn streams(&self, cycle: u32) -> Vec<StreamMail> {
        let mail = |accepted: &Accepted| {
            let streamed = accepted.streamed.as_ref()?;
            let ForwardPath::Address(address) = &accepted.to else { return None };
            Some(StreamMail {
                stream: streamed.stream.to_string().into(),
                domain: address.host().to_string().into(),
                address: address.key().into(),
                because: streamed.because.as_str().into(),
                cycle,
            })
        };
        self.recipients.iter().filter_map(mail).collect()
    }

    /// The recipient, if there is only one and it may be shown in an ASCII header.
    pub(super) fn sole_recipient(&self) -> Option<&ForwardPath> {
        let [only] = self.recipients.as_slice() else { return None };
        let ascii = matches!(&only.to, ForwardPath::Address(address) if address.is_ascii());
        (ascii || self.utf8()).then_some(&only.to)
    }

    /// The first recipients, for the log.
    pub(super) fn recipients_text(&self) -> String {
        const SHOWN: usize = 10;
        let mut text: Vec<String> =
            self.recipients.iter().take(SHOWN).map(|recipient| recipient.to.to_string()).collect();
        if self.recipients.len() > SHOWN {
            text.push(format!("and {} more", self.recipients.len() - SHOWN));
        }
        text.join(" ")
    }

    /// The envelope as it is sent on; `kind` is what the octets are, whatever the sender called them.
    pub(super) fn envelope(&self, kind: BodyKind) -> Envelope {
        let parameters = MailParameters { body: kind, ..self.parameters.clone() };
        Envelope { from: self.from.clone(), parameters }
    }

    /// One delivery for each destination, in the order in which they were first named.
    pub(super) fn deliveries(self, now: Timestamp, lifetime: Duration) -> Vec<NewDelivery> {
        let mut places: HashMap<Destination, usize> = HashMap::new();
        let mut deliveries: Vec<NewDelivery> = Vec::new();
        for Accepted { to, destination, parameters, .. } in self.recipients {
            let place = *places.entry(destination.clone()).or_insert_with(|| {
                deliveries.push(NewDelivery {
                    destination,
                    recipients: Vec::new(),
                    next_attempt: now,
                    expires: now.after(lifetime),
                });
                deliveries.len() - 1
            });
            if let Some(delivery) = deliveries.get_mut(place) {
                delivery.recipients.push(Recipient::new(to, parameters));
            }
        }
        deliveries
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use smtp::address::Address;

    fn transaction(recipients: &[&str]) -> Transaction {
        let mail = smtp::server::Mail { from: ReversePath::Null, parameters: MailParameters::default() };
        let mut transaction = Transaction::new(mail);
        for text in recipients {
            let address = Address::parse(text).unwrap();
            let destination = recipient::destination(address.host());
            transaction.add(
                recipient::Recipient { address, destination, relayed: false },
                RcptParameters::default(),
                None,
            );
        }
        transaction
    }

    #[test]
    fn who_is_named_twice_gets_one() {
        let twice = transaction(&["a@example.com", "A@EXAMPLE.COM", "b@example.com", "a@example.com"]);
        let [delivery] = &twice.deliveries(Timestamp::MIN, Duration::ZERO)[..] else {
            panic!("one delivery")
        };
        let to: Vec<String> = delivery.recipients.iter().map(|recipient| recipient.to.to_string()).collect();
        assert_eq!(to, ["<a@example.com>", "<b@example.com>"]);
    }

    #[test]
    fn recipients_of_one_domain_share_a_delivery() {
        let now = Timestamp::from_unix_seconds(100);
        let deliveries = transaction(&["a@one.example", "b@two.example", "c@one.example"])
            .deliveries(now, Duration::from_secs(5));
        let shape: Vec<_> = deliveries.iter().map(|d| (d.destination.as_str(), d.recipients.len())).collect();
        assert_eq!(shape, [("one.example", 2), ("two.example", 1)]);
        assert!(deliveries.iter().all(|d| d.next_attempt == now && d.expires.unix_seconds() == 105));
    }

    #[test]
    fn a_second_recipient_hides_the_first() {
        let one = transaction(&["a@one.example"]);
        assert_eq!(one.sole_recipient().map(ToString::to_string).as_deref(), Some("<a@one.example>"));
        assert_eq!(transaction(&["a@one.example", "b@one.example"]).sole_recipient(), None);
        assert_eq!(transaction(&["jürgen@one.example"]).sole_recipient(), None);
    }

    #[test]
    fn the_next_hop_is_told_what_the_body_is() {
        let envelope = transaction(&["a@one.example"]).envelope(BodyKind::EightBitMime);
        assert_eq!(envelope.parameters.body, BodyKind::EightBitMime);
    }

    #[test]
    fn a_long_list_is_cut_in_the_log() {
        let many: Vec<String> = (0..12).map(|n| format!("r{n}@one.example")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert!(transaction(&many).recipients_text().ends_with("<r9@one.example> and 2 more"));
    }
}
