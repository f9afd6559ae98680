//! What a shard needs done beside its writes: the next segment, checkpoints, dead segments recycled, survivors evacuated.
//!
//! Invariants:
//! - A job is decided and finished under the shard's lock, and performed without it; at most one at a time.
//! - A segment is recycled only when it is dead, the state that it still owed is durable elsewhere, the older of two
//!   retained checkpoints begins behind it and was taken after its survivors were evacuated, nobody holds it,
//!   and nothing is kept in it.

use super::prewrite::{Past, Prewrite};
use super::reserve::{Grow, Need, Release, Reserve};
use super::{Compact, EvacuationJob, FooterJob, Moved, Shard, Spill, SurveyJob, Unspill};
use crate::checkpoint::{self, Checkpoint, Position};
use crate::disk::{AlignedBuf, Disk, DiskFile, Now};
use crate::engine::final_error;
use crate::error::PoisonCause;
use crate::footer::footer_path;
use crate::format::record::{QueueAction, QueueRecord};
use crate::format::segment::SegmentHeader;
use crate::ids::{BlockNumber, Lsn, QueueId, SegmentNumber, Seq};
use crate::index::pages::{INDEX_DIR, PageNumber};
use crate::planted::{self, Planted};
use crate::queue::QueueDurability;
use crate::segments::{COLD_DIR, Footing, JOURNAL_DIR, Segment, SegmentFile, segment_path};
use crate::spare::{self, Spare};
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

/// How long after an attempt that found the disk full the next one follows, in milliseconds.
pub(super) const RETRY_MS: u64 = 100;

/// A job removes so many segments at most: a file system takes its time for each, and the log may need its next one.
const SEGMENTS_REMOVED_AT_ONCE: usize = 1;

/// What repeating the state of a queue is taken to cost, for the question whether it is worth it.
const STATE_BYTES_ASSUMED: u64 = 2048;

/// A checkpoint that is kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Retained {
    pub lsn: Lsn,
    /// The generation of index pages that ended with it; 0 for one of an earlier process.
    pub generation: u32,
}

/// What housekeeping remembers.
pub(crate) struct Chores {
    pub store: u128,
    pub next_segment: SegmentNumber,
    pub spares: Vec<SegmentNumber>,
    /// The newest two, older first.
    pub retained: VecDeque<Retained>,
    pub checkpoint_lsn: Lsn,
    pub checkpoint_ms: u64,
    pub busy: bool,
    pub retry_at_ms: u64,
    /// Since when the log has been in its segment.
    pub entered_ms: u64,
    /// Whether publishers wait for memory.
    pub lacks_memory: bool,
    /// When the spill may be tried again.
    pub spill_at_ms: u64,
    /// Whether the disk was found full, and there is no room again yet.
    pub is_full: bool,
    /// Whether an evacuation had too few index pages.
    pub lacks_pages: bool,
    /// Whether something other than a segment found no room.
    pub needs_room: bool,
    /// Segments that a job under way takes out: dead, and without a name at any moment.
    pub recycling: Vec<SegmentNumber>,
    pub checkpoints_written: u64,
    pub clean_checkpoints: u64,
    pub segments_recycled: u64,
    pub cold_recycled: u64,
    pub rolls: u64,
    pub spills: u64,
}

/// Work that is performed without the lock.
pub(crate) enum Job<D: Disk> {
    Prepare(Prepare),
    Footer(FooterJob),
    Prewrite(Prewrite<D>),
    Checkpoint(CheckpointJob),
    Recycle(Recycle),
    Evacuate(EvacuationJob<D>),
    Survey(SurveyJob<D>),
    Grow(Grow),
    Spill(Spill),
    Compact(Compact<D>),
    Unspill(Unspill),
    Reserve(Reserve),
    Release(Release),
}

/// Make the segment that follows the current one.
pub(crate) struct Prepare {
    pub header: SegmentHeader,
    pub spare: Option<SegmentNumber>,
}

/// Write a checkpoint; its pages are frozen.
pub(crate) struct CheckpointJob {
    pub checkpoint: Checkpoint,
    pub generation: u32,
    pub pages: Vec<PageNumber>,
}

/// Take segments out.
pub(crate) struct Recycle {
    /// These wait to be used again.
    pub spares: Vec<SegmentNumber>,
    /// These give their room back.
    pub removed: Vec<SegmentNumber>,
    /// Those among them that have a footer.
    pub footed: Vec<SegmentNumber>,
}

