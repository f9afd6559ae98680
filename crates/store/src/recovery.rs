//! Opening a store: from the bytes on disk to a shard that can go on.
//!
//! Invariants:
//! - The epoch is raised and synced before anything else is written.
//! - A block at the end that nothing proves to have been synced is written again before it is applied;
//!   only then does the header of the new segment cut off the old copy.
//! - Opening twice equals opening once: what a start cuts, the next start sees as cut.
//! - A start that finds no room for its segment has changed nothing but the epoch.
//!
//! Elsewhere: which blocks are valid and where the log ends (`scan`), the index from a checkpoint (`restore`).

mod cold;
mod damage;
mod directory;
mod ending;
mod footers;
mod new_segment;
mod restore;
mod scan;

use crate::builder::{BlockBuilder, Place};
use crate::checkpoint::{self, CheckpointSegment};
use crate::checksum::Salt;
use crate::disk::{Disk, DiskFile, Now};
use crate::error::{OpenError, PoisonCause};
use crate::footer::Draft;
use crate::format::block::HEADER_LEN;
use crate::format::record;
use crate::format::segment::SegmentHeader;
use crate::format::{byte_count, pad8};
use crate::ids::{BlockNumber, Epoch, Lsn, QueueId, SegmentNumber};
use crate::index::pages::INDEX_DIR;
use crate::limits::{ALIGNMENT, BLOCK_HEADER_BYTES, SEGMENT_HEADER_BYTES};
use crate::options::{DamagePolicy, Options};
use crate::planted::{self, Planted};
use crate::pool::BufferPool;
use crate::queue::QueueDurability;
use crate::report::{LostEntries, Quarantined, RecoveredQueue, RecoveryReport};
use crate::segments::{COLD_DIR, JOURNAL_DIR, Segment, SegmentFile, segment_path};
use crate::shard::{Chores, Pace, Shard, SpareFile, write_header};
use crate::state::{DamagedIndex, Gap, State};
use crate::tail::{Tail, TailStart};
pub(crate) use directory::{Directory, Found, identity};
use ending::{Ending, Tailing};
use hashbrown::HashSet;
use new_segment::NewSegment;
use roaring::RoaringTreemap;
use scan::Scan;
use std::sync::Arc;

/// What an open store begins with.
pub(crate) struct Opened<D: Disk> {
    pub shard: Shard<D>,
    pub next_queue_id: u64,
}

/// Identity of the store and number of this start.
#[derive(Clone, Copy)]
pub(crate) struct Identity {
    pub store: u128,
    pub epoch: Epoch,
    /// The newest epoch that was begun in full before this start.
    pub begun: Epoch,
    /// The epoch before this start, if it was closed in order.
    pub closed: Option<Epoch>,
}

/// Recovers shard 0. An index that turns out to be damaged is rebuilt from the log.
pub(crate) fn open_shard<D: Disk>(
    disk: &D,
    options: &Options,
    identity: Identity,
    now: Now,
    report: &mut RecoveryReport,
) -> Result<Opened<D>, OpenError> {
    let before = report.clone();
    // Read before anything is removed: a segment may be known by its checkpoint alone.
    let known = checkpoint::known_segments(disk, identity.store)?;
    match try_open(disk, options, identity, &known, now, report) {
        Err(error) if is_damaged_index(&error) => {
            tracing::warn!(%error, "rebuilding the index from the log");
            checkpoint::remove_all(disk)
                .map_err(OpenError::io("removing checkpoints of", checkpoint::SHARD_DIR))?;
            *report = before;
            try_open(disk, options, identity, &known, now, report)
        }
        opened => opened,
    }
}

fn is_damaged_index(error: &OpenError) -> bool {
    let OpenError::Io { source, .. } = error else {
        return false;
    };
    let cause = source
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<PoisonCause>());
    cause.is_some_and(|cause| {
        cause
            .source
            .get_ref()
            .is_some_and(|inner| inner.is::<DamagedIndex>())
    })
}

