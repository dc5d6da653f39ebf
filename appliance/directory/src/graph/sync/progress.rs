//! One collection: the copy in use, and what is being read beside it.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use config_schema::{Guid, user_lookup::entra_id::WebHost};
use smtp::Time;

use super::{
    Change,
    state::{BadState, CollectionState, LiveState, StagedState},
};
use crate::graph::{
    Moment,
    collection::Collection,
    fault::Fault,
    link::Link,
    objects::{OBJECTS_MAX, Objects},
    page::{End, Item, Page},
    record::Record,
};

/// Pages of one reading. A full one of [`OBJECTS_MAX`] has a fourth of it, at a hundred objects a page.
pub const PAGES_MAX: u32 = 20_000;
/// Objects that one change puts into the copy in use.
const CHUNK: usize = 1_000;

#[derive(Debug)]
pub(super) struct Progress {
    pub(super) collection: Collection,
    pub(super) live: Option<Live>,
    pub(super) staged: Option<Staged>,
}

/// The copy in use.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) generation: u32,
    pub(super) objects: Objects,
    /// Where later changes are.
    pub(super) link: Link,
    /// When it was as in the directory, in Unix seconds.
    pub(super) at: u64,
    /// The same on the clock that only goes forward; none if it came from the disk.
    pub(super) read: Option<Time>,
}

impl Live {
    /// How long ago it was as in the directory. The clock on the wall, which may jump, is asked of a copy that came
    /// from the disk only.
    pub(super) fn age(&self, now: &Moment) -> Duration {
        match self.read {
            Some(read) => now.at.since_start().saturating_sub(read.since_start()),
            None => Duration::from_secs(now.unix.saturating_sub(self.at)),
        }
    }
}

/// What is being read beside it.
#[derive(Debug)]
pub(super) struct Staged {
    pub(super) generation: u32,
    pub(super) staging: Staging,
    pub(super) place: Place,
    pages: u32,
    /// Whether some of it is on the disk.
    pub(super) kept: bool,
    /// Whether its end was reached once; it may have gone on since.
    pub(super) whole: bool,
}

#[derive(Debug)]
pub(super) enum Staging {
    /// Everything, afresh.
    Full(Objects),
    /// What has changed; `None` is removed.
    Changes(HashMap<Guid, Option<Record>>),
}

/// What comes of putting a reading into use.
#[derive(Debug, Default)]
pub(super) struct Applied {
    /// To be kept before the state.
    pub(super) changes: Vec<Change>,
    /// A generation that nothing names any more.
    pub(super) left: Option<u32>,
    /// What was in use.
    pub(super) replaced: Option<Objects>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    First,
    Next(Link),
    /// The last page was read; later changes are there.
    Complete(Link),
}

impl Progress {
    pub(super) fn new(collection: Collection) -> Progress {
        Progress { collection, live: None, staged: None }
    }

    /// Begins a reading, or goes on with one that was left, or that waits to be confirmed.
    pub(super) fn begin(&mut self, generation: &mut u32) {
        match &mut self.staged {
            Some(staged) => {
                if let Place::Complete(link) = &staged.place {
                    staged.place = Place::Next(link.clone());
                    staged.pages = 0;
                }
            }
            None => {
                let (staging, place) = match &self.live {
                    Some(live) => (Staging::Changes(HashMap::new()), Place::Next(live.link.clone())),
                    None => (Staging::Full(Objects::new(self.collection)), Place::First),
                };
                self.stage(generation, staging, place);
            }
        }
    }

    /// Reads everything afresh, beside the copy in use. Returns a generation that nothing names any more.
    pub(super) fn restart(&mut self, generation: &mut u32) -> Option<u32> {
        let left = self.abandon();
        self.stage(generation, Staging::Full(Objects::new(self.collection)), Place::First);
        left
    }

    /// Forgets what was being read.
    pub(super) fn abandon(&mut self) -> Option<u32> {
        self.staged.take().filter(|staged| staged.kept).map(|staged| staged.generation)
    }

    fn stage(&mut self, generation: &mut u32, staging: Staging, place: Place) {
        let own = *generation;
        *generation = generation.wrapping_add(1);
        self.staged = Some(Staged { generation: own, staging, place, pages: 0, kept: false, whole: false });
    }

