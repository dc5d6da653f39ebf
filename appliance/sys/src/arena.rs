//! Buffers of connections: one reserved mapping, cut into slots, whose pages exist only where touched.

use std::cell::RefCell;
use std::fmt;
use std::mem::ManuallyDrop;
use std::ptr::NonNull;
use std::rc::Rc;

use rustix::mm::{Advice, MapFlags, ProtFlags};

/// A reservation of `slots` × `slot_len` bytes of address space, without memory behind it (`MAP_NORESERVE`).
///
/// Clones share it; it is unmapped when the last clone and the last [`Leased`] are gone.
#[derive(Clone, Debug)]
pub struct Arena(Rc<Mapping>);

struct Mapping {
    base: NonNull<u8>,
    slot_len: usize,
    slots: usize,
    free: RefCell<Vec<u32>>,
}

impl fmt::Debug for Mapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mapping({} slots of {} bytes)", self.slots, self.slot_len)
    }
}

impl Arena {
    /// Reserves the address space. `slot_len` is rounded up to two pages, so that each half of a slot is whole
    /// pages.
    pub fn reserve(slots: u32, slot_len: usize) -> std::io::Result<Arena> {
        let unit = 2 * rustix::param::page_size();
        let slot_len = slot_len.max(1).div_ceil(unit) * unit;
        let slots_len = slots as usize;
        let len = slot_len.checked_mul(slots_len.max(1)).ok_or(std::io::ErrorKind::OutOfMemory)?;
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
        // SAFETY: a fresh anonymous mapping at an address that the kernel chooses; nothing else refers to it.
        let base = unsafe { rustix::mm::mmap_anonymous(std::ptr::null_mut(), len, protection, flags)? };
        let base: NonNull<u8> = NonNull::new(base.cast()).ok_or(std::io::ErrorKind::OutOfMemory)?;
        // A huge page would give 2 MB to a connection that needs 4 kB. A kernel without the call has none.
        // SAFETY: the range is the mapping just made.
        let _ = unsafe { rustix::mm::madvise(base.as_ptr().cast(), len, Advice::LinuxNoHugepage) };
        let free = RefCell::new((0..slots).rev().collect());
        Ok(Arena(Rc::new(Mapping { base, slot_len, slots: slots_len, free })))
    }

    /// Slots that are not leased.
    pub fn free(&self) -> usize {
        self.0.free.borrow().len()
    }

    /// Takes a slot, hands its two halves to `build` and keeps what it makes of them; `None` when no slot is
    /// free. Slots used before are not wiped.
    pub fn lease<H: Holder>(
        &self,
        build: impl for<'a> FnOnce(&'a mut [u8], &'a mut [u8]) -> H::With<'a>,
    ) -> Option<Leased<H>> {
        let slot = self.0.free.borrow_mut().pop()?;
        let half = self.0.slot_len / 2;
        // SAFETY: slot < slots, so that the range lies in the mapping.
        let start = unsafe { self.0.base.add(slot as usize * self.0.slot_len) };
        // SAFETY: mapped, readable, writable, initialised (the kernel gives zeroes), not aliased: the slot is
        // off the free list until the `Leased` is dropped, which drops every user of the slices first.
        let (first, second) = unsafe {
            (
                std::slice::from_raw_parts_mut(start.as_ptr(), half),
                std::slice::from_raw_parts_mut(start.as_ptr().add(half), half),
            )
        };
        let value = ManuallyDrop::new(build(first, second));
        Some(Leased { value, mapping: Rc::clone(&self.0), slot })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        let len = self.slot_len * self.slots.max(1);
        // SAFETY: the mapping of `reserve`; no `Leased` is left, since each holds a reference to `self`.
        let _ = unsafe { rustix::mm::munmap(self.base.as_ptr().cast(), len) };
    }
}

/// Names a type that borrows two buffers for any lifetime.
pub trait Holder {
    type With<'a>;
}

/// A value built on the two halves of a slot; the slot is free again when it is dropped.
pub struct Leased<H: Holder> {
    value: ManuallyDrop<H::With<'static>>,
    mapping: Rc<Mapping>,
    slot: u32,
}

impl<H: Holder> Leased<H> {
    /// Works on the value. The closure must do for any lifetime, so that no buffer can leave it.
    pub fn with<R>(&mut self, work: impl for<'a> FnOnce(&mut H::With<'a>) -> R) -> R {
        work(&mut self.value)
    }

    /// Gives the pages of both halves back to the kernel: their content becomes unspecified. For a moment at
    /// which the value holds nothing in them. Without effect where the kernel does not know the call.
    pub fn discard(&mut self) {
        let len = self.mapping.slot_len;
        // SAFETY: slot < slots. Any byte is a valid u8, and nobody uses the slices while `self` is borrowed
        // mutably, so that the kernel may change them, as a read(2) would.
        let _ = unsafe {
            let start = self.mapping.base.add(self.slot as usize * len);
            rustix::mm::madvise(start.as_ptr().cast(), len, Advice::LinuxDontNeed)
        };
    }
}

impl<H: Holder> Drop for Leased<H> {
    fn drop(&mut self) {
        // SAFETY: dropped once, here; its slices are not used afterwards.
        unsafe { ManuallyDrop::drop(&mut self.value) };
        self.mapping.free.borrow_mut().push(self.slot);
    }
}

impl<H: Holder> fmt::Debug for Leased<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Leased(slot {})", self.slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Pair;
    impl Holder for Pair {
        type With<'a> = (&'a mut [u8], &'a mut [u8]);
    }

    #[test]
    fn slots_are_apart_and_come_back() {
        let arena = Arena::reserve(2, 10_000).unwrap();
        let mut a = arena.lease::<Pair>(|rx, tx| (rx, tx)).unwrap();
        let mut b = arena.lease::<Pair>(|rx, tx| (rx, tx)).unwrap();
        assert!(arena.lease::<Pair>(|rx, tx| (rx, tx)).is_none());
        a.with(|(rx, tx)| (rx.fill(1), tx.fill(2)));
        b.with(|(rx, tx)| assert!(rx.iter().chain(tx.iter()).all(|byte| *byte == 0)));
        a.with(|(rx, tx)| assert!(rx.iter().all(|byte| *byte == 1) && tx.iter().all(|byte| *byte == 2)));
        drop(a);
        assert_eq!(arena.free(), 1);
        drop(arena);
        b.with(|(rx, _)| rx.fill(3));
    }

    #[test]
    fn a_large_reservation_takes_no_memory() {
        let arena = Arena::reserve(10_000, 512 * 1024).unwrap();
        let mut leased = arena.lease::<Pair>(|rx, tx| (rx, tx)).unwrap();
        leased.with(|(rx, _)| assert_eq!(rx.len(), 256 * 1024));
        leased.discard();
    }
}
