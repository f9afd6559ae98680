//! A block whose turn it is, on its way to the disk and back.
//!
//! Invariant: whoever performs a write holds no lock of the shard, and reports what came of it exactly once.

use crate::builder::{BlockBuilder, PlacedBlock, SealedBlock};
use crate::checksum::Salt;
use crate::disk::{Disk, DiskFile};
use crate::footer::Draft;
use crate::planted::{self, Planted};
use crate::segments::SegmentFile;
use std::io;
use std::sync::Arc;

/// A block whose turn it is.
pub(crate) enum WriteJob<D: Disk> {
    /// It is on its way to the disk.
    Logged(LoggedJob<D>),
    /// There is nothing to write.
    Unlogged(BlockBuilder),
}

/// A block on its way to the disk.
pub(crate) struct LoggedJob<D: Disk> {
    pub(super) block: PlacedBlock,
    pub(super) file: Arc<SegmentFile<D::File>>,
    pub(super) salt: Salt,
    pub(super) draft: Option<Box<Draft>>,
}

impl<D: Disk> WriteJob<D> {
    /// Does what is to be done. To be called without the shard's lock.
    pub(crate) fn perform(self) -> Written {
        match self {
            Self::Logged(job) => job.perform(),
            Self::Unlogged(block) => Written::Nothing(block),
        }
    }

    /// Whether it waits for the disk.
    pub(crate) const fn is_logged(&self) -> bool {
        matches!(self, Self::Logged(_))
    }
}

impl<D: Disk> LoggedJob<D> {
    /// Computes the checksums, writes and syncs.
    fn perform(self) -> Written {
        let block = self.block.seal(self.salt);
        let draft = self.draft.and_then(|draft| draft.with(&block));
        let mut result = if planted::is(Planted::SkipSync) {
            self.file.file.write_at(block.bytes(), block.offset)
        } else {
            self.file.file.write_synced_at(block.bytes(), block.offset)
        };
        if planted::is(Planted::RetryAfterFailedSync) && result.is_err() {
            result = self.file.file.sync();
        }
        Written::Block { block, draft, result }
    }
}

/// A block whose turn is over.
pub(crate) enum Written {
    /// Its write has returned.
    Block {
        block: SealedBlock,
        /// The footer of its segment, as far as it goes.
        draft: Option<Box<Draft>>,
        result: io::Result<()>,
    },
    /// There was nothing to write.
    Nothing(BlockBuilder),
}
