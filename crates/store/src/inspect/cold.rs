//! Cold segments: copies of what was evacuated, in chains of their own.
//!
//! The rule of recovery (docs/format.md, "Torn tail and corruption"): an invalid block with a valid one behind it, or below
//! what a checkpoint knows of, is damage. Elsewhere at the end nothing tells damage from an interrupted write, of which
//! nothing was needed: it is damage if entries are missing.

use super::error::InspectError;
use super::finding::{Finding, Part};
use super::footers::FooterCheck;
use super::journal::Check;
use super::walk::{Left, Stretch, Walk};
use crate::disk::Disk;
use crate::ids::Lsn;
use crate::limits::SEGMENT_HEADER_BYTES;
use crate::recovery::Found;
use crate::segments::segment_path;

/// Looks at all cold segments; the journal has been looked at before. Returns what is damage only if entries are missing.
pub(super) fn verify<D: Disk>(check: &mut Check<'_, D>) -> Result<Vec<Finding>, InspectError> {
    let mut doubtful = Vec::new();
    for found in &check.site.directory.cold {
        match segment(check, found, &mut doubtful) {
            Err(error) if error.is_not_found() => check.recycled(found.number),
            looked => looked?,
        }
    }
    Ok(doubtful)
}

fn segment<D: Disk>(
    check: &mut Check<'_, D>,
    found: &Found,
    doubtful: &mut Vec<Finding>,
) -> Result<(), InspectError> {
    let mut walk = Walk::open(&check.site.disk, found, check.site.salt)?;
    check.report.segments += 1;
    if found.header_damaged && check.is_header_damaged(found)? {
        let finding = Finding::new(
            segment_path(found.number),
            0,
            SEGMENT_HEADER_BYTES,
            Part::SegmentHeader,
        );
        if found.known_end > Lsn::new(0) {
            check.report.findings.push(finding);
        } else {
            doubtful.push(finding);
        }
    }
    let mut footer = FooterCheck::open(check.site, found)?;
    let mut held: Vec<Stretch> = Vec::new();
    while let Some(stretch) = walk.next()? {
        match stretch {
            Stretch::Block(block) if block.contents.is_whole() => {
                // With a sound block behind them they are damage.
                settle(check, found, held.drain(..))?;
                footer.compare(&block);
                check.take(found.number, &block);
            }
            Stretch::Block(_) => {
                settle(check, found, std::mem::take(&mut held).into_iter())?;
                held.push(stretch);
            }
            Stretch::Gap(_) => held.push(stretch),
        }
    }
    footer.finish(check.report);
    if held.is_empty() || !check.is_still_there(found)? {
        return Ok(());
    }
    for stretch in held {
        // Nothing is left of a header, and nothing stands behind it: space that was never used.
        if matches!(&stretch, Stretch::Gap(gap) if gap.left == Left::Nothing) {
            continue;
        }
        if from(&stretch) < found.known_end {
            settle(check, found, std::iter::once(stretch))?;
            continue;
        }
        let len = match &stretch {
            Stretch::Block(block) => block.header.disk_len(),
            Stretch::Gap(gap) => gap.to.get() - gap.from.get(),
        };
        let offset = from(&stretch).get() - found.first_lsn.get();
        doubtful.push(Finding::new(segment_path(found.number), offset, len, Part::Block));
    }
    Ok(())
}

const fn from(stretch: &Stretch) -> Lsn {
    match stretch {
        Stretch::Block(block) => block.header.lsn,
        Stretch::Gap(gap) => gap.from,
    }
}

fn settle<D: Disk>(
    check: &mut Check<'_, D>,
    found: &Found,
    held: impl Iterator<Item = Stretch>,
) -> Result<(), InspectError> {
    for stretch in held {
        match stretch {
            Stretch::Block(block) => check.take(found.number, &block),
            Stretch::Gap(gap) => check.gap(found, gap.from, gap.to)?,
        }
    }
    Ok(())
}
