//! Segments in which nothing lives, taken out of the log: which may go, and what has to be said again before.
//!
//! Invariants:
//! - A segment is recycled only when it is dead, the state that it still owed is durable elsewhere, the older of two
//!   retained checkpoints begins behind it and was taken after its survivors were evacuated, nobody holds it,
//!   and nothing is kept in it.
//! - The log waits for the removal of one segment at most, and its file is closed without the lock.
//!
//! Elsewhere: the state that is said again (`restate`), files that wait to be used again (`spare`), survivors moved elsewhere
//! (`evacuation`).

use super::Shard;
use super::prewrite::{SpareFile, Wear};
use super::reserve::Release;
use crate::disk::{Disk, Now, is_full};
use crate::engine::final_error;
use crate::footer::footer_path;
use crate::format::memory_offset;
use crate::ids::{BlockNumber, Lsn, QueueId, SegmentNumber};
use crate::limits::SPARE_SEGMENTS_MORE_MAX;
use crate::planted::{self, Planted};
use crate::queue::QueueDurability;
use crate::segments::{COLD_DIR, Footing, JOURNAL_DIR, Segment, SegmentFile, segment_path};
use crate::spare::{self, Spare};
use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

/// Take segments out.
pub(crate) struct Recycle {
    /// These wait to be used again.
    pub spares: Vec<SegmentNumber>,
    /// These give their room back.
    pub removed: Vec<SegmentNumber>,
    /// Those among them that have a footer.
    pub footed: Vec<SegmentNumber>,
}

/// A dead segment, and the queues that it says something of.
struct Owing {
    number: SegmentNumber,
    bytes: u64,
    last_block: BlockNumber,
    control: Vec<QueueId>,
}

/// Segments that were taken out.
#[derive(Default)]
pub(crate) struct Recycled {
    pub spares: Vec<SegmentNumber>,
    pub removed: Vec<SegmentNumber>,
}

impl Recycled {
    const fn is_empty(&self) -> bool {
        self.spares.is_empty() && self.removed.is_empty()
    }
}

impl Recycle {
    /// Returns what was done: a segment whose file has another name is removed, and no spare, and no second one is removed once
    /// `is_wanted` says that the housekeeper is needed elsewhere. A file system takes its time for each. A disk that becomes
    /// full in between ends it, too.
    pub(crate) fn perform<D: Disk>(
        self,
        disk: &D,
        mut is_wanted: impl FnMut() -> bool,
    ) -> io::Result<Recycled> {
        let mut done = Recycled::default();
        match self.take_out(disk, &mut done, &mut is_wanted) {
            // What was done must not be forgotten: nobody finds these files again under their old names.
            Err(error) if is_full(&error) && !done.is_empty() => {
                tracing::warn!(%error, "recycling segments");
            }
            taken_out => taken_out?,
        }
        // Later decisions rely on these segments being gone.
        if done.removed.iter().any(|number| number.is_cold()) {
            disk.sync_dir(COLD_DIR).map_err(final_error)?;
        }
        disk.sync_dir(JOURNAL_DIR).map_err(final_error)?;
        Ok(done)
    }

    fn take_out<D: Disk>(
        self,
        disk: &D,
        done: &mut Recycled,
        is_wanted: &mut dyn FnMut() -> bool,
    ) -> io::Result<()> {
        let remove_footer = |number: &SegmentNumber| {
            // One that stays says nothing to anyone, and the next start removes it.
            if self.footed.contains(number)
                && let Err(error) = disk.remove(&footer_path(*number))
            {
                tracing::debug!(%error, %number, "removing a footer");
            }
        };
        for number in self.spares {
            remove_footer(&number);
            match spare::retire(disk, number)? {
                Spare::Kept => done.spares.push(number),
                Spare::Shared => done.removed.push(number),
            }
        }
        for number in self.removed {
            if !done.removed.is_empty() && is_wanted() {
                break;
            }
            remove_footer(&number);
            disk.remove(&segment_path(number))?;
            done.removed.push(number);
        }
        Ok(())
    }
}

