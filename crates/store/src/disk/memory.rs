//! Memory for large transfers. Past the page cache the kernel pins each page of a buffer and tells the device of each: a MiB of huge pages
//! is read twice as fast as one of 256 ordinary ones. An allocator gives no huge pages to speak of, or gives them to everything.
//!
//! Invariants:
//! - Of a large buffer each byte lies in an anonymous map for which huge pages were asked before it was touched; without such a map, or for a
//!   small one, it lies on the heap.
//! - Pieces are never unmapped, and there are at most [`REGIONS_MAX`] times [`PIECES_IN_REGION`] of them: what the largest load took stays for the next one.

use super::DIRECT_IO_ALIGNMENT;
use memmap2::{Advice, MmapMut};
use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, MutexGuard, PoisonError};

const HUGE_PAGE_BYTES: usize = 2 << 20;
/// From here on memory is large.
const LARGE_FROM: usize = 512 << 10;
/// What blocks and reads of the usual size need. A multiple of a page, and a part of some huge pages without a rest.
const PIECE_BYTES: usize = (1 << 20) + (128 << 10);
const PIECES_IN_REGION: usize = 16;
const REGION_BYTES: usize = PIECES_IN_REGION * PIECE_BYTES;
const _: () =
    assert!(REGION_BYTES.is_multiple_of(HUGE_PAGE_BYTES) && PIECE_BYTES.is_multiple_of(DIRECT_IO_ALIGNMENT));
const REGIONS_MAX: usize = 4;

/// The pieces of this process.
static PIECES: Pieces = Pieces::new();

struct Pieces(Mutex<Free>);

struct Free {
    /// The one that was used last is used next.
    pieces: Vec<&'static mut [u8]>,
    regions: usize,
}

impl Pieces {
    const fn new() -> Self {
        Self(Mutex::new(Free {
            pieces: Vec::new(),
            regions: 0,
        }))
    }

    fn free(&self) -> MutexGuard<'_, Free> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A piece, if there may be one more.
    fn take(&'static self) -> Option<Piece> {
        let mut free = self.free();
        if free.pieces.is_empty() && free.regions < REGIONS_MAX {
            // More than a region, for it has to begin where a huge page does.
            let region = Box::leak(Box::new(map(REGION_BYTES + HUGE_PAGE_BYTES)?));
            let start = region.as_ptr().align_offset(HUGE_PAGE_BYTES);
            let pieces = region[start..start + REGION_BYTES].chunks_exact_mut(PIECE_BYTES);
            free.pieces.extend(pieces.rev());
            free.regions += 1;
        }
        let bytes = free.pieces.pop()?;
        Some(Piece { bytes, home: self })
    }
}

/// A map of new memory, zero; `None` when there is none.
fn map(bytes: usize) -> Option<MmapMut> {
    let map = MmapMut::map_anon(bytes)
        .inspect_err(|error| tracing::debug!(%error, bytes, "no map of memory"))
        .ok()?;
    if let Err(error) = map.advise(Advice::HugePage) {
        tracing::debug!(%error, "no huge pages");
    }
    Some(map)
}

/// A part of a region. It is given back when it is dropped.
pub(super) struct Piece {
    bytes: &'static mut [u8],
    home: &'static Pieces,
}

impl Drop for Piece {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        self.home.free().pieces.push(bytes);
    }
}

/// See the module's description.
pub(super) enum Memory {
    Heap(Vec<u8>),
    Piece(Piece),
    Map(MmapMut),
}

impl Memory {
    pub(super) const NONE: Self = Self::Heap(Vec::new());

    /// At least so many bytes from the first aligned one on, with arbitrary contents.
    pub(super) fn of(bytes: usize) -> Self {
        let large = if bytes < LARGE_FROM {
            None
        } else if bytes <= PIECE_BYTES {
            PIECES.take().map(Self::Piece)
        } else {
            map(bytes.next_multiple_of(HUGE_PAGE_BYTES)).map(Self::Map)
        };
        large.unwrap_or_else(|| Self::Heap(vec![0; bytes + DIRECT_IO_ALIGNMENT - 1]))
    }
}

impl Deref for Memory {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match self {
            Self::Heap(bytes) => bytes,
            Self::Piece(piece) => piece.bytes,
            Self::Map(map) => map,
        }
    }
}

impl DerefMut for Memory {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        match self {
            Self::Heap(bytes) => bytes,
            Self::Piece(piece) => piece.bytes,
            Self::Map(map) => map,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_memory_of_a_size_can_be_written_to_its_end_and_no_two_share_any() {
        for bytes in [
            1,
            LARGE_FROM - 1,
            LARGE_FROM,
            PIECE_BYTES,
            PIECE_BYTES + 1,
            5 << 20,
        ] {
            let all = 1..=u8::try_from(REGIONS_MAX * PIECES_IN_REGION + 3).unwrap();
            // Large ones in such numbers are only mapped, not touched as a whole.
            let mut memories: Vec<_> = all.clone().map(|_| Memory::of(bytes)).collect();
            for (memory, value) in memories.iter_mut().zip(all.clone()) {
                assert!(memory.len() >= bytes);
                (memory[0], memory[bytes - 1]) = (value, value);
            }
            for (memory, value) in memories.iter().zip(all) {
                assert_eq!((memory[0], memory[bytes - 1]), (value, value));
            }
        }
    }

    #[test]
    fn there_are_no_more_pieces_than_there_may_be_and_those_that_come_back_are_used_again() {
        static PIECES: Pieces = Pieces::new();
        let take_all = || {
            let mut all: Vec<_> = std::iter::from_fn(|| PIECES.take()).collect();
            for piece in &mut all {
                assert_eq!(piece.bytes.as_ptr().align_offset(DIRECT_IO_ALIGNMENT), 0);
                assert_eq!(piece.bytes.len(), PIECE_BYTES);
            }
            all
        };
        for _ in 0..2 {
            assert_eq!(take_all().len(), REGIONS_MAX * PIECES_IN_REGION);
        }
    }
}
