//! Mostly dead units of transient messages: what lives in them is moved to the open unit, so that neither memory nor the spill is
//! kept by little.
//!
//! Invariants:
//! - The index is pointed at a copy only where it still points at the original.
//! - A unit that somebody reads is not moved, or stays until it was read.
//! - The files of the spill take at most twice what lives in them, and as much as memory may, once this has come to rest.
//!
//! Elsewhere: reading the unit (`engine::compaction`).

use super::Shard;
use crate::disk::{Disk, Now};
use crate::error::PoisonCause;
use crate::format::message::{self, MessageRecord, Reference};
use crate::format::{disk_len, pad8};
use crate::ids::Lsn;
use crate::index::page::{self, Entry};
use crate::live::Live;
use crate::segments::SegmentFile;
use crate::state::{State, damaged_index, index_failure, leave_place};
use crate::units::ClosedUnit;
use std::sync::Arc;

/// Move what lives in a unit.
pub(crate) enum Compact<D: Disk> {
    Memory(ClosedUnit),
    File(Arc<SegmentFile<D::File>>),
}

/// What came of moving a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Moved {
    /// Whatever of it lives lies elsewhere now.
    Yes,
    /// The index has no pages for that.
    NoPages,
}

impl<D: Disk> Shard<D> {
    pub(super) fn compact_job(&self, now: Now) -> Option<Compact<D>> {
        if now.mono_ms < self.chores.spill_at_ms || !self.has_pages() {
            return None;
        }
        let file = self.state.units.sparsest_file(self.options.transient_bytes)?;
        Some(Compact::File(file))
    }

    /// Moves what lives of the message at `from` to the open unit.
    pub(crate) fn move_unlogged(
        &mut self,
        message: &MessageRecord<'_>,
        from: Lsn,
    ) -> Result<Moved, PoisonCause> {
        let kept = self.unlogged_survivors(message, from)?;
        if self.spare_pages() < kept.len() {
            return Ok(Moved::NoPages);
        }
        if kept.is_empty() {
            return Ok(Moved::Yes);
        }
        let shape = message::shape_of_copy(message, &kept);
        let len = shape.record_len();
        let mut copy = vec![0; pad8(len)];
        message::put_copy(&mut copy[..len], 0, message, &kept);
        let State {
            queues,
            pages,
            segments,
            units,
            ..
        } = &mut self.state;
        let (lsn, unit) = units.append(&copy);
        let sharers = message::sharers(kept.len());
        for reference in kept {
            let seq = reference.seq.get();
            let Some(queue) = queues.get_mut(reference.queue) else {
                continue;
            };
            let before = State::entry(pages, queue, seq).map_err(damaged_index)?;
            let Some(number) = queue.page_slot(seq) else {
                continue;
            };
            let after = Entry {
                lsn,
                len: disk_len(len),
                form: shape.form(),
                sharers,
                ..before
            };
            page::put(
                pages.writable(number).map_err(index_failure)?,
                reference.seq,
                &after,
            );
            units.enter(unit, Live::of(&after));
            queue.add_live(unit, Live::of(&after));
            leave_place(queue, &before, segments, units);
        }
        Ok(Moved::Yes)
    }

    fn unlogged_survivors(
        &mut self,
        message: &MessageRecord<'_>,
        from: Lsn,
    ) -> Result<Vec<Reference>, PoisonCause> {
        let State { queues, pages, .. } = &mut self.state;
        let mut kept = Vec::new();
        for reference in message.references() {
            let seq = reference.seq.get();
            let Some(queue) = queues.get(reference.queue).filter(|queue| !queue.is_dead(seq)) else {
                continue;
            };
            let entry = State::entry(pages, queue, seq).map_err(damaged_index)?;
            if entry.len != 0 && entry.lsn == from {
                kept.push(reference);
            }
        }
        Ok(kept)
    }
}