/// A job, should it fail.
#[derive(Clone, Copy)]
pub(crate) struct Failed {
    pub what: &'static str,
    /// Relative to the data directory.
    pub file: &'static str,
    pub need: Need,
}

/// What became of a job.
pub(crate) enum Done<D: Disk> {
    Prepared {
        file: Arc<SegmentFile<D::File>>,
        past: Past,
    },
    /// Of the segment that has a footer now, if one could be written.
    FooterTried(Option<SegmentNumber>),
    CheckpointWritten {
        lsn: Lsn,
        generation: u32,
        clean: bool,
    },
    Recycled(Recycle),
    Evacuated(Box<EvacuationJob<D>>),
    Surveyed(Box<SurveyJob<D>>),
    Grown {
        slab: usize,
        file: D::File,
    },
    Spilled(Arc<SegmentFile<D::File>>),
    Unspilled(Unspill),
    Compacted(Moved),
    Reserved(SegmentNumber),
    Released,
}

impl Prepare {
    /// What the file was before.
    pub(crate) const fn past(&self) -> Past {
        if self.spare.is_some() {
            Past::Written
        } else {
            Past::New
        }
    }

    /// Makes the segment's file and header durable.
    pub(crate) fn perform<D: Disk>(&self, disk: &D) -> io::Result<Arc<SegmentFile<D::File>>> {
        let path = segment_path(self.header.number);
        let file = spare::open_as(disk, self.spare, &path)?;
        if let Err(error) = file.allocate(self.header.bytes) {
            // What there is of it is in the way of others.
            let _ = disk.remove(&path);
            return Err(error);
        }
        write_header(&file, &self.header).map_err(final_error)?;
        // The name must survive too: without this, power loss can keep the bytes and forget the file, and
        // with it everything that was confirmed in it.
        if !planted::is(Planted::SkipDirectorySync) {
            disk.sync_dir(JOURNAL_DIR).map_err(final_error)?;
        }
        let SegmentHeader {
            number,
            first_lsn,
            epoch,
            bytes,
            ..
        } = self.header;
        Ok(Arc::new(SegmentFile::new(number, first_lsn, epoch, bytes, file)))
    }
}

/// Writes and syncs a segment's header: from then on the file is a segment.
pub(crate) fn write_header<F: DiskFile>(file: &F, header: &SegmentHeader) -> io::Result<()> {
    let mut bytes = AlignedBuf::zeroed(4096);
    header.encode(&mut bytes);
    file.write_synced_at(&bytes, 0)
}

impl Recycle {
    /// Returns what was done: a segment whose file has another name is removed, and no spare.
    pub(crate) fn perform<D: Disk>(self, disk: &D) -> io::Result<Self> {
        for number in &self.footed {
            // One that stays says nothing to anyone, and the next start removes it.
            if let Err(error) = disk.remove(&footer_path(*number)) {
                tracing::debug!(%error, %number, "removing a footer");
            }
        }
        let (mut spares, mut removed) = (Vec::new(), self.removed);
        let mut shared = Vec::new();
        for number in self.spares {
            match spare::retire(disk, number)? {
                Spare::Kept => spares.push(number),
                Spare::Shared => shared.push(number),
            }
        }
        for number in &removed {
            disk.remove(&segment_path(*number))?;
        }
        removed.append(&mut shared);
        // Later decisions rely on these segments being gone.
        if removed.iter().any(|number| number.is_cold()) {
            disk.sync_dir(COLD_DIR)?;
        }
        disk.sync_dir(JOURNAL_DIR)?;
        Ok(Self {
            spares,
            removed,
            footed: self.footed,
        })
    }
}

impl<D: Disk> Shard<D> {
    /// Decides what is to be done next. With `checkpoint`, one is taken whether it is due or not.
    pub(crate) fn next_job(&mut self, now: Now, checkpoint: CheckpointWish) -> Option<Job<D>> {
        if self.poisoned.is_some() || self.chores.busy {
            return None;
        }
        self.note_memory(now);
        self.bury_forgotten(now);
        let job = self.release_job().map(Job::Release);
        let job = job.or_else(|| self.prepare_job(now).map(Job::Prepare));
        let job = job.or_else(|| self.grow_job(now).map(Job::Grow));
        let job = job.or_else(|| self.prewrite_job(now).map(Job::Prewrite));
        let job = job.or_else(|| self.footer_job().map(Job::Footer));
        // Before the spill, which a flow of transient messages keeps busy: the log is to stay short.
        let job = job.or_else(|| self.checkpoint_job(now, checkpoint).map(Job::Checkpoint));
        let job = job.or_else(|| self.recycle_job(now).map(Job::Recycle));
        let job = job.or_else(|| self.spill_job(now));
        let job = job.or_else(|| self.unspill_job().map(Job::Unspill));
        let job = job.or_else(|| self.compact_job(now).map(Job::Compact));
        let job = job.or_else(|| self.survey_job().map(Job::Survey));
        let job = job.or_else(|| self.evacuation_job(now).map(Job::Evacuate));
        let job = job.or_else(|| self.reserve_job(now).map(Job::Reserve));
        self.chores.busy = job.is_some();
        job
    }