/// Nothing of the log is written before everything that was read has been applied.
fn try_open<D: Disk>(
    disk: &D,
    options: &Options,
    identity: Identity,
    known: &[CheckpointSegment],
    now: Now,
    report: &mut RecoveryReport,
) -> Result<Opened<D>, OpenError> {
    let directory = Directory::read(disk, identity.store, identity.begun, known)?;
    let restored = restore::state(disk, options, identity, &directory, report)?;
    let mut scan = Scan::new(disk, identity.store, &directory, restored);
    scan.run(report)?;
    let doubtful = cold::read(&mut scan, report)?;
    if options.damage == DamagePolicy::Refuse && !report.quarantined.is_empty() {
        return Err(OpenError::Damaged(format!(
            "{} damaged ranges in the journal, the first in {} at byte {}; open without `Refuse` to go on with what is intact",
            report.quarantined.len(),
            report.quarantined[0].file,
            report.quarantined[0].offset,
        )));
    }
    checkpoint::remove_unfinished(disk).map_err(OpenError::io("listing", checkpoint::SHARD_DIR))?;
    restore::remove(disk, &scan.restored.unsound)?;
    let mut ending = scan.finish(doubtful);
    ending.clean &= identity.closed.is_some();
    // That is another matter: nothing may be left of an orderly stop but what META says of it, as when the index of its last
    // checkpoint has slabs of another size.
    let is_last = |last| directory.segments.iter().all(|found| found.epoch <= last);
    report.clean = !report.created && identity.closed.is_some_and(is_last);
    start_epoch(disk, options, identity, now, ending, &directory, report)
}

/// Opens the segment of this epoch and settles what the last one left open.
fn start_epoch<D: Disk>(
    disk: &D,
    options: &Options,
    identity: Identity,
    now: Now,
    ending: Ending<D>,
    directory: &Directory,
    report: &mut RecoveryReport,
) -> Result<Opened<D>, OpenError> {
    let Ending {
        mut state,
        cut,
        last_block,
        previous_crc,
        max_timestamp_ms,
        tailing,
        retained,
        next_queue_id,
        next_cold,
        clean,
        unfinished,
        doubtful,
    } = ending;
    let salt = Salt::of(identity.store);
    let mut pool = BufferPool::new(crate::format::memory_offset(options.ring_bytes));
    let number = directory.next_number;
    let path = segment_path(number);
    let mut spares = directory.usable_spares(disk)?;
    // From here on it grows before it is used up.
    state
        .pages
        .ensure_slab()
        .map_err(OpenError::io("growing the index in", INDEX_DIR))?;
    let bytes = options.segment_bytes.max(needed_bytes(&tailing));
    let spare = spares.last().copied().filter(|_| bytes == options.segment_bytes);
    let new = NewSegment { path: &path, bytes };
    let (file, origin) = new.open(disk, spare, directory.free_at(cut, tailing.is_some()))?;
    let taken = origin.number();
    let mut start = TailStart::<D> {
        file: Arc::new(SegmentFile::new(number, cut, identity.epoch, bytes, file)),
        end: cut.plus(SEGMENT_HEADER_BYTES),
        previous_crc,
        last_block,
        max_timestamp_ms,
        marked: true,
        draft: Draft::begin(options.footer_fraction, bytes),
    };
    state
        .segments
        .push(Segment::new(Arc::clone(&start.file), start.end));
    if let Some(tailing) = tailing {
        let place = Place {
            segment: number,
            offset: SEGMENT_HEADER_BYTES,
            lsn: start.end,
            durable_lsn: start.end,
            previous_crc,
            epoch: identity.epoch,
            max_timestamp_ms,
        };
        let block = copy_of(&tailing, &mut pool).place(place).seal(salt);
        let lsn = block.header.lsn.plus(BLOCK_HEADER_BYTES);
        state
            .apply_payload(block.payload(), lsn, number)
            .map_err(scan::as_open_error)?;
        start
            .file
            .file
            .write_synced_at(block.bytes(), SEGMENT_HEADER_BYTES)
            .map_err(OpenError::io("writing", &path))?;
        start.draft = start.draft.and_then(|draft| draft.with(&block));
        start.end = block.header.end();
        start.marked = false;
        start.previous_crc = block.header_crc;
        start.last_block = block.header.number;
        start.max_timestamp_ms = block.header.max_timestamp_ms;
        report.records_appended_again = u64::from(block.header.record_count);
    }
    if planted::is(Planted::ExpireByReplayClock) {
        state.forget_expired(now).map_err(scan::as_open_error)?;
    }
    // The header comes last: with it, and not before, the old tail is cut off.
    let header = SegmentHeader {
        number,
        first_lsn: cut,
        epoch: identity.epoch,
        uuid: identity.store,
        created_ms: now.wall_ms,
        bytes,
    };
    write_header(&*start.file.file, &header).map_err(OpenError::io("writing the header of", &path))?;
    disk.sync_dir(JOURNAL_DIR)
        .map_err(OpenError::io("syncing", JOURNAL_DIR))?;
    if let Some(segment) = state.segments.newest_mut() {
        segment.end = start.end;
    }
    let retired = directory.retire(disk, cut, number, taken)?;
    remove_unfinished(disk, &unfinished)?;
    footers::remove_strays(disk, directory, cut, &mut state);
    let nameless = settle_state(&mut state, clean, doubtful, report);
    spares.retain(|spare| Some(*spare) != taken);
    spares.extend(retired);
    let chores = Chores {
        store: identity.store,
        next_segment: number.next(),
        // How much of them was written no start knows.
        spares: spares.into_iter().map(SpareFile::new).collect(),
        retained: retained.into(),
        checkpoint_lsn: Lsn::new(0),
        checkpoint_ms: now.mono_ms,
        busy: false,
        retry_at_ms: 0,
        checkpoint_at_ms: 0,
        entered_ms: now.mono_ms,
        spill_at_ms: 0,
        spill_space: Vec::new(),
        removal: Pace::default(),
        is_full: false,
        lacks_pages: false,
        needs_room: false,
        recycling: Vec::new(),
        checkpoints_written: 0,
        clean_checkpoints: 0,
        segments_recycled: 0,
        cold_recycled: 0,
        rolls: 0,
        spills: 0,
        newest_spilled: 0,
    };
    let tail = Tail::new(
        start,
        salt,
        identity.epoch,
        options.block_bytes_soft,
        options.segment_bytes,
        options.footer_fraction,
        pool,
    );
    state.touched.clear();
    let mut shard = Shard::new(options.clone(), state, tail, chores, next_cold);
    for id in nameless {
        shard.write_state_again(id);
    }
    Ok(Opened { shard, next_queue_id })
}

