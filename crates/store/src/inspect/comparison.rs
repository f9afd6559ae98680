//! The newest sound checkpoint against the log, on a store that may run.
//!
//! Invariants:
//! - Nothing that leads astray counts before the log was read up to a listing that is younger than the checkpoint, and the
//!   checkpoint was still retained when its pages had been read. A store that does not run is compared once.

use super::checkpoints::{self, Checkpoints};
use super::error::InspectError;
use super::finding::{Finding, IndexState, Unjudged, VerifyReport, WhyUnjudged};
use super::index::{self, IndexCheck};
use super::ledger::Ledger;
use super::progress::Progress;
use super::sequel::{self, Sequel};
use super::site::Site;
use super::standing;
use crate::checkpoint::Checkpoint;
use crate::disk::Disk;
use crate::format::byte_count;
use crate::ids::{Lsn, QueueId};
use crate::index::pages::INDEX_DIR;
use std::collections::BTreeMap;

/// How often the index is compared while a running store goes on.
const COMPARED_MAX: u32 = 4;

/// What came of it.
pub(super) enum Comparison {
    Judged {
        found: IndexCheck,
        /// Up to which seq the index accounts for each queue.
        known_end: BTreeMap<QueueId, u64>,
    },
    /// The store went on faster than the index could be read.
    NotJudged,
}

/// Compares the newest sound checkpoint with the log, which was read as `first` lists it. What is astray is compared again with
/// what stands there by then.
pub(super) fn compare<D: Disk>(
    first: &Site<D>,
    checkpoints: Checkpoints,
    doubtful: &[Finding],
    report: &mut VerifyReport,
    ledger: &mut Ledger,
    progress: &mut impl Progress,
) -> Result<Comparison, InspectError> {
    let is_hurt = !doubtful.is_empty() || report.findings.iter().any(|finding| finding.part.is_journal());
    let mut checkpoints = checkpoints;
    let mut again: Option<(Site<D>, Sequel)> = None;
    for _ in 0..COMPARED_MAX {
        let site = again.as_ref().map_or(first, |(site, _)| site);
        let newest = checkpoints.sound.first();
        let found = match newest {
            Some(newest) => {
                note(newest, ledger);
                index::check(site, newest, ledger, report, progress)?
            }
            None => IndexCheck::default(),
        };
        let is_read_up = matches!(again, Some((_, Sequel::Whole)));
        if !(is_hurt || found.is_astray())
            || standing::is_unchanged(site, &checkpoints)?
            || is_read_up && is_retained(site, newest)?
        {
            return Ok(judged(checkpoints, found, report));
        }
        let read_to = site.directory.segments.last().map(|found| found.first_lsn);
        let (site, read) = Site::read_with_checkpoints(&first.disk)?;
        let sequel = sequel::note(&site, read_to.unwrap_or_default(), ledger)?;
        (again, checkpoints) = (Some((site, sequel)), read);
    }
    report.findings.append(&mut checkpoints.findings);
    let why = WhyUnjudged::CheckpointReplaced;
    report.index = IndexState::NotJudged { why };
    report.unjudged.push(Unjudged {
        file: INDEX_DIR.to_owned(),
        why,
    });
    Ok(Comparison::NotJudged)
}

fn is_retained<D: Disk>(site: &Site<D>, checkpoint: Option<&Checkpoint>) -> Result<bool, InspectError> {
    match checkpoint {
        Some(checkpoint) => checkpoints::is_retained(&site.disk, Lsn::new(checkpoint.lsn)),
        // Without two checkpoints nothing is recycled.
        None => Ok(checkpoints::list(&site.disk)?.is_empty()),
    }
}

fn judged(mut checkpoints: Checkpoints, found: IndexCheck, report: &mut VerifyReport) -> Comparison {
    report.findings.append(&mut checkpoints.findings);
    let mut known_end = BTreeMap::new();
    if let Some(newest) = checkpoints.sound.first() {
        report.checkpoints = byte_count(checkpoints.sound.len());
        let checkpoint = Lsn::new(newest.lsn);
        report.index = IndexState::Compared { checkpoint };
        let end_of = |queue: &crate::checkpoint::CheckpointQueue| (QueueId::new(queue.id), queue.visible_end);
        known_end.extend(newest.queues.iter().map(end_of));
    }
    Comparison::Judged { found, known_end }
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