    fn prepare_job(&mut self, now: Now) -> Option<Prepare> {
        if self.tail.has_next_segment() || now.mono_ms < self.chores.retry_at_ms {
            return None;
        }
        let header = SegmentHeader {
            number: self.chores.next_segment,
            first_lsn: self.tail.segment().first_lsn.plus(self.tail.segment().file_bytes),
            epoch: self.tail.epoch(),
            uuid: self.chores.store,
            created_ms: now.wall_ms,
            bytes: self.options.segment_bytes,
        };
        // While there is room on the disk the reserve stays.
        let takes_spare = self.chores.is_full || self.chores.spares.len() > self.reserve_len();
        // A spare that is taken and not finished (the disk was full) is found again by the next start.
        let spare = if takes_spare {
            self.chores.spares.pop()
        } else {
            None
        };
        Some(Prepare { header, spare })
    }

    fn checkpoint_job(&mut self, now: Now, wish: CheckpointWish) -> Option<CheckpointJob> {
        let behind = self.end().get() - self.chores.checkpoint_lsn.get();
        let is_early = now.mono_ms < self.chores.retry_at_ms;
        let due = (self.checkpoint_is_due(now) || self.is_vacated_too_much()) && !is_early;
        if due && behind == 0 && wish == CheckpointWish::WhenDue && self.vacated_bytes() > 0 {
            // Two checkpoints at one address are one: the log has to go on, or what was evacuated would never go.
            self.tail.nudge(now);
        }
        let wanted = match wish {
            CheckpointWish::WhenDue => due && behind > 0,
            CheckpointWish::Now => behind > 0,
            CheckpointWish::Clean => true,
        };
        wanted.then(|| {
            self.chores.checkpoint_ms = now.mono_ms;
            let (generation, pages) = self.state.pages.freeze();
            let clean = wish == CheckpointWish::Clean;
            let checkpoint = Checkpoint::of(&self.state, &self.position(clean));
            CheckpointJob {
                checkpoint,
                generation,
                pages,
            }
        })
    }

    /// Whether enough was written, or enough time has passed, since the last checkpoint.
    pub(crate) fn checkpoint_is_due(&self, now: Now) -> bool {
        let behind = self.end().get() - self.chores.checkpoint_lsn.get();
        behind >= self.options.checkpoint_bytes
            || now.mono_ms.saturating_sub(self.chores.checkpoint_ms) >= self.options.checkpoint_ms
    }

    fn position(&self, clean: bool) -> Position {
        let (previous_crc, max_timestamp_ms) = self.tail.chain();
        Position {
            store: self.chores.store,
            lsn: self.end(),
            last_block: self.durable().end().get(),
            previous_crc,
            max_timestamp_ms,
            clean,
        }
    }

    fn recycle_job(&mut self, now: Now) -> Option<Recycle> {
        self.look_what_is_kept(now);
        self.settle_dead_segments();
        let older = self
            .chores
            .retained
            .front()
            .copied()
            .filter(|_| self.chores.retained.len() > 1)?;
        let durable = self.durable();
        let ready = |segment: &&Segment<D::File>| {
            segment.live.entries == 0
                // Replay reads no cold segment, wherever it begins.
                && (segment.file.number.is_cold() || segment.end <= older.lsn)
                && segment.vacated.is_none_or(|generation| generation <= older.generation)
                && !segment.file.is_pinned()
                && !self.is_held_back(segment)
                && segment.settled.is_some_and(|block| durable.covers(block))
        };
        let current = self.tail.segment().number;
        let mut reached = Lsn::new(0);
        let mut footed = Vec::new();
        let mut segments = Vec::new();
        for segment in self.state.segments.iter() {
            // One that begins inside of another cuts that one's stale tail off, and stays as long as it is there.
            let cuts = segment.file.first_lsn < reached;
            reached = reached.max(segment.file.first_lsn.plus(segment.file.file_bytes));
            let number = segment.file.number;
            if ready(&segment) && !cuts && number != current && !self.evacuator.is_target(number) {
                segments.push(segment.file.number);
                footed.extend((segment.footing == Footing::Written).then_some(number));
            }
        }
        if segments.is_empty() {
            return None;
        }
        let keep = self
            .options
            .spare_segments_max
            .max(self.reserve_len())
            .saturating_sub(self.chores.spares.len());
        let journal = segments.partition_point(|number| !number.is_cold());
        let kept = keep.min(journal);
        segments.truncate(kept + SEGMENTS_REMOVED_AT_ONCE);
        if planted::is(Planted::RecycleOneSegmentTooMany)
            && let Some(last) = segments.last().map(|last: &SegmentNumber| last.next())
            && last < current
            && self.state.segments.get_mut(last).is_some()
        {
            segments.push(last);
        }
        footed.retain(|number| segments.contains(number));
        self.chores.recycling = segments.clone();
        let removed = segments.split_off(kept.min(segments.len()));
        Some(Recycle {
            spares: segments,
            removed,
            footed,
        })
    }