    /// What to ask for; nothing when everything was read.
    pub(super) fn target(&self) -> Option<&str> {
        match &self.staged.as_ref()?.place {
            Place::First => Some(self.collection.first()),
            Place::Next(link) => Some(link.target()),
            Place::Complete(_) => None,
        }
    }

    pub(super) fn is_at_first(&self) -> bool {
        self.staged.as_ref().is_some_and(|staged| staged.place == Place::First)
    }

    pub(super) fn complete(&self) -> Option<&Staged> {
        self.staged.as_ref().filter(|staged| matches!(staged.place, Place::Complete(_)))
    }

    /// Takes the page that was asked for. What is returned is to be kept, with the state.
    pub(super) fn take(&mut self, page: Page) -> Result<Option<Change>, Fault> {
        let Progress { collection, live, staged } = self;
        let Some(staged) = staged else { return Ok(None) };
        staged.pages += 1;
        if staged.pages > PAGES_MAX {
            return Err(Fault::Endless(*collection, PAGES_MAX));
        }
        // By id, so that an object that stands twice on the page is written as it was last.
        let mut written = BTreeMap::new();
        for item in page.items {
            let id = item.id;
            if let Some(value) = staged.take(item, live.as_ref()).map_err(|()| Fault::TooMany(*collection))? {
                written.insert(id, value);
            }
        }
        let last = matches!(page.end, End::Delta(_));
        staged.whole |= last;
        staged.place = match page.end {
            End::Next(link) => Place::Next(link),
            End::Delta(link) => Place::Complete(link),
        };
        // A few changes on a single page are written when they are applied, and read again after a crash.
        if last && !staged.is_full() && !staged.kept && written.len() <= CHUNK {
            return Ok(None);
        }
        staged.kept = true;
        let mut change = Change::of(staged.generation);
        for (id, value) in written {
            match value {
                Written::Put(value) => change.put.push((key(id), value)),
                Written::Removed => change.remove.push(key(id)),
            }
        }
        Ok(Some(change))
    }

    /// Puts what was read in the place of the copy in use.
    pub(super) fn apply(&mut self, now: &Moment) -> Applied {
        let Some(Staged {
            generation, staging, place: Place::Next(link) | Place::Complete(link), kept, ..
        }) = self.staged.take()
        else {
            return Applied::default();
        };
        match (staging, &mut self.live) {
            (Staging::Full(objects), live) => {
                let old = live.replace(Live { generation, objects, link, at: now.unix, read: Some(now.at) });
                let (left, replaced) = old.map(|old| (old.generation, old.objects)).unzip();
                Applied { changes: Vec::new(), left, replaced }
            }
            (Staging::Changes(changes), Some(live)) => {
                let mut chunks = Vec::new();
                for (id, record) in changes {
                    if chunks.last().is_none_or(|last: &Change| last.put.len() + last.remove.len() >= CHUNK) {
                        chunks.push(Change::of(live.generation));
                    }
                    let Some(chunk) = chunks.last_mut() else { continue };
                    match record {
                        Some(record) => {
                            chunk.put.push((key(id), encode(&record)));
                            // What does not fit was refused when it was read.
                            let _ = live.objects.put(id, record);
                        }
                        None => {
                            chunk.remove.push(key(id));
                            live.objects.remove(id);
                        }
                    }
                }
                (live.link, live.at, live.read) = (link, now.unix, Some(now.at));
                Applied { changes: chunks, left: kept.then_some(generation), replaced: None }
            }
            (Staging::Changes(_), None) => Applied { left: kept.then_some(generation), ..Applied::default() },
        }
    }

    pub(super) fn state(&self) -> CollectionState {
        let live = self.live.as_ref().map(|live| LiveState {
            generation: live.generation,
            link: live.link.as_str().into(),
            at: live.at,
        });
        let staged = self.staged.as_ref().filter(|staged| staged.kept).and_then(|staged| {
            let (link, complete) = match &staged.place {
                Place::First => return None,
                Place::Next(link) => (link, false),
                Place::Complete(link) => (link, true),
            };
            Some(StagedState {
                generation: staged.generation,
                full: staged.is_full(),
                link: link.as_str().into(),
                complete,
                pages: staged.pages,
            })
        });
        CollectionState { live, staged }
    }

