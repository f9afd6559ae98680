//! Reading the log behind the checkpoint: which blocks are valid, what is damaged, where it ends.
//!
//! The rule (docs/format.md, "Torn tail and corruption"): writes go out one at a time, each after the one
//! before was synced. So an invalid block is a torn tail only if nothing proves that anything came after it:
//! no later valid block, no later epoch, no checkpoint. Otherwise it is damage: it is set aside, the intact
//! records in it are kept, and reading goes on behind it.
//!
//! Invariants:
//! - A block is applied when something proves that it was synced: a later block, or a later epoch.
//! - The last block, which nothing proves, is handed back to be written again.

use super::directory::{Directory, Found};
use super::restore::Restored;
use crate::checksum::Salt;
use crate::disk::{AlignedBuf, Disk, DiskFile};
use crate::error::OpenError;
use crate::format::block::{BlockHeader, HEADER_LEN};
use crate::format::record;
use crate::format::{byte_count, memory_offset, pad8};
use crate::ids::{BlockNumber, Lsn, SegmentNumber};
use crate::limits::{ALIGNMENT, BLOCK_HEADER_BYTES, SEGMENT_HEADER_BYTES};
use crate::planted::{self, Planted};
use crate::report::{Quarantined, RecoveryReport, TornRange};
use crate::segments::{SegmentFile, segment_path};
use crate::shard::Retained;
use crate::state::State;
use std::sync::Arc;

/// Bytes that are read at once.
const WINDOW_BYTES: u64 = 1 << 20;

/// A block at the end of the log that nothing proves to have been synced.
pub(super) struct Tailing {
    pub number: BlockNumber,
    pub payload: Vec<u8>,
    pub record_count: u32,
}

/// How the log ended.
pub(super) struct Ending<D: Disk> {
    pub state: State<D>,
    /// Everything below is the log; the next segment begins here.
    pub cut: Lsn,
    pub last_block: BlockNumber,
    pub previous_crc: u32,
    pub max_timestamp_ms: u64,
    pub tailing: Option<Tailing>,
    pub retained: Vec<Retained>,
    pub next_queue_id: u64,
    pub clean: bool,
}

/// A valid block that waits for proof.
struct Held {
    header: BlockHeader,
    crc: u32,
    payload: Vec<u8>,
}

pub(super) struct Scan<'a, D: Disk> {
    salt: Salt,
    directory: &'a Directory,
    restored: Restored<D>,
    /// The end of the last valid block, and the checksum of its header.
    end: Lsn,
    chain: u32,
    chain_known: bool,
    held: Option<Held>,
    blocks: u64,
}

impl<'a, D: Disk> Scan<'a, D> {
    pub(super) fn new(salt: Salt, directory: &'a Directory, restored: Restored<D>) -> Self {
        Self {
            salt,
            directory,
            end: restored.lsn,
            chain: restored.previous_crc,
            chain_known: restored.from_checkpoint,
            restored,
            held: None,
            blocks: 0,
        }
    }

    /// Reads and applies everything behind the checkpoint.
    pub(super) fn run(&mut self, report: &mut RecoveryReport) -> Result<(), OpenError> {
        let mut damage: Option<Damage> = None;
        for index in 0..self.directory.segments.len() {
            let found = &self.directory.segments[index];
            if found.header_damaged {
                report.quarantined.push(Quarantined {
                    file: segment_path(found.number),
                    offset: 0,
                    bytes: SEGMENT_HEADER_BYTES,
                    records_kept: 0,
                });
            }
            let first = found.first_lsn.plus(SEGMENT_HEADER_BYTES).max(self.restored.lsn);
            if first >= found.limit {
                continue;
            }
            if index > 0 && !self.follows(index) && self.restored.lsn <= found.first_lsn {
                // Between them segments were recycled, and the chain begins anew. Where a block was begun before the
                // gap, it was also synced, or a later epoch would have cut it off; the rest is unused space.
                if let Some(damage) = damage.take().filter(Damage::is_of_blocks) {
                    self.quarantine(&damage.ranges, report)?;
                }
                self.apply_held(report)?;
                self.chain_known = false;
            }
            self.segment(found, first, &mut damage, report)?;
        }
        self.end_of_log(damage, report)
    }

    /// Whether the segment at `index` continues the one before it without a gap.
    fn follows(&self, index: usize) -> bool {
        let (before, this) = (
            &self.directory.segments[index - 1],
            &self.directory.segments[index],
        );
        before.end == this.first_lsn || before.limit == this.first_lsn
    }

