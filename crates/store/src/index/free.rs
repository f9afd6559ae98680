//! Pages of the index that nobody uses, and in which slabs they lie.
//!
//! Invariants:
//! - Pages of the lowest slab that has any are handed out first, so that the last slabs fall vacant after a backlog has gone.
//! - To hand one out, to take one back and to ask whether a slab is vacant takes as long however many there are.

use super::pages::PageNumber;

/// See the module.
pub(super) struct FreePages {
    per_slab: usize,
    /// Of each slab its free pages; the one that goes next is the last.
    slabs: Vec<Vec<PageNumber>>,
    /// No slab before this one has any.
    lowest: usize,
    count: usize,
}

impl FreePages {
    pub(super) const fn new(per_slab: usize) -> Self {
        Self {
            per_slab,
            slabs: Vec::new(),
            lowest: 0,
            count: 0,
        }
    }

    pub(super) const fn count(&self) -> usize {
        self.count
    }

    /// One more slab, all of whose pages are free; they go by their numbers.
    pub(super) fn add_slab(&mut self, pages: impl DoubleEndedIterator<Item = PageNumber>) {
        let pages: Vec<_> = pages.rev().collect();
        self.count += pages.len();
        self.slabs.push(pages);
    }

    /// Whether none of the pages of the last slab is in use.
    pub(super) fn has_vacant_slab(&self) -> bool {
        self.slabs
            .last()
            .is_some_and(|pages| pages.len() == self.per_slab)
    }

    /// Takes the last slab out, with its pages.
    pub(super) fn remove_slab(&mut self) {
        let pages = self.slabs.pop();
        self.count -= pages.map_or(0, |pages| pages.len());
        self.lowest = self.lowest.min(self.slabs.len());
    }

    /// The page that is handed out next.
    pub(super) fn next(&mut self) -> Option<PageNumber> {
        while self.slabs.get(self.lowest)?.is_empty() {
            self.lowest += 1;
        }
        self.slabs[self.lowest].last().copied()
    }

    /// Hands out what [`next`](Self::next) says.
    pub(super) fn take(&mut self) -> Option<PageNumber> {
        let page = self.next()?;
        self.slabs[self.lowest].pop();
        self.count -= 1;
        Some(page)
    }

    pub(super) fn put(&mut self, page: PageNumber) {
        let slab = super::pages::index(page) / self.per_slab;
        self.slabs[slab].push(page);
        self.lowest = self.lowest.min(slab);
        self.count += 1;
    }

    /// Keeps those that are `free` still.
    pub(super) fn retain(&mut self, mut free: impl FnMut(PageNumber) -> bool) {
        for pages in &mut self.slabs {
            pages.retain(|page| free(*page));
        }
        self.count = self.slabs.iter().map(Vec::len).sum();
    }
}
