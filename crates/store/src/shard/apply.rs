//! Blocks on their way to the disk, and what they bring once they are there.
//!
//! Invariants:
//! - A block is applied when it is durable, in the order of the log, and never after a write that failed.
//! - Whoever sees the new watermark finds everything that it covers.
//!
//! Elsewhere: the write under way (`tail`), what a record does to the state (`state::apply`).

use super::Shard;
use crate::builder::{BlockBuilder, SealedBlock};
use crate::disk::{Disk, Now};
use crate::error::PoisonCause;
use crate::footer::Draft;
use crate::format::byte_count;
use crate::ids::{Durable, Lsn, QueueId, SegmentNumber};
use crate::limits::BLOCK_HEADER_BYTES;
use crate::live::Live;
use crate::segments::segment_path;
use crate::tail::{Next, Take, Written};
use std::sync::Arc;

/// What a block brought when it was applied.
pub struct Applied<'a> {
    /// Proof for everything up to and including the block.
    pub durable: Durable,
    /// Queues with messages that can now be leased, or whose delivery mark moved. May name one twice.
    pub queues: &'a [QueueId],
}

impl<D: Disk> Shard<D> {
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
            let cause = PoisonCause::new("writing a block", segment_path(block.header.segment), source);
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
}
