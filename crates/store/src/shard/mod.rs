//! A shard: one log, its queues, and everything that is decided under its lock.
//!
//! Invariants:
//! - Sequence numbers are given when a message is accepted, in the order of the log.
//! - A message can be leased only when its block is durable and applied.
//! - What is leased belongs to whoever leased it until it is acknowledged or requeued.
//! - After a failed write nothing is accepted, leased or confirmed any more.
//!
//! Elsewhere: the write under way (`tail`), what records do to the state (`state`), threads (`engine`).

mod compaction;
mod dead_letters;
mod encoded;
mod evacuation;
mod expiry;
mod footers;
mod forgotten;
mod history;
mod housekeeping;
mod lease;
mod limits;
mod pace;
mod peek;
mod prewrite;
mod priorities;
mod recycle;
mod reserve;
mod restate;
mod retention;
mod settle;
mod spill;
mod transaction;
mod unlogged;

use crate::builder::{self, BlockBuilder, SealedBlock};
use crate::disk::{Disk, Now};
use crate::error::{AppendError, PoisonCause};
use crate::footer::Draft;
use crate::format::message::{MessageParts, Origin, Persistence, Reference, Shape};
use crate::format::record::{QUEUE_HEADER_LEN, QueueAction, QueueRecord};
use crate::format::{byte_count, pad8};
use crate::ids::{BlockNumber, Durable, Lsn, QueueId, SegmentNumber, Seq};
use crate::index::page::{self, ENTRIES};
use crate::limits::{BLOCK_HEADER_BYTES, QUEUE_META_BYTES_MAX, REFERENCES_MAX};
use crate::live::Live;
use crate::options::Options;
use crate::queue::{Counts, Queue, QueueDurability};
use crate::ring::Ring;
use crate::state::State;
use crate::tail::{Next, Tail, Take, Written};
pub(crate) use compaction::{Compact, Moved};
use dead_letters::Holders;
pub use dead_letters::{DeadLetter, DeadLetters};
pub(crate) use evacuation::{EvacuationJob, Evacuator, Move, Survivor};
pub(crate) use footers::{FooterJob, Footers};
pub(crate) use history::Fate;
pub(crate) use housekeeping::{
    CheckpointJob, CheckpointWish, Chores, Done, Failed, Job, Leftover, Retained, write_header,
};
pub(crate) use lease::Source;
pub use lease::{COLD, Lease, LeaseOutcome, Sources};
pub(crate) use pace::Pace;
pub(crate) use prewrite::{SpareFile, Wear};
pub(crate) use reserve::Need;
pub(crate) use retention::{Keeper, SurveyJob};
pub(crate) use spill::{SPILL_DIR, Spill, Spilled, Unspill, empty_spill};
use std::cell::Cell;
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;
pub use transaction::TransactionSize;

/// A message as it is handed in. Slices are copied once, into the block.
#[derive(Clone, Copy, Debug)]
pub struct NewMessage<'a> {
    /// The queues that get an entry for it; none twice.
    pub queues: &'a [QueueId],
    /// Opaque to the store; the parts are joined.
    pub properties: &'a [&'a [u8]],
    /// The body; the parts are joined.
    pub body: &'a [&'a [u8]],
    /// Whether it outlives the process.
    pub persistence: Persistence,
    /// Kept with each entry; counts in queues with priorities, see [`Shard::set_priorities`].
    pub priority: u8,
    /// Wall clock, milliseconds since the Unix epoch.
    pub timestamp_ms: u64,
    /// When each entry expires, wall clock in milliseconds: see [`Shard::expire`]. A queue may have a shorter time for it:
    /// see [`Shard::set_time_to_live`].
    pub expires_ms: Option<u64>,
}

/// What a block brought when it was applied.
pub struct Applied<'a> {
    /// Proof for everything up to and including the block.
    pub durable: Durable,
    /// Queues with messages that can now be leased, or whose delivery mark moved. May name one twice.
    pub queues: &'a [QueueId],
}

/// What a message takes.
struct MessageSize {
    /// Of its record, should it not expire.
    shape: Shape,
    /// Bytes that count against limits.
    counted: u64,
}

