//! Raises an alarm for each certificate of the configuration that has ended, will soon, or cannot be used.

use std::collections::BTreeSet;
use std::time::Duration;

use config_schema::Config;
use store::{Timestamp, log::FaultClass};

use super::certificate::Certificate;
use crate::{appliance::Appliance, event::Kind};

/// Said so long before: a certificate that has ended stops the mail of a next hop that knows us by it.
const SAID_BEFORE: Duration = Duration::from_secs(14 * 86_400);

/// The alarms that are raised.
#[derive(Debug, Default)]
pub(super) struct Expiry(BTreeSet<String>);

impl Expiry {
    /// Looks at every certificate: raises what is to be said now, and clears what no longer is.
    pub(super) fn look(&mut self, appliance: &Appliance, config: &Config) {
        let now = appliance.clock.now();
        let own = config.tls.identity.iter().map(|own| ("our certificate".to_owned(), own));
        let shown = config.realms.iter().filter_map(|realm| {
            Some((format!("the client certificate of realm {}", realm.name), realm.client.as_ref()?))
        });
        let mut raised = BTreeSet::new();
        for (what, configured) in own.chain(shown) {
            let Some((kind, why)) = fault(configured, now) else { continue };
            if !self.0.contains(&what) {
                let event = appliance.events.event(kind).fault(FaultClass::Configuration);
                appliance.events.record(event.field("certificate", &what).field("why", &why));
            }
            appliance.alarms.raise(&what, &why);
            raised.insert(what);
        }
        for gone in self.0.difference(&raised) {
            appliance.alarms.clear(gone);
        }
        self.0 = raised;
    }
}

/// What is wrong with a certificate at `now`, or will be.
fn fault(configured: &config_schema::tls::Identity, now: Timestamp) -> Option<(Kind, String)> {
    let expires = match Certificate::read(configured) {
        Ok(certificate) => certificate.expires(),
        Err(error) => return Some((Kind::CertificateUnusable, error.to_string())),
    };
    if expires <= now {
        return Some((Kind::CertificateUnusable, format!("it ended on {}", day(expires))));
    }
    let soon = expires <= now.after(SAID_BEFORE);
    soon.then(|| (Kind::CertificateEnds, format!("it ends on {}", day(expires))))
}

/// The day in UTC of the last second.
fn day(expires: Timestamp) -> String {
    let last = expires.unix_seconds().saturating_sub(1);
    let last = i64::try_from(last).ok().and_then(|last| jiff::Timestamp::from_second(last).ok());
    last.map_or_else(|| "a day beyond the calendar".to_owned(), |last| last.strftime("%Y-%m-%d").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::certificate::tests::configured;

    #[test]
    fn it_is_said_a_fortnight_before_and_afterwards() {
        let configured = configured("mx.example.com", 2030);
        let ends = 1_924_905_601;
        let at = |seconds: u64| fault(&configured, Timestamp::from_unix_seconds(seconds));
        let fortnight = SAID_BEFORE.as_secs();
        assert_eq!(at(ends - fortnight - 1), None);
        let soon = Some((Kind::CertificateEnds, "it ends on 2030-12-31".to_owned()));
        assert_eq!((at(ends - fortnight), at(ends - 1)), (soon.clone(), soon));
        assert_eq!(at(ends), Some((Kind::CertificateUnusable, "it ended on 2030-12-31".to_owned())));
    }
}
