//! Why an embedder's call did not do what was asked.

use super::names::Named;
use super::{Batch, QueueIdentity, QueueOptions};
use crate::catalog::CatalogError;
use crate::disk::{Disk, RealDisk};
use crate::error::{AppendError, PoisonCause, ReadError};
use crate::ids::{QueueId, SegmentNumber, Seq};
use std::io;

/// Why a batch, an acknowledgement or a purge is not known to be durable. But for [`CommitError::Poisoned`], nothing was
/// changed, and the deliveries of the batch are back in their queues.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommitError {
    /// It never fits into one commit: make smaller batches, or smaller messages.
    #[error("a batch of {bytes} bytes is larger than the limit of {limit}")]
    TooLarge {
        /// What it takes in the journal.
        bytes: u64,
        /// What one commit takes.
        limit: u64,
    },
    /// A message names more queues than one message can.
    #[error("a message for {queues} queues is beyond the limit of {limit}")]
    TooManyQueues {
        /// What it names.
        queues: usize,
        /// What it may name.
        limit: usize,
    },
    /// There is no such queue, or it was deleted.
    #[error("queue {0} does not exist")]
    UnknownQueue(QueueIdentity),
    /// A queue has reached a limit that it was made with. Consume from it first, or publish less.
    #[error("queue {queue} is full: {ready} are ready, and {more} more are beyond its limits")]
    QueueFull {
        /// The queue.
        queue: QueueIdentity,
        /// What is ready in it.
        ready: Amount,
        /// What the batch would add.
        more: Amount,
    },
    /// A delivery in the batch was fetched from another store.
    #[error("message {seq} of queue {queue} was fetched from another store")]
    OtherStore {
        /// The queue there.
        queue: QueueId,
        /// The message there.
        seq: Seq,
    },
    /// A write or sync failed, or the store was closed: whether this batch is durable shows when the store is opened again.
    #[error("the store takes nothing any more: {0}")]
    Poisoned(PoisonCause),
}

/// So many messages, with so many bytes of bodies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    /// Messages.
    pub messages: u64,
    /// Bytes of their bodies, as limits count them.
    pub bytes: u64,
}

impl std::fmt::Display for Amount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} messages with {} bytes", self.messages, self.bytes)
    }
}

impl std::convert::From<AppendError> for CommitError {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::TooLarge { bytes, limit } => Self::TooLarge { bytes, limit },
            // The limits of an embedded queue are checked before.
            AppendError::UnknownQueue(queue)
            | AppendError::QueueExists(queue)
            | AppendError::QueueFull(queue) => Self::UnknownQueue(queue.into()),
            AppendError::Poisoned(cause) => Self::Poisoned(cause),
        }
    }
}

impl CommitError {
    /// The queue of this store that it speaks of.
    pub(super) const fn queue_mut(&mut self) -> Option<&mut QueueIdentity> {
        match self {
            Self::UnknownQueue(queue) | Self::QueueFull { queue, .. } => Some(queue),
            Self::TooLarge { .. }
            | Self::TooManyQueues { .. }
            | Self::OtherStore { .. }
            | Self::Poisoned(_) => None,
        }
    }
}

