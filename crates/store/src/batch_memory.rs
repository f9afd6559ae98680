//! The memory in which a batch gathers its records. That of a large batch becomes the block's: its records are not copied again.
//!
//! Invariants:
//! - The records stand one behind the other: in `small`, or, once they are many, in `large` behind room for a block's header.
//! - Memory that comes back is kept for later batches, within a bound: fresh memory costs a page fault for each page, which is more
//!   than what is written to it.

use crate::disk::AlignedBuf;
use crate::format::block::HEADER_LEN;
use crate::format::record::{self, Append, UnplacedMessage};
use crate::ids::QueueId;
use crate::limits::{BATCH_MEMORY_BYTES_MAX, BATCH_MEMORY_KEPT_MAX, LARGE_BATCH_BYTES};
use std::sync::Mutex;

impl Append for AlignedBuf {
    fn append(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// Memory that waits for the next large batch of this process, whatever store it is for.
static KEPT: Mutex<Vec<AlignedBuf>> = Mutex::new(Vec::new());

/// Records, and room for more.
#[derive(Default)]
pub(crate) struct BatchMemory {
    small: Vec<u8>,
    large: AlignedBuf,
}

impl BatchMemory {
    pub(crate) const fn new() -> Self {
        Self {
            small: Vec::new(),
            large: AlignedBuf::new(),
        }
    }

    /// All records.
    pub(crate) fn records(&self) -> &[u8] {
        if self.large.is_empty() {
            &self.small
        } else {
            &self.large[HEADER_LEN..]
        }
    }

    /// Adds the record of a message for these queues, which is `len` bytes long.
    pub(crate) fn push(&mut self, len: usize, queues: &[QueueId], message: &UnplacedMessage<'_>) {
        if self.large.is_empty() {
            if self.small.len() + len < LARGE_BATCH_BYTES {
                self.small.reserve(len);
                return record::encode_message(&mut self.small, queues, message);
            }
            self.move_to_large(len);
        }
        self.large.reserve(len);
        record::encode_message(&mut self.large, queues, message);
    }

    #[cold]
    fn move_to_large(&mut self, more: usize) {
        let small = std::mem::take(&mut self.small);
        let needed = HEADER_LEN + small.len() + more;
        self.large = take_kept();
        self.large.clear();
        self.large.reserve(needed.max(4 * LARGE_BATCH_BYTES));
        self.large.resize_zeroed(HEADER_LEN);
        self.large.extend_from_slice(&small);
    }

    /// The memory as that of a block with room for its header, if the records are many; nothing is left here then.
    pub(crate) fn take_block(&mut self) -> Option<AlignedBuf> {
        let block = std::mem::take(&mut self.large);
        (!block.is_empty()).then_some(block)
    }
}

fn take_kept() -> AlignedBuf {
    KEPT.lock()
        .expect("no holder of this lock panics")
        .pop()
        .unwrap_or_default()
}

/// Takes memory back.
pub(crate) fn give(block: AlignedBuf) {
    if !(LARGE_BATCH_BYTES..=BATCH_MEMORY_BYTES_MAX).contains(&block.capacity()) {
        return;
    }
    let mut kept = KEPT.lock().expect("no holder of this lock panics");
    if kept.len() < BATCH_MEMORY_KEPT_MAX {
        kept.push(block);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::DIRECT_IO_ALIGNMENT;
    use crate::format::pad8;
    use crate::format::record::Persistence;

    fn filled(records: usize, len: usize) -> (BatchMemory, Vec<u8>) {
        let (mut memory, mut all) = (BatchMemory::new(), Vec::new());
        for at in 0..records {
            let body = vec![u8::try_from(at % 251).unwrap(); len];
            let message = UnplacedMessage {
                properties: &[],
                body: &body,
                persistence: Persistence::Persistent,
                priority: 0,
                life_ms: None,
            };
            let len = pad8(record::message_len(1, 0, len));
            memory.push(len, &[QueueId::new(1)], &message);
            record::encode_message(&mut all, &[QueueId::new(1)], &message);
        }
        (memory, all)
    }

    #[test]
    fn the_memory_of_a_large_batch_becomes_a_block_with_its_records_where_they_belong() {
        for (records, len) in [(20, 100_000), (3_000, 1_000), (1, 5_000_000)] {
            let (mut memory, all) = filled(records, len);
            assert_eq!(memory.records(), all);
            let block = memory.take_block().expect("it is large");
            assert_eq!(block.as_ptr().align_offset(DIRECT_IO_ALIGNMENT), 0);
            assert_eq!(&block[HEADER_LEN..], all);
            assert!(block.capacity() >= block.len().next_multiple_of(DIRECT_IO_ALIGNMENT));
            assert_eq!(memory.records(), b"");
            give(block);
        }
    }

    #[test]
    fn a_small_batch_keeps_its_memory() {
        let (mut memory, all) = filled(10, 100);
        assert!(memory.take_block().is_none());
        assert_eq!(memory.records(), all);
    }

    #[test]
    fn no_more_memory_is_kept_than_its_bound() {
        let kept = || {
            let kept = KEPT.lock().unwrap();
            let largest = kept.iter().map(AlignedBuf::capacity).max();
            (kept.len(), largest.unwrap_or_default())
        };
        for bytes in [20 << 20, 600 << 10] {
            let batches: Vec<_> = (0..2 * BATCH_MEMORY_KEPT_MAX)
                .map(|_| filled(1, bytes).0)
                .collect();
            for mut batch in batches {
                give(batch.take_block().expect("it is large"));
                let (pieces, largest) = kept();
                assert!(pieces <= BATCH_MEMORY_KEPT_MAX && largest <= BATCH_MEMORY_BYTES_MAX);
            }
        }
        assert!(kept().0 > 0, "and some is");
    }
}
