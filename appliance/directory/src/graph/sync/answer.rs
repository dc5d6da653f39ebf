//! What comes back: pages and tokens to the machine, and the machine's answers about addresses.

use super::*;
use crate::answer::LookupAnswer;

impl Sync {
    /// What came of the question that was under way.
    pub fn answered(&mut self, answer: Result<Response, Failure>, now: &Moment) {
        let Some(flight) = self.flight.take() else { return };
        let response = match answer {
            Ok(response) => response,
            Err(failure) => return self.fail_at(&flight, failure.into(), None, now),
        };
        match flight {
            Flight::Token => match self.tokens.answered(now.at, &response) {
                Ok(()) => {}
                Err(fault) => self.fail_at(&flight, fault, response.retry_after.as_deref(), now),
            },
            Flight::Question(address) => self.question_answered(&address, &response, now),
            Flight::Page(at) => self.page_answered(at, &response, now),
        }
    }

    fn page_answered(&mut self, at: usize, response: &Response, now: &Moment) {
        let flight = Flight::Page(at);
        let Some(collection) = Collection::ALL.get(at).copied() else { return };
        match response.status {
            200 => {}
            401 if !self.refused => {
                // Its end was told wrongly, or it was revoked: one more is fetched.
                self.tokens.discard();
                self.refused = true;
                return;
            }
            403 => {
                self.deny(at, collection);
                self.leave(at);
                return;
            }
            status if is_stale(status, &response.body) => return self.stale(at, now),
            status => {
                let fault = self.fault_of(status);
                return self.fail_at(&flight, fault, response.retry_after.as_deref(), now);
            }
        }
        match Page::parse(&response.body, &self.graph).and_then(|page| self.take_page(at, page)) {
            Ok(()) => {
                (self.failures, self.refused) = (0, false);
                if let Some(denied) = self.denied.get_mut(at) {
                    *denied = false;
                }
                if let Round::Reading { attempts, .. } = &mut self.round {
                    *attempts = 0;
                }
            }
            Err(fault @ (Fault::Endless(..) | Fault::TooMany(_))) => {
                let left = self.progress.get_mut(at).and_then(Progress::abandon);
                self.dropping.extend(left);
                self.say(fault);
                self.keep(Vec::new());
                self.leave(at);
            }
            Err(fault) => self.fail_at(&flight, fault, None, now),
        }
    }

    fn fault_of(&mut self, status: u16) -> Fault {
        match status {
            401 => {
                self.tokens.discard();
                self.refused = false;
                Fault::TokenRefused
            }
            429 | 503 | 504 => Fault::Busy(status),
            status => Fault::Status(status),
        }
    }

    fn take_page(&mut self, at: usize, page: Page) -> Result<(), Fault> {
        let Some(progress) = self.progress.get_mut(at) else { return Ok(()) };
        if let Some(change) = progress.take(page)? {
            self.keep(vec![change]);
        }
        Ok(())
    }

    /// The link is too old: everything is read afresh, beside the copy in use.
    fn stale(&mut self, at: usize, now: &Moment) {
        let Some(progress) = self.progress.get_mut(at) else { return };
        let collection = progress.collection;
        if progress.is_at_first() {
            return self.fail_at(&Flight::Page(at), Fault::NoBeginning(collection), None, now);
        }
        let left = progress.restart(&mut self.next_generation);
        self.dropping.extend(left);
        // What would be lost is counted anew at the end.
        self.held = None;
        self.keep(Vec::new());
        self.tell(News::Restarted(collection));
    }

    /// Goes on to the next collection; this one is tried again in the next round.
    fn leave(&mut self, at: usize) {
        if matches!(self.round, Round::Reading { at: reading, .. } if reading == at) {
            self.round = Round::Reading { at: at + 1, attempts: 0 };
        }
    }

    /// Each collection that may not be read is named once, as there may be several.
    fn deny(&mut self, at: usize, collection: Collection) {
        let fault = Fault::PermissionMissing(collection);
        if let Some(denied) = self.denied.get_mut(at)
            && !std::mem::replace(denied, true)
        {
            self.tell(News::Fault(fault.clone()));
        }
        self.marred = true;
        self.fault = Some(fault);
    }

