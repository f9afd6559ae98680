//! The log of a store: each block, each record, and what damage between them means.
//!
//! The rule is the one of recovery (docs/format.md, "Torn tail and corruption"), but from the first block on, not from the
//! last checkpoint on. What stands where no sound block does is held back until it is known what follows: the chain says
//! that nothing is missing, or something proves that blocks stood there, or the log ends.
//!
//! Invariants:
//! - Each byte of the log is part of a sound block, of a finding, of the torn tail, or of space that was never used.

use super::cold;
use super::error::InspectError;
use super::finding::{Finding, Part, Unjudged, VerifyReport, WhyUnjudged};
use super::footers::FooterCheck;
use super::ledger::Ledger;
use super::progress::{Progress, Stage};
use super::site::Site;
use super::standing::{self, header_page};
use super::walk::{Block, Gap, Left, Stretch, Walk};
use crate::disk::Disk;
use crate::format::byte_count;
use crate::format::segment::SegmentHeader;
use crate::ids::{Lsn, SegmentNumber};
use crate::limits::SEGMENT_HEADER_BYTES;
use crate::meta::Shutdown;
use crate::recovery::Found;
use crate::report::TornRange;
use crate::segments::segment_path;

/// What a checkpoint says of the log: everything below was synced, and the last header there had this checksum.
#[derive(Clone, Copy)]
pub(super) struct Synced {
    pub lsn: Lsn,
    pub crc: u32,
}

/// Looks at all segments. Returns what is damage only if entries are missing.
pub(super) fn verify<D: Disk>(
    site: &Site<D>,
    synced: Option<Synced>,
    report: &mut VerifyReport,
    ledger: &mut Ledger,
    progress: &mut impl Progress,
) -> Result<Vec<Finding>, InspectError> {
    let mut check = Check {
        site,
        report,
        ledger,
        last_crc: None,
        pending: None,
    };
    let segments = &site.directory.segments;
    let total = segments
        .iter()
        .map(|found| found.limit.get() - found.first_lsn.get())
        .sum();
    let mut done = 0;
    for (index, found) in segments.iter().enumerate() {
        let before = index.checked_sub(1).map(|before| &segments[before]);
        check.enter(before, found)?;
        let base = done;
        check.segment(found, &mut |offset| {
            progress.reached(Stage::Journal, base + offset, total);
        })?;
        done += found.limit.get() - found.first_lsn.get();
    }
    progress.reached(Stage::Journal, total, total);
    check.end_of_log(synced)?;
    check.remains()?;
    cold::verify(&mut check)
}

/// A look at the log that is under way.
pub(super) struct Check<'a, D: Disk> {
    pub site: &'a Site<D>,
    pub report: &'a mut VerifyReport,
    ledger: &'a mut Ledger,
    /// The checksum of the last sound header, where the chain is known.
    last_crc: Option<u32>,
    pending: Option<Pending>,
}

/// Stretches that are not sound, until it is known what they are.
#[derive(Default)]
struct Pending {
    stretches: Vec<(Found, Invalid)>,
    /// The first sound header whose records are not: its address, and the header that it continues.
    begun: Option<(Lsn, u32)>,
    /// Whether something proves that blocks stood there.
    proof: Proof,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Proof {
    #[default]
    None,
    /// What is left of a header: where the log goes on behind it, it was a block.
    Remains,
    /// A sound header behind it in the segment, or the cut of a later epoch.
    Certain,
}

enum Invalid {
    Torn(Box<Block>),
    Gap(Gap),
}

impl Invalid {
    const fn from(&self) -> Lsn {
        match self {
            Self::Torn(block) => block.header.lsn,
            Self::Gap(gap) => gap.from,
        }
    }

    fn end(&self) -> Lsn {
        match self {
            Self::Torn(block) => block.header.end(),
            Self::Gap(gap) => gap.to,
        }
    }
}

impl Pending {
    /// Whether there were blocks, given that the log goes on behind.
    fn is_of_blocks(&self) -> bool {
        self.proof != Proof::None || self.begun.is_some()
    }