/// See the module's description.
pub struct Shard<D: Disk> {
    pub(crate) options: Options,
    pub(crate) state: State<D>,
    pub(crate) tail: Tail<D>,
    pub(crate) ring: Ring,
    pub(crate) poisoned: Option<PoisonCause>,
    /// Whether the follower was told.
    pub(crate) poison_reported: bool,
    /// Where the messages lie that came with the block which the follower is being told of.
    pub(crate) arriving: Range<Lsn>,
    /// An orderly stop has begun: nothing is taken and nothing leased any more.
    pub(crate) stopping: bool,
    pub(crate) chores: Chores,
    pub(crate) evacuator: Evacuator<D>,
    pub(crate) footers: Footers,
    pub(crate) keeper: Keeper<D>,
    /// The newest time that was handed in.
    pub(crate) clock: Now,
    /// Whether somebody was told, since the last applied block, that there is no room.
    refused: Cell<bool>,
    /// The same, for copies of dead letters.
    refused_to_move: Cell<bool>,
    references: Vec<Reference>,
    /// The places of the run that is being accepted.
    seqs: Vec<Seq>,
    /// Queues that got something in the transaction that is open, and have a limit.
    limited: Vec<QueueId>,
    /// When heads of queues expire; one entry for each queue whose head does.
    due: BTreeSet<(u64, QueueId)>,
    holders: Holders,
}

impl<D: Disk> Shard<D> {
    pub(crate) fn new(
        options: Options,
        state: State<D>,
        tail: Tail<D>,
        chores: Chores,
        next_cold: u64,
    ) -> Self {
        state
            .units
            .set_sizes(options.unit_bytes(), options.spill_layout());
        let ring_bytes = crate::format::memory_offset(options.ring_bytes);
        let expiring = state.queues.iter().filter(|queue| queue.expiring > 0);
        let expiring: Vec<QueueId> = expiring.map(|queue| queue.id).collect();
        let mut shard = Self {
            ring: Ring::new(ring_bytes),
            evacuator: Evacuator::new(next_cold, tail.end()),
            footers: Footers::default(),
            keeper: Keeper::new(),
            options,
            state,
            tail,
            poisoned: None,
            poison_reported: false,
            stopping: false,
            arriving: Lsn::default()..Lsn::default(),
            chores,
            clock: Now::default(),
            refused: Cell::new(false),
            refused_to_move: Cell::new(false),
            references: Vec::new(),
            seqs: Vec::new(),
            limited: Vec::new(),
            due: BTreeSet::new(),
            holders: Holders::default(),
        };
        for id in expiring {
            shard.note_head(id);
        }
        shard
    }

    /// Creates a queue. It exists at once; it survives when the returned block is durable.
    ///
    /// # Errors
    /// When the id is taken, the description too large ([`Shard::queue_meta_bytes_max`]), or the store poisoned.
    pub fn create_queue(
        &mut self,
        id: QueueId,
        durability: QueueDurability,
        meta: &[u8],
    ) -> Result<BlockNumber, AppendError> {
        self.check_alive()?;
        let (bytes, limit) = (byte_count(meta.len()), self.queue_meta_bytes_max());
        if bytes > limit {
            return Err(AppendError::TooLarge { bytes, limit });
        }
        if self.state.queues.contains(id) || self.state.tombstones.contains(&id) {
            return Err(AppendError::QueueExists(id));
        }
        let record = bare(QueueAction::Create, id, durability, meta);
        self.tail.check_held(record.len())?;
        let block = self.append_queue_record(&record);
        let mut queue = Queue::new(id, durability, meta);
        queue.created_in = block;
        self.state.queue_ids_used = self.state.queue_ids_used.max(id.get());
        self.state.queues.insert(queue);
        Ok(block)
    }

    /// Bytes that the description of a queue may take.
    #[must_use]
    pub fn queue_meta_bytes_max(&self) -> u64 {
        // Each record of the queue's state brings it along, and has to have room for more.
        (self.tail.block_bytes_max() / 4).min(byte_count(QUEUE_META_BYTES_MAX))
    }

