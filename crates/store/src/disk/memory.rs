//! Memory for large transfers. Past the page cache the kernel pins each page of a buffer and tells the device of each: a MiB of huge pages
//! is read twice as fast as one of 256 ordinary ones. An allocator gives no huge pages to speak of, or gives them to everything.
//!
//! Invariants:
//! - Of a large buffer each byte lies in an anonymous map for which huge pages were asked before it was touched; without such a map, or for a
//!   small one, it lies on the heap.
//! - Cells are never unmapped, and there are at most [`REGIONS_MAX`] times [`CELLS_IN_REGION`] of them: what the largest load took stays for the next one.

use super::DIRECT_IO_ALIGNMENT;
use crate::limits::{CELL_BYTES, CELLS_IN_REGION, HUGE_PAGE_BYTES, LARGE_BUFFER_BYTES_MIN, REGIONS_MAX};
use memmap2::{Advice, MmapMut};
use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, MutexGuard, PoisonError};

const REGION_BYTES: usize = CELLS_IN_REGION * CELL_BYTES;
const _: () =
    assert!(REGION_BYTES.is_multiple_of(HUGE_PAGE_BYTES) && CELL_BYTES.is_multiple_of(DIRECT_IO_ALIGNMENT));

/// The cells of this process.
static CELLS: Cells = Cells::new();

struct Cells(Mutex<Free>);

struct Free {
    /// The one that was used last is used next.
    cells: Vec<&'static mut [u8]>,
    regions: usize,
}

impl Cells {
    const fn new() -> Self {
        Self(Mutex::new(Free {
            cells: Vec::new(),
            regions: 0,
        }))
    }

    fn free(&self) -> MutexGuard<'_, Free> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A cell, if there may be one more.
    fn take(&'static self) -> Option<Cell> {
        let mut free = self.free();
        if free.cells.is_empty() && free.regions < REGIONS_MAX {
            let region = Box::leak(Box::new(Map::of(REGION_BYTES)?));
            free.cells
                .extend(region.bytes_mut().chunks_exact_mut(CELL_BYTES).rev());
            free.regions += 1;
        }
        let bytes = free.cells.pop()?;
        Some(Cell { bytes, home: self })
    }
}

/// New memory, zero, from where a huge page begins.
pub(super) struct Map {
    map: MmapMut,
    start: usize,
    len: usize,
}

impl Map {
    /// So many bytes; `None` when there are none.
    fn of(len: usize) -> Option<Self> {
        let map = MmapMut::map_anon(len + HUGE_PAGE_BYTES)
            .inspect_err(|error| tracing::debug!(%error, len, "no map of memory"))
            .ok()?;
        if let Err(error) = map.advise(Advice::HugePage) {
            tracing::debug!(%error, "no huge pages");
        }
        let start = map.as_ptr().align_offset(HUGE_PAGE_BYTES);
        Some(Self { map, start, len })
    }

    fn bytes(&self) -> &[u8] {
        &self.map[self.start..self.start + self.len]
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.map[self.start..self.start + self.len]
    }
}

/// A part of a region. It is given back when it is dropped.
pub(super) struct Cell {
    bytes: &'static mut [u8],
    home: &'static Cells,
}

impl Drop for Cell {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        self.home.free().cells.push(bytes);
    }
}

/// See the module's description.
pub(super) enum Memory {
    Heap(Vec<u8>),
    Cell(Cell),
    Map(Map),
}

impl Memory {
    pub(super) const NONE: Self = Self::Heap(Vec::new());

    /// At least so many bytes from the first aligned one on, with arbitrary contents.
    pub(super) fn of(bytes: usize) -> Self {
        let large = if bytes < LARGE_BUFFER_BYTES_MIN {
            None
        } else if bytes <= CELL_BYTES {
            CELLS.take().map(Self::Cell)
        } else {
            Map::of(bytes.next_multiple_of(HUGE_PAGE_BYTES)).map(Self::Map)
        };
        large.unwrap_or_else(|| Self::Heap(vec![0; bytes + DIRECT_IO_ALIGNMENT - 1]))
    }

    /// How many bytes of what is given for `asked` are used, if it is given where it should be.
    pub(super) const fn usable_of(asked: usize) -> usize {
        if asked <= CELL_BYTES {
            asked
        } else {
            asked.next_multiple_of(HUGE_PAGE_BYTES)
        }
    }

    /// Of a map all is used, of everything else what was asked for.
    pub(super) const fn usable(&self, asked: usize) -> usize {
        match self {
            Self::Map(map) => map.len,
            Self::Heap(_) | Self::Cell(_) => asked,
        }
    }
}

impl Deref for Memory {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match self {
            Self::Heap(bytes) => bytes,
            Self::Cell(cell) => cell.bytes,
            Self::Map(map) => map.bytes(),
        }
    }
}

impl DerefMut for Memory {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        match self {
            Self::Heap(bytes) => bytes,
            Self::Cell(cell) => cell.bytes,
            Self::Map(map) => map.bytes_mut(),
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
            LARGE_BUFFER_BYTES_MIN - 1,
            LARGE_BUFFER_BYTES_MIN,
            CELL_BYTES,
            CELL_BYTES + 1,
            5 << 20,
        ] {
            let all = 1..=u8::try_from(REGIONS_MAX * CELLS_IN_REGION + 3).unwrap();
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
    fn there_are_no_more_cells_than_there_may_be_and_those_that_come_back_are_used_again() {
        static CELLS: Cells = Cells::new();
        let take_all = || {
            let mut all: Vec<_> = std::iter::from_fn(|| CELLS.take()).collect();
            for cell in &mut all {
                assert_eq!(cell.bytes.as_ptr().align_offset(DIRECT_IO_ALIGNMENT), 0);
                assert_eq!(cell.bytes.len(), CELL_BYTES);
            }
            all
        };
        for _ in 0..2 {
            assert_eq!(take_all().len(), REGIONS_MAX * CELLS_IN_REGION);
        }
    }
}
