//! Taking ready entries off a queue, in order.
//!
//! Invariants:
//! - Entries come in the order of their seq; requeued ones, which lie before all others, first. With priorities this is the
//!   order within a level, and higher levels come first; where levels count only while they are in use, requeued entries before them.
//! - Nothing is leased beyond the durable delivery mark, so that after a crash everything that may have
//!   been delivered is known to have been.
//!
//! Elsewhere: runs of entries that were never leased (`run`).

mod run;

use super::forgotten::discard;
use super::{Shard, unlogged};
use crate::attempts::Attempts;
use crate::builder::SealedBlock;
use crate::disk::Disk;
use crate::error::{AppendError, PoisonCause};
use crate::format::byte_count;
use crate::format::record::{self, AckReason, Range};
use crate::ids::{BlockNumber, Lsn, QueueId, Seq};
use crate::index::pages::DamagedPage;
use crate::queue::Queue;
use crate::reader::Stretch;
use crate::ring::Ring;
use crate::segments::{Pin, Segments};
use crate::state::{State, damaged_index};
use crate::tail::Tail;
use crate::units::{Piece, UnitExtent, Units};
use run::Taking;
use std::sync::Arc;

/// [`Lease::source`] of a message that has to be read from disk.
pub const COLD: u32 = u32::MAX;

/// An entry that now belongs to whoever asked for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Lease {
    /// Its place in the queue.
    pub seq: Seq,
    /// Where its message lies in the log.
    pub lsn: Lsn,
    /// Bytes of its message's record.
    pub len: u32,
    /// Whether it may have been delivered before.
    pub redelivered: bool,
    /// Which of the [`Sources`] holds it in memory, or [`COLD`].
    pub source: u32,
    /// How often it came back before: as far as is known, and not counting deliveries that ended with the process.
    pub attempts: Attempts,
}

/// Blocks in memory, and files on disk, that leases refer to. Keeps them; clear it when the leases were read.
#[derive(Default)]
pub struct Sources {
    pub(crate) blocks: Vec<Source>,
    /// Files that hold the others.
    pins: Vec<Pin>,
    /// The spilled unit that was pinned last.
    pinned_unit: Option<UnitExtent>,
}

/// Messages in memory.
#[derive(Clone)]
pub(crate) enum Source {
    Block(Arc<SealedBlock>),
    Piece(Arc<Piece>),
    /// What a reader has read from a file.
    Stretch(Arc<Stretch>),
}

impl Source {
    /// The `len` bytes at `lsn`, when they lie here.
    pub(crate) fn at(&self, lsn: Lsn, len: usize) -> Option<&[u8]> {
        match self {
            Self::Block(block) => block.at(lsn, len),
            Self::Piece(piece) => piece.at(lsn, len),
            Self::Stretch(stretch) => stretch.at(lsn, len),
        }
    }

    /// All bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Self::Block(block) => block.bytes(),
            Self::Piece(piece) => piece.bytes(),
            Self::Stretch(stretch) => stretch.bytes(),
        }
    }

    /// Where among them the byte at `lsn` stands.
    pub(crate) fn offset(&self, lsn: Lsn) -> Option<usize> {
        usize::try_from(lsn.get().checked_sub(self.first_lsn().get())?).ok()
    }

    /// Memory that it takes.
    pub(crate) fn memory(&self) -> usize {
        match self {
            Self::Block(block) => block.memory(),
            Self::Piece(piece) => piece.bytes().len(),
            Self::Stretch(stretch) => stretch.memory(),
        }
    }

    /// Whether this is the same memory.
    pub(crate) fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Block(one), Self::Block(other)) => Arc::ptr_eq(one, other),
            (Self::Piece(one), Self::Piece(other)) => Arc::ptr_eq(one, other),
            (Self::Stretch(one), Self::Stretch(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }

    /// The addresses of its bytes.
    fn extent(&self) -> std::ops::Range<Lsn> {
        let first = self.first_lsn();
        first..first.plus(byte_count(self.bytes().len()))
    }

    fn first_lsn(&self) -> Lsn {
        match self {
            Self::Block(block) => block.header.lsn,
            Self::Piece(piece) => piece.first_lsn(),
            Self::Stretch(stretch) => stretch.first_lsn(),
        }
    }

    fn contains(&self, lsn: Lsn) -> bool {
        self.extent().contains(&lsn)
    }
}

impl Sources {
    /// How many blocks are held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.blocks.len()
    }

    /// Whether none is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// Keeps the segment that holds `lsn`.
    pub(super) fn pin<D: Disk>(&mut self, segments: &mut Segments<D>, lsn: Lsn) {
        let held = segments.index_of(lsn);
        self.pins
            .extend(held.map(|index| segments.at_mut(index).file.pin()));
    }

    /// Lets go of everything; leases that refer to it can no longer be read for certain.
    pub fn clear(&mut self) {
        self.blocks.clear();
        self.pins.clear();
        self.pinned_unit = None;
    }

    pub(super) fn pin_spilled<D: Disk>(&mut self, units: &Units<D>, lsn: Lsn) {
        if !self.pinned_unit.is_some_and(|unit| unit.holds(lsn)) {
            self.pinned_unit = units.extent_of(lsn);
            self.pins.extend(units.file(lsn).map(|(file, _)| file.pin()));
        }
    }
}