    /// Deletes a queue and all its entries. It is gone at once, also for those who hold leases; durably
    /// when the returned block is.
    ///
    /// # Errors
    /// When there is no such queue, or the store is poisoned.
    pub fn delete_queue(&mut self, id: QueueId) -> Result<BlockNumber, AppendError> {
        self.check_alive()?;
        self.tail.check_held(QUEUE_HEADER_LEN)?;
        let queue = self
            .state
            .queues
            .open_mut(id)
            .ok_or(AppendError::UnknownQueue(id))?;
        let durability = queue.durability;
        // Its state goes only when the record is durable: a checkpoint before that must still have it.
        queue.is_deleted = true;
        self.forget_held(id);
        self.note_head(id);
        Ok(self.append_queue_record(&bare(QueueAction::Delete, id, durability, b"")))
    }

    fn append_queue_record(&mut self, record: &QueueRecord<'_>) -> BlockNumber {
        self.tail.make_room(record.len());
        let (building, pool) = self.tail.building();
        building.queue(record, pool);
        building.number()
    }

    /// Accepts a message for its queues. It is durable, and can be leased, when the returned block is durable.
    ///
    /// # Errors
    /// When it can never be stored, a queue is missing, or one of them is full and refuses it
    /// ([`AppendError::QueueFull`]): nothing was changed then, in any queue. When the store is poisoned.
    pub fn publish(&mut self, message: &NewMessage<'_>) -> Result<BlockNumber, AppendError> {
        self.check_alive()?;
        let MessageSize { mut shape, counted } = self.checked_size(message)?;
        let (mut drops, mut skips) = (0, 0);
        // A transaction goes on in the same block, in which the log says once what it skipped.
        let held = self.tail.held_open();
        // What ends with all of its queues is as good as transient.
        let mut persistence = Persistence::Transient;
        for id in message.queues {
            let queue = self
                .state
                .queues
                .open(*id)
                .ok_or(AppendError::UnknownQueue(*id))?;
            if queue.refuses(counted) {
                return Err(AppendError::QueueFull(*id));
            }
            drops += usize::from(queue.limits.is_some());
            shape.expires |= queue
                .expires_ms(message.timestamp_ms, message.expires_ms)
                .is_some();
            if queue.durability == QueueDurability::Durable {
                persistence = message.persistence;
                skips += usize::from(queue.unlogged.is_watched() && held != Some(queue.newest_block));
            }
        }
        let len = shape.record_len();
        // What is dropped for the message is dropped in its block, and what the log skipped before it is said there.
        self.tail.make_room(len + builder::lists_len(drops + skips));
        self.tail.check_held(len)?;
        if skips > 0 && !self.tail.fits(len + builder::lists_len(skips)) {
            let (bytes, limit) = (byte_count(len), self.tail.block_bytes_max());
            return Err(AppendError::TooLarge { bytes, limit });
        }
        let block = self.tail.building_number();
        self.references.clear();
        let mut pages = 0;
        for id in message.queues {
            let queue = self
                .state
                .queues
                .open_mut(*id)
                .ok_or(AppendError::UnknownQueue(*id))?;
            let expires_ms = queue.expires_ms(message.timestamp_ms, message.expires_ms);
            self.references.push(Reference {
                queue: *id,
                seq: Seq::new(queue.next_seq),
                expires_ms: expires_ms.map_or(0, |at| at.max(1)),
            });
            // Of each queue a block may change the page that was begun before, and those that it begins.
            let is_first = queue.newest_block != block;
            pages += usize::from(is_first || queue.next_seq.is_multiple_of(ENTRIES));
            // What is in a queue that ends with the process is nobody's loss.
            if queue.durability == QueueDurability::Durable {
                if persistence == Persistence::Transient {
                    queue.unlogged.watch();
                }
                if is_first && queue.unlogged.is_watched() {
                    self.tail.skip_before(queue);
                }
            }
            queue.accept(counted);
            queue.newest_block = block;
        }
        let parts = MessageParts {
            origin: Origin::Published,
            persistence,
            priority: message.priority,
            message_id: self.state.next_message_id,
            timestamp_ms: message.timestamp_ms,
            properties: message.properties,
            body: message.body,
        };
        self.state.next_message_id += 1;
        let (building, pool) = self.tail.building();
        building.add_pages(pages);
        building.message(&shape, &parts, &self.references, pool);
        if drops > 0 {
            self.make_fit(message.queues)?;
        }
        Ok(block)
    }

