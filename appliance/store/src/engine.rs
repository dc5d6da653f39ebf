//! The database handle that is open at the moment, and how it is opened: formatted, migrated, repaired.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, PoisonError, RwLock, atomic::AtomicU64},
};

use redb::{Database, ReadableDatabase};

use crate::{
    Disk, Limits, Resource, StoreError,
    area::{Area, Fence},
    failure::Failure,
    format,
    header::{DATABASE_OFFSET, DISK_MIN, Found, Header},
    space::Space,
    tables::State,
    writer::Inbox,
};

/// What the handle, the readers and the writer thread share.
pub(crate) struct Engine {
    limits: RwLock<Arc<Limits>>,
    pub(crate) inbox: Inbox,
    /// The last queue id given.
    pub(crate) last_message: AtomicU64,
    /// Bytes of messages being received that are in memory.
    pub(crate) held_bytes: AtomicU64,
    area: Arc<Area>,
    open: RwLock<Option<Open>>,
    state: Mutex<State>,
    trouble: Mutex<Trouble>,
}

struct Open {
    database: Arc<Database>,
    fence: Fence,
}

#[derive(Default)]
struct Trouble {
    failures: u64,
    last: Option<String>,
}

/// Whether the store works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// Whether the database is open.
    pub working: bool,
    /// Times that the disk failed since the store was opened.
    pub failures: u64,
    pub last_error: Option<String>,
}

impl Engine {
    /// Opens the store on `disk`; formats it when it is blank.
    pub(crate) fn start(disk: Arc<dyn Disk>, limits: Limits) -> Result<Self, StoreError> {
        if disk.capacity() < DISK_MIN {
            let text = format!("the disk has {} bytes; {DISK_MIN} are needed", disk.capacity());
            return Err(StoreError::Refused(text));
        }
        let area = Area::new(disk.clone(), find_or_write_header(&disk)?);
        if area.len() > area.capacity() {
            let text = format!("the database has {} bytes, the disk {}", area.len(), disk.capacity());
            return Err(StoreError::Damaged(text));
        }
        let engine = Self {
            limits: RwLock::new(Arc::new(limits)),
            inbox: Inbox::default(),
            last_message: AtomicU64::new(0),
            held_bytes: AtomicU64::new(0),
            area,
            open: RwLock::new(None),
            state: Mutex::new(State::default()),
            trouble: Mutex::new(Trouble::default()),
        };
        engine.open_growing()?;
        let formatted = engine.area.header().formatted;
        if !formatted {
            engine.area.change_header(|header| header.formatted = true).map_err(disk_error)?;
        }
        let last = engine.state().last_message;
        engine.last_message.store(last, std::sync::atomic::Ordering::Release);
        Ok(engine)
    }

