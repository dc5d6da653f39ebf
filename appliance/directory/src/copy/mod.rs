//! The local copy of a directory: whose address is this, without asking anybody.
//!
//! Objects are applied by their ids, as often and in whatever order a directory repeats them: the last word wins.
//! LDAP and Graph both fill such a copy, and it answers while the directory is away. Small: texts stand in one piece
//! of memory, and everything else names them by number.

mod arena;
mod difference;
mod object;
mod rivals;

use std::{hash::BuildHasher, hash::RandomState, time::Duration};

use hashbrown::HashTable;
use smtp::address::Address;

use crate::answer::LookupAnswer;
use arena::{Arena, Text};

pub use difference::{Change, Difference, DomainChange, SHOWN_MAX};
pub use object::{ID_MAX, Kind, LABEL_MAX, Object, ObjectError, Owner};

/// Objects of a copy.
pub const OBJECTS_MAX: usize = 500_000;
/// Addresses of a copy, each counted for every object that claims it.
pub const ADDRESSES_MAX: usize = 1_000_000;
/// Addresses of one object; Exchange Online allows 400.
pub const OBJECT_ADDRESSES_MAX: usize = 1_000;
/// Octets of all texts together.
pub const TEXT_MAX: usize = 256 << 20;

/// No number.
const NONE: u32 = u32::MAX;

/// A directory's objects and addresses.
#[derive(Debug, Default)]
pub struct Copy {
    arena: Arena,
    hasher: RandomState,
    objects: Vec<Slot>,
    free_objects: Vec<u32>,
    by_id: HashTable<u32>,
    claims: Vec<Claim>,
    free_claims: Vec<u32>,
    /// To one claim of each address, from which the others are found.
    by_address: HashTable<u32>,
    /// When the directory was last heard in full, in seconds since 1970.
    synced: Option<u64>,
}

/// An object, with the first of its claims.
#[derive(Debug, Clone, Copy)]
struct Slot {
    id: Text,
    label: Text,
    stream: Text,
    claim: u32,
    kind: Kind,
    /// Whether the stream's text is that of an address.
    shares_text: bool,
}

/// An object's claim to an address; each is in the object's chain and in the tree of the address.
#[derive(Debug, Clone, Copy)]
struct Claim {
    address: Text,
    object: u32,
    /// The object's next claim.
    next: u32,
    /// Claims to the same address: of objects that go before, and of objects that come after.
    rivals: [u32; 2],
}

/// A limit of the copy; nothing was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CopyFull {
    /// [`OBJECTS_MAX`].
    #[error("the directory has more than {OBJECTS_MAX} entries")]
    Objects,
    /// [`ADDRESSES_MAX`].
    #[error("the directory has more than {ADDRESSES_MAX} addresses")]
    Addresses,
    /// [`TEXT_MAX`].
    #[error("the directory has more than {TEXT_MAX} bytes of text")]
    Text,
}

/// An address that several objects claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict<'c> {
    /// The address.
    pub address: &'c str,
    /// Who has it.
    pub owner: Owner<'c>,
    /// Who claims it, too, and has it not.
    pub others: Vec<Owner<'c>>,
}

impl Copy {
    /// An empty one.
    pub fn new() -> Copy {
        Copy::default()
    }

    /// Takes an object in; one of the same id gives way with all its addresses.
    ///
    /// # Errors
    /// A limit; then nothing has changed.
    pub fn put(&mut self, object: &Object) -> Result<(), CopyFull> {
        let old = self.slot_of(object.id());
        let addresses = object.addresses().len();
        let given_up = old.map_or(0, |old| self.claims_of(old).count());
        if old.is_none() && self.len() >= OBJECTS_MAX {
            return Err(CopyFull::Objects);
        }
        if self.addresses() - given_up + addresses > ADDRESSES_MAX {
            return Err(CopyFull::Addresses);
        }
        let octets = object.id().len() + object.label().len() + object.stream().len();
        if !self.arena.has_room_for(octets + object.addresses().map(str::len).sum::<usize>()) {
            return Err(CopyFull::Text);
        }
        self.remove(object.id());
        self.insert(object)
    }

