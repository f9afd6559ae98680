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
//! - Behind the last checkpoint of a store that was closed in order nothing is looked for.
//!
//! Elsewhere: segments whose footer is read in place of their blocks (`footers`), one segment block by block (`segment_view`), what invalid bytes are (`damage`), what comes out (`ending`).

use super::damage::{Damage, DamagedRange};
use super::directory::{Directory, Found};
use super::footers;
use super::restore::Restored;
use crate::checksum::Salt;
use crate::disk::Disk;
use crate::error::OpenError;
use crate::footer::Footer;
use crate::format::block::BlockHeader;
use crate::format::byte_count;
use crate::ids::{Lsn, SegmentNumber};
use crate::limits::{ALIGNMENT, BLOCK_HEADER_BYTES, SEGMENT_HEADER_BYTES};
use crate::planted::{self, Planted};
use crate::report::{Quarantined, RecoveryReport, TornRange};
use crate::segment_view::{SegmentView, Verdict};
use crate::segments::{SegmentFile, segment_path};
use std::sync::Arc;

/// A valid block that waits for proof.
pub(super) struct Held {
    pub header: BlockHeader,
    crc: u32,
    pub payload: Vec<u8>,
}

pub(super) struct Scan<'a, D: Disk> {
    pub disk: &'a D,
    pub store: u128,
    pub salt: Salt,
    pub directory: &'a Directory,
    pub restored: Restored<D>,
    /// The end of the last valid block, and the checksum of its header.
    pub end: Lsn,
    pub chain: u32,
    chain_known: bool,
    /// What may be missing before the next valid block, which tells.
    missing: Option<Quarantined>,
    pub held: Option<Held>,
    pub blocks: u64,
}

impl<'a, D: Disk> Scan<'a, D> {
    pub(super) fn new(disk: &'a D, store: u128, directory: &'a Directory, restored: Restored<D>) -> Self {
        Self {
            disk,
            store,
            salt: Salt::of(store),
            directory,
            end: restored.lsn,
            chain: restored.previous_crc,
            chain_known: restored.from_checkpoint,
            restored,
            missing: None,
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
            if first >= found.limit || self.restored.ends_log {
                continue;
            }
            let has_hole = self.begins_behind_a_hole(index);
            if has_hole || index > 0 && !self.follows(index) && self.restored.lsn <= found.first_lsn {
                // Between them segments were recycled, and the chain begins anew. Where a block was begun before the
                // gap, it was also synced, or a later epoch would have cut it off; the rest is unused space.
                if let Some(damage) = damage.take().filter(Damage::is_of_blocks) {
                    self.quarantine(&damage.ranges, report)?;
                }
                self.apply_held(report)?;
                if has_hole {
                    // Behind a checkpoint only segments go whose blocks all lie before it, and then the chain goes on.
                    self.missing = Some(self.hole_before(index));
                } else {
                    self.chain_known = false;
                }
            }
            if let Some(footer) = footers::of_journal(self, index) {
                self.settle_damage(damage.take(), footer.header.previous_crc, report)?;
                self.footer(&footer, report)?;
                continue;
            }
            self.segment(found, first, &mut damage, report)?;
            report.segments_from_blocks += u64::from(self.restored.state.rebuilding);
        }
        self.end_of_log(damage, report)
    }

    /// Whether the log behind the checkpoint lacks what comes before the segment at `index`.
    fn begins_behind_a_hole(&self, index: usize) -> bool {
        let begins_behind = self.directory.segments[index].first_lsn > self.restored.lsn;
        self.restored.from_checkpoint && begins_behind && (index == 0 || !self.follows(index))
    }

    /// What is missing before the segment at `index`, by the name of the last segment of it.
    fn hole_before(&self, index: usize) -> Quarantined {
        let found = &self.directory.segments[index];
        let before = index
            .checked_sub(1)
            .map(|before| self.directory.segments[before].end);
        let from = before.map_or(self.restored.lsn, |end| end.max(self.restored.lsn));
        Quarantined {
            file: segment_path(SegmentNumber::new(found.number.get().saturating_sub(1))),
            offset: 0,
            bytes: found.first_lsn.get().saturating_sub(from.get()),
            records_kept: 0,
        }
    }

    /// A valid block follows where something may be missing. One that continues the last one says that nothing is.
    fn settle_missing(
        &mut self,
        damage: Option<&Damage>,
        previous_crc: u32,
        report: &mut RecoveryReport,
    ) -> Result<(), OpenError> {
        let missing = self.missing.take();
        if let Some(missing) = missing.filter(|_| self.last_crc() != Some(previous_crc)) {
            self.apply_held(report)?;
            self.expect_lost_names();
            // Otherwise that may be all, and is told.
            if damage.is_none() {
                report.quarantined.push(missing);
            }
        }
        Ok(())
    }

    /// What follows may speak of queues whose names were lost.
    const fn expect_lost_names(&mut self) {
        self.restored.state.names_lost_above = Some(self.restored.queue_ids_known);
    }

