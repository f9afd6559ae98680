//! A shard: one log, its queues, and everything that is decided under its lock.
//!
//! Invariants:
//! - Sequence numbers are given when a message is accepted, in the order of the log.
//! - A message can be leased only when its block is durable and applied.
//! - What is leased belongs to whoever leased it until it is acknowledged or requeued.
//! - After a failed write nothing is accepted, leased or confirmed any more.
//!
//! Elsewhere: the write under way (`tail`), what records do to the state (`state`), threads (`engine`).

mod apply;
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
mod publish;
mod queues;
mod recycle;
mod reserve;
mod restate;
mod retention;
mod settle;
mod shrink;
mod spill;
mod transaction;
mod unlogged;

use crate::disk::{Disk, Now};
use crate::error::{AppendError, PoisonCause};
use crate::format::message::Reference;
use crate::ids::{BlockNumber, Durable, Lsn, QueueId, Seq};
use crate::options::Options;
use crate::ring::Ring;
use crate::state::State;
use crate::tail::Tail;
pub use apply::Applied;
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
pub use publish::NewMessage;
pub(crate) use reserve::Need;
pub(crate) use retention::{Keeper, SurveyJob};
pub(crate) use spill::{SPILL_DIR, Spill, Spilled, Unspill, empty_spill};
use std::cell::Cell;
use std::collections::BTreeSet;
use std::ops::Range;
pub use transaction::TransactionSize;

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

    /// Whether nothing is accepted that is not applied: no block will be until more comes.
    #[must_use]
    pub fn is_at_rest(&self) -> bool {
        self.tail.is_idle()
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
    PoisonCause::new("the store was closed", "", std::io::Error::other("open it again"))
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