fn remove_unfinished<D: Disk>(disk: &D, unfinished: &[SegmentNumber]) -> Result<(), OpenError> {
    for number in unfinished {
        let path = segment_path(*number);
        disk.remove(&path).map_err(OpenError::io("removing", path))?;
    }
    if !unfinished.is_empty() {
        disk.sync_dir(COLD_DIR)
            .map_err(OpenError::io("syncing", COLD_DIR))?;
    }
    Ok(())
}

/// Size of a segment that takes the block which has to be written again, should it be larger than usual.
fn needed_bytes(tailing: &Option<Tailing>) -> u64 {
    tailing.as_ref().map_or(0, |tailing| {
        let payload = byte_count(tailing.payload.len()) + BLOCK_HEADER_BYTES;
        SEGMENT_HEADER_BYTES + payload.next_multiple_of(ALIGNMENT)
    })
}

/// A block with the same records as the one that stands at the end of the log.
fn copy_of(tailing: &Tailing, pool: &mut BufferPool) -> BlockBuilder {
    let buf = pool.take(HEADER_LEN + tailing.payload.len());
    BlockBuilder::of_payload(tailing.number, buf, &tailing.payload, tailing.record_count)
}

/// After all records were applied: what a restart itself does to queues. Returns those whose record was lost to damage
/// and that are kept: it has to be written again.
fn settle_state<D: Disk>(
    state: &mut State<D>,
    clean: bool,
    doubtful: Vec<Quarantined>,
    report: &mut RecoveryReport,
) -> Vec<QueueId> {
    let transient = |queue: &&crate::queue::Queue| queue.durability == QueueDurability::Transient;
    let vanished: Vec<_> = state
        .queues
        .iter()
        .filter(transient)
        .map(|queue| queue.id)
        .collect();
    for id in vanished {
        state.drop_queue(id);
    }
    if std::mem::take(&mut state.rebuilding) && !(report.quarantined.is_empty() && doubtful.is_empty()) {
        // Where nothing comes after what is lost, only the queue's state tells that there was something.
        let ends = state
            .queues
            .iter()
            .filter(|queue| queue.visible_end < queue.next_seq);
        state.gaps.extend(ends.map(|queue| Gap {
            queue: queue.id,
            first: queue.visible_end,
            end: queue.next_seq,
        }));
    }
    // A checkpoint may know more ends of queues than the segments do that were recycled after it.
    let said: HashSet<QueueId> = state
        .segments
        .iter()
        .flat_map(|segment| segment.control.iter().copied())
        .collect();
    state.tombstones.retain(|id, _| said.contains(id));
    state.names_lost_above = None;
    let mut kept = Vec::new();
    for id in std::mem::take(&mut state.unnamed) {
        // Without damage it can only have been a transient queue, whose record was not written again.
        if report.quarantined.is_empty() {
            state.drop_queue(id);
        } else {
            kept.push(id);
        }
    }
    for gap in std::mem::take(&mut state.gaps) {
        let State { queues, pages, .. } = &mut *state;
        let Some(queue) = queues.get(gap.queue) else {
            continue;
        };
        let mut lost = RoaringTreemap::new();
        lost.insert_range(gap.first.max(queue.floor)..gap.end);
        lost -= &queue.acked;
        // What was evacuated came last.
        let mut is_found = |seq: &u64| State::entry(pages, queue, *seq).is_ok_and(|entry| entry.len != 0);
        let found: RoaringTreemap = lost.iter().filter(|seq| is_found(seq)).collect();
        lost -= found;
        for (first, end) in crate::shard::ranges_of(&lost) {
            report.lost.push(LostEntries {
                queue: gap.queue,
                first: crate::Seq::new(first),
                count: end - first,
            });
        }
    }
    if !report.lost.is_empty() {
        report.quarantined.extend(doubtful);
    }
    let State { queues, pages, .. } = &mut *state;
    for queue in queues.iter_mut() {
        queue.live -= queue.transient_live;
        queue.transient_live = 0;
        queue.live_bytes = queue.live_bytes.saturating_sub(queue.transient_bytes);
        queue.transient_bytes = 0;
        queue.transient_floor = queue.next_seq;
        queue.visible_end = queue.next_seq;
        queue.unlogged.begin(queue.next_seq);
        // Of what was never logged nobody knows any more, and its places behind the others are given again.
        let mut attempts = std::mem::take(&mut queue.attempts);
        attempts.forget_all_but(queue.floor, queue.next_seq, &queue.acked);
        queue.attempts = attempts;
        queue.cursor = queue.floor;
        // What the checkpoint counts as dead ended without a word.
        State::release_dead_pages(pages, queue, queue.floor..queue.next_seq);
        if !clean {
            let end = queue.mark.min(queue.next_seq);
            if queue.floor < end {
                queue.redelivered.insert_range(queue.floor..end);
            }
        }
        let (id, meta, messages) = (queue.id, queue.meta.to_vec(), queue.live);
        report.queues.push(RecoveredQueue { id, meta, messages });
    }
    report.queues.sort_unstable_by_key(|queue| queue.id);
    kept
}

/// The number of the last block of a log that has none.
pub(crate) const NO_BLOCK: BlockNumber = BlockNumber::new(0);

/// Whether a payload holds nothing that a queue would miss.
fn is_idle_mark(payload: &[u8]) -> bool {
    let Some((len, _)) = record::peek(payload) else {
        return payload.is_empty();
    };
    pad8(len) == payload.len() && matches!(record::decode(&payload[..len]), Some(record::Record::Mark { .. }))
}
