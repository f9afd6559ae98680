//! The memory in which a batch gathers its records. That of a large batch becomes the block's: its records are not copied again.
//!
//! Invariants:
//! - The records stand one behind the other: in `small`, or, once they are many, in `large` behind room for a block's header.
//! - A batch is expected to be as large as the one before. That decides where its first record goes, and nothing else: no page is
//!   touched for what is only expected.
//! - Memory that comes back is kept for later batches, within a bound, and until it was not used for a while: fresh memory costs
//!   a page fault for each page, which is more than what is written to it.
//! - A block gets no memory of which it leaves most unused: recent blocks are counted by what they take.

use crate::disk::AlignedBuf;
use crate::format::block::HEADER_LEN;
use crate::format::record::{self, Append, UnplacedMessage};
use crate::ids::QueueId;
use crate::limits::{BATCH_MEMORY_BYTES_MAX, BATCH_MEMORY_KEPT_MAX, LARGE_BATCH_BYTES};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};

impl Append for AlignedBuf {
    fn append(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// That of this process, whatever store a batch is for.
static RESERVE: Reserve = Reserve::new();

/// Memory that waits for the next large batch.
struct Reserve {
    kept: Mutex<Kept>,
    /// Bytes of the newest batch with the header of its block, if it was large.
    expected: AtomicUsize,
}

struct Kept {
    /// In the order in which they came.
    pieces: Vec<Piece>,
    bytes: usize,
}

struct Piece {
    memory: AlignedBuf,
    /// It was here already when somebody looked for what nobody uses.
    was_seen: bool,
}

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
            if self.small.is_empty() {
                self.begin(len);
            }
            if self.large.is_empty() && self.small.len() + len < LARGE_BATCH_BYTES {
                self.small.reserve(len);
                return record::encode_message(&mut self.small, queues, message);
            }
        }
        let needed = self.large.len().max(HEADER_LEN + self.small.len()) + len;
        if needed > self.large.capacity() {
            self.grow(needed);
        }
        record::encode_message(&mut self.large, queues, message);
    }

    /// Takes kept memory, if there is some for a batch like the one before.
    fn begin(&mut self, len: usize) {
        let expected = self.reserve.expected.load(Ordering::Relaxed);
        if expected > 0
            && let Some(memory) = self.reserve.kept().take(expected.max(HEADER_LEN + len))
        {
            self.large = memory;
            self.large.resize_zeroed(HEADER_LEN);
        }
    }

    #[cold]
    fn grow(&mut self, needed: usize) {
        let expected = self.reserve.expected.load(Ordering::Relaxed);
        let wanted = needed.max(2 * self.large.capacity()).max(expected);
        let taken = self.reserve.kept().take(wanted);
        let mut larger =
            taken.unwrap_or_else(|| AlignedBuf::with_capacity(wanted.max(4 * LARGE_BATCH_BYTES)));
        larger.resize_zeroed(HEADER_LEN);
        larger.extend_from_slice(self.records());
        self.small = Vec::new();
        self.reserve.give(std::mem::replace(&mut self.large, larger));
    }

    /// The memory as that of a block with room for its header, if the records are many and fill most of it; nothing is left here then.
    pub(crate) fn take_block(&mut self) -> Option<AlignedBuf> {
        let len = self.large.len();
        let is_large = len >= LARGE_BATCH_BYTES;
        self.reserve.expect(if is_large { len } else { 0 });
        let is_filled = self.large.capacity() <= usable_max(len);
        (is_large && is_filled).then(|| std::mem::take(&mut self.large))
    }
}

impl Drop for BatchMemory {
    fn drop(&mut self) {
        self.reserve.give(std::mem::take(&mut self.large));
    }
}

/// The largest memory of which so many bytes use enough.
fn usable_max(len: usize) -> usize {
    (2 * len).max(4 * LARGE_BATCH_BYTES)
}

