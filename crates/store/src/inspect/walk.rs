//! From block to block through one segment.
//!
//! Invariants:
//! - The stretches follow each other without a gap or an overlap, from the first block to the segment's limit.
//! - What is not sound is read a second time before it is called so: a running store may have written it between the
//!   two looks. It writes in order, so what is still missing when something behind it stands was not being written.

use super::error::InspectError;
use super::records::{Contents, Place};
use super::window::Window;
use crate::checksum::Salt;
use crate::disk::Disk;
use crate::format::block::BlockHeader;
use crate::format::record;
use crate::ids::Lsn;
use crate::limits::{ALIGNMENT, SEGMENT_HEADER_BYTES};
use crate::recovery::Found;

/// Bytes that are read at once.
const READ_AHEAD_BYTES: u64 = 1 << 20;

/// A block whose header is sound.
pub(super) struct Block {
    pub header: BlockHeader,
    pub crc: u32,
    /// Offset in the file.
    pub offset: u64,
    /// Header, records and padding.
    pub bytes: Vec<u8>,
    pub contents: Contents,
}

/// A part of a segment.
pub(super) enum Stretch {
    Block(Box<Block>),
    /// No sound header stands in here.
    Gap(Gap),
}

/// Pages without a sound header.
#[derive(Clone, Copy)]
pub(super) struct Gap {
    pub from: Lsn,
    pub to: Lsn,
    pub left: Left,
}

/// What is left of a header at the beginning of a gap.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Left {
    /// Enough to say that one stood there.
    Remains,
    Nothing,
}

pub(super) struct Walk<D: Disk> {
    window: Window<D>,
    found: Found,
    salt: Salt,
    at: Lsn,
}

impl<D: Disk> Walk<D> {
    pub(super) fn open(disk: &D, found: &Found, salt: Salt) -> Result<Self, InspectError> {
        Ok(Self {
            window: Window::open(disk, found.number, READ_AHEAD_BYTES)?,
            salt,
            at: found.first_lsn.plus(SEGMENT_HEADER_BYTES),
            found: found.clone(),
        })
    }

    /// The same, but from this address on.
    pub(super) fn from(mut self, at: Lsn) -> Self {
        self.at = at;
        self
    }

    /// The address at which the next stretch begins.
    pub(super) const fn at(&self) -> Lsn {
        self.at
    }

    /// Where in the file the next stretch begins.
    pub(super) fn offset(&self) -> u64 {
        self.offset_of(self.at)
    }

    /// The next stretch; `None` at the end of the segment's part of the log.
    pub(super) fn next(&mut self) -> Result<Option<Stretch>, InspectError> {
        let at = self.at;
        if at >= self.found.limit {
            return Ok(None);
        }
        let mut block = self.block(at)?;
        if block
            .as_ref()
            .is_none_or(|block| !block.contents.faults.is_empty())
        {
            self.window.forget();
            block = self.block(at)?;
        }
        if block.is_none() {
            let to = self.next_header(at.plus(ALIGNMENT))?;
            self.window.forget();
            block = self.block(at)?;
            if block.is_none() {
                let left = self.left(at)?;
                self.at = to;
                return Ok(Some(Stretch::Gap(Gap { from: at, to, left })));
            }
        }
        let block = block.expect("without a block there is a gap, which was returned");
        self.at = block.header.end();
        Ok(Some(Stretch::Block(Box::new(block))))
    }

    /// The sound records between two addresses, with the bytes that they lie in.
    pub(super) fn salvage(&mut self, from: Lsn, to: Lsn) -> Result<(Vec<u8>, Contents), InspectError> {
        let place = self.place(from);
        let bytes = self.window.at(place.offset, to.get() - from.get())?.to_vec();
        let contents = Contents::of_stretch(&bytes, place);
        Ok((bytes, contents))
    }

    /// The block whose sound header stands at `offset` of the file, if there is one.
    pub(super) fn block_at_offset(&mut self, offset: u64) -> Result<Option<Block>, InspectError> {
        if offset < SEGMENT_HEADER_BYTES || offset >= self.log_bytes() {
            return Ok(None);
        }
        self.block(self.found.first_lsn.plus(offset))
    }

    /// The bytes of the intact record at `offset` of the file, if there is one.
    pub(super) fn record_at_offset(&mut self, offset: u64) -> Result<Option<Vec<u8>>, InspectError> {
        let left = self.log_bytes().saturating_sub(offset);
        if left < record::MARK_BYTES {
            return Ok(None);
        }
        let claimed = record::claimed_len(self.window.at(offset, record::MARK_BYTES)?);
        if claimed < record::MARK_BYTES || claimed > left {
            return Ok(None);
        }
        let place = self.place(self.found.first_lsn.plus(offset));
        let bytes = self.window.at(offset, claimed)?;
        let is_intact = record::is_intact(bytes, place.salt, place.segment, offset);
        Ok(is_intact.then(|| bytes.to_vec()))
    }

    /// How much of the file, from its beginning, belongs to the log.
    fn log_bytes(&self) -> u64 {
        self.offset_of(self.found.limit)
    }

    fn offset_of(&self, at: Lsn) -> u64 {
        at.get() - self.found.first_lsn.get()
    }

    fn place(&self, at: Lsn) -> Place {
        Place {
            salt: self.salt,
            segment: self.found.number,
            offset: self.offset_of(at),
        }
    }

    fn block(&mut self, at: Lsn) -> Result<Option<Block>, InspectError> {
        let Some((header, crc)) = self.header(at)? else {
            return Ok(None);
        };
        let place = self.place(at);
        let bytes = self.window.at(place.offset, header.disk_len())?.to_vec();
        let contents = Contents::of_block(&header, &bytes, place);
        Ok(Some(Block {
            header,
            crc,
            offset: place.offset,
            bytes,
            contents,
        }))
    }

    /// The header at `at`, if there is one of this segment and epoch that fits below its limit.
    fn header(&mut self, at: Lsn) -> Result<Option<(BlockHeader, u32)>, InspectError> {
        let offset = self.offset_of(at);
        let page = self.window.at(offset, ALIGNMENT)?;
        let found = &self.found;
        let decoded = BlockHeader::decode(page, self.salt, found.number, found.first_lsn, offset);
        // A cold segment is filled by one process, and its number is used once.
        let is_of_epoch = |header: &BlockHeader| found.number.is_cold() || header.epoch == found.epoch;
        Ok(decoded.filter(|(header, _)| is_of_epoch(header) && header.end() <= found.limit))
    }

    /// The next address from `at` on where a sound header stands, or the limit.
    fn next_header(&mut self, at: Lsn) -> Result<Lsn, InspectError> {
        let mut at = at;
        while at < self.found.limit && self.header(at)?.is_none() {
            at = at.plus(ALIGNMENT);
        }
        Ok(at.min(self.found.limit))
    }

    fn left(&mut self, at: Lsn) -> Result<Left, InspectError> {
        let offset = self.offset_of(at);
        let number = self.found.number;
        let page = self.window.at(offset, ALIGNMENT)?;
        Ok(if BlockHeader::resembles(page, number, at) {
            Left::Remains
        } else {
            Left::Nothing
        })
    }
}
