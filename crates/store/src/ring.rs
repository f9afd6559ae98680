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
    blocks: VecDeque<Arc<SealedBlock>>,
    bytes: usize,
    bytes_max: usize,
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
        debug_assert!(
            self.blocks
                .back()
                .is_none_or(|last| last.header.lsn < block.header.lsn)
        );
        self.bytes += block.memory();
        self.blocks.push_back(block);
        while self.bytes > self.bytes_max && self.blocks.len() > 1 {
            let Some(oldest) = self.blocks.pop_front() else {
                break;
            };
            self.bytes -= oldest.memory();
            SealedBlock::recycle(oldest, pool);
        }
    }

    /// The records of the newest block.
    #[cfg(test)]
    #[cfg(feature = "sim")]
    pub(crate) fn newest_payload(&self) -> Vec<u8> {
        self.blocks
            .back()
            .map_or(Vec::new(), |block| block.payload().to_vec())
    }

    /// The block that holds the byte at `lsn`.
    pub(crate) fn find(&self, lsn: Lsn) -> Option<&Arc<SealedBlock>> {
        let after = self.blocks.partition_point(|block| block.header.lsn <= lsn);
        let block = self.blocks.get(after.checked_sub(1)?)?;
        block.contains(lsn).then_some(block)
    }
}
