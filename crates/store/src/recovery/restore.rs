//! The state to begin with: from the newest checkpoint that is sound, or from nothing.

use super::Identity;
use super::directory::Directory;
use crate::checkpoint::{self, Checkpoint};
use crate::disk::Disk;
use crate::error::OpenError;
use crate::ids::{BlockNumber, Epoch, Lsn, QueueId, SegmentNumber};
use crate::index::pages::Pages;
use crate::limits::SEGMENT_HEADER_BYTES;
use crate::options::{DamagePolicy, Options};
use crate::report::{Quarantined, RecoveryReport};
use crate::segments::{Footing, Segment, SegmentFile, open_file, segment_path};
use crate::shard::Retained;
use crate::state::State;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Where replay begins, and with what.
pub(super) struct Restored<D: Disk> {
    pub state: State<D>,
    /// Replay begins here; everything below is in `state`.
    pub lsn: Lsn,
    pub last_block: BlockNumber,
    pub previous_crc: u32,
    pub max_timestamp_ms: u64,
    pub clean: bool,
    /// Nothing was written behind `lsn`: it was taken as the last act of the last process, which was closed in order.
    pub ends_log: bool,
    pub from_checkpoint: bool,
    /// The greatest id of a queue that the checkpoint knows of: what it leaves out of these was transient, or is gone.
    pub queue_ids_known: u64,
    /// Older first.
    pub retained: Vec<Retained>,
    /// Checkpoints that are damaged.
    pub unsound: Vec<Lsn>,
    /// The number of the next cold segment: above all that exist, and all that a checkpoint speaks of.
    pub next_cold: u64,
    /// Cold segments from this one on may hold copies that the checkpoint does not know of.
    pub cold_filled_since: SegmentNumber,
}

/// The segments that the older checkpoint has entries in may have been evacuated since: it still needs them.
fn keep_for<D: Disk>(older: &Checkpoint, state: &mut State<D>) {
    let generation = state.pages.generation();
    for (number, ..) in older.queues.iter().flat_map(|queue| &queue.segments) {
        if let Some(segment) = state.segments.get_mut(SegmentNumber::new(*number)) {
            segment.vacated = Some(generation);
        }
    }
}

/// Whether a checkpoint is that of the orderly stop with which the epoch `last` ended. An older one may have been left alone,
/// but each epoch has a segment of its own.
fn is_last_act(checkpoint: &Checkpoint, last: Epoch, directory: &Directory) -> bool {
    let is_of_journal = |number: u64| !SegmentNumber::new(number).is_cold();
    let segments = checkpoint.segments.iter();
    let newest = segments
        .filter(|segment| is_of_journal(segment.number))
        .map(|segment| segment.epoch)
        .max();
    checkpoint.clean
        && newest == Some(last.get())
        && directory.segments.iter().all(|found| found.epoch <= last)
}

/// Nothing was recycled behind the checkpoint of an orderly stop: what lived then in a segment that is not there was lost.
fn tell_missing(checkpoint: &Checkpoint, directory: &Directory, report: &mut RecoveryReport) {
    let found = directory.segments.iter().chain(&directory.cold);
    let there: BTreeSet<u64> = found.map(|found| found.number.get()).collect();
    let counts = checkpoint.queues.iter().flat_map(|queue| &queue.segments);
    let living = counts.filter(|(_, entries, _)| *entries > 0);
    let missing: BTreeSet<u64> = living
        .map(|(number, ..)| *number)
        .filter(|number| !there.contains(number))
        .collect();
    let known = checkpoint.segments.iter();
    let lost = known.filter(|known| missing.contains(&known.number));
    report.quarantined.extend(lost.map(|known| Quarantined {
        file: segment_path(SegmentNumber::new(known.number)),
        offset: 0,
        bytes: known.end.saturating_sub(known.first_lsn),
        records_kept: 0,
    }));
}

