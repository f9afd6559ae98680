//! Taking entries that were never leased and follow each other, a page at a time: what a consumer that keeps up does all
//! the time.
//!
//! Invariants:
//! - A run is what its entries would have been one by one.
//! - It ends before the first entry that is no message, or is expired: the walk entry by entry (`lease`) decides about that.

use super::{COLD, Lease, Source, Sources, source_of};
use crate::attempts::Attempts;
use crate::disk::{Disk, Now};
use crate::format::disk_len;
use crate::ids::{Lsn, Seq};
use crate::index::page::{self, ENTRIES};
use crate::index::pages::{DamagedPage, Pages};
use crate::queue::Queue;
use crate::ring::Ring;
use crate::segments::Segments;
use crate::units::Units;
use std::ops::Range;

/// How much is still wanted, and where it goes.
pub(super) struct Taking<'a, D: Disk> {
    pub ring: &'a Ring,
    pub units: &'a Units<D>,
    pub segments: &'a mut Segments<D>,
    pub out: &'a mut Vec<Lease>,
    pub sources: &'a mut Sources,
    /// The place of the segment that was pinned last.
    pinned: Option<usize>,
    /// The addresses that the newest of the sources holds.
    newest: Range<Lsn>,
    messages_left: u64,
    bytes_left: u64,
    pub taken: u64,
}

impl<'a, D: Disk> Taking<'a, D> {
    pub(super) const fn new(
        ring: &'a Ring,
        units: &'a Units<D>,
        segments: &'a mut Segments<D>,
        out: &'a mut Vec<Lease>,
        sources: &'a mut Sources,
        (messages_max, bytes_max): (u64, u64),
    ) -> Self {
        Self {
            ring,
            units,
            segments,
            out,
            sources,
            pinned: None,
            newest: Lsn::new(0)..Lsn::new(0),
            messages_left: messages_max,
            bytes_left: bytes_max,
            taken: 0,
        }
    }

    /// Whether it may take more.
    pub(super) const fn wants_more(&self) -> bool {
        self.messages_left > 0 && self.bytes_left > 0
    }

    /// Takes an entry, whose lease the queue has counted or will.
    #[inline]
    pub(super) fn take(&mut self, seq: u64, entry: &page::Entry, redelivered: bool, attempts: Attempts) {
        let source = self.hold(entry.lsn);
        self.out.push(Lease {
            seq: Seq::new(seq),
            lsn: entry.lsn,
            len: entry.len,
            redelivered,
            source,
            attempts,
        });
        self.taken += 1;
        self.messages_left -= 1;
        self.bytes_left = self.bytes_left.saturating_sub(u64::from(entry.len));
    }

    /// Sees that the message at `lsn` can be read without the lock.
    #[inline]
    fn hold(&mut self, lsn: Lsn) -> u32 {
        if self.newest.contains(&lsn) {
            return disk_len(self.sources.blocks.len() - 1);
        }
        self.find(lsn)
    }

    fn find(&mut self, lsn: Lsn) -> u32 {
        let source = source_of(self.ring, self.units, self.sources, lsn);
        if source != COLD {
            let newest = self.sources.blocks.last();
            self.newest = newest.map_or_else(|| self.newest.clone(), Source::extent);
        } else if lsn.is_unlogged() {
            self.sources.pin_spilled(self.units, lsn);
        } else if !self.pinned.is_some_and(|index| self.segments.holds(index, lsn)) {
            self.pinned = self.segments.index_of(lsn);
            let pinned = self.pinned.map(|index| self.segments.at_mut(index).file.pin());
            self.sources.pins.extend(pinned);
        }
        source
    }

    /// Takes what follows the cursor of `queue` and lies below `end`, from one page. Whether there was anything.
    pub(super) fn take_run(
        &mut self,
        queue: &mut Queue,
        pages: &mut Pages<D>,
        end: u64,
        now: Now,
    ) -> Result<bool, DamagedPage> {
        let run = queue.fresh_run(end);
        let stop = run.end.min((run.start / ENTRIES + 1) * ENTRIES);
        let stop = stop.min(run.start.saturating_add(self.messages_left));
        let Some(page) = queue.page(run.start).filter(|_| run.start < stop) else {
            return Ok(false);
        };
        let newest = queue.redelivered.max();
        let some_were_delivered = newest.is_some_and(|newest| newest >= run.start);
        let (before, mut bytes) = (self.taken, 0);
        for (seq, entry) in page::entries(pages.read(page)?, run.start..stop) {
            if self.bytes_left == 0 || queue.is_no_message(seq, &entry) || entry.is_expired(now) {
                break;
            }
            let redelivered = some_were_delivered && queue.redelivered.contains(seq);
            let attempts = if redelivered {
                queue.attempts(seq)
            } else {
                Attempts::default()
            };
            self.take(seq, &entry, redelivered, attempts);
            bytes += entry.body_bytes();
        }
        let taken = self.taken - before;
        queue.lease_run(taken, bytes);
        Ok(taken > 0)
    }
}