    /// The first place where what is left of a header stands.
    fn remains(&self) -> Option<Lsn> {
        let remains = |invalid: &Invalid| matches!(invalid, Invalid::Gap(gap) if gap.left == Left::Remains);
        let mut held = self.stretches.iter().map(|(_, invalid)| invalid);
        held.find(|invalid| remains(invalid)).map(Invalid::from)
    }
}

impl<D: Disk> Check<'_, D> {
    /// Where segments between this one and the one before were recycled, the chain begins anew.
    fn enter(&mut self, before: Option<&Found>, found: &Found) -> Result<(), InspectError> {
        self.report.segments += 1;
        let follows =
            before.is_none_or(|before| before.end == found.first_lsn || before.limit == found.first_lsn);
        if !follows {
            if let Some(pending) = self.pending.take().filter(Pending::is_of_blocks) {
                self.damaged(pending, None)?;
            }
            self.last_crc = None;
        }
        Ok(())
    }

    fn segment(&mut self, found: &Found, told: &mut dyn FnMut(u64)) -> Result<(), InspectError> {
        let walked = self.walk(found, told);
        match walked {
            Err(error) if error.is_not_found() => self.recycled(found.number),
            walked => return walked,
        }
        Ok(())
    }

    fn walk(&mut self, found: &Found, told: &mut dyn FnMut(u64)) -> Result<(), InspectError> {
        let mut walk = Walk::open(&self.site.disk, found, self.site.salt)?;
        if found.header_damaged && self.is_header_damaged(found)? {
            let file = segment_path(found.number);
            let finding = Finding::new(file, 0, SEGMENT_HEADER_BYTES, Part::SegmentHeader);
            self.report.findings.push(finding);
        }
        let mut footer = FooterCheck::open(self.site, found)?;
        let mut is_first_invalid = true;
        loop {
            told(walk.offset());
            let Some(stretch) = walk.next()? else { break };
            let invalid = match stretch {
                Stretch::Block(block) if block.contents.is_whole() => {
                    footer.compare(&block);
                    self.whole(found, &block)?;
                    is_first_invalid = true;
                    continue;
                }
                Stretch::Block(block) => Invalid::Torn(block),
                Stretch::Gap(gap) => Invalid::Gap(gap),
            };
            if !self.is_still_there(found)? {
                self.recycled(found.number);
                return Ok(());
            }
            // A checkpoint knows of blocks up to there.
            let is_known = invalid.from() < found.known_end;
            // A sound header stands behind something that is not.
            let is_second = matches!(invalid, Invalid::Torn(_)) && !is_first_invalid;
            let proof = match &invalid {
                _ if found.is_cut || is_known || is_second => Proof::Certain,
                Invalid::Gap(gap) if gap.left == Left::Remains => Proof::Remains,
                Invalid::Gap(_) | Invalid::Torn(_) => Proof::None,
            };
            self.hold(found, invalid, proof);
            is_first_invalid = false;
        }
        footer.finish(self.report);
        Ok(())
    }

    fn hold(&mut self, found: &Found, invalid: Invalid, proof: Proof) {
        let pending = self.pending.get_or_insert_default();
        if let Invalid::Torn(block) = &invalid {
            let begun = (block.header.lsn, block.header.previous_crc);
            pending.begun.get_or_insert(begun);
        }
        if pending.proof != Proof::Certain && proof != Proof::None {
            pending.proof = proof;
        }
        pending.stretches.push((found.clone(), invalid));
    }

    /// A whole block: what was not sound before it was damage, unless the chain says that nothing is missing, as at the
    /// end of every segment.
    fn whole(&mut self, found: &Found, block: &Block) -> Result<(), InspectError> {
        if let Some(mut pending) = self.pending.take() {
            if pending
                .stretches
                .iter()
                .any(|(held, _)| held.number == found.number)
            {
                pending.proof = Proof::Certain;
            }
            if self.is_certain(&pending, block) {
                pending = self.look_again(pending)?;
            }
            if self.is_certain(&pending, block) {
                self.damaged(pending, None)?;
            }
        }
        self.last_crc = Some(block.crc);
        self.take(found.number, block);
        Ok(())
    }

    /// Whether `pending` was damage, given that this block stands behind it.
    fn is_certain(&self, pending: &Pending, block: &Block) -> bool {
        let are_blocks = self.last_crc.is_some() || pending.is_of_blocks();
        self.last_crc != Some(block.header.previous_crc) && are_blocks
    }