    fn segment(
        &mut self,
        found: &Found,
        first: Lsn,
        damage: &mut Option<Damage>,
        report: &mut RecoveryReport,
    ) -> Result<(), OpenError> {
        let file = self.restored.state.segments.index_of(first);
        let Some(file) = file.map(|index| Arc::clone(&self.restored.state.segments.at_mut(index).file))
        else {
            return Ok(());
        };
        let mut view = View {
            file,
            limit: found.limit,
            start: 0,
            buf: AlignedBuf::new(),
        };
        let mut at = first;
        while at < found.limit {
            match view.block(at, self.salt, found)? {
                Verdict::Valid(header, crc) => {
                    let payload = view.payload(&header)?.to_vec();
                    self.settle_damage(damage.take(), header.previous_crc, report)?;
                    at = header.end();
                    self.accept(Held { header, crc, payload }, report)?;
                }
                verdict => {
                    let next = view.next_header(at.plus(ALIGNMENT), self.salt, found)?;
                    let reached = next.unwrap_or(found.limit);
                    let begun = match &verdict {
                        Verdict::Torn(header) => Some((at, header.previous_crc)),
                        _ => None,
                    };
                    let has_remains = verdict == Verdict::Remains;
                    // Below the cut of a later epoch everything is a block.
                    let is_cut = found.limit < found.first_lsn.plus(found.bytes);
                    Damage::extend(
                        damage,
                        DamagedRange {
                            segment: found.number,
                            from: at,
                            to: reached,
                        },
                        begun,
                        next.is_some() || is_cut,
                        has_remains,
                    );
                    at = reached;
                }
            }
        }
        Ok(())
    }

    /// A valid block follows: whatever was invalid before it was damage, unless the chain says that nothing
    /// is missing, as at the end of every segment.
    fn settle_damage(
        &mut self,
        damage: Option<Damage>,
        previous_crc: u32,
        report: &mut RecoveryReport,
    ) -> Result<(), OpenError> {
        let Some(damage) = damage else { return Ok(()) };
        let last = self.last_crc();
        let certain = last.is_some() || damage.is_of_blocks();
        if last != Some(previous_crc) && certain {
            self.quarantine(&damage.ranges, report)?;
        }
        Ok(())
    }

    /// The checksum of the last valid header, where the chain is known.
    fn last_crc(&self) -> Option<u32> {
        let held = self.held.as_ref().map(|held| held.crc);
        held.or(self.chain_known.then_some(self.chain))
    }

    /// Sets a damaged range aside and keeps the records in it that are intact.
    fn quarantine(&mut self, ranges: &[DamagedRange], report: &mut RecoveryReport) -> Result<(), OpenError> {
        self.apply_held(report)?;
        for range in ranges {
            let Some(index) = self.restored.state.segments.index_of(range.from) else {
                continue;
            };
            let file = Arc::clone(&self.restored.state.segments.at_mut(index).file);
            let (offset, bytes) = (file.offset(range.from), range.to.get() - range.from.get());
            let mut view = View {
                file,
                limit: range.to,
                start: 0,
                buf: AlignedBuf::new(),
            };
            let records_kept = self.salvage(&mut view, range)?;
            report.quarantined.push(Quarantined {
                file: segment_path(range.segment),
                offset,
                bytes,
                records_kept,
            });
        }
        Ok(())
    }

    fn salvage(&mut self, view: &mut View<D::File>, range: &DamagedRange) -> Result<u64, OpenError> {
        let mut kept = 0;
        let offset = view.file.offset(range.from);
        let bytes = view.bytes(offset, range.to.get() - range.from.get())?.to_vec();
        let mut at = 0;
        while at + 16 <= bytes.len() {
            let place = offset + byte_count(at);
            match record::peek(&bytes[at..]) {
                // The checksum comes last: it costs the length, and any bytes can claim to be long.
                Some((len, ordinal))
                    if usize::try_from(ordinal).is_ok_and(|ordinal| ordinal <= bytes.len() / 16)
                        && record::decode(&bytes[at..at + len]).is_some()
                        && record::is_intact(&bytes[at..at + len], self.salt, range.segment, place) =>
                {
                    let lsn = range.from.plus(byte_count(at));
                    self.apply_record(&bytes[at..at + len], lsn, range.segment)?;
                    kept += 1;
                    at += pad8(len);
                }
                _ => at += 8,
            }
        }
        Ok(kept)
    }

    fn apply_record(&mut self, record: &[u8], lsn: Lsn, segment: SegmentNumber) -> Result<(), OpenError> {
        self.restored
            .state
            .apply_record(record, lsn, segment)
            .map_err(as_open_error)
    }

    fn accept(&mut self, block: Held, report: &mut RecoveryReport) -> Result<(), OpenError> {
        self.apply_held(report)?;
        self.end = block.header.end();
        self.held = Some(block);
        Ok(())
    }

