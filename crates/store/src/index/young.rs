//! Index pages in memory of our own, from when they are handed out until they are written to their slab.
//!
//! A page that is filled in its slab's map costs a fault, and with it some microseconds of the file system, for each 168 entries; one that is
//! filled here costs its share of a large write, or nothing at all when it is let go of before.
//!
//! Invariants:
//! - Nothing here is on the disk: what a checkpoint refers to is written first.
//! - There are never more than [`PAGES_YOUNG_MAX`], in memory that grows with their number.

use super::pages::PageNumber;
use crate::limits::{PAGE_BYTES, PAGES_YOUNG_MAX};

/// So many pages get their memory together.
const CHUNK_PAGES: usize = 64;
// The last slot has a number of 16 bits.
const _: () = assert!(PAGES_YOUNG_MAX.is_multiple_of(CHUNK_PAGES) && PAGES_YOUNG_MAX < 1 << 16);

/// The place of a page here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Slot(u16);

impl Slot {
    fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// Pages that no slab has yet. See the module's description.
#[derive(Default)]
pub(super) struct Young {
    chunks: Vec<Box<[u8]>>,
    /// Of each slot, which page it has, and how many had come with that one.
    held: Vec<Option<(u64, PageNumber)>>,
    /// The slot that comes next is the last.
    free: Vec<Slot>,
    taken: u64,
}

impl Young {
    /// A place for a page, with arbitrary contents; `None` when all are taken.
    pub(super) fn take(&mut self, page: PageNumber) -> Option<Slot> {
        if self.free.is_empty() {
            self.grow();
        }
        let slot = self.free.pop()?;
        self.taken += 1;
        self.held[slot.index()] = Some((self.taken, page));
        Some(slot)
    }

    fn grow(&mut self) {
        let first = self.held.len();
        if first == PAGES_YOUNG_MAX {
            return;
        }
        self.chunks
            .push(vec![0; CHUNK_PAGES * PAGE_BYTES].into_boxed_slice());
        self.held.resize(first + CHUNK_PAGES, None);
        let slots = (first..self.held.len()).map(|slot| u16::try_from(slot).expect("slots are few"));
        self.free.extend(slots.rev().map(Slot));
    }

    /// The page that is there goes.
    pub(super) fn leave(&mut self, slot: Slot) {
        let left = self.held[slot.index()].take();
        debug_assert!(left.is_some(), "a page leaves once");
        self.free.push(slot);
    }

    /// The pages that have been here longest, at most `count`, by their numbers.
    pub(super) fn oldest(&self, count: usize) -> Vec<(PageNumber, Slot)> {
        let mut all: Vec<_> = (0..)
            .zip(&self.held)
            .filter_map(|(slot, held)| held.map(|(taken, page)| (taken, page, Slot(slot))))
            .collect();
        if count < all.len() {
            all.select_nth_unstable_by_key(count, |(taken, ..)| *taken);
            all.truncate(count);
        }
        let mut pages: Vec<_> = all.into_iter().map(|(_, page, slot)| (page, slot)).collect();
        pages.sort_unstable_by_key(|(page, _)| *page);
        pages
    }

    pub(super) fn bytes(&self, slot: Slot) -> &[u8] {
        &self.chunks[slot.index() / CHUNK_PAGES][offset(slot)..][..PAGE_BYTES]
    }

    pub(super) fn bytes_mut(&mut self, slot: Slot) -> &mut [u8] {
        &mut self.chunks[slot.index() / CHUNK_PAGES][offset(slot)..][..PAGE_BYTES]
    }
}

/// Where in its chunk a page lies.
fn offset(slot: Slot) -> usize {
    slot.index() % CHUNK_PAGES * PAGE_BYTES
}

/// How many of the pages, from the first on, follow each other by their numbers.
pub(super) fn run_len(pages: &[(PageNumber, Slot)]) -> usize {
    let follows = |pair: &&[(PageNumber, Slot)]| pair[0].0 + 1 == pair[1].0;
    pages.windows(2).take_while(follows).count() + usize::from(!pages.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn young(pages: u32) -> Young {
        let mut young = Young::default();
        for page in 0..pages {
            let slot = young.take(page).unwrap();
            young.bytes_mut(slot).fill(u8::try_from(page % 251).unwrap());
        }
        young
    }

    #[test]
    fn the_oldest_are_those_that_came_first_and_are_still_there() {
        let mut young = young(8);
        for (_, slot) in young.oldest(2) {
            young.leave(slot);
        }
        // It takes the place of a page that left, and is the youngest all the same.
        young.take(100).unwrap();
        let numbers =
            |pages: Vec<(PageNumber, Slot)>| pages.into_iter().map(|(page, _)| page).collect::<Vec<_>>();
        assert_eq!(numbers(young.oldest(3)), [2, 3, 4]);
        assert_eq!(numbers(young.oldest(99)), [2, 3, 4, 5, 6, 7, 100]);
    }

    #[test]
    fn pages_that_follow_each_other_are_one_run_wherever_they_lie() {
        let mut young = young(8);
        let pages = young.oldest(8);
        for (_, slot) in &pages {
            young.leave(*slot);
        }
        for page in 10..18 {
            young.take(page).unwrap();
        }
        let pages = young.oldest(8);
        assert_eq!(run_len(&pages), 8, "whatever slots came back first");
        let holes: Vec<_> = pages.iter().copied().filter(|(page, _)| *page != 13).collect();
        assert_eq!(run_len(&holes), 3);
        assert_eq!(run_len(&[]), 0);
    }

    #[test]
    fn no_more_are_taken_than_there_may_be() {
        let mut young = young(u32::try_from(PAGES_YOUNG_MAX).unwrap());
        assert_eq!(young.take(7), None);
        let (_, slot) = young.oldest(1)[0];
        young.leave(slot);
        assert_eq!(young.take(7), Some(slot));
    }
}
