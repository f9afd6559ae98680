//! The cold segment that is being written: evacuated survivors, in blocks of their own.
//!
//! Invariants:
//! - Blocks follow each other from the segment's beginning, each synced before the next: a chain of its own per segment.
//! - A cold segment is filled by one process only; the next start begins another.

use crate::builder::{BlockBuilder, Place, SealedBlock};
use crate::checksum::Salt;
use crate::disk::{Disk, DiskFile, FileKind};
use crate::engine::final_error;
use crate::footer::{Draft, Finished};
use crate::format::segment::SegmentHeader;
use crate::ids::{BlockNumber, Epoch, Lsn, SegmentNumber};
use crate::limits::SEGMENT_HEADER_BYTES;
use crate::segments::{COLD_DIR, SegmentFile, segment_path};
use crate::shard::write_header;
use std::io;
use std::sync::Arc;

/// Where the next block of copies goes.
pub(crate) struct ColdTail<D: Disk> {
    pub file: Arc<SegmentFile<D::File>>,
    epoch: Epoch,
    end: Lsn,
    previous_crc: u32,
    max_timestamp_ms: u64,
    next_block: BlockNumber,
    draft: Option<Box<Draft>>,
}

impl<D: Disk> ColdTail<D> {
    /// Makes a cold segment, durably.
    pub(crate) fn create(disk: &D, header: &SegmentHeader, footer_fraction: u64) -> io::Result<Self> {
        let path = segment_path(header.number);
        let file = match disk.create(&path, FileKind::Journal) {
            // Left by an attempt that a full disk has stopped.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                disk.open(&path, FileKind::Journal)?
            }
            created => created?,
        };
        if let Err(error) = file.allocate(header.bytes) {
            // What there is of it is in the way of others.
            let _ = disk.remove(&path);
            return Err(error);
        }
        write_header(&file, header).map_err(final_error)?;
        disk.sync_dir(COLD_DIR).map_err(final_error)?;
        let file = SegmentFile::new(header.number, header.first_lsn, header.epoch, header.bytes, file);
        Ok(Self {
            file: Arc::new(file),
            epoch: header.epoch,
            end: header.first_lsn.plus(SEGMENT_HEADER_BYTES),
            previous_crc: 0,
            max_timestamp_ms: 0,
            next_block: BlockNumber::new(1),
            draft: Draft::begin(footer_fraction, header.bytes),
        })
    }

    pub(crate) fn number(&self) -> SegmentNumber {
        self.file.number
    }

    /// Where the blocks end.
    pub(crate) const fn end(&self) -> Lsn {
        self.end
    }

    pub(crate) const fn next_block(&self) -> BlockNumber {
        self.next_block
    }

    /// Bytes that are left for blocks.
    pub(crate) fn room(&self) -> u64 {
        self.file.file_bytes - self.file.offset(self.end)
    }

    /// Writes a closed block, durably, and returns it with its place.
    pub(crate) fn append(&mut self, builder: BlockBuilder, salt: Salt) -> io::Result<SealedBlock> {
        assert!(
            builder.disk_len() <= self.room(),
            "a block fits where it was built for"
        );
        let place = Place {
            segment: self.file.number,
            offset: self.file.offset(self.end),
            lsn: self.end,
            durable_lsn: self.end,
            previous_crc: self.previous_crc,
            epoch: self.epoch,
            max_timestamp_ms: self.max_timestamp_ms,
        };
        let block = builder.place(place).seal(salt);
        self.draft = self.draft.take().and_then(|draft| draft.with(&block));
        self.file
            .file
            .write_synced_at(block.bytes(), block.offset)
            .map_err(final_error)?;
        self.end = block.header.end();
        self.previous_crc = block.header_crc;
        self.max_timestamp_ms = block.header.max_timestamp_ms;
        self.next_block = self.next_block.next();
        Ok(block)
    }

    /// The footer of the segment, which takes no more blocks, if it is to have one.
    pub(crate) fn finish(self) -> Option<Finished> {
        self.draft.and_then(|draft| draft.finish(&self.file))
    }
}