    pub(super) fn restore(
        collection: Collection,
        state: CollectionState,
        graph: &WebHost,
    ) -> Result<Progress, BadState> {
        let link = |text: &str| Link::parse(text, graph).map_err(|_| BadState::Form);
        let live = match state.live {
            Some(live) => Some(Live {
                generation: live.generation,
                objects: Objects::new(collection),
                link: link(&live.link)?,
                at: live.at,
                read: None,
            }),
            None => None,
        };
        let staged = match state.staged {
            Some(staged) => {
                let link = link(&staged.link)?;
                let staging = match staged.full {
                    true => Staging::Full(Objects::new(collection)),
                    false => Staging::Changes(HashMap::new()),
                };
                let place = if staged.complete { Place::Complete(link) } else { Place::Next(link) };
                let generation = staged.generation;
                Some(Staged {
                    generation,
                    staging,
                    place,
                    pages: staged.pages,
                    kept: true,
                    whole: staged.complete,
                })
            }
            None => None,
        };
        Ok(Progress { collection, live, staged })
    }

    /// Takes an object from the disk, if the generation is one of this collection's.
    pub(super) fn load(&mut self, generation: u32, id: Guid, value: &[u8]) -> Result<(), BadState> {
        let decode = || postcard::from_bytes::<Record>(value).map_err(|_| BadState::Object);
        if let Some(live) = self.live.as_mut().filter(|live| live.generation == generation) {
            return live.objects.put(id, decode()?).map_err(|_| BadState::Object);
        }
        let Some(staged) = self.staged.as_mut().filter(|staged| staged.generation == generation) else {
            return Ok(());
        };
        match &mut staged.staging {
            Staging::Full(objects) => objects.put(id, decode()?).map_err(|_| BadState::Object)?,
            Staging::Changes(changes) if value == REMOVED => drop(changes.insert(id, None)),
            Staging::Changes(changes) => drop(changes.insert(id, Some(decode()?))),
        }
        Ok(())
    }
}

/// What stands in a generation of changes for an object that is gone. No record is so short.
const REMOVED: &[u8] = &[];

enum Written {
    Put(Vec<u8>),
    Removed,
}

impl Staged {
    pub(super) fn is_full(&self) -> bool {
        matches!(self.staging, Staging::Full(_))
    }

    /// Takes an object over what is known of it. Returns what to write; nothing when all of it is known.
    fn take(&mut self, item: Item, live: Option<&Live>) -> Result<Option<Written>, ()> {
        let Item { id, removed, properties } = item;
        match &mut self.staging {
            Staging::Full(objects) => {
                let before = objects.remove(id);
                if removed {
                    return Ok(Some(Written::Removed));
                }
                let record = before.unwrap_or_default().after(properties);
                let written = Written::Put(encode(&record));
                objects.put(id, record).map_err(|_| ())?;
                Ok(Some(written))
            }
            Staging::Changes(changes) => {
                let known = live.and_then(|live| live.objects.get(id));
                let before = changes.get(&id).cloned().unwrap_or_else(|| known.cloned());
                let after = if removed { None } else { Some(before.unwrap_or_default().after(properties)) };
                // Replays are usual.
                if !changes.contains_key(&id) && after.as_ref() == known {
                    return Ok(None);
                }
                // Together they stay within what a copy holds, whatever is removed besides.
                let grown = changes.len() + live.map_or(0, |live| live.objects.len());
                if known.is_none() && grown >= OBJECTS_MAX {
                    return Err(());
                }
                let value = after.as_ref().map_or_else(|| REMOVED.to_vec(), encode);
                changes.insert(id, after);
                Ok(Some(Written::Put(value)))
            }
        }
    }
}

pub(super) fn key(id: Guid) -> Box<[u8]> {
    Box::new(id.to_bytes())
}

fn encode(record: &Record) -> Vec<u8> {
    postcard::to_allocvec(record).expect("a record can be written")
}
