//! Why something did not happen: one enum for each family of operations.

use crate::disk::LockError;
use std::io;
use std::sync::Arc;

/// Why an append did not happen. Nothing was changed.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// The record can never be stored. Reject it; the log is unharmed.
    #[error("a record of {bytes} bytes is larger than the limit of {limit}")]
    TooLarge {
        /// What was asked for.
        bytes: u64,
        /// What fits.
        limit: u64,
    },
    /// There is no such queue, or it was deleted.
    #[error("queue {0} does not exist")]
    UnknownQueue(crate::QueueId),
    /// The queue exists already.
    #[error("queue {0} exists already")]
    QueueExists(crate::QueueId),
    /// A queue has reached a limit, and refuses what does not fit. Consume from it first, or publish to the others alone.
    #[error("queue {0} is full")]
    QueueFull(crate::QueueId),
    /// An earlier write or sync failed, so the tail is unknown. Reopen to recover.
    #[error("the store takes nothing any more: {0}")]
    Poisoned(PoisonCause),
}

/// Why a store confirms nothing any more. Only reopening clears it.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{}", self.told())]
pub struct PoisonCause {
    /// What was being done.
    pub what: &'static str,
    /// The file, relative to the data directory; empty where none was at fault, as when the store was closed.
    pub file: String,
    /// What the operating system said.
    #[source]
    pub source: Arc<io::Error>,
}

impl PoisonCause {
    pub(crate) fn new(what: &'static str, file: impl Into<String>, source: io::Error) -> Self {
        Self {
            what,
            file: file.into(),
            source: Arc::new(source),
        }
    }

    fn told(&self) -> String {
        let Self { what, file, source } = self;
        if file.is_empty() {
            format!("{what}: {source}")
        } else {
            format!("{what} failed at {file}: {source}")
        }
    }
}

/// Why a message could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// It was purged, or its queue was deleted, since it was leased. Skip it.
    #[error("the message is gone")]
    Gone,
    /// The bytes on disk do not validate. The message is lost; report it.
    #[error("damaged bytes in {} at byte {offset}", crate::segments::segment_path(*segment))]
    Damaged {
        /// The segment.
        segment: crate::SegmentNumber,
        /// Where in its file.
        offset: u64,
    },
    /// The disk said no.
    #[error("reading {} at byte {offset}: {source}", crate::segments::segment_path(*segment))]
    Io {
        /// The segment.
        segment: crate::SegmentNumber,
        /// Where in its file.
        offset: u64,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
}

/// Why a store could not be opened. The data is unchanged.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process holds it.
    #[error(transparent)]
    Locked(#[from] LockError),
    /// An option is out of range.
    #[error("{0}")]
    Options(String),
    /// The file was written by another version, or is no file of ours.
    #[error("{file}: {problem}")]
    Format {
        /// The file, relative to the data directory.
        file: String,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// The directory is a snapshot that was not finished. Remove it, and take another.
    #[error(
        "this directory is a snapshot that was not finished ({mark} says so): remove it, and take another"
    )]
    UnfinishedSnapshot {
        /// The file that marks it, relative to the directory.
        mark: &'static str,
    },
    /// Damage was found, and the options say to refuse.
    #[error("{0}")]
    Damaged(String),
    /// Files are missing: the log ends before its checkpoint. Whoever copied the directory left something out.
    #[error(
        "the segments in {} end before what {checkpoint} says: some are missing. Put them back, or remove the checkpoints to \
         open with what is there; what only the missing ones held is lost then",
        crate::segments::JOURNAL_DIR
    )]
    Incomplete {
        /// The checkpoint's file, relative to the data directory.
        checkpoint: String,
    },
    /// A start goes on in a segment of its own, and there is neither a spare one nor room on the disk. Make room for that
    /// much, and open again: nothing was left behind.
    #[error("a start needs {needed} bytes for a segment of the journal, and the disk has no room: {source}")]
    DiskFull {
        /// Bytes of the segment.
        needed: u64,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// The disk said no.
    #[error("{what} {file}: {source}")]
    Io {
        /// What was being done.
        what: &'static str,
        /// The file, relative to the data directory.
        file: String,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
}

impl OpenError {
    pub(crate) fn io(what: &'static str, file: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let file = file.into();
        move |source| Self::Io { what, file, source }
    }
}
