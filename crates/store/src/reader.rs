//! Reading leased messages: from blocks in memory, or from disk with read-ahead. Holds no lock.
//!
//! Invariants:
//! - What comes from disk is compared with its checksums, its place and its (queue, seq) before anyone sees it.
//! - The window of a reader is its only buffer, and is bounded by the largest record it was asked for.

use crate::checksum::Salt;
use crate::disk::{AlignedBuf, Disk, DiskFile};
use crate::error::ReadError;
use crate::format::record::{self, MessageRecord};
use crate::format::{byte_count, memory_len, memory_offset};
use crate::ids::{Lsn, QueueId};
use crate::limits::{ALIGNMENT, READ_AHEAD_BYTES_MAX, READ_AHEAD_BYTES_MIN};
use crate::segments::{SegmentFile, SegmentFiles};
use crate::shard::{COLD, Lease, Sources};
use crate::units::{Piece, Units};
use std::sync::Arc;

/// A message as it was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredMessage<'a> {
    /// As handed in, the parts joined.
    pub properties: &'a [u8],
    /// As handed in, the parts joined.
    pub body: &'a [u8],
    /// Wall clock of its publication, milliseconds since the Unix epoch.
    pub timestamp_ms: u64,
    /// As handed in.
    pub priority: u8,
}

/// Reads leased messages. One for each thread or session that delivers.
pub struct Reader<D: Disk> {
    files: SegmentFiles<D>,
    units: Units<D>,
    /// What was read last of what the log does not hold and memory does.
    piece: Option<Arc<Piece>>,
    salt: Salt,
    window: Window<D>,
}

impl<D: Disk> Reader<D> {
    pub(crate) fn new(files: SegmentFiles<D>, units: Units<D>, salt: Salt) -> Self {
        let window = Window {
            segment: None,
            start: 0,
            buf: AlignedBuf::new(),
            read_ahead: READ_AHEAD_BYTES_MIN,
        };
        Self {
            files,
            units,
            piece: None,
            salt,
            window,
        }
    }

    /// The message that `lease` took from `queue`. Blocks on the disk when it is cold.
    ///
    /// # Errors
    /// When the message is gone, its bytes are damaged, or the disk refuses.
    pub fn message<'a>(
        &'a mut self,
        queue: QueueId,
        lease: &Lease,
        sources: &'a Sources,
    ) -> Result<StoredMessage<'a>, ReadError> {
        let len = memory_len(lease.len);
        let record = if lease.source == COLD {
            self.piece = self.piece_of(lease.lsn);
            if self.piece.is_some() {
                // It was only looked at, and is in memory still.
                decoded(self.piece.as_ref().and_then(|piece| piece.at(lease.lsn, len)))?
            } else {
                self.cold(lease.lsn, len)?
            }
        } else {
            let block = sources.blocks.get(memory_len(lease.source));
            decoded(block.and_then(|block| block.at(lease.lsn, len)))?
        };
        let belongs = record
            .references()
            .any(|entry| entry.queue == queue && entry.seq == lease.seq);
        if !belongs {
            return Err(ReadError::Gone);
        }
        Ok(StoredMessage {
            properties: record.properties,
            body: record.body,
            timestamp_ms: record.timestamp_ms,
            priority: record.priority,
        })
    }

    /// Whether reading this lease will wait for the disk.
    #[must_use]
    pub fn is_cold(&self, lease: &Lease) -> bool {
        lease.source == COLD && !self.window.holds(lease.lsn, memory_len(lease.len))
    }

    fn piece_of(&self, lsn: Lsn) -> Option<Arc<Piece>> {
        if lsn.is_unlogged() {
            self.units.piece(lsn)
        } else {
            None
        }
    }

    /// The segment or the spilled unit that holds the byte at `lsn`, and the address where it ends.
    fn find(&self, lsn: Lsn) -> Option<(Arc<SegmentFile<D::File>>, Lsn)> {
        if lsn.is_unlogged() {
            self.units.file(lsn)
        } else {
            self.files.find(lsn)
        }
    }

    fn cold(&mut self, lsn: Lsn, len: usize) -> Result<MessageRecord<'_>, ReadError> {
        let ahead = self.window.holds(lsn, len);
        if !ahead {
            self.fill(lsn, len)?;
        }
        let mut intact = self.window.is_intact(lsn, len, self.salt);
        if !intact && ahead {
            // It was read ahead, perhaps before it was written: only a fresh read can tell.
            self.fill(lsn, len)?;
            intact = self.window.is_intact(lsn, len, self.salt);
        }
        let Some(file) = self.window.segment.clone() else {
            return Err(ReadError::Gone);
        };
        let (segment, offset) = (file.number, file.offset(lsn));
        let bytes = self.window.at(offset, len);
        let message = if intact {
            record::decode_message(bytes)
        } else {
            None
        };
        // Whoever recycled the segment meanwhile took it out of the list first.
        let recycled = || {
            let found = self.find(lsn);
            found.is_none_or(|(found, _)| found.number != segment)
        };
        match message {
            Some(message) => Ok(message),
            None if recycled() => Err(ReadError::Gone),
            None => Err(ReadError::Damaged { segment, offset }),
        }
    }

    fn fill(&mut self, lsn: Lsn, len: usize) -> Result<(), ReadError> {
        let (file, limit) = self.find(lsn).ok_or(ReadError::Gone)?;
        self.window.fill(file, limit, lsn, len)
    }
}

