//! All files of a store, one look: META, catalog, journal, checkpoints, index against log.
//!
//! Invariants:
//! - A message is called lost only when no intact record holds it and no intact record says that it is dead.
//! - On a store that runs, what stood there at the beginning and still stands is judged; what was recycled meanwhile is named, and
//!   what was written meanwhile is looked at only where the index leads there.
//!
//! Elsewhere: the index against the log (`comparison`), what stands no more (`standing`).

use super::comparison::{self, Comparison};
use super::error::InspectError;
use super::finding::{Finding, Part, Unjudged, VerifyReport, WhyUnjudged};
use super::index::IndexCheck;
use super::journal::{self, Synced};
use super::ledger::{Ledger, runs};
use super::progress::Progress;
use super::site::Site;
use super::{catalog, meta, quarantine, standing};
use crate::disk::Disk;
use crate::ids::{Lsn, QueueId, SegmentNumber};
use crate::meta::Shutdown;
use crate::report::{LostEntries, TornRange};
use crate::segments::segment_path;
use roaring::RoaringTreemap;
use std::collections::{BTreeMap, BTreeSet};

/// Looks at every byte that the store in this directory relies on. Writes nothing and takes no lock: the store may run.
///
/// # Errors
/// When there is no store, a file belongs to another store or version, or the disk refuses. Damage is no error, but in the
/// report.
pub fn verify<D: Disk>(disk: &D, progress: &mut impl Progress) -> Result<VerifyReport, InspectError> {
    let (site, checkpoints) = Site::read_with_checkpoints(disk)?;
    let mut report = VerifyReport {
        store: format!("{:032x}", site.meta.store),
        clean: site.meta.shutdown == Shutdown::Clean,
        ..VerifyReport::default()
    };
    let mut ledger = Ledger::default();
    meta::verify(disk, &mut report)?;
    catalog::verify(disk, &site.meta, &mut report)?;
    let synced = checkpoints.sound.first().map(|checkpoint| Synced {
        lsn: Lsn::new(checkpoint.lsn),
        crc: checkpoint.previous_crc,
    });
    let mut doubtful = journal::verify(&site, synced, &mut report, &mut ledger, progress)?;
    let compared = comparison::compare(&site, checkpoints, &doubtful, &mut report, &mut ledger, progress)?;
    let mut gone = standing::drop_gone(&site, [&mut report.findings, &mut doubtful])?;
    match compared {
        Comparison::Judged { mut found, known_end } => {
            let files: BTreeSet<String> = gone.iter().map(|number| segment_path(*number)).collect();
            found.lost.retain(|(.., file, _)| !files.contains(file));
            gone.append(&mut found.gone);
            settle(found, &ledger, &mut report);
            settle_doubtful(doubtful, &ledger, &known_end, &mut report);
            list_lost(&ledger, &known_end, &mut report);
        }
        // Without the index nothing tells what is missing: it may have been recycled.
        Comparison::NotJudged => report.torn.extend(doubtful.into_iter().map(torn)),
    }
    name_recycled(gone, &mut report);
    join(&mut report);
    quarantine::mark(disk, &mut report.findings)?;
    Ok(report)
}

/// Says which segments were recycled before they could be judged, each once.
fn name_recycled(gone: BTreeSet<SegmentNumber>, report: &mut VerifyReport) {
    for number in gone {
        let unjudged = Unjudged {
            file: segment_path(number),
            why: WhyUnjudged::Recycled,
        };
        if !report.unjudged.contains(&unjudged) {
            report.unjudged.push(unjudged);
        }
    }
}

fn torn(finding: Finding) -> TornRange {
    TornRange {
        file: finding.file,
        offset: finding.offset,
    }
}

fn settle(found: IndexCheck, ledger: &Ledger, report: &mut VerifyReport) {
    report.index_pages = found.pages;
    report.index_entries = found.entries;
    report.findings.extend(found.findings);
    report.astray = found.astray;
    for (queue, seq, file, at) in found.lost {
        let entry = LostEntries {
            queue,
            first: seq,
            count: 1,
        };
        report.lost.push(entry);
        let hit = report.findings.iter_mut().find(|finding| {
            let is_within = (finding.offset..finding.offset + finding.bytes).contains(&at);
            finding.part.is_journal()
                && finding.file == file
                && (is_within || finding.part == Part::MissingSegment)
        });
        if let Some(finding) = hit {
            finding.lost.push(entry);
        }
    }
    let is_hurt = report.findings.iter().any(|finding| finding.part.is_journal());
    if is_hurt {
        for (queue, range) in found.unknown {
            report
                .lost
                .extend(ledger.missing(queue, range.start, Some(range.end)));
        }
    }
}

/// Ends of cold segments, where nothing tells damage from an interrupted write but that entries are missing.
fn settle_doubtful(
    doubtful: Vec<Finding>,
    ledger: &Ledger,
    known_end: &BTreeMap<QueueId, u64>,
    report: &mut VerifyReport,
) {
    let is_missing = |queue: QueueId| {
        let from = known_end.get(&queue).copied().unwrap_or(0);
        !ledger.missing(queue, from, None).is_empty()
    };
    if !doubtful.is_empty() && ledger.queues().any(is_missing) {
        report.findings.extend(doubtful);
        return;
    }
    report.torn.extend(doubtful.into_iter().map(torn));
}

/// Adds what the index does not account for.
fn list_lost(ledger: &Ledger, known_end: &BTreeMap<QueueId, u64>, report: &mut VerifyReport) {
    if report.findings.iter().any(|finding| finding.part.is_journal()) {
        for queue in ledger.queues() {
            let from = known_end.get(&queue).copied().unwrap_or(0);
            report.lost.extend(ledger.missing(queue, from, None));
        }
    }
}

/// Joins entries that follow each other.
fn join(report: &mut VerifyReport) {
    report.lost = joined(&report.lost);
    report.astray = joined(&report.astray);
    for finding in &mut report.findings {
        finding.lost = joined(&finding.lost);
    }
}

fn joined(lost: &[LostEntries]) -> Vec<LostEntries> {
    let mut sets: BTreeMap<QueueId, RoaringTreemap> = BTreeMap::new();
    for entries in lost {
        let first = entries.first.get();
        let set = sets.entry(entries.queue).or_default();
        set.insert_range(first..first.saturating_add(entries.count));
    }
    let mut all = Vec::new();
    for (queue, set) in sets {
        all.extend(runs(queue, &set));
    }
    all
}

#[cfg(test)]
#[cfg(feature = "sim")]
mod tests;
