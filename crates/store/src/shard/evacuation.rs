//! What is evacuated, and when: mostly dead segments are chosen, their survivors looked up, and the index pointed at the
//! copies.
//!
//! Invariants:
//! - The index is pointed at a copy only when the copy is synced, and only where it still points at the original.
//! - A segment that the index let go of this way stays until the older of two retained checkpoints knows it too.
//! - A segment is walked once: whatever could be moved then was moved. Only when the index ran out of pages it is walked again.
//! - Segments in which something lives take at most twice the bytes that live, and the slack, once this has come to rest.
//!
//! Elsewhere: reading the originals and writing the copies (`engine::evacuation`), recycling (`recycle`).

use super::Shard;
use crate::cold::ColdTail;
use crate::disk::{Disk, Now};
use crate::error::PoisonCause;
use crate::format::message::{MessageRecord, Reference};
use crate::format::record::{AckReason, Range, ranges_len};
use crate::ids::{Epoch, Lsn, SegmentNumber};
use crate::index::page::{self, Entry};
use crate::limits::{IDLE_MARK_MS, SEGMENT_HEADER_BYTES};
use crate::live::Live;
use crate::planted::{self, Planted};
use crate::segments::{Segment, SegmentFile};
use crate::state::{State, damaged_index, index_failure};
use std::sync::Arc;

/// A segment this much short of half live is evacuated: the survivors of two fit into one, with its header, so that none is
/// moved to and fro.
const SPARSE_MARGIN_BYTES: u64 = 2 * SEGMENT_HEADER_BYTES;

/// What evacuation remembers between two steps.
pub(crate) struct Evacuator<D: Disk> {
    /// The cold segment that takes copies.
    pub target: Option<ColdTail<D>>,
    /// The number of the next one, among cold segments.
    pub next_cold: u64,
    /// Set once the store is to end: nothing new is begun.
    pub is_stopped: bool,
    walk: Option<Walk>,
    /// Bytes read and written that the log has not yet paid for.
    debt: u64,
    /// How far the log had come when the debt was last reckoned.
    paid_to: Lsn,
    /// Segments walked to their end.
    pub evacuations: u64,
    /// Messages copied.
    pub copies: u64,
    /// Bytes of blocks written to cold segments.
    pub bytes_written: u64,
}

/// How far a segment was walked, and what was found and not written yet.
struct Walk {
    source: SegmentNumber,
    at: Lsn,
    gathered: Vec<Survivor>,
    gathered_bytes: u64,
    is_partial: bool,
}

/// A segment in which something lives, and the bytes of all files that stay because of it.
struct Load<'a, D: Disk> {
    segment: &'a Segment<D::File>,
    bytes: u64,
}

/// Bytes that these segments take beyond twice what lives in them. What is kept counts as living.
fn excess<D: Disk>(loads: &[Load<'_, D>]) -> u64 {
    let living = |load: &Load<'_, D>| {
        if load.segment.is_kept {
            load.bytes
        } else {
            load.segment.live.bytes
        }
    };
    let bytes: u64 = loads.iter().map(|load| load.bytes).sum();
    let live_bytes: u64 = loads.iter().map(living).sum();
    bytes.saturating_sub(live_bytes * 2)
}

/// A message of the walked segment of which something still lives.
pub(crate) struct Survivor {
    pub from: Lsn,
    pub record: Vec<u8>,
    /// At least one.
    pub kept: Vec<Reference>,
}

/// One step of an evacuation, performed without the lock.
pub(crate) struct EvacuationJob<D: Disk> {
    pub source: Arc<SegmentFile<D::File>>,
    /// The next block to look at, and where the last one ends.
    pub at: Lsn,
    pub end: Lsn,
    pub gathered: Vec<Survivor>,
    pub gathered_bytes: u64,
    /// Whether the index points at originals still, because it had no page for pointing at the copies.
    pub is_partial: bool,
    pub target: Option<ColdTail<D>>,
    pub next_cold: u64,
    pub store: u128,
    pub epoch: Epoch,
    pub segment_bytes: u64,
    pub block_bytes_soft: u64,
    /// See [`Options`](crate::Options); 0 while the disk is full.
    pub footer_fraction: u64,
    pub bytes_walked: u64,
    pub bytes_written: u64,
    pub copies: u64,
}

/// An entry whose message now lies elsewhere as well.
pub(crate) struct Move {
    pub reference: Reference,
    pub from: Lsn,
    /// What the index is to say.
    pub to: Entry,
}

impl<D: Disk> Evacuator<D> {
    pub(crate) fn new(next_cold: u64, end: Lsn) -> Self {
        Self {
            target: None,
            next_cold,
            is_stopped: false,
            walk: None,
            debt: 0,
            paid_to: end,
            evacuations: 0,
            copies: 0,
            bytes_written: 0,
        }
    }

