//! Is this recipient accepted, and which stream is it? One machine for mail and for `postern ctl map` alike.
//!
//! [`Step::first`] begins; each step but the last asks something, and its `then` takes the answer and gives the next
//! step. The order is that of product: realm, stream, user lookup, valid recipients, verification server. Nothing
//! that could not be asked refuses for good.

mod rules;
mod trace;
mod verdict;

use config_schema::{LookupName, Mapping, Route, StreamName, Unlisted};
use smtp::address::Address;

pub use rules::{NotOurs, OnlyValid, Rules};
pub use trace::TraceLine;
pub use verdict::{Because, Deferral, Outcome, Refusal, Verdict};

use crate::{
    answer::LookupAnswer,
    mapping::{self, By, Mapped, MappingError, Way},
    reply::Recipient,
    verification,
};

/// What is to be done next.
#[derive(Debug)]
pub enum Step<'c> {
    /// Ask a user lookup of an address.
    AskLookup {
        /// Which.
        name: LookupName,
        /// Of whom.
        address: Address,
        /// Takes the answer.
        then: AfterLookup<'c>,
    },
    /// Look whether an address is in a stream's own table of valid recipients.
    AskValidRecipients {
        /// Whose table.
        stream: StreamName,
        /// Whom.
        address: Address,
        /// Takes the answer.
        then: AfterListing<'c>,
    },
    /// Ask a verification server of an address.
    AskVerification {
        /// Which.
        server: Route,
        /// Of whom.
        address: Address,
        /// Takes the answer.
        then: AfterVerification<'c>,
    },
    /// It is decided.
    Done(Verdict),
}

/// Whether a table of valid recipients has an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listing {
    /// It has.
    Listed,
    /// It has not.
    NotListed,
    /// The table cannot be read now.
    Unavailable {
        /// Why, for people and the log.
        why: Box<str>,
    },
}

/// Waits for a user lookup.
#[derive(Debug)]
pub struct AfterLookup<'c>(Box<Course<'c>>, LookupName);

/// Waits for a table of valid recipients.
#[derive(Debug)]
pub struct AfterListing<'c>(Box<Course<'c>>, Tables);

/// Waits for a verification server.
#[derive(Debug)]
pub struct AfterVerification<'c>(Box<Course<'c>>);

/// What is known so far.
#[derive(Debug)]
struct Course<'c> {
    rules: Rules<'c>,
    address: Address,
    /// RFC 5321 §4.5.1: always real.
    postmaster: bool,
    stream: Mapped,
    /// Who says that the recipient exists.
    vouched: Option<Because>,
    trace: Vec<TraceLine>,
}

/// The tables that are still to be looked into.
#[derive(Debug)]
struct Tables {
    asked: (StreamName, Address),
    left: Vec<(StreamName, Address)>,
    unavailable: Option<Box<str>>,
}

impl<'c> Step<'c> {
    /// Begins. The address is one of the rules' domain.
    pub fn first(rules: Rules<'c>, address: &Address) -> Step<'c> {
        let postmaster = address.local().as_str().eq_ignore_ascii_case("postmaster");
        let stream = mapping::default(&rules.domain.realm);
        let address = address.clone();
        let mut course =
            Box::new(Course { rules, address, postmaster, stream, vouched: None, trace: Vec::new() });
        if postmaster {
            course.trace.push(TraceLine::Postmaster);
            course.vouched = Some(Because::Postmaster);
        }
        if course.rules.is_suspended() {
            let realm = course.rules.domain.realm.clone();
            course.trace.push(TraceLine::Suspended { realm });
            if !postmaster {
                return course.refuse(Refusal::Suspended);
            }
        }
        course.map()
    }
}

impl<'c> Course<'c> {
    fn map(mut self: Box<Self>) -> Step<'c> {
        let forced = self.forced();
        let own = self.by_address();
        let settled = forced.or(own);
        let is_settled = settled.is_some();
        if let Some(mapped) = settled {
            self.stream = mapped;
        }
        // A lookup is asked even for a settled stream: it knows whether the recipient is real.
        let is_lookup = matches!(self.rules.domain.mapping, Mapping::Lookup(_));
        if is_settled && (!is_lookup || self.vouched.is_some()) {
            return self.check_listing();
        }
        let domain = self.rules.domain;
        match mapping::by_domain(&domain.mapping, &domain.realm, &self.address, self.rules.plus_addresses()) {
            Ok(Way::Stream(mapped)) => {
                self.settle(mapped);
                self.check_listing()
            }
            Ok(Way::Lookup { name, address }) => {
                self.trace.push(TraceLine::AskedLookup { name: name.clone(), address: address.clone() });
                Step::AskLookup { name: name.clone(), address, then: AfterLookup(self, name) }
            }
            Err(error) => self.unmapped(error),
        }
    }

