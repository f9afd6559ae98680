//! Opening a store after a crash, and what its report may say then.

use logpond_store::disk::sim::SimDisk;
use logpond_store::{Engine, OpenError, QueueId, RecoveryReport};

use super::checker;
use super::model::{Candidate, Contents};
use super::observer::{Observed, observe};
use super::policy::Policies;
use super::settings::Settings;
use super::watcher::Watcher;

pub(super) type OpenStore = Engine<SimDisk, Watcher>;

/// Opens what is on the disk, if the disk lets it.
pub(super) fn try_open(
    disk: &SimDisk,
    settings: &Settings,
) -> Result<(OpenStore, RecoveryReport), OpenError> {
    Engine::open(disk.clone(), settings.options.clone(), Watcher::default())
}

/// A disk that fails is no damage, and no other version: the error says which file could not be had.
pub(super) fn check_refusal(error: &OpenError) -> Result<(), String> {
    match error {
        OpenError::Io { file, .. } if !file.is_empty() => Ok(()),
        OpenError::DiskFull { .. } => Ok(()),
        other => Err(format!("a start on a failing disk ended with: {other:?}")),
    }
}

/// Opens what is on the disk.
pub(super) fn open(disk: &SimDisk, settings: &Settings) -> Result<(OpenStore, RecoveryReport), String> {
    try_open(disk, settings).map_err(|error| format!("opening: {error}"))
}

/// A crash must never look like damage.
pub(super) fn check_report(report: &RecoveryReport) -> Result<(), String> {
    let catalog = &report.catalog;
    let has_catalog = catalog.damaged.is_empty() && !catalog.missing;
    if report.quarantined.is_empty() && report.lost.is_empty() && has_catalog {
        return Ok(());
    }
    Err(format!(
        "a crash was reported as damage: {:?} {:?} {catalog:?}",
        report.quarantined, report.lost
    ))
}

/// What the store holds, and what to go on with if that is one of the states that were possible.
pub(super) fn compare(
    store: &OpenStore,
    candidates: &mut [Candidate],
    settings: &Settings,
    policies: &Policies,
) -> Result<(Observed, Contents), String> {
    let observed = observe(store)?;
    // Two states may look alike and yet differ in the numbers that come next: the log's end decides.
    let end = store.lock().shard().durable().end().get();
    candidates.sort_by_key(|candidate| candidate.block != end);
    let mut contents = checker::accept(&observed, candidates, &|queue| {
        settings.mark_step(policies, queue)
    })?;
    adopt_numbers(store, &mut contents)?;
    Ok((observed, contents))
}

/// The numbers of transient messages may be given again after a crash, for the log may never have heard of them; those of
/// persistent ones never.
pub(super) fn adopt_numbers(store: &OpenStore, contents: &mut Contents) -> Result<(), String> {
    let mut guard = store.lock();
    for (id, queue) in contents {
        let next = guard.shard().next_seq(QueueId::new(*id));
        let next = next.ok_or_else(|| format!("queue {id} is missing"))?.get();
        if next < queue.persistent_end || next > queue.next_seq {
            return Err(format!(
                "queue {id} goes on at {next} instead of between {} and {}",
                queue.persistent_end, queue.next_seq
            ));
        }
        queue.next_seq = next;
    }
    Ok(())
}