    /// Whether this segment takes copies now.
    pub(crate) fn is_target(&self, number: SegmentNumber) -> bool {
        self.target
            .as_ref()
            .is_some_and(|target| target.number() == number)
    }
}

impl<D: Disk> Shard<D> {
    /// Whether the next step of the evacuation under way is paid for.
    pub(crate) fn evacuation_is_due(&self) -> bool {
        self.evacuator.walk.is_some() && !self.evacuator.is_stopped && self.evacuation_debt() == 0
    }

    fn evacuation_debt(&self) -> u64 {
        let appended = self.end().get() - self.evacuator.paid_to.get();
        let paid = appended.saturating_mul(self.options.evacuation_pace);
        self.evacuator.debt.saturating_sub(paid)
    }

    pub(super) fn evacuation_job(&mut self, now: Now) -> Option<EvacuationJob<D>> {
        (self.evacuator.debt, self.evacuator.paid_to) = (self.evacuation_debt(), self.end());
        // When nothing comes in there is nobody to disturb.
        let is_idle = self.tail.idle_for(now) >= IDLE_MARK_MS;
        let may_go_on = self.evacuator.debt == 0 || is_idle;
        if self.evacuator.is_stopped
            || !may_go_on
            || now.mono_ms < self.chores.retry_at_ms
            || self.is_vacated_too_much()
            || !self.has_pages()
        {
            return None;
        }
        let walk = self.evacuator.walk.take();
        // What died meanwhile may have been recycled.
        let walk = walk.filter(|walk| self.state.segments.get_mut(walk.source).is_some());
        let walk = match walk {
            Some(walk) => walk,
            None => self.next_walk()?,
        };
        let footer_fraction = if self.chores.is_full {
            0
        } else {
            self.options.footer_fraction
        };
        let source = self.state.segments.get_mut(walk.source)?;
        Some(EvacuationJob {
            source: Arc::clone(&source.file),
            at: walk.at,
            end: source.end,
            gathered: walk.gathered,
            gathered_bytes: walk.gathered_bytes,
            is_partial: walk.is_partial,
            target: self.evacuator.target.take(),
            next_cold: self.evacuator.next_cold,
            store: self.chores.store,
            epoch: self.tail.epoch(),
            segment_bytes: self.options.segment_bytes,
            block_bytes_soft: self.options.block_bytes_soft,
            footer_fraction,
            bytes_walked: 0,
            bytes_written: 0,
            copies: 0,
        })
    }

    /// Gives up the walk of a segment in which nothing lives any more.
    pub(super) fn end_dead_walk(&mut self) {
        let segments = &mut self.state.segments;
        self.evacuator.walk.take_if(|walk| {
            let source = segments.get_mut(walk.source);
            source.is_none_or(|source| source.live.entries == 0)
        });
    }

    /// The segment to walk next: of those that are mostly dead the one in which least lives. None while the disk is well used.
    fn next_walk(&self) -> Option<Walk> {
        let segment = self.sparsest()?;
        if self.is_held_back(segment) {
            return None;
        }
        let file = &segment.file;
        Some(Walk {
            source: file.number,
            at: file.first_lsn.plus(SEGMENT_HEADER_BYTES),
            gathered: Vec::new(),
            gathered_bytes: 0,
            is_partial: false,
        })
    }