/// Loads the newest sound checkpoint.
pub(super) fn state<D: Disk>(
    disk: &D,
    options: &Options,
    identity: Identity,
    directory: &Directory,
    report: &mut RecoveryReport,
) -> Result<Restored<D>, OpenError> {
    let shard = || OpenError::io("listing", checkpoint::SHARD_DIR);
    if options.damage != DamagePolicy::Refuse {
        // A full disk has no room for it.
        checkpoint::remove_unfinished(disk).map_err(shard())?;
    }
    let lsns = checkpoint::newest(disk).map_err(shard())?;
    let (mut sound, mut unsound) = (Vec::new(), Vec::new());
    for lsn in lsns {
        let read = Checkpoint::read(disk, lsn, identity.store);
        match read.map_err(OpenError::io("reading", checkpoint::path(lsn)))? {
            Some(checkpoint) => sound.push(checkpoint),
            // It says nothing that the log does not say too.
            None => unsound.push(lsn),
        }
    }
    if let Some(newest) = sound.first()
        && !directory.reaches(Lsn::new(newest.lsn))
    {
        let checkpoint = checkpoint::path(Lsn::new(newest.lsn));
        return Err(OpenError::Incomplete { checkpoint });
    }
    for (index, checkpoint) in sound.iter().enumerate() {
        let mut pages = Pages::new(disk.clone(), options.slab_bytes);
        pages.open()?;
        let older = sound.get(index + 1);
        let older_pages = older
            .into_iter()
            .flat_map(Checkpoint::pages)
            .map(|(page, _)| page);
        if pages.adopt(checkpoint.pages(), older_pages)
            && let Some(restored) = restore(disk, checkpoint, pages, directory)?
        {
            let mut restored = restored;
            restored.ends_log = identity
                .closed
                .is_some_and(|last| is_last_act(checkpoint, last, directory));
            if restored.ends_log {
                tell_missing(checkpoint, directory, report);
            }
            if let Some(older) = older {
                keep_for(older, &mut restored.state);
            }
            let listed = sound.iter().flat_map(|checkpoint| &checkpoint.segments);
            let cold = listed.filter_map(|segment| SegmentNumber::new(segment.number).cold_index());
            restored.next_cold = cold
                .map(|index| index + 1)
                .max()
                .unwrap_or(0)
                .max(directory.next_cold);
            let kept = older.into_iter().chain([checkpoint]);
            restored.retained = kept
                .map(|kept| Retained {
                    lsn: Lsn::new(kept.lsn),
                    generation: 0,
                })
                .collect();
            restored.unsound = unsound;
            return Ok(restored);
        }
        // Its pages are about to be handed out.
        remove(disk, &[Lsn::new(checkpoint.lsn)])?;
    }
    report.index_rebuilt = !directory.segments.is_empty();
    let mut restored = from_nothing(disk, options, directory)?;
    restored.unsound = unsound;
    Ok(restored)
}

/// Removes checkpoints, and before them those that newer ones have superseded: what these need may be gone, and without newer
/// ones they would be taken.
pub(super) fn remove<D: Disk>(disk: &D, lsns: &[Lsn]) -> Result<(), OpenError> {
    let shard = || OpenError::io("removing checkpoints of", checkpoint::SHARD_DIR);
    checkpoint::remove_superseded(disk).map_err(shard())?;
    for lsn in lsns {
        let removing = OpenError::io("removing", checkpoint::path(*lsn));
        checkpoint::remove(disk, *lsn).map_err(removing)?;
    }
    Ok(())
}

