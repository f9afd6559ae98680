//! The newest blocks, kept in memory: warm deliveries are served from here without a disk read.
//!
//! Invariants:
//! - Only durable blocks are in the ring, in the order of their lsn.
//! - Their memory stays below `bytes_max`, but for the newest block; what readers still hold of evicted
//!   blocks is bounded by the readers.

use crate::builder::SealedBlock;
use crate::ids::Lsn;
use crate::pool::BufferPool;
use std::collections::VecDeque;
use std::sync::Arc;

pub(crate) struct Ring {
    blocks: VecDeque<Held>,
    bytes: usize,
    bytes_max: usize,
}

/// A block, and beside it where it begins: who looks for one touches no other.
struct Held {
    first_lsn: Lsn,
    block: Arc<SealedBlock>,
}

impl Ring {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self {
            blocks: VecDeque::new(),
            bytes: 0,
            bytes_max,
        }
    }

    /// Adds the block that has just become durable.
    pub(crate) fn push(&mut self, block: Arc<SealedBlock>, pool: &mut BufferPool) {
        let first_lsn = block.header.lsn;
        debug_assert!(self.blocks.back().is_none_or(|last| last.first_lsn < first_lsn));
        self.bytes += block.memory();
        self.blocks.push_back(Held { first_lsn, block });
        while self.bytes > self.bytes_max && self.blocks.len() > 1 {
            let Some(oldest) = self.blocks.pop_front() else {
                break;
            };
            self.bytes -= oldest.block.memory();
            SealedBlock::recycle(oldest.block, pool);
        }
    }

    /// The records of the newest block.
    #[cfg(test)]
    #[cfg(feature = "sim")]
    pub(crate) fn newest_payload(&self) -> Vec<u8> {
        self.blocks
            .back()
            .map_or(Vec::new(), |newest| newest.block.payload().to_vec())
    }

    /// The block that holds the byte at `lsn`.
    pub(crate) fn find(&self, lsn: Lsn) -> Option<&Arc<SealedBlock>> {
        // Whoever walks a long backlog asks for what is older, again and again.
        if self.blocks.front()?.first_lsn > lsn {
            return None;
        }
        let after = self.blocks.partition_point(|held| held.first_lsn <= lsn);
        let Held { block, .. } = self.blocks.get(after.checked_sub(1)?)?;
        block.contains(lsn).then_some(block)
    }
}
