//! Bytes of the journal: segment header, block header, records. Drawn in docs/format.md.
//!
//! Pure functions between values and bytes. Nothing here knows a file, a lock or an index.

pub(crate) mod block;
pub(crate) mod footer;
pub(crate) mod gist;
pub(crate) mod message;
pub(crate) mod packed;
pub(crate) mod record;
pub(crate) mod run;
pub(crate) mod segment;
mod short;

/// Version of the format that this code writes, in every header.
pub(crate) const VERSION: u32 = 1;

/// `len` rounded up to a multiple of 8.
pub(crate) const fn pad8(len: usize) -> usize {
    len.next_multiple_of(8)
}

/// A length in memory as a length on disk. Callers have checked it against a limit far below 4 GiB.
pub(crate) fn disk_len(len: usize) -> u32 {
    u32::try_from(len).expect("every length on disk is limited to less than 4 GiB")
}

/// A length on disk as a length in memory.
pub(crate) fn memory_len(len: u32) -> usize {
    usize::try_from(len).expect("memory is addressed with at least 32 bits")
}

/// An offset or size that is limited to a segment, as a length in memory.
pub(crate) fn memory_offset(offset: u64) -> usize {
    usize::try_from(offset).expect("a segment fits into memory")
}

/// A length in memory as a number to count bytes with.
pub(crate) fn byte_count(len: usize) -> u64 {
    u64::try_from(len).expect("memory is addressed with at most 64 bits")
}