impl Reserve {
    const fn new() -> Self {
        Self {
            kept: Mutex::new(Kept::new()),
            expected: AtomicUsize::new(0),
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().expect("no holder of this lock panics")
    }

    /// The next batch will be as large as this one. Most are as the one before, and nothing is written for them.
    fn expect(&self, len: usize) {
        if self.expected.load(Ordering::Relaxed) != len {
            self.expected.store(len, Ordering::Relaxed);
        }
    }

    fn give(&self, memory: AlignedBuf) {
        if memory.capacity() >= LARGE_BATCH_BYTES {
            // Pages go back to the system without the lock.
            let too_much = self.kept().give(memory);
            drop(too_much);
        }
    }
}

impl Kept {
    const fn new() -> Self {
        Self {
            pieces: Vec::new(),
            bytes: 0,
        }
    }

    /// The smallest piece with room for so many bytes, empty; none of which they use little.
    fn take(&mut self, bytes: usize) -> Option<AlignedBuf> {
        let pieces = self.pieces.iter().enumerate();
        let fitting =
            pieces.filter(|(_, piece)| (bytes..=usable_max(bytes)).contains(&piece.memory.capacity()));
        let (at, _) = fitting.min_by_key(|(_, piece)| piece.memory.capacity())?;
        let mut memory = self.pieces.remove(at).memory;
        self.bytes -= memory.memory_bytes();
        memory.clear();
        Some(memory)
    }

    /// Takes memory back. What is too much then comes out, that first which was here longest.
    fn give(&mut self, memory: AlignedBuf) -> Vec<AlignedBuf> {
        self.bytes += memory.memory_bytes();
        self.pieces.push(Piece {
            memory,
            was_seen: false,
        });
        let mut too_much = Vec::new();
        while self.pieces.len() > BATCH_MEMORY_KEPT_MAX || self.bytes > BATCH_MEMORY_BYTES_MAX {
            let oldest = self.pieces.remove(0).memory;
            self.bytes -= oldest.memory_bytes();
            too_much.push(oldest);
        }
        too_much
    }

    /// Takes out what was here already when this was called before.
    fn unused(&mut self) -> Vec<AlignedBuf> {
        let (unused, used): (Vec<_>, Vec<_>) = self.pieces.drain(..).partition(|piece| piece.was_seen);
        self.pieces = used;
        for piece in &mut self.pieces {
            piece.was_seen = true;
        }
        let unused: Vec<_> = unused.into_iter().map(|piece| piece.memory).collect();
        self.bytes -= unused.iter().map(AlignedBuf::memory_bytes).sum::<usize>();
        unused
    }
}

/// Takes memory back, if it is that of a large batch.
pub(crate) fn give(memory: AlignedBuf) {
    RESERVE.give(memory);
}

/// Frees what no batch took since this was called before.
pub(crate) fn free_unused() {
    let unused = RESERVE.kept().unused();
    drop(unused);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::DIRECT_IO_ALIGNMENT;
    use crate::format::pad8;
    use crate::format::record::Persistence;

    fn reserve() -> &'static Reserve {
        Box::leak(Box::new(Reserve::new()))
    }