    /// Writes again what dead segments still say of queues, so that they can go.
    fn settle_dead_segments(&mut self) {
        let current = self.tail.segment().number;
        let unsettled = |segment: &Segment<D::File>| {
            segment.live.entries == 0 && segment.settled.is_none() && segment.file.number != current
        };
        let oldest = self
            .state
            .segments
            .iter()
            .next()
            .map(|segment| segment.file.number);
        let dead: Vec<(SegmentNumber, BlockNumber, Vec<QueueId>)> = self
            .state
            .segments
            .iter()
            .filter(|segment| unsettled(segment))
            .map(|segment| {
                (
                    segment.file.number,
                    segment.last_block,
                    segment.control.iter().copied().collect(),
                )
            })
            .collect();
        for (number, last_block, control) in dead {
            let mut settled = self.durable().end();
            let mut owed = Vec::new();
            for id in control {
                match self.state.queues.get(id) {
                    // A transient queue vanishes at the next start, whatever the log says of it.
                    Some(queue) if queue.durability == QueueDurability::Transient => {}
                    Some(queue) if queue.stated.1 >= last_block => settled = settled.max(queue.stated.0),
                    Some(_) => owed.push(id),
                    // What a delete record is about lies before it, or was evacuated: with the oldest segment it has served
                    // its time if no copy is left.
                    None if Some(number) == oldest && !self.state.has_copies(id) => {}
                    None => owed.push(id),
                }
            }
            // Repeating costs room too: a segment that is mostly owed states would be paid for with the next one.
            if crate::format::byte_count(owed.len()) * STATE_BYTES_ASSUMED > self.options.segment_bytes {
                continue;
            }
            for id in owed {
                if !planted::is(Planted::RecycleAckBeforeMessage)
                    && let Some(block) = self.write_state_again(id)
                {
                    settled = block;
                }
            }
            if let Some(segment) = self.state.segments.get_mut(number) {
                segment.settled = Some(settled);
            }
        }
    }

    pub(crate) fn write_state_again(&mut self, id: QueueId) -> Option<BlockNumber> {
        if let Some(queue) = self.state.queues.get(id)
            && queue.is_deleted
        {
            // Its state written behind its end could raise it from the dead.
            let record = super::bare(QueueAction::Delete, id, queue.durability, b"");
            return Some(self.append_queue_record(&record));
        }
        let Some(queue) = self.state.queues.get(id) else {
            return self.state.tombstones.contains(&id).then(|| {
                let record = super::bare(QueueAction::Delete, id, QueueDurability::Durable, b"");
                self.append_queue_record(&record)
            });
        };
        let (acked, redelivered) = (
            checkpoint::bytes_of(&queue.dead_at_start()),
            checkpoint::bytes_of(&queue.redelivered),
        );
        let meta = queue.meta.clone();
        let record = QueueRecord {
            action: QueueAction::State,
            transient: queue.durability == QueueDurability::Transient,
            id,
            next_seq: Seq::new(queue.visible_end),
            floor: Seq::new(queue.floor),
            delivery_mark: Seq::new(if queue.durability == QueueDurability::Transient {
                0
            } else {
                queue.mark
            }),
            acked: &acked,
            redelivered: &redelivered,
            meta: &meta,
        };
        let block = self.append_queue_record(&record);
        let through = self.durable().end();
        if let Some(queue) = self.state.queues.get_mut(id) {
            queue.stated = (block, through);
        }
        Some(block)
    }

    /// Takes note of a finished job.
    pub(crate) fn finish_job(&mut self, done: Done<D>, now: Now) -> Vec<Lsn> {
        self.chores.busy = false;
        let superseded = self.take_result(done, now);
        self.note_room(now);
        superseded
    }