fn restore<D: Disk>(
    disk: &D,
    checkpoint: &Checkpoint,
    pages: Pages<D>,
    directory: &Directory,
) -> Result<Option<Restored<D>>, OpenError> {
    if checkpoint.slab_bytes != pages.slab_bytes() {
        return Ok(None);
    }
    let mut state = State::new(pages);
    enter_segments(disk, &mut state, directory)?;
    state.next_message_id = checkpoint.next_message_id;
    state.queue_ids_used = checkpoint.queue_ids_used;
    let deleted = checkpoint.tombstones.iter().map(|id| QueueId::new(*id));
    state.tombstones = deleted.map(|id| (id, Lsn::new(checkpoint.lsn))).collect();
    for known in &checkpoint.segments {
        if let Some(segment) = state.segments.get_mut(SegmentNumber::new(known.number)) {
            segment.control = known.control.iter().map(|id| QueueId::new(*id)).collect();
            segment.end = Lsn::new(known.end);
        }
    }
    for segment in state.segments.iter_mut() {
        // Below the checkpoint nothing is of a queue that it does not know; it does not say which segment has which.
        if !segment.file.number.is_cold() {
            segment.newest_queue = Some(QueueId::new(checkpoint.queue_ids_used));
        }
    }
    // Cold segments are filled one after the other.
    let known_cold = checkpoint.segments.iter().map(|segment| segment.number).max();
    let cold_filled_since = SegmentNumber::cold(0).max(SegmentNumber::new(known_cold.unwrap_or(0)));
    for described in &checkpoint.queues {
        let Some(mut queue) = described.restore() else {
            return Ok(None);
        };
        // What is gone was recycled when the log behind the checkpoint said that nothing lived in it; nobody would count
        // that off again.
        queue.segments.retain(|(number, live)| {
            let segment = state.segments.get_mut(*number);
            segment.map(|segment| segment.live.add(*live)).is_some()
        });
        state.queues.insert(queue);
    }
    Ok(Some(Restored {
        state,
        lsn: Lsn::new(checkpoint.lsn),
        last_block: BlockNumber::new(checkpoint.last_block),
        previous_crc: checkpoint.previous_crc,
        max_timestamp_ms: checkpoint.max_timestamp_ms,
        clean: checkpoint.clean,
        ends_log: false,
        from_checkpoint: true,
        queue_ids_known: checkpoint.queue_ids_used,
        retained: Vec::new(),
        unsound: Vec::new(),
        next_cold: directory.next_cold,
        cold_filled_since,
    }))
}

/// The log alone, from its oldest segment on.
fn from_nothing<D: Disk>(
    disk: &D,
    options: &Options,
    directory: &Directory,
) -> Result<Restored<D>, OpenError> {
    let mut pages = Pages::new(disk.clone(), options.slab_bytes);
    pages.open()?;
    let mut state = State::new(pages);
    state.rebuilding = true;
    let lsn = directory
        .segments
        .first()
        .map_or(Lsn::new(0), |found| found.first_lsn);
    enter_segments(disk, &mut state, directory)?;
    Ok(Restored {
        state,
        lsn,
        last_block: super::NO_BLOCK,
        previous_crc: 0,
        max_timestamp_ms: 0,
        clean: false,
        ends_log: false,
        from_checkpoint: false,
        queue_ids_known: 0,
        retained: Vec::new(),
        unsound: Vec::new(),
        next_cold: directory.next_cold,
        cold_filled_since: SegmentNumber::cold(0),
    })
}

fn enter_segments<D: Disk>(disk: &D, state: &mut State<D>, directory: &Directory) -> Result<(), OpenError> {
    for found in directory.segments.iter().chain(&directory.cold) {
        let path = segment_path(found.number);
        let (file, _) = open_file(disk, &path).map_err(OpenError::io("opening", path))?;
        let file = SegmentFile::new(found.number, found.first_lsn, found.epoch, found.bytes, file);
        file.cut_at(found.limit);
        // Nothing in a cold segment counts before it was read, or a checkpoint says so: its last block may be torn.
        let end = if found.number.is_cold() {
            found.first_lsn.plus(SEGMENT_HEADER_BYTES)
        } else {
            found.limit
        };
        let mut segment = Segment::new(Arc::new(file), end);
        // What is evacuated comes without control records.
        segment.settled = found.number.is_cold().then_some(super::NO_BLOCK);
        if directory.footers.contains(&found.number) {
            segment.footing = Footing::Written;
        }
        state.segments.push(segment);
    }
    Ok(())
}
