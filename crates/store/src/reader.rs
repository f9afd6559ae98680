//! Reading leased messages: from blocks in memory, or from disk with read-ahead. Holds no lock.
//!
//! Invariants:
//! - What comes from disk is compared with its checksums, its place and its (queue, seq) before anyone sees it.
//!
//! Elsewhere: the memory that it reads into (`window`), what is read before it is asked for (`ahead`).

mod ahead;
mod window;

use crate::checksum::Salt;
use crate::disk::Disk;
use crate::error::ReadError;
use crate::format::memory_len;
use crate::format::message::{self, MessageRecord};
use crate::ids::{Lsn, QueueId};
use crate::priority::Priority;
use crate::segments::{SegmentFile, SegmentFiles};
use crate::shard::{COLD, Lease, Source, Sources};
use crate::units::{Piece, Units};
pub(crate) use ahead::Ahead;
use std::sync::Arc;
pub(crate) use window::Stretch;
use window::{Filled, Window};

/// A message as it was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredMessage<'a> {
    /// As handed in, the parts joined.
    pub properties: &'a [u8],
    /// As handed in, the parts joined.
    pub body: &'a [u8],
    /// Wall clock of its publication, milliseconds since the Unix epoch.
    pub timestamp_ms: u64,
    /// As handed in, if it was.
    pub priority: Priority,
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
    pub(crate) fn new(files: SegmentFiles<D>, units: Units<D>, salt: Salt, ahead: Ahead<D>) -> Self {
        Self {
            files,
            units,
            piece: None,
            salt,
            window: Window::new(ahead),
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
        if lease.source != COLD {
            return warm(queue, lease, sources);
        }
        let len = memory_len(lease.len);
        self.piece = self.piece_of(lease.lsn);
        let record = if self.piece.is_some() {
            // It was only looked at, and is in memory still.
            decoded(self.piece.as_ref().and_then(|piece| piece.at(lease.lsn, len)))?
        } else {
            self.cold(lease.lsn, len)?
        };
        belonging(queue, lease, record)
    }

    /// The memory in which the cold message lies that was read last, for those who keep it there.
    pub(crate) fn source(&self) -> Source {
        match &self.piece {
            Some(piece) => Source::Piece(Arc::clone(piece)),
            None => Source::Stretch(self.window.stretch()),
        }
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
        let filled = if self.window.holds(lsn, len) {
            Filled::Ahead
        } else {
            let (file, limit) = self.find(lsn).ok_or(ReadError::Gone)?;
            self.window.advance(&file, limit, lsn, len)?
        };
        let mut intact = self.window.is_intact(lsn, len, self.salt);
        if !intact && filled == Filled::Ahead {
            // It was read ahead, perhaps before it was written: only a fresh read can tell.
            let (file, limit) = self.find(lsn).ok_or(ReadError::Gone)?;
            self.window.fill(&file, limit, lsn, len)?;
            intact = self.window.is_intact(lsn, len, self.salt);
        }
        let Some((segment, offset)) = self.window.place(lsn) else {
            return Err(ReadError::Gone);
        };
        let bytes = self.window.at(lsn, len).filter(|_| intact);
        let message = bytes.and_then(message::decode_message);
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
}

/// The message of a lease that one of the sources holds.
pub(crate) fn warm<'a>(
    queue: QueueId,
    lease: &Lease,
    sources: &'a Sources,
) -> Result<StoredMessage<'a>, ReadError> {
    let block = sources.blocks.get(memory_len(lease.source));
    let bytes = block.and_then(|block| block.at(lease.lsn, memory_len(lease.len)));
    belonging(queue, lease, decoded(bytes)?)
}

/// The message, if it is the one that was leased.
fn belonging<'a>(
    queue: QueueId,
    lease: &Lease,
    record: MessageRecord<'a>,
) -> Result<StoredMessage<'a>, ReadError> {
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

/// A message in memory, which needs no checksum.
fn decoded(bytes: Option<&[u8]>) -> Result<MessageRecord<'_>, ReadError> {
    bytes.and_then(message::decode_message).ok_or(ReadError::Gone)
}