    /// The stream that the client's network forces.
    fn forced(&mut self) -> Option<Mapped> {
        let (network, stream) = self.rules.forced()?;
        let by = By::KnownNetwork(network.into());
        match mapping::named(stream, by, &self.rules.domain.realm) {
            Ok(mapped) => {
                self.trace.push(TraceLine::Mapped(mapped.clone()));
                Some(mapped)
            }
            // Another tenant's network says nothing about this tenant's mail.
            Err(error) => {
                self.trace.push(TraceLine::PassedOver { network: network.into(), error });
                None
            }
        }
    }

    /// The stream of an address mapping, of the address or of it without its tag; it vouches for the address.
    fn by_address(&mut self) -> Option<Mapped> {
        let base = mapping::counting(&self.address, self.rules.plus_addresses());
        let stream =
            self.rules.address_mapping(&self.address).or_else(|| self.rules.address_mapping(&base))?;
        match mapping::named(stream, By::AddressMapping, &self.rules.domain.realm) {
            Ok(mapped) => {
                self.trace.push(TraceLine::Mapped(mapped.clone()));
                self.vouched.get_or_insert(Because::AddressMapping);
                Some(mapped)
            }
            Err(error) => {
                self.trace.push(TraceLine::WrongMapping { error });
                None
            }
        }
    }

    /// Takes a stream, unless a network has forced one.
    fn settle(&mut self, mapped: Mapped) {
        self.trace.push(TraceLine::Mapped(mapped.clone()));
        if self.stream.by == By::Default {
            self.stream = mapped;
        }
    }

    fn unmapped(mut self: Box<Self>, error: MappingError) -> Step<'c> {
        self.trace.push(TraceLine::WrongMapping { error });
        if self.postmaster { self.check_listing() } else { self.refuse(Refusal::NoStream) }
    }

    /// S-700, unless an address mapping has vouched; a user lookup does not replace the table.
    fn check_listing(mut self: Box<Self>) -> Step<'c> {
        let only = self.rules.only_valid(&self.stream.stream);
        let on = only.on;
        self.trace.push(TraceLine::OnlyValid { stream: self.stream.stream.clone(), only });
        if !on || matches!(self.vouched, Some(Because::AddressMapping | Because::Postmaster)) {
            return self.check_server();
        }
        let base = mapping::counting(&self.address, self.rules.plus_addresses());
        let default = StreamName::default_of(self.rules.domain.realm.clone());
        let mut left = Vec::new();
        for stream in [default, self.stream.stream.clone()] {
            for address in [&base, &self.address] {
                let table = (stream.clone(), address.clone());
                if !left.contains(&table) {
                    left.push(table);
                }
            }
        }
        self.look_into(left, None)
    }

    fn look_into(
        mut self: Box<Self>,
        mut left: Vec<(StreamName, Address)>,
        unavailable: Option<Box<str>>,
    ) -> Step<'c> {
        let Some(asked) = left.pop() else {
            return match unavailable {
                Some(why) => self.defer(Deferral::ValidRecipients { why }),
                None => self.refuse_unasked(Refusal::NotListed),
            };
        };
        let (stream, address) = asked.clone();
        if self.rules.lists(&stream, &address) {
            self.trace.push(TraceLine::ListedInFile { stream: stream.clone(), address });
            return self.listed(stream);
        }
        Step::AskValidRecipients {
            stream,
            address,
            then: AfterListing(self, Tables { asked, left, unavailable }),
        }
    }

    fn listed(mut self: Box<Self>, stream: StreamName) -> Step<'c> {
        self.vouched.get_or_insert(Because::Listed { stream });
        self.check_server()
    }

    fn check_server(mut self: Box<Self>) -> Step<'c> {
        let is_vouched = !matches!(self.vouched, None | Some(Because::Listed { .. }));
        if is_vouched {
            self.trace.push(TraceLine::Vouched);
            return self.accept();
        }
        match self.rules.verification_server {
            Some(server) => Step::AskVerification {
                server: server.clone(),
                address: self.address.clone(),
                then: AfterVerification(self),
            },
            None => {
                self.trace.push(TraceLine::NoVerificationServer);
                self.accept()
            }
        }
    }

    fn accept(self) -> Step<'c> {
        let because = self.vouched.clone().unwrap_or(Because::Unchecked);
        let stream = self.stream.stream.clone();
        self.done(Outcome::Accept { stream, because })
    }

    fn refuse(self, why: Refusal) -> Step<'c> {
        self.done(Outcome::Refuse { why })
    }

    /// Refuses without having asked the verification server, if there is one.
    fn refuse_unasked(mut self, why: Refusal) -> Step<'c> {
        if self.rules.verification_server.is_some() {
            self.trace.push(TraceLine::RedundantServer);
        }
        self.refuse(why)
    }

    fn defer(self, why: Deferral) -> Step<'c> {
        self.done(Outcome::Defer { why })
    }

    fn done(self, outcome: Outcome) -> Step<'c> {
        Step::Done(Verdict { outcome, trace: self.trace })
    }
}