    fn checked_size(&self, message: &NewMessage<'_>) -> Result<MessageSize, AppendError> {
        let sum = |parts: &[&[u8]]| parts.iter().map(|part| part.len()).sum::<usize>();
        let queues = message.queues.len();
        let (properties, body) = (sum(message.properties), sum(message.body));
        let shape = Shape {
            references: queues,
            expires: false,
            properties,
            body,
        };
        // In the longest form: whether it is taken does not hang on what its queues say.
        let longest = Shape {
            expires: true,
            ..shape
        };
        let bytes = byte_count(pad8(longest.record_len()));
        let limit = self.transaction_bytes_max();
        if bytes > limit || queues > REFERENCES_MAX {
            return Err(AppendError::TooLarge { bytes, limit });
        }
        Ok(MessageSize {
            shape,
            counted: page::counted_bytes(properties, body),
        })
    }

    /// How many entries the queue holds.
    #[must_use]
    pub fn counts(&self, queue: QueueId) -> Option<Counts> {
        self.state.queues.open(queue).map(Queue::counts)
    }

    /// The seq that the next message of the queue gets. After a crash it may be that of a transient message from before.
    #[must_use]
    pub fn next_seq(&self, queue: QueueId) -> Option<Seq> {
        self.state
            .queues
            .open(queue)
            .map(|queue| Seq::new(queue.next_seq))
    }

    /// All queues: id, durability and description.
    pub fn queues(&self) -> impl Iterator<Item = (QueueId, QueueDurability, &[u8])> {
        self.state
            .queues
            .iter()
            .filter(|queue| !queue.is_deleted)
            .map(|queue| (queue.id, queue.durability, &*queue.meta))
    }

    /// The block that takes what is appended now.
    #[must_use]
    pub const fn building(&self) -> BlockNumber {
        self.tail.building_number()
    }

    /// The block that is being built, if what waits in it is in no hurry.
    pub(crate) fn waiting_lazily(&self) -> Option<BlockNumber> {
        self.tail.waiting_lazily()
    }

    /// Somebody waits for what was appended.
    pub(crate) fn hurry(&mut self) {
        self.tail.set_urgent();
    }

    /// Proof for everything that is durable.
    #[must_use]
    pub const fn durable(&self) -> Durable {
        self.tail.durable()
    }

    /// Why nothing is taken any more, if that is so.
    #[must_use]
    pub const fn poisoned(&self) -> Option<&PoisonCause> {
        self.poisoned.as_ref()
    }

    pub(crate) fn check_alive(&self) -> Result<(), AppendError> {
        match &self.poisoned {
            Some(cause) => Err(AppendError::Poisoned(cause.clone())),
            None if self.stopping => Err(AppendError::Poisoned(stopped())),
            None => Ok(()),
        }
    }

    /// Whether nothing is taken any more, and nobody was told.
    pub(crate) const fn has_unreported_poison(&self) -> bool {
        self.poisoned.is_some() && !self.poison_reported
    }

    /// From now on nothing is taken. The first cause stays.
    pub(crate) fn poison(&mut self, cause: &PoisonCause) {
        self.poisoned.get_or_insert_with(|| cause.clone());
    }

    /// The next write that should be performed.
    pub(crate) fn next_write(&mut self, now: Now, take: Take) -> Next<D> {
        if self.poisoned.is_some() {
            return Next::Nothing;
        }
        let before = self.tail.segment().number;
        let next = self.tail.take(now, take);
        if self.tail.segment().number != before {
            self.enter_segment(now);
        }
        next
    }

