//! The Valid Recipients table: shown, changed, and exchanged as CSV.

use std::collections::{BTreeMap, BTreeSet};

use config_schema::{StreamName, name::DomainName};
use control::{
    Refusal,
    operation::{ImportMode, ImportView, ROWS_MAX, ValidRecipientView},
};
use directory::valid_recipients::{HEADER, Import, Terms, read, row};
use smtp::address::Address;
use store::{ValidRecipientChange, ValidRecipientsChanged, log::Event};

use super::Live;
use crate::event::escaped;

/// Who changes the table, as it keeps it.
const BY: &str = "administrator";

impl Live {
    /// The entries of one stream or all: those of the configuration, then those that were added.
    pub(super) fn listed(&self, stream: Option<&StreamName>) -> Result<Vec<ValidRecipientView>, Refusal> {
        let config = self.0.appliance.config();
        let configured =
            config.listed_recipients().filter(|(of, _)| stream.is_none_or(|wanted| wanted == of));
        let mut views: Vec<ValidRecipientView> = configured
            .map(|(of, address)| ValidRecipientView {
                stream: of.to_string(),
                address: address.to_owned(),
                by: "configuration".to_owned(),
            })
            .collect();
        let streams = match stream {
            Some(stream) => vec![stream.to_string().into()],
            None => self.0.appliance.store.valid_recipient_streams()?,
        };
        for name in streams {
            for entry in self.0.appliance.store.valid_recipients(&name) {
                let entry = entry?;
                if views.len() >= ROWS_MAX {
                    return Ok(views);
                }
                let (address, by) = (entry.address.into(), entry.by.into());
                views.push(ValidRecipientView { stream: name.to_string(), address, by });
            }
        }
        Ok(views)
    }

    /// Adds an entry.
    pub(super) async fn list(&self, stream: &StreamName, address: &Address) -> Result<(), Refusal> {
        let config = self.0.appliance.config();
        let domain = address.domain().and_then(|name| config.domain(name));
        if domain.is_none_or(|domain| domain.realm != *stream.realm()) {
            let text = format!("`{address}`: not in a domain of realm `{}`", stream.realm());
            return Err(Refusal::Malformed(text));
        }
        self.change_listed(stream, vec![address.key().into()], Vec::new()).await?;
        Ok(())
    }

    /// Removes an entry that was added.
    pub(super) async fn unlist(&self, stream: &StreamName, address: &Address) -> Result<(), Refusal> {
        let key = address.key();
        if self.0.appliance.config().lists_recipient(stream, &key) {
            return Err(Refusal::Unavailable(format!("`{address}` is listed by the configuration")));
        }
        if self.change_listed(stream, Vec::new(), vec![key.into()]).await?.removed == 0 {
            let what = format!("valid recipient of `{stream}`");
            return Err(Refusal::NotFound { what, id: address.to_string() });
        }
        Ok(())
    }

    async fn change_listed(
        &self,
        stream: &StreamName,
        add: Vec<Box<str>>,
        remove: Vec<Box<str>>,
    ) -> Result<ValidRecipientsChanged, Refusal> {
        let at = self.0.appliance.clock.now();
        let audit = Event::new(at, "valid-recipient.changed")
            .field("stream", stream)
            .field("added", add.len())
            .field("removed", remove.len());
        let change =
            ValidRecipientChange { stream: stream.to_string().into(), add, remove, at, by: BY.into() };
        Ok(self.0.appliance.store.set_valid_recipients(change, escaped(audit)).await?)
    }

    /// Imports a file. Entries that name no stream go to `stream`.
    pub(super) async fn import_listed(
        &self,
        stream: &StreamName,
        csv: &str,
        mode: ImportMode,
        skip_bad: bool,
    ) -> Result<ImportView, Refusal> {
        let config = self.0.appliance.config();
        let is_ours =
            |name: &DomainName| config.domain(name).is_some_and(|domain| domain.realm == *stream.realm());
        let terms = Terms { realm: stream.realm(), is_ours: &is_ours, skip_bad };
        let import = match read(csv.as_bytes(), terms) {
            Ok(import) => import,
            Err(mistakes) => {
                return Ok(ImportView { added: 0, removed: 0, mistakes: lines(&mistakes), imported: false });
            }
        };
        let mistakes = lines(&import.mistakes);
        let mut sum = ValidRecipientsChanged::default();
        for (stream, wanted) in by_stream(import, stream) {
            let remove = match mode {
                ImportMode::Add => Vec::new(),
                ImportMode::Replace => self.others(&stream, &wanted)?,
            };
            let changed = self.change_listed(&stream, wanted.into_iter().collect(), remove).await?;
            sum.added += changed.added;
            sum.removed += changed.removed;
        }
        Ok(ImportView { added: sum.added, removed: sum.removed, mistakes, imported: true })
    }

    /// What the stream's table has beside these.
    fn others(&self, stream: &StreamName, wanted: &BTreeSet<Box<str>>) -> Result<Vec<Box<str>>, Refusal> {
        let mut others = Vec::new();
        for entry in self.0.appliance.store.valid_recipients(&stream.to_string()) {
            let address = entry?.address;
            if !wanted.contains(&address) {
                others.push(address);
            }
        }
        Ok(others)
    }
}

/// The entries by their streams; the one that was named is always among them, so that it can be emptied.
fn by_stream(import: Import, stream: &StreamName) -> BTreeMap<StreamName, BTreeSet<Box<str>>> {
    let mut streams: BTreeMap<StreamName, BTreeSet<Box<str>>> = BTreeMap::new();
    streams.entry(stream.clone()).or_default();
    for entry in import.entries {
        let of = entry.stream.unwrap_or_else(|| stream.clone());
        streams.entry(of).or_default().insert(entry.address.key().into());
    }
    streams
}

fn lines(mistakes: &directory::valid_recipients::Mistakes) -> Vec<String> {
    mistakes.to_string().lines().map(str::to_owned).collect()
}

/// The table as CSV.
pub(super) fn export(entries: &[ValidRecipientView]) -> String {
    let mut text = HEADER.to_owned();
    for entry in entries {
        if let (Ok(address), Ok(stream)) = (Address::parse(&entry.address), entry.stream.parse()) {
            text.push_str(&row(&address, &stream));
        }
    }
    text
}
