//! The file of a footer, beside its segment.
//!
//! Invariants:
//! - Under its name a footer is whole: it is written under another one, and synced, before it is renamed. So one that is not
//!   valid was damaged.
//! - Nothing depends on a footer: one that is missing, or cannot be read or written, costs time at the next rebuild.

use super::Finished;
use crate::disk::{Disk, DiskFile, FileKind};
use crate::format::footer::{FooterBlocks, FooterHeader};
use crate::format::memory_offset;
use crate::ids::SegmentNumber;
use crate::limits::SEGMENT_BYTES_MAX;
use crate::segments::segment_path;
use std::io;

/// The file name of a segment's footer, relative to the data directory.
pub(crate) fn footer_path(segment: SegmentNumber) -> String {
    let path = segment_path(segment);
    let stem = path.strip_suffix(".seg").unwrap_or(&path);
    format!("{stem}.footer")
}

/// The name of a footer that is being written.
pub(crate) fn unfinished_path(segment: SegmentNumber) -> String {
    format!("{}.new", footer_path(segment))
}

/// A footer as it was read.
pub(crate) struct Footer {
    pub header: FooterHeader,
    bytes: Vec<u8>,
}

impl Footer {
    /// A footer of these bytes, if they are one of this segment.
    pub(crate) fn decode(bytes: Vec<u8>, store: u128, segment: SegmentNumber) -> Option<Self> {
        let header = FooterHeader::decode(&bytes, store, segment)?;
        Some(Self { header, bytes })
    }

    /// What it says of each block.
    pub(crate) fn blocks(&self) -> FooterBlocks<'_> {
        FooterBlocks::of(&self.bytes)
    }

    /// What it says of the blocks behind those that take the first so many bytes behind its header.
    pub(crate) fn blocks_behind(&self, bytes: usize) -> FooterBlocks<'_> {
        FooterBlocks::behind(&self.bytes, bytes)
    }

    /// Bytes of its file.
    pub(crate) fn len(&self) -> u64 {
        crate::format::byte_count(self.bytes.len())
    }

    /// The bytes of the file; none of more than any footer has.
    pub(crate) fn read<D: Disk>(disk: &D, segment: SegmentNumber) -> io::Result<Vec<u8>> {
        let file = disk.open(&footer_path(segment), FileKind::Plain)?;
        let mut bytes = vec![0; memory_offset(file.len()?.min(SEGMENT_BYTES_MAX))];
        let read = file.read_at(&mut bytes, 0)?;
        bytes.truncate(read);
        Ok(bytes)
    }

    /// Writes the footer of a sealed segment, durably but for its name.
    pub(crate) fn write<D: Disk>(disk: &D, finished: Finished, store: u128) -> io::Result<()> {
        let (path, unfinished) = (footer_path(finished.segment), unfinished_path(finished.segment));
        let bytes = finished.seal(store);
        let written = write_new(disk, &unfinished, &bytes).and_then(|()| disk.rename(&unfinished, &path));
        if written.is_err() {
            // What there is of it is in the way of others. Should it stay, the next start removes it.
            let _ = disk.remove(&unfinished);
        }
        written
    }
}

fn write_new<D: Disk>(disk: &D, path: &str, bytes: &[u8]) -> io::Result<()> {
    let file = disk.create(path, FileKind::Plain)?;
    file.write_at(bytes, 0)?;
    file.sync()
}
