//! All files of a store, one look: META, catalog, journal, checkpoints, index against log.
//!
//! Invariants:
//! - A message is called lost only when no intact record holds it and no intact record says that it is dead.
//! - On a store that runs, a checkpoint is compared with the log only while it is retained.

use super::checkpoints::{self, Checkpoints};
use super::error::InspectError;
use super::finding::{Finding, Part, Unjudged, VerifyReport, WhyUnjudged};
use super::index::{self, IndexCheck};
use super::journal::{self, Synced};
use super::ledger::{Ledger, runs};
use super::progress::Progress;
use super::site::Site;
use super::{catalog, meta, quarantine};
use crate::checkpoint::Checkpoint;
use crate::disk::Disk;
use crate::ids::{Lsn, QueueId};
use crate::meta::Shutdown;
use crate::report::{LostEntries, TornRange};
use roaring::RoaringTreemap;
use std::collections::BTreeMap;

/// How often a newer checkpoint may replace the one that is being compared.
const CHECKPOINTS_TRIED_MAX: u32 = 3;

/// Looks at every byte that the store in this directory relies on. Writes nothing and takes no lock: the store may run.
///
/// # Errors
/// When there is no store, a file belongs to another store or version, or the disk refuses. Damage is no error, but in the
/// report.
pub fn verify<D: Disk>(disk: &D, progress: &mut impl Progress) -> Result<VerifyReport, InspectError> {
    let site = Site::read(disk)?;
    let mut report = VerifyReport {
        store: format!("{:032x}", site.meta.store),
        clean: site.meta.shutdown == Shutdown::Clean,
        ..VerifyReport::default()
    };
    let mut ledger = Ledger::default();
    meta::verify(disk, &mut report)?;
    catalog::verify(disk, &site.meta, &mut report)?;
    let checkpoints = Checkpoints::read(disk, site.meta.store)?;
    let synced = checkpoints.sound.first().map(|checkpoint| Synced {
        lsn: Lsn::new(checkpoint.lsn),
        crc: checkpoint.previous_crc,
    });
    let doubtful = journal::verify(&site, synced, &mut report, &mut ledger, progress)?;
    let known_end = compare(&site, checkpoints, &mut report, &mut ledger, progress)?;
    settle_doubtful(doubtful, &ledger, &known_end, &mut report);
    list_lost(&ledger, &known_end, &mut report);
    quarantine::mark(disk, &mut report.findings)?;
    Ok(report)
}

/// Compares the newest sound checkpoint with the log. Returns up to which seq the index accounts for each queue.
fn compare<D: Disk>(
    site: &Site<D>,
    first: Checkpoints,
    report: &mut VerifyReport,
    ledger: &mut Ledger,
    progress: &mut impl Progress,
) -> Result<BTreeMap<QueueId, u64>, InspectError> {
    let mut checkpoints = first;
    for _ in 0..CHECKPOINTS_TRIED_MAX {
        let Some(newest) = checkpoints.sound.first() else {
            report.findings.append(&mut checkpoints.findings);
            return Ok(BTreeMap::new());
        };
        note(newest, ledger);
        let found = index::check(site, newest, ledger, report, progress)?;
        let is_retained = checkpoints::list(&site.disk)?.contains(&Lsn::new(newest.lsn));
        let astray = !found.findings.is_empty() || !found.lost.is_empty();
        if is_retained || !astray {
            report.checkpoints = crate::format::byte_count(checkpoints.sound.len());
            report.checkpoint = Some(Lsn::new(newest.lsn));
            let known_end = newest
                .queues
                .iter()
                .map(|queue| (QueueId::new(queue.id), queue.visible_end));
            let known_end = known_end.collect();
            report.findings.append(&mut checkpoints.findings);
            settle(found, ledger, report);
            return Ok(known_end);
        }
        checkpoints = Checkpoints::read(&site.disk, site.meta.store)?;
    }
    report.unjudged.push(Unjudged {
        file: checkpoints::path_of(Lsn::new(0)),
        why: WhyUnjudged::CheckpointReplaced,
    });
    Ok(BTreeMap::new())
}

/// What the checkpoint knows to be dead is not lost.
fn note(checkpoint: &Checkpoint, ledger: &mut Ledger) {
    for id in &checkpoint.tombstones {
        ledger.forget(QueueId::new(*id));
    }
    for queue in &checkpoint.queues {
        let id = QueueId::new(queue.id);
        ledger.name(id);
        ledger.bury(id, 0, queue.floor);
        let acked = crate::checkpoint::set_of(&queue.acked).unwrap_or_default();
        ledger.bury_all(id, &acked);
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
    report.torn.extend(doubtful.into_iter().map(|finding| TornRange {
        file: finding.file,
        offset: finding.offset,
    }));
}

/// Adds what the index does not account for, and joins entries that follow each other.
fn list_lost(ledger: &Ledger, known_end: &BTreeMap<QueueId, u64>, report: &mut VerifyReport) {
    if report.findings.iter().any(|finding| finding.part.is_journal()) {
        for queue in ledger.queues() {
            let from = known_end.get(&queue).copied().unwrap_or(0);
            report.lost.extend(ledger.missing(queue, from, None));
        }
    }
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
