//! A segment read block by block through a window, when nobody else has said what is in it.
//!
//! Invariants:
//! - A block is valid only with a sound header of this segment and epoch, below `limit`, and with every record intact.
//! - The window is the only buffer; it holds [`WINDOW_BYTES`] or one block, whichever is more.
//!
//! Elsewhere: what an invalid block means (`recovery::scan`).

use crate::checksum::Salt;
use crate::disk::{AlignedBuf, DiskFile};
use crate::format::block::{BlockHeader, HEADER_LEN};
use crate::format::record;
use crate::format::{byte_count, memory_offset, pad8};
use crate::ids::{Epoch, Lsn, SegmentNumber};
use crate::limits::ALIGNMENT;
use crate::segments::SegmentFile;
use std::io;
use std::sync::Arc;

/// Bytes that are read at once.
const WINDOW_BYTES: u64 = 1 << 20;

/// What stands at an address where a block may begin.
#[derive(PartialEq, Eq)]
pub(crate) enum Verdict {
    /// A block, and the checksum of its header.
    Valid(BlockHeader, u32),
    /// The header is valid, the records are not.
    Torn(BlockHeader),
    /// No valid header, but what is left of one.
    Remains,
    /// Nothing that ever was a block of this segment.
    Absent,
}

/// The header at `at`, and its checksum, if there is one of this segment. Nothing else of the segment is read.
pub(crate) fn header_at<F: DiskFile>(
    file: &SegmentFile<F>,
    salt: Salt,
    at: Lsn,
) -> io::Result<Option<(BlockHeader, u32)>> {
    let offset = file.offset(at);
    let mut page = AlignedBuf::zeroed(memory_offset(ALIGNMENT));
    let read = file.read_at(&mut page, offset)?;
    let header = BlockHeader::decode(&page[..read], salt, file.number, file.first_lsn, offset);
    Ok(header.filter(|(header, _)| header.epoch == file.epoch))
}

/// A segment, read through a window.
pub(crate) struct SegmentView<F: DiskFile> {
    file: Arc<SegmentFile<F>>,
    salt: Salt,
    epoch: Option<Epoch>,
    limit: Lsn,
    /// Offset in the file of the first byte of `buf`.
    start: u64,
    buf: AlignedBuf,
}

impl<F: DiskFile> SegmentView<F> {
    /// A view of the blocks that lie below `limit`: those of `epoch`, or all.
    pub(crate) fn new(file: Arc<SegmentFile<F>>, salt: Salt, epoch: Option<Epoch>, limit: Lsn) -> Self {
        Self {
            file,
            salt,
            epoch,
            limit,
            start: 0,
            buf: AlignedBuf::new(),
        }
    }

    /// What stands at `at`.
    pub(crate) fn block(&mut self, at: Lsn) -> io::Result<Verdict> {
        let Some((header, crc)) = self.header(at)? else {
            let number = self.file.number;
            let page = self.bytes(self.file.offset(at), ALIGNMENT)?;
            return Ok(if BlockHeader::resembles(page, number, at) {
                Verdict::Remains
            } else {
                Verdict::Absent
            });
        };
        let (offset, number, salt) = (self.file.offset(at), self.file.number, self.salt);
        let block = self.bytes(offset, header.disk_len())?;
        let valid = header
            .records(block)
            .is_some_and(|records| all_intact(&header, records, salt, number, offset));
        Ok(if valid {
            Verdict::Valid(header, crc)
        } else {
            Verdict::Torn(header)
        })
    }

    /// The records of a block that was found valid.
    pub(crate) fn payload(&mut self, header: &BlockHeader) -> io::Result<&[u8]> {
        let block = self.bytes(self.file.offset(header.lsn), header.disk_len())?;
        Ok(header
            .records(block)
            .expect("the padding of this block was checked before"))
    }

    /// The header at `at`, if there is one of this segment and epoch that fits below its limit.
    fn header(&mut self, at: Lsn) -> io::Result<Option<(BlockHeader, u32)>> {
        let (offset, number, first_lsn) = (self.file.offset(at), self.file.number, self.file.first_lsn);
        let (salt, epoch, limit) = (self.salt, self.epoch, self.limit);
        let bytes = self.bytes(offset, ALIGNMENT)?;
        let decoded = BlockHeader::decode(bytes, salt, number, first_lsn, offset);
        Ok(decoded
            .filter(|(header, _)| epoch.is_none_or(|epoch| header.epoch == epoch) && header.end() <= limit))
    }

    /// The next address from `at` on where a valid header stands.
    pub(crate) fn next_header(&mut self, at: Lsn) -> io::Result<Option<Lsn>> {
        let mut at = at;
        while at < self.limit {
            if self.header(at)?.is_some() {
                return Ok(Some(at));
            }
            at = at.plus(ALIGNMENT);
        }
        Ok(None)
    }

    /// The intact records between `from` and `to`, with their addresses: what can be saved of a damaged range.
    pub(crate) fn intact_records(&mut self, from: Lsn, to: Lsn) -> io::Result<Vec<(Lsn, Vec<u8>)>> {
        let (offset, number, salt) = (self.file.offset(from), self.file.number, self.salt);
        let bytes = self.bytes(offset, to.get() - from.get())?;
        let mut found = Vec::new();
        let mut at = 0;
        while at + 16 <= bytes.len() {
            let place = offset + byte_count(at);
            match record::peek(&bytes[at..]) {
                // The checksum comes last: it costs the length, and any bytes can claim to be long.
                Some((len, ordinal))
                    if usize::try_from(ordinal).is_ok_and(|ordinal| ordinal <= bytes.len() / 16)
                        && record::decode(&bytes[at..at + len]).is_some()
                        && record::is_intact(&bytes[at..at + len], salt, number, place) =>
                {
                    found.push((from.plus(byte_count(at)), bytes[at..at + len].to_vec()));
                    at += pad8(len);
                }
                _ => at += 8,
            }
        }
        Ok(found)
    }

    /// `len` bytes at `offset`; zeros where the file ends early.
    fn bytes(&mut self, offset: u64, len: u64) -> io::Result<&[u8]> {
        let held = self.start..self.start + byte_count(self.buf.len());
        if !(held.contains(&offset) && offset + len <= held.end) {
            let end = self.file.offset(self.limit).max(offset + len);
            let wanted = len
                .max(WINDOW_BYTES)
                .min(end - offset)
                .next_multiple_of(ALIGNMENT);
            self.buf.resize_stale(memory_offset(wanted));
            let read = self.file.read_at(&mut self.buf, offset)?;
            self.buf[read..].fill(0);
            self.start = offset;
        }
        Ok(&self.buf[memory_offset(offset - self.start)..][..memory_offset(len)])
    }
}

fn all_intact(header: &BlockHeader, records: &[u8], salt: Salt, segment: SegmentNumber, offset: u64) -> bool {
    let mut at = 0;
    let mut count = 0;
    while at < records.len() {
        let Some((len, ordinal)) = record::peek(&records[at..]) else {
            return false;
        };
        let place = offset + byte_count(HEADER_LEN + at);
        if ordinal != count || !record::is_intact(&records[at..at + len], salt, segment, place) {
            return false;
        }
        at += pad8(len);
        count += 1;
    }
    count == header.record_count
}