    /// Reads again what was not sound when its segment was read: a running store may have written it, and gone on to another
    /// segment, before anyone looked there. Returns what still is not.
    fn look_again(&mut self, pending: Pending) -> Result<Pending, InspectError> {
        let mut still = Pending {
            proof: pending.proof,
            ..Pending::default()
        };
        for (found, invalid) in pending.stretches {
            let mut walk = match Walk::open(&self.site.disk, &found, self.site.salt) {
                // Recycled since: whoever looks for it hears of that.
                Err(error) if error.is_not_found() => {
                    still.stretches.push((found, invalid));
                    continue;
                }
                walk => walk?.from(invalid.from()),
            };
            let end = invalid.end();
            while walk.at() < end
                && let Some(stretch) = walk.next()?
            {
                match stretch {
                    Stretch::Block(block) if block.contents.is_whole() => {
                        self.last_crc = Some(block.crc);
                        self.take(found.number, &block);
                    }
                    Stretch::Block(block) => {
                        let begun = (block.header.lsn, block.header.previous_crc);
                        still.begun.get_or_insert(begun);
                        still.stretches.push((found.clone(), Invalid::Torn(block)));
                    }
                    Stretch::Gap(gap) => still.stretches.push((found.clone(), Invalid::Gap(gap))),
                }
            }
        }
        Ok(still)
    }

    /// Counts a block whose header is sound, and reports what in it is not.
    pub(super) fn take(&mut self, number: SegmentNumber, block: &Block) {
        self.report.blocks += 1;
        self.report.journal_bytes += block.header.disk_len();
        for range in &block.contents.records {
            self.report.records += 1;
            self.ledger.note(&block.bytes[range.clone()]);
        }
        for fault in &block.contents.faults {
            let offset = block.offset + byte_count(fault.range.start);
            let bytes = byte_count(fault.range.len());
            let path = segment_path(number);
            self.report
                .findings
                .push(Finding::new(path, offset, bytes, fault.part));
        }
    }

    /// Reports what is damage, up to `edge` if there is one.
    fn damaged(&mut self, pending: Pending, edge: Option<Lsn>) -> Result<(), InspectError> {
        for (found, invalid) in pending.stretches {
            if edge.is_some_and(|edge| invalid.from() >= edge) {
                continue;
            }
            match invalid {
                Invalid::Torn(block) => self.take(found.number, &block),
                Invalid::Gap(gap) => {
                    let to = edge.map_or(gap.to, |edge| gap.to.min(edge));
                    self.gap(&found, gap.from, to)?;
                }
            }
        }
        Ok(())
    }

    pub(super) fn gap(&mut self, found: &Found, from: Lsn, to: Lsn) -> Result<(), InspectError> {
        let mut walk = Walk::open(&self.site.disk, found, self.site.salt)?;
        let (bytes, contents) = walk.salvage(from, to)?;
        for range in &contents.records {
            self.report.records += 1;
            self.ledger.note(&bytes[range.clone()]);
        }
        let offset = from.get() - found.first_lsn.get();
        let len = to.get() - from.get();
        let mut finding = Finding::new(segment_path(found.number), offset, len, Part::Block);
        finding.records_kept = byte_count(contents.records.len());
        self.report.findings.push(finding);
        Ok(())
    }

    /// Nothing sound follows. What a checkpoint or a later epoch covers was synced all the same.
    fn end_of_log(&mut self, synced: Option<Synced>) -> Result<(), InspectError> {
        if let Some(synced) = synced {
            self.settle_synced(synced)?;
        }
        let Some(pending) = self.pending.take() else {
            return Ok(());
        };
        let known = self.site.directory.segments.iter().map(|found| found.known_end);
        let covered = known.fold(self.newest_epoch_begins(), Lsn::max);
        // A header proves that everything before its block was synced, whatever became of its records. When it does not
        // continue the last sound block, what lies between is damage.
        let proven = pending
            .begun
            .filter(|(_, previous)| self.last_crc.is_some_and(|last| last != *previous));
        let edge = proven.map_or(covered, |(lsn, _)| lsn.max(covered));
        let tail = pending.begun.map(|(lsn, _)| lsn).or(pending.remains());
        if let Some(lsn) = tail.filter(|lsn| *lsn >= edge)
            && let Some(found) = self.site.segment_of(lsn)
        {
            self.report.torn.push(TornRange {
                file: segment_path(found.number),
                offset: lsn.get() - found.first_lsn.get(),
            });
        }
        let begun_below = pending.begun.is_some_and(|(lsn, _)| lsn < covered);
        let is_certain = proven.is_some() || begun_below || pending.proof == Proof::Certain;
        if is_certain || self.holds_blocks(&pending, covered)? {
            self.damaged(pending, Some(edge))?;
        }
        Ok(())
    }

