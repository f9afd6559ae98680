//! Block buffers, taken from a pool and given back: fresh memory costs a page fault for each page,
//! which is more than the rest of a commit.
//!
//! Invariant: what the pool holds takes at most `bytes_max` bytes of memory; what comes back beyond that is freed.

use crate::batch_memory;
use crate::disk::AlignedBuf;
use crate::limits::{CELL_BYTES, HUGE_PAGE_BYTES};

/// Buffers come in these sizes; what is larger is made to measure and not kept. The larger ones are for blocks of a single
/// large batch, and none is of a size to which the memory of batches grows: that is kept for batches.
const CLASSES: [usize; 5] = [
    8 << 10,
    64 << 10,
    CELL_BYTES,
    3 * HUGE_PAGE_BYTES,
    5 * HUGE_PAGE_BYTES,
];

/// Whether the pool keeps buffers of this size.
#[cfg(test)]
pub(crate) fn is_class(capacity: usize) -> bool {
    CLASSES.contains(&capacity)
}

/// Recycled buffers.
pub(crate) struct BufferPool {
    free: [Vec<AlignedBuf>; CLASSES.len()],
    bytes: usize,
    bytes_max: usize,
}

impl BufferPool {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self {
            free: Default::default(),
            bytes: 0,
            bytes_max,
        }
    }

    /// A buffer with room for at least `capacity` bytes and length 0.
    pub(crate) fn take(&mut self, capacity: usize) -> AlignedBuf {
        let Some(class) = CLASSES.iter().position(|size| *size >= capacity) else {
            return AlignedBuf::with_capacity(capacity);
        };
        if let Some(mut buf) = self.free[class].pop() {
            self.bytes -= buf.memory_bytes();
            buf.clear();
            return buf;
        }
        AlignedBuf::with_capacity(CLASSES[class])
    }

    /// Takes a buffer back.
    pub(crate) fn give(&mut self, buf: AlignedBuf) {
        let Some(class) = CLASSES.iter().position(|size| *size == buf.capacity()) else {
            // It may have been a batch's.
            batch_memory::give(buf);
            return;
        };
        if self.bytes + buf.memory_bytes() <= self.bytes_max {
            self.bytes += buf.memory_bytes();
            self.free[class].push(buf);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_returned_buffer_is_used_again_and_begins_empty() {
        let mut pool = BufferPool::new(1 << 20);
        let mut buf = pool.take(100);
        buf.extend_from_slice(b"old");
        let address = buf.as_ptr();
        pool.give(buf);
        let again = pool.take(8192);
        assert_eq!((again.as_ptr(), again.len()), (address, 0));
    }

    #[test]
    fn the_pool_keeps_no_more_than_its_bound() {
        let mut pool = BufferPool::new(16 << 10);
        let buffers: Vec<_> = (0..5).map(|_| pool.take(1)).collect();
        for buf in buffers {
            pool.give(buf);
        }
        assert!(pool.bytes <= pool.bytes_max);
        assert_eq!(pool.free[0].len(), 1, "two take more memory than what is in them");
    }
}