    pub(crate) fn limits(&self) -> Arc<Limits> {
        self.limits.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_limits(&self, limits: Limits) {
        *self.limits.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(limits);
    }

    /// How the disk is divided by the limits of the moment.
    pub(crate) fn space(&self) -> Space {
        Space::new(self.area.capacity(), &self.limits())
    }

    pub(crate) fn database(&self) -> Result<Arc<Database>, Failure> {
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        match open.as_ref() {
            Some(open) => Ok(open.database.clone()),
            None if self.inbox.is_closing() => Err(Resource::Closed.into()),
            None => Err(Failure::Disk(self.last_error())),
        }
    }

    /// Reads from a snapshot. Short: what a snapshot sees cannot be reused while it lives.
    pub(crate) fn read<T>(
        &self,
        read: impl FnOnce(&redb::ReadTransaction) -> Result<T, Failure>,
    ) -> Result<T, StoreError> {
        let result = catch_unwind(AssertUnwindSafe(|| {
            let snapshot = self.database()?.begin_read()?;
            read(&snapshot)
        }));
        let result = result.unwrap_or_else(|_| Err(Failure::Disk("the database panicked".into())));
        if let Err(Failure::Disk(text)) = &result {
            self.note_failure(text);
            self.inbox.suspect();
        }
        result.map_err(StoreError::from)
    }

    /// Gives the handle up and opens another; `whole` gives the database all of the disk first.
    pub(crate) fn reopen(&self, whole: bool) -> Result<(), StoreError> {
        self.give_up(true);
        if whole {
            self.area.extend_to_capacity().map_err(disk_error)?;
        }
        self.area.forget_cache();
        self.open_growing()
    }

    /// Closes the handle; without `failed` everything is first brought to the disk.
    pub(crate) fn give_up(&self, failed: bool) {
        let old = self.open.write().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(old) = old {
            if failed {
                old.fence.close();
            }
            // A panic while a broken handle is dropped must not end the writer.
            let _ = catch_unwind(AssertUnwindSafe(|| drop(old)));
        }
    }

    /// Whether the handle failed for want of room that the disk still has.
    pub(crate) fn growth_refused(&self) -> bool {
        self.area.take_growth_refused()
    }

    pub(crate) fn extent(&self) -> u64 {
        self.area.len()
    }

    pub(crate) fn disk_id(&self) -> [u8; 16] {
        self.area.header().disk_id
    }

    pub(crate) fn state(&self) -> State {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn publish(&self, state: State) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }

    pub(crate) fn note_failure(&self, text: &str) {
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        trouble.failures += 1;
        trouble.last = Some(text.to_owned());
    }

    pub(crate) fn last_error(&self) -> String {
        let trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        trouble.last.clone().unwrap_or_else(|| "it is not open".into())
    }

    pub(crate) fn health(&self) -> Health {
        let working = self.open.read().unwrap_or_else(PoisonError::into_inner).is_some();
        let trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        Health { working, failures: trouble.failures, last_error: trouble.last.clone() }
    }

    fn open_growing(&self) -> Result<(), StoreError> {
        match self.open_once() {
            Err(_) if self.growth_refused() => {
                self.give_up(true);
                self.area.extend_to_capacity().map_err(disk_error)?;
                self.open_once()
            }
            result => result,
        }
    }

    fn open_once(&self) -> Result<(), StoreError> {
        let (backend, fence) = self.area.backend();
        let opened = catch_unwind(AssertUnwindSafe(|| {
            let database =
                Database::builder().set_cache_size(self.limits().cache_bytes).create_with_backend(backend)?;
            let state = format::prepare(&database, self.space())?;
            Ok::<_, Failure>((database, state))
        }));
        let opened = opened.unwrap_or_else(|_| Err(Failure::damaged("the database cannot be opened")));
        let (database, state) = match opened {
            Ok(opened) => opened,
            Err(failure) => {
                fence.close();
                return Err(failure.into());
            }
        };
        self.publish(state);
        let open = Open { database: Arc::new(database), fence };
        *self.open.write().unwrap_or_else(PoisonError::into_inner) = Some(open);
        Ok(())
    }
}

fn find_or_write_header(disk: &Arc<dyn Disk>) -> Result<Header, StoreError> {
    let mut header = match Header::find(disk)? {
        Found::Ours(header) => header,
        Found::Blank => {
            let mut disk_id = [0; 16];
            rustix::rand::getrandom(&mut disk_id, rustix::rand::GetRandomFlags::empty())
                .map_err(|error| disk_error(error.into()))?;
            let mut header = Header::new(disk_id);
            if disk.len().map_err(disk_error)? < DATABASE_OFFSET {
                disk.set_len(DATABASE_OFFSET).map_err(disk_error)?;
            }
            header.write(disk).map_err(disk_error)?;
            header
        }
    };
    // The power went before the first tables were there: nothing was ever acknowledged.
    if !header.formatted {
        header.len = 0;
    }
    Ok(header)
}

fn disk_error(error: std::io::Error) -> StoreError {
    Resource::Disk(error.to_string()).into()
}
