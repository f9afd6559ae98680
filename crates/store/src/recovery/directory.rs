//! What lies in the directories of segments: those of the journal in the order of the log, cold ones, spares, and remains.

use crate::checkpoint::CheckpointSegment;
use crate::checksum::Salt;
use crate::disk::{AlignedBuf, Disk, DiskFile};
use crate::error::OpenError;
use crate::format::block::{BlockHeader, HEADER_LEN};
use crate::format::memory_offset;
use crate::format::segment::{HeaderProblem, SegmentHeader};
use crate::ids::{Epoch, Lsn, SegmentNumber};
use crate::limits::{ALIGNMENT, SEGMENT_HEADER_BYTES};
use crate::planted::{self, Planted};
use crate::segments::{COLD_DIR, JOURNAL_DIR, JournalName, open_file, segment_path, spare_path};
use crate::spare::{self, Spare};
use std::collections::BTreeSet;

/// Bytes that are read at once in search of a block.
const SEARCH_BYTES: u64 = 1 << 20;

/// Where a segment ends that no checkpoint knows.
const NOTHING: Lsn = Lsn::new(0);

/// A segment that is part of the log.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub number: SegmentNumber,
    pub first_lsn: Lsn,
    pub epoch: Epoch,
    /// Size of the file.
    pub bytes: u64,
    /// Where the next segment begins if none cut this one short; beyond the file when its size was lost in a crash.
    pub end: Lsn,
    /// Its blocks lie below this address; what a later epoch cut off is not part of the log.
    pub limit: Lsn,
    /// Whether a later epoch begins at its limit, and that is not where the segment ends anyway: then everything below is a
    /// block, whatever became of the file's size.
    pub is_cut: bool,
    /// A checkpoint knows of blocks up to here; [`NOTHING`] without one.
    pub known_end: Lsn,
    /// Whether its own header was unreadable, and its first block had to say what it is.
    pub header_damaged: bool,
}

impl Found {
    /// Whether nothing in it says what it is.
    pub(super) fn is_headless(&self) -> bool {
        self.header_damaged && self.epoch == Epoch::new(0)
    }

    /// Whether a checkpoint knows of it.
    pub(super) fn is_known(&self) -> bool {
        self.known_end > NOTHING
    }

    fn known_by(mut self, known: &[CheckpointSegment]) -> Self {
        let is_this = |known: &&CheckpointSegment| {
            let of = (self.number.get(), self.first_lsn.get(), self.epoch.get());
            // The number of a cold segment says it all.
            (known.number, known.first_lsn, known.epoch) == of
                || self.number.is_cold() && known.number == self.number.get()
        };
        if let Some(known) = known.iter().find(is_this) {
            self.known_end = Lsn::new(known.end);
        }
        self
    }
}

/// The contents of the directories of segments.
pub(crate) struct Directory {
    /// In the order of the log.
    pub segments: Vec<Found>,
    /// Cold segments, in the order of their making.
    pub cold: Vec<Found>,
    pub spares: Vec<SegmentNumber>,
    /// Files with a segment's name that are no part of the log.
    pub remains: Vec<SegmentNumber>,
    /// Segments, of the log or not, that a footer is there for.
    pub footers: BTreeSet<SegmentNumber>,
    /// Segments whose footer was being written.
    pub unfinished_footers: Vec<SegmentNumber>,
    pub next_number: SegmentNumber,
    /// Cold segments that were ever made, as far as their files tell.
    pub next_cold: u64,
}

impl Directory {
    /// Reads it. A segment in which nothing says any more what it is, is what a checkpoint says: `known`.
    pub(crate) fn read<D: Disk>(
        disk: &D,
        store: u128,
        begun: Epoch,
        known: &[CheckpointSegment],
    ) -> Result<Self, OpenError> {
        let names = disk
            .list(JOURNAL_DIR)
            .map_err(OpenError::io("listing", JOURNAL_DIR))?;
        let mut directory = Self::empty();
        for name in names.iter().filter_map(|name| JournalName::parse(name)) {
            let number = match name {
                JournalName::Spare(number) => {
                    directory.spares.push(number);
                    number
                }
                JournalName::Segment(number) => {
                    let found = match read_header(disk, store, begun, number)? {
                        None => by_checkpoint(disk, known, number)?,
                        found => found,
                    };
                    let found = found.map(|found| found.known_by(known));
                    match found {
                        Some(found) => directory.segments.push(found),
                        None => directory.remains.push(number),
                    }
                    number
                }
                JournalName::Footer(number) => {
                    directory.footers.insert(number);
                    number
                }
                JournalName::UnfinishedFooter(number) => {
                    directory.unfinished_footers.push(number);
                    number
                }
            };
            directory.next_number = directory.next_number.max(number.next());
        }
        directory.cut();
        directory.read_cold(disk, store, begun, known)?;
        Ok(directory)
    }

