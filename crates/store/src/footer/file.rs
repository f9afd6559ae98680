//! The file of a footer, beside its segment.
//!
//! Invariants:
//! - Under its name a footer is whole: it is written under another one, and synced, before it is renamed. So one that is not
//!   valid was damaged.
//! - Nothing depends on a footer: one that is missing, or cannot be read or written, costs time at the next rebuild.

use super::Finished;
use crate::disk::{Disk, DiskFile, FileKind};
use crate::format::footer::{FooterBlocks, FooterHeader};
use crate::format::packed::{self, Context};
use crate::format::{byte_count, memory_offset};
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
    /// Bytes of its file.
    pub len: u64,
    blocks: Vec<Block>,
    /// The gists of all blocks, one behind the other.
    gists: Vec<u8>,
}

/// What a footer says of a block, its gists apart.
struct Block {
    offset: u64,
    crc: u32,
    record_count: u32,
    /// Where its gists begin.
    gists_at: usize,
}

/// What a footer says of a block.
pub(crate) struct BlockGists<'a> {
    /// Offset in the segment's file.
    pub offset: u64,
    /// The checksum of its header.
    pub crc: u32,
    pub record_count: u32,
    /// The gists of its records, each padded to 8 bytes.
    pub gists: &'a [u8],
}

impl Footer {
    /// A footer of these bytes, if they are one of this segment.
    pub(crate) fn decode(bytes: &[u8], store: u128, segment: SegmentNumber) -> Option<Self> {
        let header = FooterHeader::decode(bytes, store, segment)?;
        let (mut blocks, mut gists, mut context) = (Vec::new(), Vec::new(), Context::default());
        for block in FooterBlocks::of(bytes) {
            blocks.push(Block {
                offset: block.offset,
                crc: block.crc,
                record_count: block.record_count,
                gists_at: gists.len(),
            });
            packed::unpack(block.packed, &mut context, &mut gists)?;
        }
        Some(Self {
            header,
            len: byte_count(bytes.len()),
            blocks,
            gists,
        })
    }

    /// What it says of each block, in the order of the log.
    pub(crate) fn blocks(&self) -> impl Iterator<Item = BlockGists<'_>> {
        (0..self.blocks.len()).filter_map(|index| self.block(index))
    }

    /// What it says of its block with this number, from 0.
    pub(crate) fn block(&self, index: usize) -> Option<BlockGists<'_>> {
        let block = self.blocks.get(index)?;
        let next = self.blocks.get(index + 1);
        let end = next.map_or(self.gists.len(), |next| next.gists_at);
        Some(BlockGists {
            offset: block.offset,
            crc: block.crc,
            record_count: block.record_count,
            gists: &self.gists[block.gists_at..end],
        })
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