    fn filled(reserve: &'static Reserve, records: usize, len: usize) -> (BatchMemory, Vec<u8>) {
        let (mut memory, mut all) = (BatchMemory::of(reserve), Vec::new());
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
            let (mut memory, all) = filled(reserve(), records, len);
            assert_eq!(memory.records(), all);
            let block = memory.take_block().expect("it is large");
            assert_eq!(block.as_ptr().align_offset(DIRECT_IO_ALIGNMENT), 0);
            assert_eq!(&block[HEADER_LEN..], all);
            assert!(block.capacity() >= block.len().next_multiple_of(DIRECT_IO_ALIGNMENT));
            assert_eq!(memory.records(), b"");
        }
    }

    #[test]
    fn a_small_batch_keeps_its_memory() {
        let (mut memory, all) = filled(reserve(), 10, 100);
        assert!(memory.take_block().is_none());
        assert_eq!(memory.records(), all);
    }

    #[test]
    fn memory_of_which_most_is_unused_stays_with_the_batch() {
        let (mut memory, all) = filled(reserve(), 7, 100_000);
        memory.large.reserve(64 << 20);
        assert!(memory.take_block().is_none());
        assert_eq!(memory.records(), all);
    }

    #[test]
    fn a_batch_begins_in_the_memory_of_one_that_was_as_large() {
        let reserve = reserve();
        let (mut first, _) = filled(reserve, 30, 100_000);
        let block = first.take_block().expect("it is large");
        let address = block.as_ptr();
        reserve.give(block);
        let (mut second, all) = filled(reserve, 30, 100_000);
        assert!(second.small.is_empty());
        assert_eq!(second.records(), all);
        assert_eq!(second.take_block().expect("it is large").as_ptr(), address);
    }

    #[test]
    fn a_small_batch_behind_a_large_one_gives_its_memory_back() {
        let reserve = reserve();
        let (mut large, _) = filled(reserve, 30, 100_000);
        reserve.give(large.take_block().expect("it is large"));
        let pieces = reserve.kept().pieces.len();
        let (mut small, all) = filled(reserve, 3, 100);
        assert_eq!(reserve.kept().pieces.len(), pieces - 1);
        assert_eq!(small.records(), all);
        assert!(small.take_block().is_none());
        drop(small);
        assert_eq!(reserve.kept().pieces.len(), pieces);
        let (small, _) = filled(reserve, 3, 100);
        assert!(small.large.is_empty(), "the one before was small");
    }

    #[test]
    fn a_batch_takes_the_smallest_kept_piece_that_has_room_and_none_that_is_much_too_large() {
        let mut kept = Kept::new();
        for bytes in [8 << 20, 2 << 20, 32 << 20] {
            assert!(kept.give(AlignedBuf::zeroed(bytes)).is_empty());
        }
        let taken = kept.take(5 << 20).expect("there is room");
        assert_eq!((taken.len(), taken.capacity()), (0, 8 << 20));
        assert!(kept.take(33 << 20).is_none() && kept.take(15 << 20).is_none());
        assert_eq!(kept.take(1).expect("there is room").capacity(), 2 << 20);
    }

    #[test]
    fn no_more_memory_is_kept_than_its_bounds() {
        for (bytes, pieces) in [(90 << 20, 3), (600 << 10, BATCH_MEMORY_KEPT_MAX)] {
            let mut kept = Kept::new();
            let given = 2 * BATCH_MEMORY_KEPT_MAX;
            let freed: usize = (0..given)
                .map(|_| kept.give(AlignedBuf::with_capacity(bytes)).len())
                .sum();
            assert_eq!((kept.pieces.len(), freed), (pieces, given - pieces));
            assert!(kept.bytes <= BATCH_MEMORY_BYTES_MAX);
        }
    }

    #[test]
    fn what_comes_back_takes_the_place_of_what_was_here_longest() {
        let mut kept = Kept::new();
        for at in 1..=BATCH_MEMORY_KEPT_MAX + 1 {
            kept.give(AlignedBuf::with_capacity(at << 20));
        }
        assert!(kept.pieces.iter().all(|piece| piece.memory.capacity() > 1 << 20));
        assert!(kept.take(BATCH_MEMORY_KEPT_MAX << 20).is_some());
    }

    #[test]
    fn what_no_batch_takes_for_a_while_is_freed() {
        let mut kept = Kept::new();
        for bytes in [1 << 20, 4 << 20] {
            assert!(kept.give(AlignedBuf::with_capacity(bytes)).is_empty());
        }
        assert!(kept.unused().is_empty(), "it came just now");
        let used = kept.take(2 << 20).expect("it is here");
        assert!(kept.give(used).is_empty());
        let unused = kept.unused();
        assert_eq!(unused.len(), 1);
        assert_eq!(kept.bytes, kept.pieces[0].memory.memory_bytes());
        assert_eq!(kept.unused().len(), 1);
        assert_eq!((kept.bytes, kept.pieces.len()), (0, 0));
    }
}