    const fn empty() -> Self {
        Self {
            segments: Vec::new(),
            cold: Vec::new(),
            spares: Vec::new(),
            remains: Vec::new(),
            footers: BTreeSet::new(),
            unfinished_footers: Vec::new(),
            next_number: SegmentNumber::new(1),
            next_cold: 1,
        }
    }

    fn read_cold<D: Disk>(
        &mut self,
        disk: &D,
        store: u128,
        begun: Epoch,
        known: &[CheckpointSegment],
    ) -> Result<(), OpenError> {
        let names = disk.list(COLD_DIR).map_err(OpenError::io("listing", COLD_DIR))?;
        for name in names.iter().filter_map(|name| JournalName::parse(name)) {
            let (JournalName::Segment(named)
            | JournalName::Footer(named)
            | JournalName::UnfinishedFooter(named)) = name
            else {
                continue;
            };
            let number = SegmentNumber::cold(named.get());
            self.next_cold = self.next_cold.max(named.get() + 1);
            match name {
                JournalName::Footer(_) => {
                    self.footers.insert(number);
                    continue;
                }
                JournalName::UnfinishedFooter(_) => {
                    self.unfinished_footers.push(number);
                    continue;
                }
                JournalName::Segment(_) | JournalName::Spare(_) => {}
            }
            let found = match read_header(disk, store, begun, number)? {
                Some(found) => found,
                None => headless(disk, number)?,
            };
            self.cold.push(found.known_by(known));
        }
        Ok(())
    }

    /// Takes out what later epochs cut off.
    fn cut(&mut self) {
        self.segments
            .sort_unstable_by_key(|found| (found.first_lsn, found.epoch));
        let cuts: Vec<(Epoch, Lsn)> = self
            .segments
            .iter()
            .map(|found| (found.epoch, found.first_lsn))
            .collect();
        if planted::is(Planted::StaleTailAfterCut) {
            return;
        }
        for found in &mut self.segments {
            let later = cuts
                .iter()
                .filter(|(epoch, _)| *epoch > found.epoch)
                .map(|(_, first)| *first)
                .min();
            if let Some(later) = later.filter(|later| *later <= found.limit) {
                // One that begins at the very end says nothing of what is unused before it. Where the header is lost, that
                // end is only the file's, which may have been longer.
                found.is_cut = later < found.end || found.header_damaged;
                found.limit = later;
            }
        }
        let is_cut = |found: &Found| found.limit <= found.first_lsn;
        self.remains.extend(
            self.segments
                .iter()
                .filter(|found| is_cut(found))
                .map(|found| found.number),
        );
        self.segments.retain(|found| !is_cut(found));
    }

    /// Whether the log goes as far as this address. The segment in which a checkpoint was taken stays until two newer ones are there, and each start adds one.
    pub(super) fn reaches(&self, lsn: Lsn) -> bool {
        self.segments.iter().any(|found| found.limit >= lsn)
    }

    /// The spares that can be written as other segments; removes the others.
    pub(super) fn usable_spares<D: Disk>(&self, disk: &D) -> Result<Vec<SegmentNumber>, OpenError> {
        let mut usable = Vec::new();
        for number in &self.spares {
            let checked = spare::remove_if_shared(disk, *number);
            if checked.map_err(OpenError::io("checking", spare_path(*number)))? == Spare::Kept {
                usable.push(*number);
            }
        }
        Ok(usable)
    }

