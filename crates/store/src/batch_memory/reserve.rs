//! Memory that waits for large batches.
//!
//! Invariants:
//! - What waits is bounded by [`BATCH_MEMORY_BYTES_MAX`] and [`BATCH_MEMORY_KEPT_MAX`]; what was here longest makes room.
//! - No piece is of a size that the pool of blocks keeps for its own.

use crate::disk::AlignedBuf;
use crate::limits::{BATCH_MEMORY_BYTES_MAX, BATCH_MEMORY_KEPT_MAX, HUGE_PAGE_BYTES, LARGE_BATCH_BYTES};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};

/// Memory that waits for the next large batch.
pub(super) struct Reserve {
    kept: Mutex<Kept>,
    /// Bytes of the newest batch with the header of its block, if it was large.
    expected: AtomicUsize,
}

#[derive(Default)]
pub(super) struct Kept {
    /// In the order in which they came.
    pub(super) pieces: Vec<Piece>,
    bytes: usize,
}

pub(super) struct Piece {
    memory: AlignedBuf,
    /// It was here already when somebody looked for what nobody uses.
    was_seen: bool,
}

/// How much memory is made for so many bytes: nothing that the pool of blocks would take for its own.
pub(super) const fn size_for(bytes: usize) -> usize {
    if bytes <= 4 * LARGE_BATCH_BYTES {
        4 * LARGE_BATCH_BYTES
    } else {
        bytes.next_multiple_of(2 * HUGE_PAGE_BYTES)
    }
}

/// The largest memory of which so many bytes use enough.
pub(super) fn usable_max(len: usize) -> usize {
    (2 * len).max(4 * LARGE_BATCH_BYTES)
}

impl Reserve {
    pub(super) const fn new() -> Self {
        Self {
            kept: Mutex::new(Kept::new()),
            expected: AtomicUsize::new(0),
        }
    }

    /// Bytes that the next batch is expected to have with the header of its block; 0 when it is not expected to be large.
    pub(super) fn expected(&self) -> usize {
        self.expected.load(Ordering::Relaxed)
    }

    pub(super) fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().expect("no holder of this lock panics")
    }

    /// The next batch will be as large as this one. Most are as the one before, and nothing is written for them.
    pub(super) fn expect(&self, len: usize) {
        let len = if len < LARGE_BATCH_BYTES { 0 } else { len };
        if self.expected.load(Ordering::Relaxed) != len {
            self.expected.store(len, Ordering::Relaxed);
        }
    }

    pub(super) fn give(&self, memory: AlignedBuf) {
        if memory.capacity() >= LARGE_BATCH_BYTES {
            // Pages go back to the system without this lock.
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
    pub(super) fn take(&mut self, bytes: usize) -> Option<AlignedBuf> {
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
        if memory.memory_bytes() > BATCH_MEMORY_BYTES_MAX {
            return vec![memory];
        }
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
    pub(super) fn unused(&mut self) -> Vec<AlignedBuf> {
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

#[cfg(test)]
mod tests;
