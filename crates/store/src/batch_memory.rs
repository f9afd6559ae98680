//! The memory in which a batch gathers its records. That of a large batch becomes the block's: its records are not copied again.
//!
//! Invariants:
//! - The records stand one behind the other: in `small`, or, once they are many, in `large` behind room for a block's header.
//! - Once it is no small one, a batch is expected to be as large as the one before, if that was large, and goes on in memory that is
//!   kept. No page is touched for what is only expected, and a small batch has nothing to do with any of this.
//! - Memory that comes back is kept for later batches (`reserve`), within a bound, and until it was not used for a while: fresh memory costs
//!   a page fault for each page, which is more than what is written to it.
//! - A block gets no memory of more than 2 MiB of which it leaves most unused: recent blocks are counted by what they take.

mod reserve;

use crate::disk::AlignedBuf;
use crate::format::block::HEADER_LEN;
use crate::format::message::{self, Append, UnplacedMessage};
use crate::ids::QueueId;
use crate::limits::{LARGE_BATCH_BYTES, NO_SMALL_BATCH_BYTES};
use reserve::{Reserve, size_for, usable_max};
use std::mem;

impl Append for AlignedBuf {
    fn append(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// That of this process, whatever store a batch is for.
static RESERVE: Reserve = Reserve::new();

/// Records, and room for more.
pub(crate) struct BatchMemory {
    small: Vec<u8>,
    large: AlignedBuf,
    reserve: &'static Reserve,
}

impl BatchMemory {
    pub(crate) const fn new() -> Self {
        Self::of(&RESERVE)
    }

    const fn of(reserve: &'static Reserve) -> Self {
        Self {
            small: Vec::new(),
            large: AlignedBuf::new(),
            reserve,
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
            let (before, after) = (self.small.len(), self.small.len() + len);
            if before < NO_SMALL_BATCH_BYTES && after >= NO_SMALL_BATCH_BYTES {
                self.expect_more(after);
            }
            if self.large.is_empty() && after < LARGE_BATCH_BYTES {
                self.small.reserve(len);
                return message::encode_message(&mut self.small, queues, message);
            }
        }
        let needed = self.large.len().max(HEADER_LEN + self.small.len()) + len;
        if needed > self.large.capacity() {
            self.grow(needed);
        }
        message::encode_message(&mut self.large, queues, message);
    }

    /// Goes on in kept memory, if there is some for a batch like the one before.
    fn expect_more(&mut self, needed: usize) {
        let expected = self.reserve.expected();
        if expected == 0 {
            return;
        }
        let taken = self.reserve.kept().take(expected.max(HEADER_LEN + needed));
        if let Some(memory) = taken {
            self.move_to(memory);
        }
    }

    #[cold]
    fn grow(&mut self, needed: usize) {
        let expected = self.reserve.expected();
        let wanted = needed.max(2 * self.large.capacity()).max(expected);
        let taken = self.reserve.kept().take(wanted);
        self.move_to(taken.unwrap_or_else(|| AlignedBuf::with_capacity(size_for(wanted))));
    }

    fn move_to(&mut self, mut memory: AlignedBuf) {
        memory.resize_zeroed(HEADER_LEN);
        memory.extend_from_slice(self.records());
        self.small = Vec::new();
        self.reserve.give(mem::replace(&mut self.large, memory));
    }

    /// The memory as that of a block with room for its header, if the records are many and fill most of it; nothing is left here then.
    pub(crate) fn take_block(&mut self) -> Option<AlignedBuf> {
        let len = self.large.len();
        let is_filled = self.large.capacity() <= usable_max(len);
        (len >= LARGE_BATCH_BYTES && is_filled).then(|| {
            self.reserve.expect(len);
            mem::take(&mut self.large)
        })
    }
}

impl Drop for BatchMemory {
    fn drop(&mut self) {
        if !self.large.is_empty() {
            // It was copied, or refused, or nobody wanted it.
            self.reserve.expect(self.large.len());
            self.reserve.give(mem::take(&mut self.large));
        }
    }
}

/// Takes memory back, if it is that of a large batch.
pub(crate) fn give(memory: AlignedBuf) {
    RESERVE.give(memory);
}

/// Frees all that waits for a batch.
pub(crate) fn free_all() {
    let all = mem::take(&mut *RESERVE.kept());
    drop(all);
}

/// Frees what no batch took since this was called before.
pub(crate) fn free_unused() {
    let unused = RESERVE.kept().unused();
    drop(unused);
}

#[cfg(test)]
mod tests;