/// Why [`Store::try_commit`](super::Store::try_commit) did not take a batch.
#[derive(Debug, thiserror::Error)]
pub enum TryCommitError<D: Disk = RealDisk> {
    /// As much waits for the disk as memory is meant to hold. The batch comes back: try again later.
    #[error("the disk is behind; the batch was not taken")]
    Full(Batch<D>),
    /// The disk is full. The batch comes back: it is taken once something was acknowledged, purged or deleted, or the disk has
    /// room again.
    #[error("the disk is full; the batch was not taken")]
    DiskFull(Batch<D>),
    /// It would not have been taken at another time either.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

/// Why messages could not be read.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// There is no such queue, or it was deleted.
    #[error("queue {0} does not exist")]
    UnknownQueue(QueueIdentity),
    /// The bytes of this message on disk do not validate: it is lost. A fetch takes it off the queue, so that the next
    /// one goes on behind it.
    #[error("message {seq} of queue {queue} is damaged in segment {segment} at byte {offset}")]
    Damaged {
        /// The queue.
        queue: QueueIdentity,
        /// The message.
        seq: Seq,
        /// The segment.
        segment: SegmentNumber,
        /// Where in its file.
        offset: u64,
    },
    /// The disk said no. The message is back in its queue.
    #[error("reading message {seq} of queue {queue} from segment {segment} at byte {offset}: {source}")]
    Io {
        /// The queue.
        queue: QueueIdentity,
        /// The message.
        seq: Seq,
        /// The segment.
        segment: SegmentNumber,
        /// Where in its file.
        offset: u64,
        /// What the operating system said.
        source: std::sync::Arc<io::Error>,
    },
    /// A write or sync failed, or the store was closed. Open it again.
    #[error("the store delivers nothing any more: {0}")]
    Poisoned(PoisonCause),
}

impl FetchError {
    /// The same, for whoever knows the queue by its name.
    pub(super) fn named(mut self, name: &str) -> Self {
        match &mut self {
            Self::UnknownQueue(queue) | Self::Damaged { queue, .. } | Self::Io { queue, .. } => {
                queue.name = Some(name.to_owned());
            }
            Self::Poisoned(_) => {}
        }
        self
    }

    pub(super) fn refused(queue: QueueId, error: AppendError) -> Self {
        match error {
            AppendError::Poisoned(cause) => Self::Poisoned(cause),
            AppendError::UnknownQueue(_)
            | AppendError::QueueExists(_)
            | AppendError::QueueFull(_)
            | AppendError::TooLarge { .. } => Self::UnknownQueue(queue.into()),
        }
    }

    /// `None` when the message is gone, which is no error: it was purged, or its queue deleted.
    pub(super) fn unread(queue: QueueId, seq: Seq, error: ReadError) -> Option<Self> {
        match error {
            ReadError::Gone => None,
            ReadError::Damaged { segment, offset } => Some(Self::Damaged {
                queue: queue.into(),
                seq,
                segment,
                offset,
            }),
            ReadError::Io {
                segment,
                offset,
                source,
            } => Some(Self::Io {
                queue: queue.into(),
                seq,
                segment,
                offset,
                source: source.into(),
            }),
        }
    }
}

/// Why a queue could not be made or deleted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueueError {
    /// Names have 1 to 255 bytes.
    #[error("a queue name has 1 to {limit} bytes, and not {len}")]
    Name {
        /// Bytes of the name.
        len: usize,
        /// The most there may be.
        limit: usize,
    },
    /// The queue exists with other options. Ask for it with those, or delete it first.
    #[error("queue '{name}' exists with {existing:?}, and not with {asked:?}")]
    OptionsConflict {
        /// Its name.
        name: String,
        /// What it was made with.
        existing: Box<QueueOptions>,
        /// What was asked for.
        asked: Box<QueueOptions>,
    },
    /// It was deleted meanwhile.
    #[error("queue {0} does not exist")]
    UnknownQueue(QueueIdentity),
    /// The definition could not be written.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// A write or sync failed, or the store was closed. Open it again.
    #[error("the store takes nothing any more: {0}")]
    Poisoned(PoisonCause),
}

impl QueueError {
    pub(super) fn unknown(named: &Named) -> Self {
        Self::UnknownQueue(QueueIdentity::new(named.id, &named.name))
    }

    pub(super) fn refused(named: &Named, error: AppendError) -> Self {
        match error {
            AppendError::Poisoned(cause) => Self::Poisoned(cause),
            AppendError::UnknownQueue(_)
            | AppendError::QueueExists(_)
            | AppendError::QueueFull(_)
            | AppendError::TooLarge { .. } => Self::unknown(named),
        }
    }
}
