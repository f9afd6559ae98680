//! The segments of the log: which there are, where they lie, and how much of each is still needed.
//!
//! Invariants:
//! - Segments are in the order of their first lsn; the last one is the one being written.
//! - `live` counts the queue entries whose message lies in the segment; it falls only by durable
//!   acknowledgements.
//! - A segment leaves this table only when it is dead, every queue state that came from it was written
//!   again, and the older of the two retained checkpoints begins behind it.

use crate::disk::{Disk, DiskFile, FileKind};
use crate::ids::{BlockNumber, Epoch, Lsn, QueueId, SegmentNumber};
use crate::planted::{self, Planted};
use hashbrown::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, RwLock};

/// Directory of the journal of shard 0.
pub(crate) const JOURNAL_DIR: &str = "shard-00/j";

/// The file name of a segment, relative to the data directory.
pub(crate) fn segment_path(number: SegmentNumber) -> String {
    format!("{JOURNAL_DIR}/{:016x}.seg", number.get())
}

/// The name of a file that was a segment and waits to become one again.
pub(crate) fn spare_path(number: SegmentNumber) -> String {
    format!("{JOURNAL_DIR}/spare-{:016x}", number.get())
}

/// What a file name in the journal's directory says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum JournalName {
    Segment(SegmentNumber),
    Spare(SegmentNumber),
}

impl JournalName {
    pub(crate) fn parse(name: &str) -> Option<Self> {
        let number = |hex: &str| {
            (hex.len() == 16)
                .then(|| u64::from_str_radix(hex, 16).ok().map(SegmentNumber::new))
                .flatten()
        };
        if let Some(hex) = name.strip_prefix("spare-") {
            return number(hex).map(Self::Spare);
        }
        number(name.strip_suffix(".seg")?).map(Self::Segment)
    }
}

/// An open segment: shared by the shard, the writer and all readers.
pub(crate) struct SegmentFile<F> {
    pub number: SegmentNumber,
    pub first_lsn: Lsn,
    pub epoch: Epoch,
    /// How much of the file belongs to the log; less than its size when a later epoch cut it.
    bytes: AtomicU64,
    /// The size of the file; what lies behind `bytes` is stale.
    pub file_bytes: u64,
    pub file: F,
}

impl<F> SegmentFile<F> {
    pub(crate) fn new(number: SegmentNumber, first_lsn: Lsn, epoch: Epoch, file_bytes: u64, file: F) -> Self {
        Self {
            number,
            first_lsn,
            epoch,
            bytes: AtomicU64::new(file_bytes),
            file_bytes,
            file,
        }
    }

    /// How much of the file, from its beginning, belongs to the log.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Whether the byte at `lsn` is one of this segment's part of the log.
    pub(crate) fn holds(&self, lsn: Lsn) -> bool {
        lsn >= self.first_lsn && self.offset(lsn) < self.bytes()
    }

    /// From `lsn` on the log goes on elsewhere: a later epoch begins there.
    pub(crate) fn cut_at(&self, lsn: Lsn) {
        if self.holds(lsn) {
            self.bytes.store(self.offset(lsn), Ordering::Relaxed);
        }
    }

    /// Where in the file the byte at `lsn` stands.
    pub(crate) fn offset(&self, lsn: Lsn) -> u64 {
        lsn.get() - self.first_lsn.get()
    }
}

/// What is known of a segment.
pub(crate) struct Segment<F> {
    pub file: Arc<SegmentFile<F>>,
    /// Where its valid blocks end.
    pub end: Lsn,
    /// The number of its last block; greater than any for one of an earlier process.
    pub last_block: BlockNumber,
    pub live: u64,
    /// Queues whose records other than messages lie here; their state is written again before this
    /// segment is recycled.
    pub control: HashSet<QueueId>,
    /// Once dead: the block with the last queue state that this segment still owed.
    pub settled: Option<BlockNumber>,
}

/// All segments, oldest first.
pub(crate) struct Segments<D: Disk> {
    list: Vec<Segment<D::File>>,
    files: SegmentFiles<D>,
}

impl<D: Disk> Segments<D> {
    pub(crate) fn new() -> Self {
        Self {
            list: Vec::new(),
            files: SegmentFiles(Arc::default()),
        }
    }