impl<D: Disk> Shard<D> {
    pub(super) fn recycle_job(&mut self, now: Now) -> Option<Recycle> {
        self.look_what_is_kept(now);
        self.settle_dead_segments();
        let older = self
            .chores
            .retained
            .front()
            .copied()
            .filter(|_| self.chores.retained.len() > 1)?;
        let durable = self.durable();
        let ready = |segment: &&Segment<D::File>| {
            segment.live.entries == 0
                // Replay reads no cold segment, wherever it begins.
                && (segment.file.number.is_cold() || segment.end <= older.lsn)
                && segment.vacated.is_none_or(|generation| generation <= older.generation)
                && !segment.file.is_pinned()
                && !self.is_held_back(segment)
                && segment.settled.is_some_and(|block| durable.covers(block))
        };
        let current = self.tail.segment().number;
        let mut reached = Lsn::new(0);
        let mut footed = Vec::new();
        let mut segments = Vec::new();
        for segment in self.state.segments.iter() {
            // One that begins inside of another cuts that one's stale tail off, and stays as long as it is there.
            let cuts = segment.file.first_lsn < reached;
            reached = reached.max(segment.file.first_lsn.plus(segment.file.file_bytes));
            let number = segment.file.number;
            if ready(&segment) && !cuts && number != current && !self.evacuator.is_target(number) {
                segments.push(segment.file.number);
                footed.extend((segment.footing == Footing::Written).then_some(number));
            }
        }
        if segments.is_empty() {
            return None;
        }
        let keep = self.spares_max().saturating_sub(self.chores.spares.len());
        let journal = segments.partition_point(|number| !number.is_cold());
        let kept = keep.min(journal);
        if planted::is(Planted::RecycleOneSegmentTooMany)
            && let Some(last) = segments.last().map(|last: &SegmentNumber| last.next())
            && last < current
            && self.state.segments.get_mut(last).is_some()
        {
            segments.push(last);
        }
        let mut removed = segments.split_off(kept.min(segments.len()));
        if !self.chores.is_full {
            let granted = self
                .chores
                .removal
                .grant(removed.len(), self.options.segment_bytes, now);
            removed.truncate(granted);
        }
        self.chores.recycling.extend(segments.iter().chain(&removed));
        (!self.chores.recycling.is_empty()).then_some(Recycle {
            spares: segments,
            removed,
            footed,
        })
    }

    /// Spare segments that are kept whatever else takes room.
    fn spares_min(&self) -> usize {
        self.options.spare_segments_max.max(self.reserve_len())
    }

    /// Spare segments that are kept. What survivors might take before they are evacuated, and do not, may be spares as well: a log that
    /// goes on in these writes faster than in new files, and what is not removed keeps no write waiting.
    fn spares_max(&self) -> usize {
        if self.chores.is_full {
            return self.spares_min();
        }
        let more = memory_offset(self.unused_slack() / self.options.segment_bytes);
        self.spares_min() + more.min(SPARE_SEGMENTS_MORE_MAX)
    }

    /// Gives up a spare when survivors have come to need its room, one that was not written yet if there is any. On a full disk all are
    /// kept: somebody else might take what is given back.
    pub(crate) fn trim_job(&mut self, now: Now) -> Option<Release> {
        let spares = self.chores.spares.len();
        if self.chores.is_full || spares <= self.spares_min() || spares <= self.spares_max() {
            return None;
        }
        let granted = self.chores.removal.grant(1, self.options.segment_bytes, now);
        let spares = &mut self.chores.spares;
        let unwritten = spares.iter().position(|spare| spare.wear != Wear::Written);
        (granted > 0).then(|| Release::of(spares.remove(unwritten.unwrap_or(0)).number))
    }