    /// The segment whose evacuation would free most, unless the disk is well used. What is kept counts as living.
    pub(super) fn sparsest(&self) -> Option<&Segment<D::File>> {
        let loads = self.loads();
        let slack = if self.chores.is_full {
            0
        } else {
            self.options.evacuation_slack_bytes
        };
        if excess(&loads) <= slack {
            return None;
        }
        let current = self.tail.segment().number;
        let is_sparse = |load: &&Load<'_, D>| {
            let number = load.segment.file.number;
            load.segment.movable
                && !load.segment.is_kept
                && load.segment.live.bytes * 2 + SPARSE_MARGIN_BYTES < load.bytes
                && number != current
                && !self.evacuator.is_target(number)
        };
        let sparse = loads.iter().filter(is_sparse);
        Some(sparse.min_by_key(|load| load.segment.live.bytes)?.segment)
    }

    /// What is left of the slack: segments may take so much more before survivors are evacuated. What was evacuated and waits for its
    /// checkpoints still takes its part.
    pub(super) fn unused_slack(&self) -> u64 {
        let slack = self.options.evacuation_slack_bytes;
        slack.saturating_sub(excess(&self.loads()) + self.vacated_bytes())
    }

    /// The segments in which something lives, and what each of them takes on disk. What is dead waits to be recycled and
    /// would not go sooner by an evacuation, but for those that cut the stale tail off one that lives, or off one that
    /// cuts it: they stay as long as that one does.
    fn loads(&self) -> Vec<Load<'_, D>> {
        let mut loads: Vec<Load<'_, D>> = Vec::new();
        let mut reached = Lsn::new(0);
        let mut is_held = false;
        for segment in self.state.segments.iter() {
            let cuts = segment.file.first_lsn < reached;
            reached = reached.max(segment.file.first_lsn.plus(segment.file.file_bytes));
            let bytes = segment.file.file_bytes;
            if segment.live.entries > 0 {
                is_held = true;
                loads.push(Load { segment, bytes });
            } else if let Some(holder) = loads.last_mut().filter(|_| is_held && cuts) {
                holder.bytes += bytes;
            } else {
                is_held = false;
            }
        }
        loads
    }

    /// Bytes of segments that only an older checkpoint still needs.
    pub(super) fn vacated_bytes(&self) -> u64 {
        let known = match self.chores.retained.front() {
            Some(older) if self.chores.retained.len() > 1 => older.generation,
            _ => 0,
        };
        let waits = |segment: &&Segment<D::File>| {
            segment.live.entries == 0 && segment.vacated.is_some_and(|generation| generation > known)
        };
        let segments = self.state.segments.iter().filter(waits);
        segments.map(|segment| segment.file.file_bytes).sum()
    }

    /// Whether so much waits for checkpoints that evacuating more would fill the disk instead of freeing it.
    pub(super) fn is_vacated_too_much(&self) -> bool {
        let most = (self.options.evacuation_slack_bytes / 2).max(2 * self.options.segment_bytes);
        self.vacated_bytes() >= most
    }

    /// Adds those entries of the message at `lsn` that live and lie there to `kept`.
    pub(crate) fn survivors(
        &mut self,
        message: &MessageRecord<'_>,
        lsn: Lsn,
        now: Now,
        kept: &mut Vec<Reference>,
    ) -> Result<(), PoisonCause> {
        let State { queues, pages, .. } = &mut self.state;
        for reference in message.references() {
            let seq = reference.seq.get();
            // Nothing is to be said of a queue behind its end, nor copied.
            let Some(queue) = queues.open(reference.queue).filter(|queue| !queue.is_dead(seq)) else {
                continue;
            };
            let entry = State::entry(pages, queue, seq).map_err(damaged_index)?;
            if entry.len == 0 || entry.lsn != lsn {
                continue;
            }
            if entry.transient && seq < queue.transient_floor {
                // From before the last start, and gone since: with its segment the log forgets it, so it has to say so.
                let range = Range {
                    queue: reference.queue,
                    first: reference.seq,
                    count: 1,
                };
                self.tail.make_room(ranges_len(1));
                self.tail.building().0.ack(AckReason::Dropped, range, now);
                continue;
            }
            kept.push(reference);
        }
        Ok(())
    }

    /// Points the index at synced copies in `target`, where it still points at the originals.
    pub(crate) fn switch(&mut self, moves: &[Move], target: SegmentNumber) -> Result<(), PoisonCause> {
        let generation = self.state.pages.generation();
        let State {
            queues,
            pages,
            segments,
            ..
        } = &mut self.state;
        for Move { reference, from, to } in moves {
            let seq = reference.seq.get();
            let Some(queue) = queues
                .get_mut(reference.queue)
                .filter(|queue| !queue.is_dead(seq))
            else {
                continue;
            };
            let entry = State::entry(pages, queue, seq).map_err(damaged_index)?;
            let Some(source) = segments
                .index_of(*from)
                .filter(|_| entry.len != 0 && entry.lsn == *from)
            else {
                continue;
            };
            let Some(number) = queue.page_slot(seq) else {
                continue;
            };
            page::put(pages.writable(number).map_err(index_failure)?, reference.seq, to);
            let source = segments.at_mut(source);
            source.live.remove(Live::of(&entry));
            if !planted::is(Planted::EvacuateWithoutCheckpoint) {
                source.vacated = Some(generation);
            }
            queue.remove_live(source.file.number, Live::of(&entry));
            queue.add_live(target, Live::of(to));
            if let Some(target) = segments.get_mut(target) {
                target.live.add(Live::of(to));
            }
        }
        Ok(())
    }

    pub(super) fn finish_evacuation(&mut self, job: EvacuationJob<D>) {
        let evacuator = &mut self.evacuator;
        evacuator.target = job.target;
        evacuator.next_cold = job.next_cold;
        evacuator.debt += job.bytes_walked + job.bytes_written;
        evacuator.copies += job.copies;
        evacuator.bytes_written += job.bytes_written;
        if job.at < job.end || !job.gathered.is_empty() {
            evacuator.walk = Some(Walk {
                source: job.source.number,
                at: job.at,
                gathered: job.gathered,
                gathered_bytes: job.gathered_bytes,
                is_partial: job.is_partial,
            });
            return;
        }
        evacuator.evacuations += 1;
        self.chores.lacks_pages |= job.is_partial;
        if let Some(source) = self.state.segments.get_mut(job.source.number) {
            source.movable = job.is_partial;
        }
    }
}
