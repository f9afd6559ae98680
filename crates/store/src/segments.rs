//! The segments of the log: which there are, where they lie, and how much of each is still needed.
//!
//! Invariants:
//! - Segments are in the order of their first lsn: those of the journal, of which the last one is being written, then the
//!   cold ones. Their numbers are in the same order.
//! - `live` counts the queue entries whose message lies in the segment, and their bytes; it falls only by durable
//!   acknowledgements and by evacuation.
//! - A segment leaves this table only when it is dead, every queue state that came from it was written
//!   again, and no retained checkpoint needs it.

use crate::disk::{Disk, DiskFile, FileKind};
use crate::ids::{BlockNumber, Epoch, Lsn, QueueId, SegmentNumber};
use crate::live::Live;
use crate::planted::{self, Planted};
use hashbrown::{HashMap, HashSet};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, RwLock};

/// Directory of the journal of shard 0.
pub(crate) const JOURNAL_DIR: &str = "shard-00/j";
/// Directory of the cold segments of shard 0.
pub(crate) const COLD_DIR: &str = "shard-00/c";

/// The file name of a segment, relative to the data directory.
pub(crate) fn segment_path(number: SegmentNumber) -> String {
    match number.cold_index() {
        Some(index) => format!("{COLD_DIR}/{index:016x}.seg"),
        None => format!("{JOURNAL_DIR}/{:016x}.seg", number.get()),
    }
}

/// The name of a file that was a segment and waits to become one again.
pub(crate) fn spare_path(number: SegmentNumber) -> String {
    format!("{JOURNAL_DIR}/spare-{:016x}", number.get())
}

/// What a file name in one of the directories of segments says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum JournalName {
    Segment(SegmentNumber),
    Spare(SegmentNumber),
    Footer(SegmentNumber),
    /// One that was being written.
    UnfinishedFooter(SegmentNumber),
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
        if let Some(hex) = name.strip_suffix(".footer") {
            return number(hex).map(Self::Footer);
        }
        if let Some(hex) = name.strip_suffix(".footer.new") {
            return number(hex).map(Self::UnfinishedFooter);
        }
        number(name.strip_suffix(".seg")?).map(Self::Segment)
    }
}

/// An open segment, or a unit in a file of the spill: shared by the shard, the writer and all readers.
pub(crate) struct SegmentFile<F> {
    pub number: SegmentNumber,
    pub first_lsn: Lsn,
    pub epoch: Epoch,
    /// How much of the file belongs to the log; less than its size when a later epoch cut it.
    bytes: AtomicU64,
    /// The size of the file; what lies behind `bytes` is stale.
    pub file_bytes: u64,
    /// A file of the spill has several units.
    pub file: Arc<F>,
    /// Where in the file it begins.
    base: u64,
    /// Held by whoever has leased messages from here and not read them yet.
    pins: Pin,
}

/// Keeps a segment from being recycled.
pub(crate) type Pin = Arc<()>;

impl<F> SegmentFile<F> {
    pub(crate) fn new(number: SegmentNumber, first_lsn: Lsn, epoch: Epoch, file_bytes: u64, file: F) -> Self {
        Self {
            number,
            first_lsn,
            epoch,
            bytes: AtomicU64::new(file_bytes),
            file_bytes,
            file: Arc::new(file),
            base: 0,
            pins: Pin::default(),
        }
    }

    /// A unit that takes `bytes` from `base` on of a file of the spill.
    pub(crate) fn of_unit(
        number: SegmentNumber,
        first_lsn: Lsn,
        bytes: u64,
        file: Arc<F>,
        base: u64,
    ) -> Self {
        Self {
            number,
            first_lsn,
            epoch: Epoch::default(),
            bytes: AtomicU64::new(bytes),
            file_bytes: bytes,
            file,
            base,
            pins: Pin::default(),
        }
    }

    /// Keeps the segment from being recycled, until the pin is dropped. To be called under the shard's lock.
    pub(crate) fn pin(&self) -> Pin {
        Pin::clone(&self.pins)
    }

    /// Whether somebody holds a pin.
    pub(crate) fn is_pinned(&self) -> bool {
        Arc::strong_count(&self.pins) > 1
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

    /// Where in the segment the byte at `lsn` stands.
    pub(crate) fn offset(&self, lsn: Lsn) -> u64 {
        lsn.get() - self.first_lsn.get()
    }
}

impl<F: DiskFile> SegmentFile<F> {
    /// Reads from `offset` of the segment on; returns how many bytes there were. Whoever reads a unit asks for no more than it has.
    pub(crate) fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buf, self.base + offset)
    }
}