    fn take_result(&mut self, done: Done<D>, now: Now) -> Vec<Lsn> {
        match done {
            Done::Prepared { file, past } => {
                self.chores.next_segment = self.chores.next_segment.max(file.number.next());
                self.tail.set_next_segment(file, past);
                Vec::new()
            }
            Done::FooterTried(segment) => {
                segment.into_iter().for_each(|segment| self.note_footer(segment));
                Vec::new()
            }
            Done::CheckpointWritten {
                lsn,
                generation,
                clean,
            } => {
                self.chores.clean_checkpoints += u64::from(clean);
                self.retain(Retained { lsn, generation })
            }
            Done::Recycled(recycle) => {
                self.forget_segments(&recycle);
                Vec::new()
            }
            Done::Evacuated(job) => {
                self.finish_evacuation(*job);
                Vec::new()
            }
            Done::Surveyed(job) => {
                self.finish_survey(*job);
                Vec::new()
            }
            Done::Grown { slab, file } => {
                if let Err(error) = self.state.pages.enter_slab(slab, file) {
                    self.poison(&PoisonCause::new("mapping the index", INDEX_DIR, error));
                }
                // Those who wait for pages look again when a block is applied.
                self.tail.nudge(now);
                Vec::new()
            }
            Done::Spilled(file) => {
                self.note_spilled(file, now);
                Vec::new()
            }
            Done::Compacted(moved) => {
                if moved == Moved::NoPages {
                    self.note_unspilled(now);
                }
                Vec::new()
            }
            Done::Unspilled(removed) => {
                self.state.units.removed(&removed.files);
                Vec::new()
            }
            Done::Reserved(number) => {
                self.chores.spares.push(number);
                Vec::new()
            }
            Done::Released => Vec::new(),
        }
    }

    /// A job failed. A full disk is waited out, and so is a spill that cannot be written; anything else ends the store.
    pub(crate) fn fail_job(&mut self, failed: Failed, error: io::Error, now: Now) {
        self.chores.busy = false;
        if failed.need == Need::Memory {
            self.note_unspilled(now);
        } else if error.kind() == io::ErrorKind::StorageFull {
            self.note_full_disk(failed.need, now);
        } else {
            self.poison(&PoisonCause::new(failed.what, failed.file, error));
        }
    }

    /// Keeps the newest two checkpoints; returns those that can be removed.
    fn retain(&mut self, newest: Retained) -> Vec<Lsn> {
        self.chores.checkpoints_written += 1;
        self.chores.checkpoint_lsn = newest.lsn;
        self.chores.retained.retain(|kept| kept.lsn != newest.lsn);
        self.chores.retained.push_back(newest);
        let mut superseded = Vec::new();
        while self.chores.retained.len() > 2 {
            superseded.extend(self.chores.retained.pop_front().map(|kept| kept.lsn));
        }
        if self.chores.retained.len() == 2
            && let Some(older) = self.chores.retained.front()
        {
            self.state.pages.reclaim(older.generation);
        }
        self.state.pages.give_back();
        superseded
    }

    fn forget_segments(&mut self, recycle: &Recycle) {
        self.chores.recycling.clear();
        self.chores.spares.extend(&recycle.spares);
        for number in recycle.spares.iter().chain(&recycle.removed) {
            self.chores.segments_recycled += 1;
            self.chores.cold_recycled += u64::from(number.is_cold());
            let Some(gone) = self.state.segments.remove(*number) else {
                continue;
            };
            for id in gone.control {
                if !self
                    .state
                    .segments
                    .iter()
                    .any(|segment| segment.control.contains(&id))
                {
                    self.state.tombstones.remove(&id);
                }
            }
        }
    }

    /// The tail went on to the prepared segment.
    pub(super) fn enter_segment(&mut self, now: Now) {
        self.chores.rolls += 1;
        self.chores.entered_ms = now.mono_ms;
        let file = Arc::clone(self.tail.segment());
        let end = file.first_lsn.plus(crate::limits::SEGMENT_HEADER_BYTES);
        self.state.segments.push(Segment::new(file, end));
        if let Some(finished) = self.tail.take_finished() {
            self.note_sealed(finished);
        }
    }
}

/// When a checkpoint is wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum CheckpointWish {
    /// When enough was written or enough time has passed.
    WhenDue,
    /// Now, if anything was written since the last one.
    Now,
    /// Now, as the last act of an orderly stop.
    Clean,
}