    fn fail_at(&mut self, flight: &Flight, fault: Fault, retry_after: Option<&str>, now: &Moment) {
        self.fail(fault, retry_after, now);
        if let (Flight::Page(page), Round::Reading { at, attempts }) = (flight, &mut self.round)
            && page == at
        {
            *attempts += 1;
            if *attempts >= ATTEMPTS_MAX {
                self.leave(*page);
            }
        }
    }

    fn question_answered(&mut self, address: &str, response: &Response, now: &Moment) {
        match response.status {
            200 => {}
            401 if !self.refused => {
                self.tokens.discard();
                self.refused = true;
                return;
            }
            // What is wrong shows when the collections are read; who asked is not kept waiting.
            401 | 403 => return self.questions.fail(),
            status => {
                let fault = self.fault_of(status);
                return self.fail(fault, response.retry_after.as_deref(), now);
            }
        }
        match parse_list(&response.body) {
            Ok(items) => {
                self.refused = false;
                let records =
                    items.into_iter().map(|item| (item.id, Record::default().after(item.properties)));
                let mut owners = records.filter_map(|(id, record)| {
                    let has = record.addresses(Collection::Users).any(|own| own == address);
                    has.then(|| self.owner(Collection::Users, id, &record)).flatten()
                });
                let owner = owners.next();
                drop(owners);
                self.questions.answered(address, owner, now.at);
            }
            Err(fault) => self.fail(fault, None, now),
        }
    }

    /// Whether anybody asks Graph about an address that the copy does not know. If so, [`Sync::lookup`] knows more
    /// once [`Sync::is_asked`] is over.
    pub fn ask(&mut self, address: &str, now: &Moment) -> bool {
        let remembered = self.questions.remembered(address, now.at).is_some();
        !remembered && now.at >= self.not_before && self.questions.ask(address, now.at)
    }

    /// Whether a question about an address waits or is under way.
    pub fn is_asked(&self, address: &str) -> bool {
        self.questions.is_waiting(address)
    }

    /// What the copy says of an address, written as [`smtp::address::Address::key`] does. A copy older than
    /// `age_max` no longer proves that an address is unknown.
    pub fn lookup(&self, address: &str, age_max: Duration, now: &Moment) -> LookupAnswer {
        if loss::domain(address, &self.ours).is_none() {
            // What an object has elsewhere is for others to say.
            return LookupAnswer::Unknown;
        }
        for progress in &self.progress {
            let Some(live) = &progress.live else { continue };
            let owner = |(id, record): (Guid, &Record)| self.owner(progress.collection, id, record);
            if let Some(owner) = live.objects.owners(address).find_map(owner) {
                return owner.answer();
            }
        }
        if let Some(Some(owner)) = self.questions.remembered(address, now.at) {
            return owner.clone().answer();
        }
        match self.age(now) {
            Some(age) if age <= age_max => LookupAnswer::Unknown,
            Some(age) => {
                let hours = age.as_secs() / 3_600;
                LookupAnswer::Unavailable {
                    why: format!("the copy of the directory is {hours} hours old").into(),
                }
            }
            None => LookupAnswer::Unavailable { why: "the directory has not been read yet".into() },
        }
    }

    /// How long ago every collection was as in the directory; none if one was never read.
    fn age(&self, now: &Moment) -> Option<Duration> {
        let ages: Option<Vec<Duration>> =
            self.progress.iter().map(|progress| progress.live.as_ref().map(|live| live.age(now))).collect();
        ages?.into_iter().max()
    }

    /// When every collection was as in the directory, in Unix seconds; none if one was never read.
    pub fn read_at(&self) -> Option<u64> {
        self.progress.iter().map(|progress| progress.live.as_ref().map(|live| live.at)).min().flatten()
    }

    /// The stream of an object: its first address in a domain of ours. All its addresses are one stream.
    fn owner(&self, collection: Collection, id: Guid, record: &Record) -> Option<Owner> {
        let mut addresses = record.addresses(collection);
        let stream = addresses.find(|address| loss::domain(address, &self.ours).is_some())?;
        let because = format!("{} ({id}) in Entra ID", record.describe(collection));
        Some(Owner { stream: stream.into(), because: because.into() })
    }
}

impl Owner {
    fn answer(self) -> LookupAnswer {
        LookupAnswer::Stream { stream: self.stream, because: self.because }
    }
}
