//! The memory in which a batch gathers its records. That of a large batch becomes the block's: its records are not copied again.
//!
//! Invariants:
//! - The records stand one behind the other from `lead` on, whatever is in front of them.
//! - Once they are many, a block header fits between an aligned address and the first of them; memory of which this is not true
//!   any more is copied like that of a small batch.
//! - Memory that comes back is kept for later batches, within a bound: fresh memory costs a page fault per 4 KiB, which is more
//!   than what is written to it.

use crate::disk::{AlignedBuf, DIRECT_IO_ALIGNMENT};
use crate::format::block::HEADER_LEN;
use crate::limits::{BATCH_MEMORY_BYTES_MAX, BATCH_MEMORY_KEPT_MAX, LARGE_BATCH_BYTES};
use std::sync::Mutex;

/// What is in front of the first record, and behind the last, in memory that can become a block.
const SLACK: usize = 4 * DIRECT_IO_ALIGNMENT;

/// Memory that waits for the next large batch of this process, whatever store it is for.
static KEPT: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

/// Records, and room for more.
#[derive(Default)]
pub(crate) struct BatchMemory {
    memory: Vec<u8>,
    lead: usize,
}

impl BatchMemory {
    pub(crate) const fn new() -> Self {
        Self {
            memory: Vec::new(),
            lead: 0,
        }
    }

    /// All records.
    pub(crate) fn records(&self) -> &[u8] {
        &self.memory[self.lead..]
    }

    /// Where the next record is to be written to its end: there is room for `len` bytes.
    pub(crate) fn room_for(&mut self, len: usize) -> &mut Vec<u8> {
        let more = if self.lead > 0 { len + SLACK } else { len };
        if self.memory.capacity() - self.memory.len() < more {
            self.grow(more);
        }
        &mut self.memory
    }

    #[cold]
    fn grow(&mut self, more: usize) {
        let needed = self.memory.len() + more + SLACK;
        if needed >= LARGE_BATCH_BYTES && self.lead == 0 {
            let mut larger = take_kept();
            larger.reserve(needed.max(4 * LARGE_BATCH_BYTES));
            larger.resize(lead_in(&larger), 0);
            self.lead = larger.len();
            larger.extend_from_slice(&self.memory);
            self.memory = larger;
        }
        self.memory
            .reserve(if self.lead > 0 { more + SLACK } else { more });
        let lead = lead_in(&self.memory);
        if self.lead > 0 && self.lead != lead {
            self.move_records(lead);
        }
    }

    /// Memory that moved may lie otherwise.
    fn move_records(&mut self, lead: usize) {
        let records = self.records().len();
        self.memory.resize(self.memory.len().max(lead + records), 0);
        self.memory.copy_within(self.lead..self.lead + records, lead);
        self.memory.truncate(lead + records);
        self.lead = lead;
    }

    /// The memory as that of a block with room for its header, if it can be one; nothing is left here then.
    pub(crate) fn take_block(&mut self) -> Option<AlignedBuf> {
        let len = HEADER_LEN + self.records().len();
        let start = self.lead.checked_sub(HEADER_LEN)?;
        let whole = start + len.next_multiple_of(DIRECT_IO_ALIGNMENT) + DIRECT_IO_ALIGNMENT;
        if self.memory.capacity() < whole || lead_in(&self.memory) != self.lead {
            return None;
        }
        let mut memory = std::mem::take(self).memory;
        memory.resize(whole, 0);
        Some(AlignedBuf::from_memory(memory, start, len))
    }
}

/// Where the first record stands in this memory, behind an aligned header.
fn lead_in(memory: &[u8]) -> usize {
    memory.as_ptr().align_offset(DIRECT_IO_ALIGNMENT) + HEADER_LEN
}

fn take_kept() -> Vec<u8> {
    KEPT.lock()
        .expect("no holder of this lock panics")
        .pop()
        .unwrap_or_default()
}

/// Takes memory back.
pub(crate) fn give(block: AlignedBuf) {
    let Some(mut memory) = block.into_memory() else {
        return;
    };
    if !(LARGE_BATCH_BYTES..=BATCH_MEMORY_BYTES_MAX).contains(&memory.capacity()) {
        return;
    }
    memory.clear();
    let mut kept = KEPT.lock().expect("no holder of this lock panics");
    if kept.len() < BATCH_MEMORY_KEPT_MAX {
        kept.push(memory);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(records: usize, len: usize) -> (BatchMemory, Vec<u8>) {
        let (mut memory, mut all) = (BatchMemory::new(), Vec::new());
        for at in 0..records {
            let record = vec![u8::try_from(at % 251).unwrap(); len];
            memory.room_for(len).extend_from_slice(&record);
            all.extend_from_slice(&record);
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
            let largest = kept.iter().map(Vec::capacity).max();
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