    /// Files with a segment's name that are free before the log goes on at `cut`: nothing of it lies in them, and no checkpoint
    /// says that something does. Without one that begins at the cut, which is empty, the next start cuts there again; but if a
    /// block is still to be written again (`has_tail`), it may be the one that lies in it.
    pub(super) fn free_at(&self, cut: Lsn, has_tail: bool) -> impl Iterator<Item = SegmentNumber> {
        let is_free = move |found: &&Found| {
            let is_empty = found.first_lsn > cut || found.first_lsn == cut && !has_tail;
            is_empty && !found.is_known()
        };
        let beyond = self.segments.iter().filter(is_free);
        self.remains
            .iter()
            .copied()
            .chain(beyond.map(|found| found.number))
    }

    /// Makes spares of all files that are no part of the log, now that it ends at `cut` and goes on in
    /// segment `current`, whose file may have been the one of `taken`. Returns the numbers of those that can be used again.
    pub(super) fn retire<D: Disk>(
        &self,
        disk: &D,
        cut: Lsn,
        current: SegmentNumber,
        taken: Option<SegmentNumber>,
    ) -> Result<Vec<SegmentNumber>, OpenError> {
        let beyond = self
            .segments
            .iter()
            .filter(|found| found.first_lsn >= cut)
            .map(|found| found.number);
        let mut numbers: Vec<SegmentNumber> = self.remains.iter().copied().chain(beyond).collect();
        numbers.retain(|number| Some(*number) != taken);
        for number in &numbers {
            assert!(*number != current, "the new segment is no remains");
            let path = segment_path(*number);
            disk.rename(&path, &spare_path(*number))
                .map_err(OpenError::io("renaming", path))?;
        }
        let mut shared = Vec::new();
        for number in &numbers {
            let checked = spare::remove_if_shared(disk, *number);
            if checked.map_err(OpenError::io("checking", spare_path(*number)))? == Spare::Shared {
                shared.push(*number);
            }
        }
        if !numbers.is_empty() {
            disk.sync_dir(JOURNAL_DIR)
                .map_err(OpenError::io("syncing", JOURNAL_DIR))?;
        }
        numbers.retain(|number| !shared.contains(number));
        Ok(numbers)
    }
}

/// Store and newest epoch as the segments tell them, for when META cannot.
pub(crate) fn identity<D: Disk>(disk: &D) -> Result<Option<(u128, Epoch)>, OpenError> {
    let mut found: Option<(u128, Epoch)> = None;
    for name in disk
        .list(JOURNAL_DIR)
        .map_err(OpenError::io("listing", JOURNAL_DIR))?
        .iter()
        .filter_map(|name| JournalName::parse(name))
    {
        let JournalName::Segment(number) = name else {
            continue;
        };
        let path = segment_path(number);
        let (file, _) = open_file(disk, &path).map_err(OpenError::io("opening", &path))?;
        let mut buf = AlignedBuf::zeroed(4096);
        let read = file
            .read_at(&mut buf, 0)
            .map_err(OpenError::io("reading", path))?;
        if let Ok(header) = SegmentHeader::decode(&buf[..read], number) {
            let newest = found.map_or(header.epoch, |(_, epoch)| epoch.max(header.epoch));
            found = Some((header.uuid, newest));
        }
    }
    Ok(found)
}

fn read_header<D: Disk>(
    disk: &D,
    store: u128,
    begun: Epoch,
    number: SegmentNumber,
) -> Result<Option<Found>, OpenError> {
    let path = segment_path(number);
    let (file, bytes) = open_file(disk, &path).map_err(OpenError::io("opening", &path))?;
    // A crash can leave a size between two blocks; what lies behind the last whole page is none.
    let bytes = bytes / ALIGNMENT * ALIGNMENT;
    let mut buf = AlignedBuf::zeroed(8192);
    let read = file
        .read_at(&mut buf, 0)
        .map_err(OpenError::io("reading", &path))?;
    buf[read..].fill(0);
    match SegmentHeader::decode(&buf[..4096], number) {
        Ok(header) if header.uuid == store => Ok(Some(Found {
            number,
            first_lsn: header.first_lsn,
            epoch: header.epoch,
            bytes: header.bytes.min(bytes),
            end: header.first_lsn.plus(header.bytes),
            limit: header.first_lsn.plus(header.bytes.min(bytes)),
            is_cut: false,
            known_end: NOTHING,
            header_damaged: false,
        })),
        Ok(header) => Err(OpenError::Format {
            file: path,
            problem: format!(
                "this segment belongs to store {:032x}, the directory to {store:032x}; move it to where it came from",
                header.uuid
            ),
        }),
        Err(HeaderProblem::Unsupported { version, features }) => Err(OpenError::Format {
            file: path,
            problem: format!(
                "written by another version of the format ({version}, features {features:#x}); open it with that version"
            ),
        }),
        Err(HeaderProblem::Invalid) => {
            // A start that was interrupted leaves a block without a header: nothing in it was ever confirmed.
            let reading = || OpenError::io("reading", &path);
            let mut found =
                by_any_block(&file, store, number, bytes, BlockHeader::identify).map_err(reading())?;
            if found.is_none() {
                let mended = by_any_block(&file, store, number, bytes, BlockHeader::identify_mended);
                found = mended.map_err(reading())?;
            }
            Ok(found.filter(|found| found.epoch <= begun))
        }
    }
}