    /// Applies a block whose write has returned. The queues that it touched are then in `state.touched`.
    pub(crate) fn complete(&mut self, written: Written, now: Now) -> Result<(), PoisonCause> {
        let (block, draft, result) = match written {
            Written::Block { block, draft, result } => (block, draft, result),
            Written::Nothing(block) => {
                let applied = self.apply_unlogged(block, now);
                return applied.inspect_err(|cause| self.poison(cause));
            }
        };
        if let Err(source) = result {
            let cause = PoisonCause::new(
                "writing a block",
                crate::segments::segment_path(block.header.segment),
                source,
            );
            self.poison(&cause);
            return Err(cause);
        }
        let applied = self.apply_block(block, draft, now);
        applied.inspect_err(|cause| self.poison(cause))
    }

    fn apply_block(
        &mut self,
        block: SealedBlock,
        draft: Option<Box<Draft>>,
        now: Now,
    ) -> Result<(), PoisonCause> {
        let payload_lsn = block.header.lsn.plus(BLOCK_HEADER_BYTES);
        self.apply(block.payload(), payload_lsn, block.header.segment, now)?;
        if let Some(segment) = self.state.segments.newest_mut() {
            segment.end = block.header.end();
            segment.last_block = block.header.number;
        }
        // Only now: whoever sees the new watermark also finds what it covers.
        self.tail.written(&block, draft, now);
        self.ring.push(Arc::new(block), &mut self.tail.pool);
        Ok(())
    }

    fn apply(
        &mut self,
        payload: &[u8],
        lsn: Lsn,
        segment: SegmentNumber,
        now: Now,
    ) -> Result<(), PoisonCause> {
        self.clock = now;
        self.arriving = lsn..lsn.plus(byte_count(payload.len()));
        let touched = self.state.touched.len();
        self.state.apply_payload(payload, lsn, segment)?;
        for at in touched..self.state.touched.len() {
            self.note_head(self.state.touched[at]);
        }
        Ok(())
    }

    /// Applies a block that is not written, all before which is durable.
    fn apply_unlogged(&mut self, block: BlockBuilder, now: Now) -> Result<(), PoisonCause> {
        let (lsn, unit) = self.state.units.append(block.unlogged());
        self.apply(block.unlogged(), lsn, unit, now)?;
        // All of its queues may be gone.
        self.state.units.leave(unit, Live::default());
        self.tail.passed(block.number());
        self.tail.pool.give(block.into_buf());
        Ok(())
    }

    /// The follower was told: from now on what came with the last block expires like everything else.
    pub(crate) fn arrived(&mut self) {
        self.arriving = Lsn::default()..Lsn::default();
    }

    /// Whether a write could begin now.
    pub(crate) fn has_due(&self, now: Now) -> bool {
        self.poisoned.is_none() && self.tail.has_due(now)
    }

    /// When something is to be done that nobody asks for, in terms of the monotonic clock.
    pub(crate) fn due_at_ms(&self, now: Now) -> Option<u64> {
        let expiry = self.expiry_at_mono_ms(now);
        self.tail.due_at_ms().into_iter().chain(expiry).min()
    }

    /// Where the log ends.
    pub(crate) const fn end(&self) -> Lsn {
        self.tail.end()
    }
}

/// What a store answers once an orderly stop has begun.
pub(crate) fn stopped() -> PoisonCause {
    PoisonCause::new("using a closed store", "", std::io::Error::other("it was closed"))
}

fn bare<'a>(
    action: QueueAction,
    id: QueueId,
    durability: QueueDurability,
    meta: &'a [u8],
) -> QueueRecord<'a> {
    QueueRecord {
        action,
        transient: durability == QueueDurability::Transient,
        id,
        next_seq: Seq::new(0),
        floor: Seq::new(0),
        delivery_mark: Seq::new(0),
        acked: b"",
        redelivered: b"",
        attempts: b"",
        meta,
    }
}

/// The members of a set as ranges, start inclusive, end exclusive.
pub(crate) fn ranges_of(set: &roaring::RoaringTreemap) -> impl Iterator<Item = (u64, u64)> {
    let mut members = set.iter().peekable();
    std::iter::from_fn(move || {
        let start = members.next()?;
        let mut end = start + 1;
        while members.next_if_eq(&end).is_some() {
            end += 1;
        }
        Some((start, end))
    })
}

#[cfg(test)]
#[cfg(feature = "sim")]
mod model_tests;