    /// Whether something stands below `covered` that only a block can have left: a part of a header, or a record.
    fn holds_blocks(&self, pending: &Pending, covered: Lsn) -> Result<bool, InspectError> {
        if pending.remains().is_some_and(|lsn| lsn < covered) {
            return Ok(true);
        }
        for (found, invalid) in &pending.stretches {
            if let Invalid::Gap(gap) = invalid
                && gap.from < covered
            {
                let mut walk = Walk::open(&self.site.disk, found, self.site.salt)?;
                let (_, contents) = walk.salvage(gap.from, gap.to.min(covered))?;
                if !contents.records.is_empty() {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// The checkpoint names the last block below it: what is held back there is damage if that is not the last sound one.
    fn settle_synced(&mut self, synced: Synced) -> Result<(), InspectError> {
        let Some(pending) = self.pending.take() else {
            return Ok(());
        };
        let Pending {
            stretches,
            begun,
            proof,
        } = pending;
        let (below, above): (Vec<_>, Vec<_>) = stretches
            .into_iter()
            .partition(|(_, invalid)| invalid.from() < synced.lsn);
        if !above.is_empty() {
            self.pending = Some(Pending {
                stretches: above,
                begun: begun.filter(|(lsn, _)| *lsn >= synced.lsn),
                proof,
            });
        }
        let below = Pending {
            stretches: below,
            begun: begun.filter(|(lsn, _)| *lsn < synced.lsn),
            proof,
        };
        if below.stretches.is_empty() {
            return Ok(());
        }
        let of_blocks = below.is_of_blocks();
        if self.last_crc.map_or(of_blocks, |last| last != synced.crc) {
            self.damaged(below, Some(synced.lsn))?;
        }
        self.last_crc = Some(synced.crc);
        Ok(())
    }

    /// The newest epoch began only after all before it was settled.
    fn newest_epoch_begins(&self) -> Lsn {
        let segments = &self.site.directory.segments;
        let newest = segments.iter().map(|found| found.epoch).max();
        let of_newest = segments.iter().filter(|found| Some(found.epoch) == newest);
        of_newest.map(|found| found.first_lsn).min().unwrap_or_default()
    }

    /// Files with a segment's name that are no part of the log, for neither header nor block of theirs is sound.
    fn remains(&mut self) -> Result<(), InspectError> {
        let site = self.site;
        for number in &site.directory.remains {
            let Some(page) = header_page(&site.disk, *number)? else {
                continue;
            };
            if SegmentHeader::decode(&page, *number).is_ok()
                || SegmentHeader::is_of_earlier_use(&page, *number)
                || !SegmentHeader::resembles(&page, site.meta.store, *number)
            {
                continue;
            }
            let file = segment_path(*number);
            let is_newest = number.next() == site.directory.next_number;
            if is_newest && site.meta.shutdown == Shutdown::Unclean {
                // It was being prepared when the process died: nothing in it was ever confirmed.
                self.report.torn.push(TornRange { file, offset: 0 });
            } else {
                let finding = Finding::new(file, 0, SEGMENT_HEADER_BYTES, Part::SegmentHeader);
                self.report.findings.push(finding);
            }
        }
        Ok(())
    }

    /// Whether a header that was not sound when the directory was read is still not.
    pub(super) fn is_header_damaged(&self, found: &Found) -> Result<bool, InspectError> {
        let page = header_page(&self.site.disk, found.number)?;
        Ok(page.is_some_and(|page| SegmentHeader::decode(&page, found.number).is_err()))
    }

    /// Whether the segment was not recycled while it was being read.
    pub(super) fn is_still_there(&self, found: &Found) -> Result<bool, InspectError> {
        standing::is_still_there(&self.site.disk, found)
    }

    pub(super) fn recycled(&mut self, number: SegmentNumber) {
        if let Some(pending) = &mut self.pending {
            pending.stretches.retain(|(held, _)| held.number != number);
        }
        self.pending.take_if(|pending| pending.stretches.is_empty());
        self.last_crc = None;
        self.report.unjudged.push(Unjudged {
            file: segment_path(number),
            why: WhyUnjudged::Recycled,
        });
    }
}
