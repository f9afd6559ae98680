//! A byte buffer whose first byte lies on a 4096-byte boundary, as O_DIRECT demands.
//!
//! Invariants:
//! - `start` is the offset at which `memory` reaches the boundary; `start + capacity <= memory.len()`.
//! - Every byte of `memory` is initialised, so growing `len` over old bytes is safe, merely stale.
//! - `capacity` is a whole number of sectors.
//! - `memory` is never reallocated in place: growing copies into a new aligned buffer.

use super::memory::Memory;
use std::ops::{Deref, DerefMut};

/// Address, offset and length of each direct transfer are multiples of this.
pub const DIRECT_IO_ALIGNMENT: usize = 4096;

/// A growable, reusable buffer for direct I/O. Dereferences to its `len` bytes. A large one lies in huge pages where the kernel has some.
pub struct AlignedBuf {
    memory: Memory,
    start: usize,
    capacity: usize,
    len: usize,
}

impl Default for AlignedBuf {
    fn default() -> Self {
        Self::new()
    }
}

impl AlignedBuf {
    /// An empty buffer that allocates when first written.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            memory: Memory::NONE,
            start: 0,
            capacity: 0,
            len: 0,
        }
    }

    /// An empty buffer with room for at least `capacity` bytes.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        if capacity == 0 {
            return Self::new();
        }
        let capacity = capacity.next_multiple_of(DIRECT_IO_ALIGNMENT);
        let memory = Memory::of(capacity);
        let start = memory.as_ptr().align_offset(DIRECT_IO_ALIGNMENT);
        assert!(
            start < DIRECT_IO_ALIGNMENT && start + capacity <= memory.len(),
            "bytes can be aligned anywhere"
        );
        Self {
            capacity: memory.usable(capacity),
            memory,
            start,
            len: 0,
        }
    }

    /// The capacity of a buffer that is asked for so many bytes.
    pub(crate) const fn capacity_for(bytes: usize) -> usize {
        Memory::usable_of(bytes.next_multiple_of(DIRECT_IO_ALIGNMENT))
    }

    /// Bytes of memory that it takes.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.memory.len()
    }

    /// A buffer of `len` zero bytes.
    #[must_use]
    pub fn zeroed(len: usize) -> Self {
        let mut buf = Self::with_capacity(len);
        buf.resize_zeroed(len);
        buf
    }

    /// How many bytes fit without moving.
    #[must_use]
    pub const fn capacity(&self) -> usize {
        self.capacity
    }

    /// Forgets the contents; keeps the memory.
    pub fn clear(&mut self) {
        self.len = 0;
    }

    /// Makes room for `additional` more bytes.
    #[inline]
    pub fn reserve(&mut self, additional: usize) {
        let needed = self.len + additional;
        if needed > self.capacity() {
            self.grow(needed);
        }
    }

    #[cold]
    fn grow(&mut self, needed: usize) {
        let mut larger = Self::with_capacity(needed.max(self.capacity() * 2));
        larger.len = self.len;
        larger[..].copy_from_slice(self);
        *self = larger;
    }

    /// Appends `bytes`.
    #[inline]
    pub fn extend_from_slice(&mut self, bytes: &[u8]) {
        self.reserve(bytes.len());
        let end = self.start + self.len;
        self.memory[end..end + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }

    /// Shortens to `len` bytes; does nothing when it is shorter.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// Grows with zero bytes, or shortens, to `len` bytes.
    pub fn resize_zeroed(&mut self, len: usize) {
        let old = self.len;
        self.resize_stale(len);
        if len > old {
            self[old..].fill(0);
        }
    }

    /// Grows or shortens to `len` bytes; new bytes hold whatever was there before.
    /// For a buffer that a read fills next.
    #[inline]
    pub fn resize_stale(&mut self, len: usize) {
        if len > self.len {
            self.reserve(len - self.len);
        }
        self.len = len;
    }

    /// The bytes and what stands behind them in their last sector, as direct I/O writes them.
    #[must_use]
    pub(crate) fn sectors(&self) -> &[u8] {
        &self.memory[self.start..self.start + self.len.next_multiple_of(DIRECT_IO_ALIGNMENT)]
    }

    /// Appends zeros up to the next multiple of `alignment`.
    pub fn pad_to(&mut self, alignment: usize) {
        self.resize_zeroed(self.len.next_multiple_of(alignment));
    }
}

impl Deref for AlignedBuf {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.memory[self.start..self.start + self.len]
    }
}

impl DerefMut for AlignedBuf {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..self.start + self.len]
    }
}

impl std::fmt::Debug for AlignedBuf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AlignedBuf")
            .field("len", &self.len)
            .field("capacity", &self.capacity())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_byte_stays_on_the_boundary_while_the_buffer_grows() {
        let mut buf = AlignedBuf::new();
        for round in 0_u8..200 {
            buf.extend_from_slice(&[round; 777]);
            assert_eq!(buf.as_ptr().align_offset(DIRECT_IO_ALIGNMENT), 0);
        }
        assert_eq!(buf.len(), 200 * 777);
        assert!(
            buf.chunks(777)
                .zip(0_u8..)
                .all(|(chunk, round)| chunk.iter().all(|byte| *byte == round))
        );
    }

    #[test]
    fn padding_is_zero_even_over_stale_bytes() {
        let mut buf = AlignedBuf::zeroed(0);
        buf.extend_from_slice(&[7; 4096]);
        buf.clear();
        buf.extend_from_slice(b"abc");
        buf.pad_to(4096);
        assert_eq!(buf.len(), 4096);
        assert!(buf[3..].iter().all(|byte| *byte == 0));
    }
}
