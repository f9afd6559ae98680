//! Where a queue's entries lie: in which index pages, and how much of them in which segment.
//!
//! Invariant: a segment stands here as long as an entry of the queue lives in it, and no longer.

use super::Queue;
use crate::format::byte_count;
use crate::ids::{SegmentNumber, Seq};
use crate::index::page;
use crate::index::pages::PageNumber;
use crate::live::Live;
use std::ops::Range;

impl Queue {
    /// The page that holds `seq`, if there is one.
    pub(crate) fn page(&self, seq: u64) -> Option<PageNumber> {
        let at = page::page_of(Seq::new(seq)).checked_sub(self.first_page)?;
        *self.pages.get(usize::try_from(at).ok()?)?
    }

    /// The number, within the queue, behind that of its last page.
    pub(crate) fn pages_end(&self) -> u64 {
        self.first_page + byte_count(self.pages.len())
    }

    /// Takes out the page that holds just these entries, if all of them are dead.
    pub(crate) fn take_dead_page(&mut self, entries: Range<u64>) -> Option<PageNumber> {
        if !self.are_dead(entries.clone()) {
            return None;
        }
        let at = page::page_of(Seq::new(entries.start)).checked_sub(self.first_page)?;
        self.pages.get_mut(usize::try_from(at).ok()?)?.take()
    }

    /// The place for the page that holds `seq`, which is not below the floor.
    pub(crate) fn page_slot(&mut self, seq: u64) -> &mut Option<PageNumber> {
        let number = page::page_of(Seq::new(seq));
        if self.pages.is_empty() {
            self.first_page = number;
        }
        while number < self.first_page {
            self.pages.push_front(None);
            self.first_page -= 1;
        }
        let at = usize::try_from(number - self.first_page).expect("pages of a queue fit into memory");
        if at >= self.pages.len() {
            self.pages.resize(at + 1, None);
        }
        &mut self.pages[at]
    }

    /// The first entry from `from` on, but at most `end`, that a page exists for.
    pub(crate) fn next_page_start(&self, from: u64, end: u64) -> u64 {
        let first = page::page_of(Seq::new(from)).max(self.first_page);
        let skip = usize::try_from(first - self.first_page).unwrap_or(usize::MAX);
        let found = self.pages.iter().skip(skip).position(Option::is_some);
        let page = found
            .and_then(|at| u64::try_from(at).ok())
            .map_or(u64::MAX, |at| first + at);
        page.saturating_mul(page::ENTRIES).max(from).min(end)
    }

    /// Counts `more` in `segment`.
    pub(crate) fn add_live(&mut self, segment: SegmentNumber, more: Live) {
        match self.segments.back_mut() {
            Some((last, live)) if *last == segment => live.add(more),
            _ => match self.segments.iter_mut().find(|(number, _)| *number == segment) {
                Some((_, live)) => live.add(more),
                None => self.segments.push_back((segment, more)),
            },
        }
    }

    /// Counts `less` off `segment`.
    pub(crate) fn remove_live(&mut self, segment: SegmentNumber, less: Live) {
        if let Some(at) = self.segments.iter().position(|(number, _)| *number == segment) {
            let live = &mut self.segments[at].1;
            live.remove(less);
            if live.entries == 0 {
                self.segments.remove(at);
            }
        }
    }
}