/// A segment in which no header is readable any more, as a checkpoint knew it: what is intact in it can still be found.
fn by_checkpoint<D: Disk>(
    disk: &D,
    known: &[CheckpointSegment],
    number: SegmentNumber,
) -> Result<Option<Found>, OpenError> {
    let Some(known) = known.iter().find(|known| known.number == number.get()) else {
        return Ok(None);
    };
    let path = segment_path(number);
    let (_, bytes) = open_file(disk, &path).map_err(OpenError::io("opening", path))?;
    let bytes = bytes / ALIGNMENT * ALIGNMENT;
    let first_lsn = Lsn::new(known.first_lsn);
    Ok(Some(Found {
        number,
        first_lsn,
        epoch: Epoch::new(known.epoch),
        bytes,
        end: first_lsn.plus(bytes),
        limit: first_lsn.plus(bytes),
        is_cut: false,
        known_end: NOTHING,
        header_damaged: true,
    }))
}

/// A cold segment that nothing in it describes: its number says all that is needed. Either its making was interrupted, and it
/// goes with the dead ones, or it is damaged.
fn headless<D: Disk>(disk: &D, number: SegmentNumber) -> Result<Found, OpenError> {
    let path = segment_path(number);
    let (_, bytes) = open_file(disk, &path).map_err(OpenError::io("opening", &path))?;
    let bytes = bytes / ALIGNMENT * ALIGNMENT;
    let (first_lsn, end) = (number.cold_first_lsn(), number.cold_first_lsn().plus(bytes));
    Ok(Found {
        number,
        first_lsn,
        epoch: Epoch::new(0),
        bytes,
        end,
        limit: end,
        is_cut: false,
        known_end: NOTHING,
        header_damaged: true,
    })
}

/// How a block header says which segment it is of, and where that begins.
type Identify = fn(&[u8], Salt, SegmentNumber, u64) -> Option<(BlockHeader, Lsn)>;

/// A segment whose header is unreadable, as the first sound block header in it tells. Blocks of an earlier use of the
/// file were sealed with another number.
fn by_any_block<F: DiskFile>(
    file: &F,
    store: u128,
    number: SegmentNumber,
    bytes: u64,
    identify: Identify,
) -> std::io::Result<Option<Found>> {
    let salt = Salt::of(store);
    let mut buf = AlignedBuf::zeroed(memory_offset(SEARCH_BYTES.min(bytes.next_multiple_of(ALIGNMENT))));
    let mut at = SEGMENT_HEADER_BYTES;
    while at < bytes {
        let read = file.read_at(&mut buf, at)?;
        for page in buf[..read]
            .chunks_exact(HEADER_LEN)
            .step_by(memory_offset(ALIGNMENT) / HEADER_LEN)
        {
            let header = identify(page, salt, number, at);
            if let Some((header, first_lsn)) = header {
                return Ok(Some(Found {
                    number,
                    first_lsn,
                    epoch: header.epoch,
                    bytes,
                    end: first_lsn.plus(bytes),
                    limit: first_lsn.plus(bytes),
                    is_cut: false,
                    known_end: NOTHING,
                    header_damaged: true,
                }));
            }
            at += ALIGNMENT;
        }
        if read == 0 {
            break;
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests;