    fn insert(&mut self, object: &Object) -> Result<(), CopyFull> {
        let (id, label) = (self.arena.add(object.id())?, self.arena.add(object.label())?);
        let mut texts = Vec::with_capacity(object.addresses().len());
        let mut stream = None;
        for address in object.addresses() {
            let text = self.arena.add(address)?;
            // Most streams are called as one of the addresses.
            stream = stream.or((address == object.stream()).then_some(text));
            texts.push(text);
        }
        let shares_text = stream.is_some();
        let stream = match stream {
            Some(stream) => stream,
            None => self.arena.add(object.stream())?,
        };
        let slot = Slot { id, label, stream, claim: NONE, kind: object.kind(), shares_text };
        let at = place(&mut self.objects, &mut self.free_objects, slot);
        let Copy { by_id, hasher, objects, arena, .. } = self;
        let hash = |at: &u32| hasher.hash_one(arena.get(objects[*at as usize].id));
        by_id.insert_unique(hasher.hash_one(object.id()), at, hash);
        for text in texts.into_iter().rev() {
            self.claim(at, text);
        }
        Ok(())
    }

    /// Adds a claim to the chain of its object and to the tree of its address.
    fn claim(&mut self, object: u32, address: Text) {
        let next = self.objects[object as usize].claim;
        let claim = Claim { address, object, next, rivals: [NONE; 2] };
        let new = place(&mut self.claims, &mut self.free_claims, claim);
        self.objects[object as usize].claim = new;
        let root = self.claim_to(self.arena.get(address));
        let joined = self.join(root, new);
        self.set_root(root, joined);
    }

    /// Makes `new` the claim by which its address is found in place of `old`; either may be none.
    fn set_root(&mut self, old: u32, new: u32) {
        if old == new {
            return;
        }
        let Copy { by_address, hasher, claims, arena, .. } = self;
        let of = |claim: u32| hasher.hash_one(arena.get(claims[claim as usize].address));
        if old == NONE {
            by_address.insert_unique(of(new), new, |at| of(*at));
        } else if let Ok(mut entry) = by_address.find_entry(of(old), |at| *at == old) {
            if new == NONE {
                entry.remove();
            } else {
                *entry.get_mut() = new;
            }
        }
    }

    /// Takes an object out with all its addresses. False: there is none of this id.
    pub fn remove(&mut self, id: &str) -> bool {
        let Some(at) = self.slot_of(id) else { return false };
        let claims: Vec<u32> = self.claims_of(at).collect();
        for claim in claims {
            self.disclaim(claim);
        }
        let Copy { by_id, hasher, arena, objects, free_objects, .. } = self;
        if let Ok(entry) = by_id.find_entry(hasher.hash_one(id), |known| *known == at) {
            entry.remove();
        }
        let slot = objects[at as usize];
        arena.forget(slot.id);
        arena.forget(slot.label);
        if !slot.shares_text {
            arena.forget(slot.stream);
        }
        free_objects.push(at);
        if self.arena.is_wasteful() {
            self.rebuild();
        }
        true
    }

    fn disclaim(&mut self, claim: u32) {
        let address = self.claims[claim as usize].address;
        let root = self.claim_to(self.arena.get(address));
        let left = self.leave(root, claim);
        self.set_root(root, left);
        self.arena.forget(address);
        self.free_claims.push(claim);
    }

    /// Without the garbage.
    fn rebuild(&mut self) {
        let mut new = Copy { synced: self.synced, ..Copy::default() };
        let all_in = self.objects().all(|object| new.put(&object).is_ok());
        debug_assert!(all_in, "what fitted with its garbage fits without");
        if all_in {
            *self = new;
        }
    }