    /// Writes again what dead segments still say of queues, so that they can go.
    fn settle_dead_segments(&mut self) {
        // What was gathered in a segment that is dead now would be copied out of it behind the back of what follows.
        self.end_dead_walk();
        let current = self.tail.segment().number;
        let unsettled = |segment: &Segment<D::File>| {
            segment.live.entries == 0 && segment.settled.is_none() && segment.file.number != current
        };
        let owing: Vec<Owing> = self
            .state
            .segments
            .iter()
            .filter(|segment| unsettled(segment))
            .map(|segment| Owing {
                number: segment.file.number,
                bytes: segment.file.file_bytes,
                last_block: segment.last_block,
                control: segment.control.iter().copied().collect(),
            })
            .collect();
        // Segments that owe more than is worth it for each of them alone.
        let (mut waiting, mut owed_by_them, mut gain) = (Vec::new(), BTreeSet::new(), 0);
        for Owing {
            number,
            bytes,
            last_block,
            control,
        } in owing
        {
            let mut settled = self.durable().end();
            let mut owed = Vec::new();
            for id in control {
                match self.state.queues.get(id) {
                    // A transient queue vanishes at the next start, whatever the log says of it.
                    Some(queue) if queue.durability == QueueDurability::Transient => {}
                    Some(queue) if queue.stated.1 >= last_block => settled = settled.max(queue.stated.0),
                    Some(_) => owed.push(id),
                    // What a delete record is about lies before it, or was evacuated: it has served its time when nothing of
                    // that is left but in its own segment.
                    None if !self.state.has_remains(id, number) => {}
                    None => owed.push(id),
                }
            }
            if self.is_worth_stating(&owed, bytes) {
                let stated = self.state_all(&owed);
                self.note_settled(number, stated.unwrap_or(settled));
            } else {
                waiting.push((number, settled));
                owed_by_them.extend(owed);
                gain += bytes;
            }
        }
        // Repeating costs room too: they wait until so many are dead that it is worth it for all of them.
        if !waiting.is_empty() && self.is_worth_stating(&owed_by_them, gain) {
            let stated = self.state_all(&owed_by_them);
            for (number, settled) in waiting {
                self.note_settled(number, stated.unwrap_or(settled));
            }
        }
    }

    /// Writes the state of these queues again. Returns the block of the last.
    fn state_all<'a>(&mut self, owed: impl IntoIterator<Item = &'a QueueId>) -> Option<BlockNumber> {
        let mut stated = None;
        for id in owed {
            if !planted::is(Planted::RecycleAckBeforeMessage) {
                stated = self.write_state_again(*id).or(stated);
            }
        }
        stated
    }

    fn note_settled(&mut self, number: SegmentNumber, settled: BlockNumber) {
        if let Some(segment) = self.state.segments.get_mut(number) {
            segment.settled = Some(settled);
        }
    }

    /// Returns their files. The last who has one that was removed makes the file system give its room back, which takes milliseconds.
    pub(super) fn forget_segments(&mut self, recycled: &Recycled) -> Vec<Arc<SegmentFile<D::File>>> {
        let mut closed = Vec::new();
        self.chores.recycling.clear();
        for number in recycled.spares.iter().chain(&recycled.removed) {
            self.chores.segments_recycled += 1;
            self.chores.cold_recycled += u64::from(number.is_cold());
            let Some(gone) = self.state.segments.remove(*number) else {
                continue;
            };
            if recycled.spares.contains(number) {
                self.chores.spares.push(SpareFile::of::<D>(&gone));
            }
            closed.push(gone.file);
            for id in gone.control {
                if !self
                    .state
                    .segments
                    .iter()
                    .any(|segment| segment.control.contains(&id))
                {
                    self.state.tombstones.remove(&id);
                }
            }
        }
        closed
    }
}

#[cfg(test)]
#[cfg(feature = "sim")]
mod tests;
