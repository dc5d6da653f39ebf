//! The task that reads a directory into its copy, now and then, and looks after its alarms.

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use config_schema::{LookupName, name::DomainName};
use directory::{
    answer::LookupAnswer,
    copy::{Copy, Difference},
};
use smtp::{Time, address::Address};
use tokio::{
    sync::{mpsc, oneshot},
    task::spawn_blocking,
    time::{Instant, sleep_until, timeout},
};

use super::{
    fault::Fault,
    shelf::{RECORD_MAX, Shelf},
};
use crate::{
    appliance::Appliance,
    directory::{ldap::LdapDirectory, task::Task},
};

/// How long one read of the whole directory may take.
pub(super) const READ: Duration = Duration::from_secs(3_600);
/// How long after a read that failed the next one begins; doubled with each further one.
const RETRY: Duration = Duration::from_secs(60);
/// The longest that this is.
const RETRY_MAX: Duration = Duration::from_secs(3_600);
/// How often it is looked whether there is an alarm.
const LOOK: Duration = Duration::from_secs(300);
/// Orders that wait; whoever gives a further one is told that it is busy.
const ORDERS: usize = 8;
/// Domains that are named where a read is held.
const DOMAINS_SHOWN: usize = 10;

/// Who waits for what an order came to.
pub(super) type Done = oneshot::Sender<Result<(), String>>;

/// What an administrator orders.
pub(super) enum Order {
    Read(Done),
    Confirm(Done),
}

/// A handle on the task, which ends with it.
#[derive(Debug)]
pub(super) struct Keeper {
    pub(super) shared: Arc<Shared>,
    orders: mpsc::Sender<Order>,
    task: Task,
}

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) name: LookupName,
    pub(super) appliance: Appliance,
    pub(super) directory: LdapDirectory,
    /// The domains that ask this lookup: the loss of other addresses matters to nobody.
    pub(super) ours: HashSet<DomainName>,
    /// How often the directory is read; `None`: no copy is kept.
    pub(super) every: Option<Duration>,
    pub(super) copy: RwLock<Arc<Copy>>,
    pub(super) standing: Mutex<Standing>,
    pub(super) shelf: Option<Arc<Mutex<Shelf>>>,
    pub(super) ended: Arc<AtomicBool>,
}

/// How the copy stands.
#[derive(Debug, Default)]
pub(super) struct Standing {
    /// Why the last read came to nothing.
    pub(super) fault: Option<Fault>,
    /// A read that waits to be confirmed.
    pub(super) held: Option<Held>,
    /// Entries that do not fit into a copy, and why the first one does not.
    pub(super) left_out: usize,
    pub(super) left_out_why: String,
    /// Since when the directory cannot be asked or read.
    pub(super) wrong_since: Option<Time>,
}

#[derive(Debug)]
pub(super) struct Held {
    read: Arc<Copy>,
    /// What would be lost, for people.
    pub(super) losses: String,
}

/// A whole directory.
#[derive(Debug, Default)]
struct Read {
    copy: Copy,
    left_out: usize,
    left_out_why: String,
}

/// What a read would do to the copy.
struct Judgement {
    losses: Option<String>,
    is_same: bool,
}

impl Keeper {
    /// Begins. Must be called inside the runtime.
    pub(super) fn start(shared: Shared) -> Keeper {
        let shared = Arc::new(shared);
        let (orders, ordered) = mpsc::channel(ORDERS);
        let task = Task::new(tokio::spawn(run(shared.clone(), ordered)));
        Keeper { shared, orders, task }
    }

    /// Has something done, and waits until it is.
    pub(super) async fn order(&self, order: impl FnOnce(Done) -> Order) -> Result<(), String> {
        let (done, answer) = oneshot::channel();
        let busy = |_| "it is busy with what was ordered before".to_owned();
        self.orders.try_send(order(done)).map_err(busy)?;
        answer.await.unwrap_or_else(|_| Err("the user lookup has ended".to_owned()))
    }

    /// Ends the task; when this returns, nothing more is written.
    pub(super) async fn end(&self) {
        self.shared.ended.store(true, Ordering::Relaxed);
        self.task.end().await;
        if let Some(shelf) = self.shared.shelf.clone() {
            // A thread may still be writing.
            let _ = spawn_blocking(move || drop(lock(&shelf))).await;
        }
        self.shared.clear_alarms();
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Relaxed);
    }
}

async fn run(shared: Arc<Shared>, mut orders: mpsc::Receiver<Order>) {
    shared.tidy().await;
    let mut due = shared.first_read().map(|wait| Instant::now() + wait);
    let mut failures = 0;
    loop {
        shared.look();
        let look = Instant::now() + LOOK;
        let order = tokio::select! {
            () = sleep_until(due.map_or(look, |due| due.min(look))) => None,
            order = orders.recv() => match order {
                Some(order) => Some(order),
                None => return,
            },
        };
        let done = match order {
            Some(Order::Confirm(done)) => {
                let _ = done.send(shared.confirm().await);
                continue;
            }
            Some(Order::Read(done)) => Some(done),
            None if due.is_some_and(|due| Instant::now() >= due) => None,
            None => continue,
        };
        let read = shared.read().await;
        failures = if read.is_ok() { 0 } else { failures + 1 };
        due = shared.every.map(|every| Instant::now() + wait(every, failures));
        if let Some(done) = done {
            // Whoever asked may have gone.
            let _ = done.send(read.map_err(|fault| fault.to_string()));
        }
    }
}

/// Until the next read, after so many that failed in a row.
fn wait(every: Duration, failures: u32) -> Duration {
    match failures {
        0 => every,
        failures => RETRY.saturating_mul(1 << (failures - 1).min(16)).min(RETRY_MAX).min(every),
    }
}