    fn apply_held(&mut self, report: &mut RecoveryReport) -> Result<(), OpenError> {
        let Some(held) = self.held.take() else {
            return Ok(());
        };
        let header = &held.header;
        let lsn = header.lsn.plus(BLOCK_HEADER_BYTES);
        self.restored
            .state
            .apply_payload(&held.payload, lsn, header.segment)
            .map_err(as_open_error)?;
        if let Some(segment) = self.restored.state.segments.get_mut(header.segment) {
            segment.end = header.end();
        }
        self.chain = held.crc;
        self.chain_known = true;
        self.restored.last_block = header.number;
        self.restored.max_timestamp_ms = header.max_timestamp_ms;
        self.blocks += 1;
        report.blocks_replayed += 1;
        report.bytes_replayed += header.disk_len();
        Ok(())
    }

    /// Nothing valid follows. What a later epoch or a checkpoint covers was synced all the same.
    fn end_of_log(&mut self, damage: Option<Damage>, report: &mut RecoveryReport) -> Result<(), OpenError> {
        let covered = self.covered();
        if self
            .held
            .as_ref()
            .is_some_and(|held| held.header.end() <= covered || planted::is(Planted::ReadTailThroughCache))
        {
            self.apply_held(report)?;
        }
        let Some(damage) = damage else { return Ok(()) };
        // A header proves that everything before its block was synced, whatever became of its records. When it
        // does not continue the last valid block, what lies between is damage.
        let proven = damage
            .begun
            .filter(|(_, previous)| self.last_crc().is_some_and(|last| last != *previous));
        let edge = proven.map_or(covered, |(lsn, _)| lsn.max(covered));
        let begun_below = damage.begun.is_some_and(|(lsn, _)| lsn < covered);
        if proven.is_some() || begun_below || damage.certain {
            let lost = damage.below(edge);
            if !lost.is_empty() {
                self.quarantine(&lost, report)?;
                self.end = self.end.max(edge);
                self.chain_known = false;
            }
        }
        if let Some((lsn, _)) = damage.begun
            && lsn >= edge
            && let Some(found) = self
                .directory
                .segments
                .iter()
                .rfind(|found| found.first_lsn <= lsn)
        {
            report.torn = Some(TornRange {
                file: segment_path(found.number),
                offset: lsn.get() - found.first_lsn.get(),
            });
        }
        Ok(())
    }

    /// Everything below was synced: a checkpoint says so, or a later epoch that began behind it.
    fn covered(&self) -> Lsn {
        let last_epoch = self.directory.segments.iter().map(|found| found.epoch).max();
        let begun = |found: &&Found| Some(found.epoch) == last_epoch;
        // The newest epoch began only after all before it was settled.
        let cut = self
            .directory
            .segments
            .iter()
            .filter(begun)
            .map(|found| found.first_lsn)
            .min();
        self.restored.lsn.max(cut.unwrap_or(Lsn::new(0)))
    }

    /// Hands over what was found.
    pub(super) fn finish(self) -> Ending<D> {
        let Restored {
            mut state,
            last_block,
            max_timestamp_ms,
            retained,
            clean,
            ..
        } = self.restored;
        let tailing = self
            .held
            .as_ref()
            .filter(|held| !super::is_idle_mark(&held.payload))
            .map(|held| Tailing {
                number: held.header.number,
                payload: held.payload.clone(),
                record_count: held.header.record_count,
            });
        let end = self.held.as_ref().map_or(self.end, |held| held.header.lsn);
        // A segment of which no block stays holds nothing: the log goes on before it, and its file is free. Without this every start would leave a file behind.
        let last = self
            .directory
            .segments
            .iter()
            .rfind(|found| found.first_lsn < end);
        let empty = last.filter(|found| found.first_lsn.plus(SEGMENT_HEADER_BYTES) == end);
        let cut = empty.map_or(end, |found| found.first_lsn);
        let in_log = |segment: &crate::segments::Segment<D::File>| segment.file.first_lsn < cut;
        let beyond: Vec<SegmentNumber> = state
            .segments
            .iter()
            .filter(|segment| !in_log(segment))
            .map(|segment| segment.file.number)
            .collect();
        for number in beyond {
            state.segments.remove(number);
        }
        for segment in state.segments.iter_mut() {
            segment.end = segment.end.min(cut);
            segment.file.cut_at(cut);
        }
        let next_queue_id = state.queue_ids_used + 1;
        Ending {
            cut,
            last_block,
            previous_crc: self.chain,
            max_timestamp_ms,
            tailing,
            retained,
            next_queue_id,
            clean: clean && self.blocks == 0 && self.held.is_none(),
            state,
        }
    }
}

pub(super) fn as_open_error(cause: crate::PoisonCause) -> OpenError {
    OpenError::Io {
        what: cause.what,
        file: cause.file.clone(),
        source: std::io::Error::other(cause),
    }
}