/// A message in memory, which needs no checksum.
fn decoded(bytes: Option<&[u8]>) -> Result<MessageRecord<'_>, ReadError> {
    bytes.and_then(record::decode_message).ok_or(ReadError::Gone)
}

/// A stretch of one segment in memory.
struct Window<D: Disk> {
    segment: Option<Arc<SegmentFile<D::File>>>,
    /// Offset in the segment of the first byte.
    start: u64,
    buf: AlignedBuf,
    read_ahead: u64,
}

impl<D: Disk> Window<D> {
    fn holds(&self, lsn: Lsn, len: usize) -> bool {
        self.segment.as_ref().is_some_and(|file| {
            lsn >= file.first_lsn
                && file.offset(lsn) >= self.start
                && file.offset(lsn) + byte_count(len) <= self.start + byte_count(self.buf.len())
        })
    }

    /// Whether the record at `lsn`, which the window holds, is whole.
    fn is_intact(&self, lsn: Lsn, len: usize, salt: Salt) -> bool {
        self.segment.as_ref().is_some_and(|file| {
            let offset = file.offset(lsn);
            let bytes = self.at(offset, len);
            record::peek(bytes).is_some_and(|(found, _)| found == len)
                && record::is_intact(bytes, salt, file.number, offset)
        })
    }

    fn at(&self, offset: u64, len: usize) -> &[u8] {
        &self.buf[memory_offset(offset - self.start)..][..len]
    }

    /// Reads from `lsn` on, no further than `limit`, where another segment takes over.
    fn fill(
        &mut self,
        file: Arc<SegmentFile<D::File>>,
        limit: Lsn,
        lsn: Lsn,
        len: usize,
    ) -> Result<(), ReadError> {
        let offset = file.offset(lsn);
        let start = offset / ALIGNMENT * ALIGNMENT;
        let end = self.start + byte_count(self.buf.len());
        let same = self
            .segment
            .as_ref()
            .is_some_and(|held| held.number == file.number);
        // The next record, or one not far behind it, continues a sequential read.
        let sequential = same && offset >= self.start && offset <= end + self.read_ahead;
        let entering = !same && start <= crate::limits::SEGMENT_HEADER_BYTES;
        self.read_ahead = match (sequential, entering) {
            (true, _) => (self.read_ahead * 2).min(READ_AHEAD_BYTES_MAX),
            (_, true) => self.read_ahead,
            _ => READ_AHEAD_BYTES_MIN,
        };
        let needed = (offset + byte_count(len) - start).next_multiple_of(ALIGNMENT);
        let wanted = needed.max(self.read_ahead).min(file.offset(limit) - start);
        self.segment = None;
        self.buf.resize_stale(memory_offset(wanted));
        let read = file.file.read_at(&mut self.buf, start);
        let read = read.map_err(|source| ReadError::Io {
            segment: file.number,
            offset: start,
            source,
        })?;
        self.buf.truncate(read);
        self.start = start;
        let holds = start + byte_count(read) >= offset + byte_count(len);
        let (segment, damaged) = (file.number, !holds);
        self.segment = Some(file);
        if damaged {
            return Err(ReadError::Damaged { segment, offset });
        }
        Ok(())
    }
}