impl Shared {
    /// Whom the copy knows to have this address; for when the directory cannot be asked.
    pub(super) fn vouch(&self, address: &Address) -> Option<LookupAnswer> {
        let copy = self.copy();
        let owner = copy.owner(address)?;
        let because = format!("{owner}, by the copy of the directory").into();
        Some(LookupAnswer::Stream { stream: owner.stream.into(), because })
    }

    pub(super) fn copy(&self) -> Arc<Copy> {
        self.copy.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn standing(&self) -> MutexGuard<'_, Standing> {
        lock(&self.standing)
    }

    /// How long until the first read: a copy from the disk is as good as before.
    fn first_read(&self) -> Option<Duration> {
        let now = self.appliance.clock.now().unix_seconds();
        let wait = |every: Duration| {
            self.copy().age(now).map_or(Duration::ZERO, |age| every.saturating_sub(age)).min(every)
        };
        self.every.map(wait)
    }

    /// Drops what lies on the disk and does not hold.
    async fn tidy(&self) {
        let Some(shelf) = self.shelf.clone() else { return };
        if let Ok(Err(error)) = spawn_blocking(move || lock(&shelf).tidy()).await {
            self.failed(&Fault::NotKept(error));
        }
    }

    /// Reads the directory, and takes what was read for the copy unless too much would be lost.
    async fn read(&self) -> Result<(), Fault> {
        let read = timeout(READ, self.read_all()).await.unwrap_or(Err(Fault::Slow));
        let taken = match read {
            Ok(read) if self.every.is_some() => self.take(read).await,
            Ok(_) => Ok(()),
            Err(fault) => Err(fault),
        };
        match &taken {
            Ok(()) => self.recovered(),
            Err(fault) => self.failed(fault),
        }
        taken
    }

    async fn read_all(&self) -> Result<Read, Fault> {
        let mut read = Read::default();
        // What changes from now on may not be in it.
        read.copy.set_synced(self.appliance.clock.now().unix_seconds());
        let mut pages = self.directory.read_all();
        while let Some(page) = pages.next().await? {
            for recipient in page {
                let object = match recipient.object() {
                    Ok(object) if object.record().len() <= RECORD_MAX => object,
                    Ok(_) => {
                        read.leave_out(&recipient.dn, "its addresses are too long");
                        continue;
                    }
                    Err(why) => {
                        read.leave_out(&recipient.dn, &why.to_string());
                        continue;
                    }
                };
                read.copy.put(&object)?;
            }
        }
        read.copy.shrink();
        Ok(read)
    }

    async fn take(&self, read: Read) -> Result<(), Fault> {
        let Read { copy, left_out, left_out_why } = read;
        let (old, new) = (self.copy(), Arc::new(copy));
        if new.is_empty() && old.is_empty() {
            return Err(Fault::Nobody);
        }
        let (ours, judged) = (self.ours.clone(), new.clone());
        let Judgement { losses, is_same } = blocking(move || judge(&old, &judged, &ours)).await;
        {
            let mut standing = self.standing();
            (standing.left_out, standing.left_out_why) = (left_out, left_out_why);
        }
        match losses {
            Some(losses) => {
                self.hold(Held { read: new, losses });
                Ok(())
            }
            None => self.put_into_use(new, is_same).await,
        }
    }

    fn hold(&self, held: Held) {
        let losses = held.losses.clone();
        let before = self.standing().held.replace(held);
        if before.is_none_or(|before| before.losses != losses) {
            self.tell_held(&losses);
        }
    }

    /// Takes what was held for the copy.
    async fn confirm(&self) -> Result<(), String> {
        let Some(held) = self.standing().held.take() else { return Err("nothing is held".to_owned()) };
        self.tell_released();
        let kept = self.put_into_use(held.read, false).await;
        if let Err(fault) = &kept {
            self.failed(fault);
        }
        kept.map_err(|fault| fault.to_string())
    }

    async fn put_into_use(&self, copy: Arc<Copy>, is_same: bool) -> Result<(), Fault> {
        if self.standing().held.take().is_some() {
            self.tell_released();
        }
        *self.copy.write().unwrap_or_else(PoisonError::into_inner) = copy.clone();
        self.tell_read(&copy);
        let Some(shelf) = self.shelf.clone() else { return Ok(()) };
        let now = self.appliance.clock.now().unix_seconds();
        let read_at = now.saturating_sub(copy.age(now).unwrap_or_default().as_secs());
        Ok(blocking(move || lock(&shelf).keep(&copy, read_at, is_same)).await?)
    }
}

impl Read {
    fn leave_out(&mut self, name: &str, why: &str) {
        if self.left_out == 0 {
            self.left_out_why =
                format!("{name}: {why}").chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        }
        self.left_out += 1;
    }
}

fn judge(old: &Copy, new: &Copy, ours: &HashSet<DomainName>) -> Judgement {
    let difference = Difference::between(old, new);
    let is_ours = |domain: &str| DomainName::parse(domain).is_ok_and(|domain| ours.contains(&domain));
    let losses: Vec<String> = difference
        .held()
        .filter(|(domain, _)| is_ours(domain))
        .take(DOMAINS_SHOWN)
        .map(|(domain, change)| format!("{} of {} addresses in {domain}", change.removed, change.before))
        .collect();
    let losses = (!losses.is_empty()).then(|| losses.join(", "));
    Judgement { losses, is_same: new.has_same_objects(old) }
}

/// What takes long has a thread of its own.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match spawn_blocking(work).await {
        Ok(done) => done,
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