/// Invalid bytes, until it is known what they are.
struct Damage {
    ranges: Vec<DamagedRange>,
    /// The first valid header met whose records are not: its address, and the header that it continues.
    begun: Option<(Lsn, u32)>,
    /// Whether something proves that blocks stood there: a valid header behind it, or the cut of a later epoch.
    certain: bool,
    /// Whether what is left of a header stands there: where the log goes on behind it, it was a block.
    has_remains: bool,
}

#[derive(Clone, Copy)]
struct DamagedRange {
    segment: SegmentNumber,
    from: Lsn,
    to: Lsn,
}

impl Damage {
    fn extend(
        damage: &mut Option<Self>,
        range: DamagedRange,
        begun: Option<(Lsn, u32)>,
        certain: bool,
        has_remains: bool,
    ) {
        let damage = damage.get_or_insert(Self {
            ranges: Vec::new(),
            begun: None,
            certain: false,
            has_remains: false,
        });
        damage.has_remains |= has_remains;
        damage.begun = damage.begun.or(begun);
        damage.certain |= certain;
        damage.ranges.push(range);
    }

    /// Whether there were blocks, given that the log goes on behind.
    const fn is_of_blocks(&self) -> bool {
        self.certain || self.has_remains || self.begun.is_some()
    }

    /// The parts of the ranges that lie below `edge`.
    fn below(&self, edge: Lsn) -> Vec<DamagedRange> {
        let begins = self.ranges.iter().filter(|range| range.from < edge);
        begins
            .map(|range| DamagedRange {
                to: range.to.min(edge),
                ..*range
            })
            .collect()
    }
}

#[derive(PartialEq, Eq)]
enum Verdict {
    Valid(BlockHeader, u32),
    /// The header is valid, the records are not.
    Torn(BlockHeader),
    /// No valid header, but what is left of one.
    Remains,
    Absent,
}

/// A segment, read through a window.
struct View<F: DiskFile> {
    file: Arc<SegmentFile<F>>,
    limit: Lsn,
    /// Offset in the file of the first byte of `buf`.
    start: u64,
    buf: AlignedBuf,
}

impl<F: DiskFile> View<F> {
    fn block(&mut self, at: Lsn, salt: Salt, found: &Found) -> Result<Verdict, OpenError> {
        let Some((header, crc)) = self.header(at, salt, found)? else {
            let page = self.bytes(self.file.offset(at), ALIGNMENT)?;
            return Ok(if BlockHeader::resembles(page, found.number, at) {
                Verdict::Remains
            } else {
                Verdict::Absent
            });
        };
        let offset = self.file.offset(at);
        let number = self.file.number;
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

    fn payload(&mut self, header: &BlockHeader) -> Result<&[u8], OpenError> {
        let offset = self.file.offset(header.lsn);
        let block = self.bytes(offset, header.disk_len())?;
        Ok(header
            .records(block)
            .expect("the padding of this block was checked before"))
    }

    /// The header at `at`, if there is one of this segment and epoch that fits below its limit.
    fn header(
        &mut self,
        at: Lsn,
        salt: Salt,
        found: &Found,
    ) -> Result<Option<(BlockHeader, u32)>, OpenError> {
        let offset = self.file.offset(at);
        let bytes = self.bytes(offset, ALIGNMENT)?;
        let decoded = BlockHeader::decode(bytes, salt, found.number, found.first_lsn, offset);
        Ok(decoded.filter(|(header, _)| header.epoch == found.epoch && header.end() <= found.limit))
    }

    /// The next address from `at` on where a valid header stands.
    fn next_header(&mut self, at: Lsn, salt: Salt, found: &Found) -> Result<Option<Lsn>, OpenError> {
        let mut at = at;
        while at < self.limit {
            if self.header(at, salt, found)?.is_some() {
                return Ok(Some(at));
            }
            at = at.plus(ALIGNMENT);
        }
        Ok(None)
    }

    /// `len` bytes at `offset`; zeros where the file ends early.
    fn bytes(&mut self, offset: u64, len: u64) -> Result<&[u8], OpenError> {
        let held = self.start..self.start + byte_count(self.buf.len());
        if !(held.contains(&offset) && offset + len <= held.end) {
            let end = self.file.offset(self.limit).max(offset + len);
            let wanted = len
                .max(WINDOW_BYTES)
                .min(end - offset)
                .next_multiple_of(ALIGNMENT);
            self.buf.resize_stale(memory_offset(wanted));
            let path = || segment_path(self.file.number);
            let read = self
                .file
                .file
                .read_at(&mut self.buf, offset)
                .map_err(OpenError::io("reading", path()))?;
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