/// What [`Shard::lease`] found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LeaseOutcome {
    /// So many entries were added; at least one.
    Some(u64),
    /// Nothing is ready.
    Empty,
    /// Something is accepted, but cannot be leased before this block is durable.
    Pending(BlockNumber),
}

impl<D: Disk> Shard<D> {
    /// Takes up to `max_messages` ready entries (expired ones at the head are dropped on the way, see
    /// [`Shard::expire`]), and no more when their records exceed `max_bytes`, but at
    /// least one when any is ready.
    ///
    /// # Errors
    /// When there is no such queue, or the store is poisoned.
    pub fn lease(
        &mut self,
        id: QueueId,
        max_messages: u32,
        max_bytes: u64,
        out: &mut Vec<Lease>,
        sources: &mut Sources,
    ) -> Result<LeaseOutcome, AppendError> {
        self.check_alive()?;
        let State {
            queues,
            pages,
            segments,
            units,
            forgotten,
            ..
        } = &mut self.state;
        let queue = queues.open_mut(id).ok_or(AppendError::UnknownQueue(id))?;
        let wanted = (u64::from(max_messages), max_bytes);
        let mut taking = Taking::new(&self.ring, units, segments, out, sources, wanted);
        while taking.wants_more() {
            let end = queue.visible_end.min(queue.mark);
            let run = taking.take_run(queue, pages, end, self.clock);
            if run.map_err(|page| fail(&mut self.poisoned, page))? {
                continue;
            }
            let Some(seq) = queue.head(end) else { break };
            let entry = State::entry(pages, queue, seq);
            let entry = entry.map_err(|page| fail(&mut self.poisoned, page))?;
            queue.advance(seq, &entry);
            if queue.is_no_message(seq, &entry) {
                discard(queue, forgotten, pages, seq, &entry);
                continue;
            }
            queue.lease(entry.body_bytes());
            if entry.is_expired(self.clock) && !self.arriving.contains(&entry.lsn) {
                if self.holders.hold(queue, AckReason::Expired, seq, 1) {
                    continue;
                }
                if unlogged::is_unlogged(queue, &entry) {
                    unlogged::end(queue, taking.segments, units, pages, seq, &entry);
                    continue;
                }
                self.tail.make_room(record::ranges_len(1));
                let (first, count) = (Seq::new(seq), 1);
                let range = Range {
                    queue: id,
                    first,
                    count,
                };
                self.tail.building().0.ack(AckReason::Expired, range, self.clock);
                continue;
            }
            let redelivered = !queue.redelivered.is_empty() && queue.redelivered.contains(seq);
            let attempts = if redelivered {
                queue.attempts(seq)
            } else {
                Attempts::default()
            };
            taking.take(seq, &entry, redelivered, attempts);
        }
        let taken = taking.taken;
        if taken > 0 || queue.has_ready() {
            ask_for_mark(queue, &mut self.tail, self.options.delivery_mark_step);
        }
        let outcome = outcome(queue, taken);
        self.note_head(id);
        Ok(outcome)
    }

    /// Somebody waits for messages of the queue: then the first of them need not wait for a delivery mark.
    ///
    /// # Errors
    /// When there is no such queue, or the store is poisoned.
    pub fn expect_leases(&mut self, id: QueueId) -> Result<(), AppendError> {
        self.check_alive()?;
        let queue = self.state.queues.open_mut(id);
        let queue = queue.ok_or(AppendError::UnknownQueue(id))?;
        ask_for_mark(queue, &mut self.tail, self.options.delivery_mark_step);
        Ok(())
    }
}

/// Has a delivery mark written that lies `step` ahead, if half of that is used up.
fn ask_for_mark<D: Disk>(queue: &mut Queue, tail: &mut Tail<D>, step: u64) {
    if queue.mark_asked.is_none() && queue.cursor.saturating_add(step / 2) >= queue.mark {
        let mark = queue.cursor + step;
        tail.make_room(record::ranges_len(1));
        let (building, _) = tail.building();
        building.delivered(queue.id, Seq::new(mark));
        queue.mark_asked = Some((mark, building.number()));
    }
}

/// An index that is damaged ends the store.
fn fail(poisoned: &mut Option<PoisonCause>, page: DamagedPage) -> AppendError {
    let cause = damaged_index(page);
    *poisoned = Some(cause.clone());
    AppendError::Poisoned(cause)
}

fn outcome(queue: &Queue, taken: u64) -> LeaseOutcome {
    if taken > 0 {
        return LeaseOutcome::Some(taken);
    }
    if queue.has_ready()
        && let Some((_, block)) = queue.mark_asked
    {
        return LeaseOutcome::Pending(block);
    }
    if queue.cursor.max(queue.visible_end) < queue.next_seq {
        return LeaseOutcome::Pending(queue.newest_block);
    }
    LeaseOutcome::Empty
}

pub(super) fn source_of<D: Disk>(ring: &Ring, units: &Units<D>, sources: &mut Sources, lsn: Lsn) -> u32 {
    let held = sources.blocks.len();
    if sources.blocks.last().is_none_or(|block| !block.contains(lsn)) {
        let found = if lsn.is_unlogged() {
            units.piece(lsn).map(Source::Piece)
        } else {
            ring.find(lsn).map(|block| Source::Block(Arc::clone(block)))
        };
        let Some(found) = found else {
            return COLD;
        };
        sources.blocks.push(found);
        return u32::try_from(held).unwrap_or(COLD);
    }
    u32::try_from(held - 1).unwrap_or(COLD)
}