    pub(crate) fn push(&mut self, segment: Segment<D::File>) {
        assert!(
            self.list
                .last()
                .is_none_or(|last| last.file.first_lsn < segment.file.first_lsn),
            "segments follow each other in the log"
        );
        debug_assert!(
            self.list
                .last()
                .is_none_or(|last| last.file.number < segment.file.number)
        );
        self.files
            .0
            .write()
            .expect("no holder of this lock panics")
            .push(Arc::clone(&segment.file));
        self.list.push(segment);
    }

    pub(crate) fn remove(&mut self, number: SegmentNumber) -> Option<Segment<D::File>> {
        let at = self
            .list
            .iter()
            .position(|segment| segment.file.number == number)?;
        self.files
            .0
            .write()
            .expect("no holder of this lock panics")
            .retain(|file| file.number != number);
        Some(self.list.remove(at))
    }

    pub(crate) fn iter(&self) -> std::slice::Iter<'_, Segment<D::File>> {
        self.list.iter()
    }

    pub(crate) fn iter_mut(&mut self) -> std::slice::IterMut<'_, Segment<D::File>> {
        self.list.iter_mut()
    }

    pub(crate) fn last_mut(&mut self) -> Option<&mut Segment<D::File>> {
        self.list.last_mut()
    }

    /// The place in the list of the segment that holds the byte at `lsn`.
    pub(crate) fn index_of(&self, lsn: Lsn) -> Option<usize> {
        let at = self
            .list
            .partition_point(|segment| segment.file.first_lsn <= lsn)
            .checked_sub(1)?;
        self.list[at].file.holds(lsn).then_some(at)
    }

    /// Whether the segment at `index` of the list holds the byte at `lsn`. What lay between two segments
    /// and was recycled belongs to neither.
    pub(crate) fn holds(&self, index: usize, lsn: Lsn) -> bool {
        self.list
            .get(index)
            .is_some_and(|segment| segment.file.holds(lsn))
    }

    /// Numbers rise with addresses: a later segment has the greater of both.
    pub(crate) fn get_mut(&mut self, number: SegmentNumber) -> Option<&mut Segment<D::File>> {
        if self.list.last().is_some_and(|last| last.file.number == number) {
            return self.list.last_mut();
        }
        let at = self
            .list
            .binary_search_by_key(&number, |segment| segment.file.number)
            .ok()?;
        Some(&mut self.list[at])
    }

    pub(crate) fn at_mut(&mut self, index: usize) -> &mut Segment<D::File> {
        &mut self.list[index]
    }

    /// A handle for readers outside the shard's lock.
    pub(crate) fn files(&self) -> SegmentFiles<D> {
        self.files.clone()
    }
}

type FileList<D> = Vec<Arc<SegmentFile<<D as Disk>::File>>>;

/// The open segments as readers see them.
pub(crate) struct SegmentFiles<D: Disk>(Arc<RwLock<FileList<D>>>);

impl<D: Disk> Clone for SegmentFiles<D> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<D: Disk> SegmentFiles<D> {
    /// The segment that holds the byte at `lsn`, and the address where its part of the log ends: a later
    /// epoch may have cut it short. `None` when it was recycled.
    pub(crate) fn find(&self, lsn: Lsn) -> Option<(Arc<SegmentFile<D::File>>, Lsn)> {
        let files = self.0.read().expect("no holder of this lock panics");
        let after = files.partition_point(|file| file.first_lsn <= lsn);
        let file = &files[after.checked_sub(1)?];
        let end = file.first_lsn.plus(file.bytes());
        let limit = files.get(after).map_or(end, |next| next.first_lsn.min(end));
        (lsn < limit).then(|| (Arc::clone(file), limit))
    }
}

/// Opens a segment's file and learns its size.
pub(crate) fn open_file<D: Disk>(disk: &D, path: &str) -> std::io::Result<(D::File, u64)> {
    let kind = if planted::is(Planted::ReadTailThroughCache) {
        FileKind::Plain
    } else {
        FileKind::Journal
    };
    let file = disk.open(path, kind)?;
    let bytes = file.len()?;
    Ok((file, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_ours_are_segments() {
        let number = SegmentNumber::new(0x1f);
        assert_eq!(
            JournalName::parse("000000000000001f.seg"),
            Some(JournalName::Segment(number))
        );
        assert_eq!(
            JournalName::parse("spare-000000000000001f"),
            Some(JournalName::Spare(number))
        );
        assert_eq!(JournalName::parse("1f.seg"), None);
        assert_eq!(JournalName::parse("notes.txt"), None);
    }
}