/// What is known of a segment.
pub(crate) struct Segment<F> {
    pub file: Arc<SegmentFile<F>>,
    /// Where its valid blocks end.
    pub end: Lsn,
    /// The number of its last block; greater than any for one of an earlier process.
    pub last_block: BlockNumber,
    pub live: Live,
    /// Queues whose records other than messages lie here: their state is written again before this
    /// segment is recycled. Of a cold segment: queues whose copies lie here.
    pub control: HashSet<QueueId>,
    /// Neither here nor in older segments of the journal is anything of a queue with a greater id; `None` where nothing was met, and
    /// of cold segments.
    pub newest_queue: Option<QueueId>,
    /// Once dead: the block with the last queue state that this segment still owed.
    pub settled: Option<BlockNumber>,
    /// The generation of index pages in which the index last let go of this segment without a word in the log: checkpoints
    /// of earlier ones still refer to it.
    pub vacated: Option<u32>,
    /// Whether its survivors can be moved; not when damage was met in it.
    pub movable: bool,
    pub footing: Footing,
    /// What lies in it of queues that keep what was acknowledged, once that was looked up.
    pub contents: Option<Contents>,
    /// Whether it stays because of that.
    pub is_kept: bool,
}

/// Whether there is a file that says what a segment's blocks say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Footing {
    None,
    Written,
}

/// What lies in a segment, dead or alive, of queues that keep what was acknowledged.
#[derive(Default)]
pub(crate) struct Contents {
    pub shares: HashMap<QueueId, Share>,
}

/// What a queue has in a segment.
#[derive(Clone, Copy, Default)]
pub(crate) struct Share {
    /// Bytes of its messages' records.
    pub bytes: u64,
    /// When the newest of them was published.
    pub newest_ms: u64,
}

impl<F> Segment<F> {
    /// A segment of which nothing is known but where its blocks end.
    pub(crate) fn new(file: Arc<SegmentFile<F>>, end: Lsn) -> Self {
        Self {
            file,
            end,
            last_block: BlockNumber::new(u64::MAX),
            live: Live::default(),
            control: HashSet::new(),
            newest_queue: None,
            settled: None,
            vacated: None,
            movable: true,
            footing: Footing::None,
            contents: None,
            is_kept: false,
        }
    }
}

/// All segments.
pub(crate) struct Segments<D: Disk> {
    list: Vec<Segment<D::File>>,
    /// How many of them, the first ones, are the journal's.
    journal_len: usize,
    files: SegmentFiles<D>,
}

impl<D: Disk> Segments<D> {
    pub(crate) fn new() -> Self {
        Self {
            list: Vec::new(),
            journal_len: 0,
            files: SegmentFiles(Arc::default()),
        }
    }

    /// Adds the segment that follows all others of its kind.
    pub(crate) fn push(&mut self, segment: Segment<D::File>) {
        let is_cold = segment.file.number.is_cold();
        let at = if is_cold {
            self.list.len()
        } else {
            self.journal_len
        };
        if let Some(before) = self.list[..at].last() {
            assert!(
                before.file.first_lsn < segment.file.first_lsn,
                "segments follow each other in the log"
            );
            debug_assert!(before.file.number < segment.file.number);
        }
        self.files
            .0
            .write()
            .expect("no holder of this lock panics")
            .insert(at, Arc::clone(&segment.file));
        self.list.insert(at, segment);
        self.journal_len += usize::from(!is_cold);
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
        self.journal_len -= usize::from(!number.is_cold());
        Some(self.list.remove(at))
    }

    pub(crate) fn iter(&self) -> std::slice::Iter<'_, Segment<D::File>> {
        self.list.iter()
    }

    pub(crate) fn iter_mut(&mut self) -> std::slice::IterMut<'_, Segment<D::File>> {
        self.list.iter_mut()
    }

    /// The journal's newest segment.
    pub(crate) fn newest_mut(&mut self) -> Option<&mut Segment<D::File>> {
        self.list[..self.journal_len].last_mut()
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
        let newest = self.list[..self.journal_len].last();
        if newest.is_some_and(|newest| newest.file.number == number) {
            return self.newest_mut();
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

    /// No segment of the journal that is older than this one, and begins no later than at `lsn`, has anything of a queue with a
    /// greater id.
    pub(crate) fn newest_queue(&self, older_than: SegmentNumber, lsn: Lsn) -> Option<QueueId> {
        let journal = &self.list[..self.journal_len];
        let asked =
            |segment: &Segment<D::File>| segment.file.number < older_than && segment.file.first_lsn <= lsn;
        let asked = &journal[..journal.partition_point(asked)];
        asked.iter().rev().find_map(|segment| segment.newest_queue)
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
    fn a_cold_segment_has_a_directory_and_addresses_of_its_own() {
        let (first, second) = (SegmentNumber::cold(1), SegmentNumber::cold(2));
        assert_eq!(segment_path(second), "shard-00/c/0000000000000002.seg");
        assert_eq!(
            segment_path(SegmentNumber::new(2)),
            "shard-00/j/0000000000000002.seg"
        );
        let end = first.cold_first_lsn().plus(crate::limits::SEGMENT_BYTES_MAX);
        assert!(end <= second.cold_first_lsn());
        assert!(first.cold_first_lsn().is_cold() && !Lsn::new(1 << 62).is_cold());
    }

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
