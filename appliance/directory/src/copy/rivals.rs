//! The claims to one address, in the order of precedence.
//!
//! A directory may give one address to all of its objects. The claims are a treap, a search tree whose shape comes
//! from a secret number of each claim, so that it stays flat in whatever order they come and go.

use std::hash::BuildHasher;

use super::{Copy, NONE};

impl Copy {
    /// Whether one claim goes before another: by the kind of its object, then by its id, so that the order in which
    /// a directory tells them does not matter.
    fn precedes(&self, one: u32, other: u32) -> bool {
        let rank = |claim: u32| {
            let slot = &self.objects[self.claims[claim as usize].object as usize];
            (slot.kind, self.arena.get(slot.id))
        };
        rank(one) < rank(other)
    }

    fn weight(&self, claim: u32) -> u64 {
        self.hasher.hash_one(claim)
    }

    /// Adds a claim to the tree; returns its new root.
    pub(super) fn join(&mut self, root: u32, new: u32) -> u32 {
        if root == NONE {
            return new;
        }
        let (mut above, mut at) = (None, root);
        while at != NONE && self.weight(at) > self.weight(new) {
            let side = usize::from(self.precedes(at, new));
            above = Some((at, side));
            at = self.claims[at as usize].rivals[side];
        }
        self.claims[new as usize].rivals = self.split(at, new);
        self.hang(root, above, new)
    }

    /// Takes a claim out of the tree; returns its new root.
    pub(super) fn leave(&mut self, root: u32, gone: u32) -> u32 {
        let (mut above, mut at) = (None, root);
        while at != gone && at != NONE {
            let side = usize::from(self.precedes(at, gone));
            above = Some((at, side));
            at = self.claims[at as usize].rivals[side];
        }
        let [before, after] = std::mem::replace(&mut self.claims[gone as usize].rivals, [NONE; 2]);
        let rest = self.merge(before, after);
        self.hang(root, above, rest)
    }

    /// Puts a subtree in its place, which may be the root's.
    fn hang(&mut self, root: u32, above: Option<(u32, usize)>, tree: u32) -> u32 {
        match above {
            None => tree,
            Some((above, side)) => {
                self.claims[above as usize].rivals[side] = tree;
                root
            }
        }
    }

    /// Parts a tree into what goes before `claim` and what comes after it.
    fn split(&mut self, tree: u32, claim: u32) -> [u32; 2] {
        let mut parts = [NONE; 2];
        let mut ends = [None; 2];
        let mut at = tree;
        while at != NONE {
            // What precedes goes to the part before with all that precedes it, too.
            let part = usize::from(!self.precedes(at, claim));
            parts[part] = self.hang(parts[part], ends[part], at);
            ends[part] = Some((at, 1 - part));
            at = self.claims[at as usize].rivals[1 - part];
        }
        for part in [0, 1] {
            parts[part] = self.hang(parts[part], ends[part], NONE);
        }
        parts
    }

    /// Makes one tree of two, all of whose claims go before those of the other.
    fn merge(&mut self, mut before: u32, mut after: u32) -> u32 {
        let (mut root, mut above) = (NONE, None);
        while before != NONE && after != NONE {
            let is_before = self.weight(before) > self.weight(after);
            let (top, side) = if is_before { (before, 1) } else { (after, 0) };
            root = self.hang(root, above, top);
            above = Some((top, side));
            let next = self.claims[top as usize].rivals[side];
            if is_before { before = next } else { after = next }
        }
        let rest = if before == NONE { after } else { before };
        self.hang(root, above, rest)
    }

    /// The claim that has the address.
    pub(super) fn foremost(&self, root: u32) -> u32 {
        let mut at = root;
        loop {
            match self.claims[at as usize].rivals[0] {
                NONE => return at,
                before => at = before,
            }
        }
    }

    /// All claims of a tree, in their order.
    pub(super) fn claims_to(&self, root: u32) -> impl Iterator<Item = u32> {
        let (mut open, mut at) = (Vec::new(), root);
        std::iter::from_fn(move || {
            while at != NONE {
                open.push(at);
                at = self.claims[at as usize].rivals[0];
            }
            let claim = open.pop()?;
            at = self.claims[claim as usize].rivals[1];
            Some(claim)
        })
    }
}