    /// Whether the segment at `index` continues the one before it without a gap.
    pub(super) fn follows(&self, index: usize) -> bool {
        let (before, this) = (
            &self.directory.segments[index - 1],
            &self.directory.segments[index],
        );
        before.end == this.first_lsn || before.limit == this.first_lsn
    }

    /// A whole segment, as its footer tells it. Something behind it proves that its last block was synced.
    fn footer(&mut self, footer: &Footer, report: &mut RecoveryReport) -> Result<(), OpenError> {
        self.apply_held(report)?;
        footers::apply(footer, &mut self.restored.state, report)?;
        let header = &footer.header;
        (self.end, self.chain, self.chain_known) = (header.end, header.last_crc, true);
        self.restored.last_block = header.last_block;
        self.restored.max_timestamp_ms = header.max_timestamp_ms;
        self.blocks += u64::from(header.block_count);
        Ok(())
    }

    fn segment(
        &mut self,
        found: &Found,
        first: Lsn,
        damage: &mut Option<Damage>,
        report: &mut RecoveryReport,
    ) -> Result<(), OpenError> {
        let Some(file) = self.file_at(first) else {
            return Ok(());
        };
        let mut view = SegmentView::new(file, self.salt, Some(found.epoch), found.limit);
        let reading = || OpenError::io("reading", segment_path(found.number));
        let mut at = first;
        while at < found.limit {
            match view.block(at).map_err(reading())? {
                Verdict::Valid(header, crc) => {
                    let payload = view.payload(&header).map_err(reading())?.to_vec();
                    self.settle_missing(damage.as_ref(), header.previous_crc, report)?;
                    self.settle_damage(damage.take(), header.previous_crc, report)?;
                    at = header.end();
                    self.accept(Held { header, crc, payload }, report)?;
                }
                verdict => {
                    let next = view.next_header(at.plus(ALIGNMENT)).map_err(reading())?;
                    let reached = next.unwrap_or(found.limit);
                    let begun = match &verdict {
                        Verdict::Torn(header) => Some((at, header.previous_crc)),
                        _ => None,
                    };
                    let has_remains = verdict == Verdict::Remains;
                    Damage::extend(
                        damage,
                        DamagedRange {
                            segment: found.number,
                            from: at,
                            to: reached,
                        },
                        begun,
                        next.is_some() || found.is_cut || at < found.known_end,
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
        self.expect_lost_names();
        for range in ranges {
            let Some(file) = self.file_at(range.from) else {
                continue;
            };
            let (offset, bytes) = (file.offset(range.from), range.to.get() - range.from.get());
            let records_kept = self.salvage(range)?;
            report.quarantined.push(Quarantined {
                file: segment_path(range.segment),
                offset,
                bytes,
                records_kept,
            });
        }
        Ok(())
    }

    fn file_at(&mut self, at: Lsn) -> Option<Arc<SegmentFile<D::File>>> {
        let index = self.restored.state.segments.index_of(at)?;
        Some(Arc::clone(&self.restored.state.segments.at_mut(index).file))
    }

    fn intact_records(&mut self, range: &DamagedRange) -> Result<Vec<(Lsn, Vec<u8>)>, OpenError> {
        let Some(file) = self.file_at(range.from) else {
            return Ok(Vec::new());
        };
        let mut view = SegmentView::new(file, self.salt, None, range.to);
        let records = view.intact_records(range.from, range.to);
        records.map_err(OpenError::io("reading", segment_path(range.segment)))
    }

    fn salvage(&mut self, range: &DamagedRange) -> Result<u64, OpenError> {
        let records = self.intact_records(range)?;
        for (lsn, record) in &records {
            self.apply_record(record, *lsn, range.segment)?;
        }
        Ok(byte_count(records.len()))
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
        if self.restored.ends_log {
            self.end = self.end.max(covered);
        }
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
        if proven.is_some() || begun_below || damage.certain || self.holds_blocks(&damage, covered)? {
            let lost = damage.below(edge);
            if !lost.is_empty() {
                self.quarantine(&lost, report)?;
                self.end = self.end.max(edge);
                self.chain_known = false;
            }
        } else if !damage.below(covered).is_empty() {
            // Unused space before a later epoch. Addresses never go back: a checkpoint may have spoken of them.
            self.end = self.end.max(covered);
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

    /// Whether something stands below `covered` that only a block can have left: a part of a header, or a record.
    fn holds_blocks(&mut self, damage: &Damage, covered: Lsn) -> Result<bool, OpenError> {
        if damage.remains.is_some_and(|lsn| lsn < covered) {
            return Ok(true);
        }
        for range in damage.below(covered) {
            if !self.intact_records(&range)?.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
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
        let known = self.directory.segments.iter().map(|found| found.known_end);
        known.chain(cut).fold(self.restored.lsn, Lsn::max)
    }
}

pub(super) fn as_open_error(cause: crate::PoisonCause) -> OpenError {
    OpenError::Io {
        what: cause.what,
        file: cause.file.clone(),
        source: std::io::Error::other(cause),
    }
}