impl<'c> AfterLookup<'c> {
    /// The lookup's answer.
    pub fn answer(self, answer: LookupAnswer) -> Step<'c> {
        let AfterLookup(mut course, name) = self;
        course.trace.push(TraceLine::LookupSaid { name: name.clone(), answer: answer.clone() });
        let realm = &course.rules.domain.realm;
        match answer {
            LookupAnswer::Stream { stream, because } => {
                let base = mapping::counting(&course.address, course.rules.plus_addresses());
                match mapping::by_lookup(&name, &stream, realm, &base) {
                    Ok(mapped) => course.settle(mapped),
                    Err(error) => return course.unmapped(error),
                }
                course.vouched.get_or_insert(Because::Lookup { name, because });
                course.check_listing()
            }
            _ if course.postmaster => course.check_listing(),
            LookupAnswer::Unavailable { why } => course.defer(Deferral::Lookup { name, why }),
            LookupAnswer::Unknown => {
                let unlisted = course.rules.unlisted();
                course.trace.push(TraceLine::Unlisted(unlisted));
                match (unlisted, course.rules.verification_server) {
                    (Unlisted::Verify, Some(_)) => course.check_listing(),
                    _ => course.refuse_unasked(Refusal::UnknownToLookup { name }),
                }
            }
        }
    }
}

impl<'c> AfterListing<'c> {
    /// What the table says.
    pub fn answer(self, listing: Listing) -> Step<'c> {
        let AfterListing(mut course, Tables { asked: (stream, address), left, unavailable }) = self;
        course.trace.push(TraceLine::Listing { stream: stream.clone(), address, listing: listing.clone() });
        match listing {
            Listing::Listed => course.listed(stream),
            Listing::NotListed => course.look_into(left, unavailable),
            Listing::Unavailable { why } => course.look_into(left, unavailable.or(Some(why))),
        }
    }
}

impl<'c> AfterVerification<'c> {
    /// What the server says, or said.
    pub fn answer(self, answer: verification::Answer) -> Step<'c> {
        let AfterVerification(mut course) = self;
        let server = course.rules.verification_server.cloned();
        course.trace.push(TraceLine::Verification { server, answer: answer.clone() });
        match answer.recipient {
            Recipient::Valid => {
                course.vouched = Some(Because::Verification);
                course.accept()
            }
            Recipient::Invalid => course.refuse(Refusal::UnknownToServer),
            // Somebody put it into the table: that is worth more than a server that does not answer.
            Recipient::Unknown if course.vouched.is_some() => course.accept(),
            Recipient::Unknown => course.defer(Deferral::Verification { answer }),
        }
    }
}

#[cfg(test)]
mod tests;
