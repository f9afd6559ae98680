//! What a snapshot consists of, as decided under the locks.
//!
//! Invariants:
//! - Each segment is held until it has its second name or was copied.
//! - A segment that may still be written is copied, up to where its durable blocks end.

use crate::catalog::Live;
use crate::disk::Disk;
use crate::error::AppendError;
use crate::ids::Lsn;
use crate::meta::Meta;
use crate::segments::{Pin, Segment, SegmentFile};
use crate::shard::Shard;
use std::sync::Arc;

/// See the module's description.
pub(crate) struct SnapshotMoment<D: Disk> {
    pub meta: Meta,
    /// The definitions.
    pub live: Live,
    /// Where the journal ends.
    pub end: Lsn,
    pub taken_ms: u64,
    pub segments: Vec<Part<D>>,
}

/// A segment of a snapshot.
pub(crate) struct Part<D: Disk> {
    pub file: Arc<SegmentFile<D::File>>,
    /// Where its blocks end.
    pub bytes_used: u64,
    /// Whether nothing is written to it any more.
    pub is_sealed: bool,
    _pin: Pin,
}

impl<D: Disk> Shard<D> {
    /// The segments as they stand durably now.
    pub(crate) fn snapshot_parts(&self) -> Result<Vec<Part<D>>, AppendError> {
        self.check_alive()?;
        let current = self.tail.segment().number;
        // An evacuation may fill the newest cold segment, but none of an earlier process.
        let newest = self.state.segments.iter().next_back();
        let filling = newest.filter(|segment| segment.file.epoch == self.tail.epoch());
        let filling = filling.map(|segment| segment.file.number);
        let part = |segment: &Segment<D::File>| {
            let number = segment.file.number;
            Part {
                bytes_used: segment.file.offset(segment.end).min(segment.file.file_bytes),
                is_sealed: number != current && Some(number) != filling,
                _pin: segment.file.pin(),
                file: Arc::clone(&segment.file),
            }
        };
        // What is being recycled is dead, has told what it knew, and may have lost its name already.
        let is_there = |segment: &&Segment<D::File>| !self.chores.recycling.contains(&segment.file.number);
        Ok(self.state.segments.iter().filter(is_there).map(part).collect())
    }
}