    /// Whose address this is.
    pub fn owner(&self, address: &Address) -> Option<Owner<'_>> {
        let claim = self.claim_to(&address.key());
        (claim != NONE).then(|| self.owner_of(self.foremost(claim)))
    }

    /// The answer of the copy at `now`, in seconds since 1970. It proves that an address is unknown only while it is
    /// no older than `proves_for`; that one is known it says at any age.
    pub fn answer(&self, address: &Address, now: u64, proves_for: Duration) -> LookupAnswer {
        if let Some(owner) = self.owner(address) {
            return LookupAnswer::Stream { stream: owner.stream.into(), because: owner.to_string().into() };
        }
        match self.age(now) {
            Some(age) if age <= proves_for => LookupAnswer::Unknown,
            Some(age) => {
                let why = format!("the copy of the directory is {} hours old", age.as_secs() / 3_600);
                LookupAnswer::Unavailable { why: why.into() }
            }
            None => LookupAnswer::Unavailable { why: "the directory has not been read yet".into() },
        }
    }

    /// The directory has been heard in full at this moment, in seconds since 1970.
    pub fn set_synced(&mut self, at: u64) {
        self.synced = Some(at);
    }

    /// How old the copy is; `None`: it was never complete.
    pub fn age(&self, now: u64) -> Option<Duration> {
        self.synced.map(|at| Duration::from_secs(now.saturating_sub(at)))
    }

    /// Objects.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// Addresses, each counted for every object that claims it.
    pub fn addresses(&self) -> usize {
        self.claims.len() - self.free_claims.len()
    }

    /// The object of this id.
    pub fn object(&self, id: &str) -> Option<Object> {
        self.slot_of(id).map(|at| self.object_at(at))
    }

    /// All of them, in no order.
    pub fn objects(&self) -> impl Iterator<Item = Object> {
        self.by_id.iter().map(|at| self.object_at(*at))
    }

    /// Whether the other has the same objects, whenever either was heard.
    pub fn has_same_objects(&self, other: &Copy) -> bool {
        self.len() == other.len()
            && self.objects().all(|object| other.object(object.id()).as_ref() == Some(&object))
    }

    /// The addresses that several objects claim.
    pub fn conflicts(&self) -> impl Iterator<Item = Conflict<'_>> {
        let contested =
            self.by_address.iter().filter(|root| self.claims[**root as usize].rivals != [NONE; 2]);
        contested.filter_map(|root| {
            let address = self.arena.get(self.claims[*root as usize].address);
            let mut owners = self.claims_to(*root).map(|claim| self.owner_of(claim));
            Some(Conflict { address, owner: owners.next()?, others: owners.collect() })
        })
    }

    /// Gives back what was reserved for more; after a full read.
    pub fn shrink(&mut self) {
        self.arena.shrink();
        self.objects.shrink_to_fit();
        self.claims.shrink_to_fit();
        self.free_objects.shrink_to_fit();
        self.free_claims.shrink_to_fit();
    }

    /// Octets that the copy takes, reserved ones counted.
    pub fn memory(&self) -> usize {
        let lists = (self.free_objects.capacity() + self.free_claims.capacity()) * size_of::<u32>();
        self.arena.capacity()
            + self.objects.capacity() * size_of::<Slot>()
            + self.claims.capacity() * size_of::<Claim>()
            + self.by_id.allocation_size()
            + self.by_address.allocation_size()
            + lists
    }

    fn slot_of(&self, id: &str) -> Option<u32> {
        let is_it = |at: &u32| self.arena.get(self.objects[*at as usize].id) == id;
        self.by_id.find(self.hasher.hash_one(id), is_it).copied()
    }

    /// One of the claims to an address, the root of their tree.
    fn claim_to(&self, key: &str) -> u32 {
        let is_it = |at: &u32| self.arena.get(self.claims[*at as usize].address) == key;
        self.by_address.find(self.hasher.hash_one(key), is_it).copied().unwrap_or(NONE)
    }

    fn owner_of(&self, claim: u32) -> Owner<'_> {
        let slot = &self.objects[self.claims[claim as usize].object as usize];
        let text = |text| self.arena.get(text);
        Owner { id: text(slot.id), kind: slot.kind, label: text(slot.label), stream: text(slot.stream) }
    }

    fn object_at(&self, at: u32) -> Object {
        let slot = &self.objects[at as usize];
        let addresses = self.claims_of(at).map(|claim| self.arena.get(self.claims[claim as usize].address));
        let text = |text| self.arena.get(text);
        Object::of_parts(text(slot.id), slot.kind, text(slot.label), text(slot.stream), addresses)
    }

    fn claims_of(&self, object: u32) -> impl Iterator<Item = u32> {
        chain(self.objects[object as usize].claim, |at| self.claims[at as usize].next)
    }
}

fn chain(first: u32, next: impl Fn(u32) -> u32) -> impl Iterator<Item = u32> {
    let some = |at: u32| (at != NONE).then_some(at);
    std::iter::successors(some(first), move |at| some(next(*at)))
}

/// Puts a thing where there is room.
fn place<T>(things: &mut Vec<T>, free: &mut Vec<u32>, thing: T) -> u32 {
    if let Some(at) = free.pop() {
        things[at as usize] = thing;
        return at;
    }
    things.push(thing);
    u32::try_from(things.len() - 1).expect("the limits are far below this")
}

#[cfg(test)]
mod tests;
