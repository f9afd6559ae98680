//! What a shard needs done beside its writes: the next segment, checkpoints, dead segments recycled, survivors evacuated.
//!
//! Invariants:
//! - A job is decided and finished under the shard's lock, and performed without it; at most one at a time, but for a unit that is spilled beside it.
//!
//! Elsewhere: each job but the next segment and checkpoints, in modules of their own.

use super::pace::Pace;
use super::prewrite::{Prewrite, SpareFile, Wear};
use super::recycle::{Recycle, Recycled};
use super::reserve::{Grow, Need, Release, Reserve};
use super::shrink::Shrink;
use super::{Compact, EvacuationJob, FooterJob, Moved, Shard, Spill, Spilled, SurveyJob, Unspill};
use crate::checkpoint::{self, Checkpoint, Position};
use crate::disk::{AlignedBuf, Disk, DiskFile, Now, is_full};
use crate::engine::final_error;
use crate::error::PoisonCause;
use crate::format::byte_count;
use crate::format::segment::SegmentHeader;
use crate::ids::{Lsn, SegmentNumber};
use crate::index::pages::{INDEX_DIR, PageNumber};
use crate::planted::{self, Planted};
use crate::segments::{JOURNAL_DIR, Segment, SegmentFile, segment_path};
use crate::spare;
use rustix::io::Errno;
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

/// How long after an attempt that found the disk full, or could open nothing, the next one follows, in milliseconds.
pub(super) const RETRY_MS: u64 = 100;

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
    pub spares: Vec<SpareFile>,
    /// The newest two, older first.
    pub retained: VecDeque<Retained>,
    pub checkpoint_lsn: Lsn,
    pub checkpoint_ms: u64,
    pub busy: bool,
    pub retry_at_ms: u64,
    /// When a checkpoint may be tried again. It does not wait for what else found no room: dead segments wait for it.
    pub checkpoint_at_ms: u64,
    /// Since when the log has been in its segment.
    pub entered_ms: u64,
    /// When the spill may be tried again.
    pub spill_at_ms: u64,
    /// What units were copied into to be spilled, while others may follow.
    pub spill_space: Vec<AlignedBuf>,
    /// Whether the disk was found full, and there is no room again yet.
    pub is_full: bool,
    /// Whether an evacuation had too few index pages.
    pub lacks_pages: bool,
    /// Whether something other than a segment found no room.
    pub needs_room: bool,
    pub removal: Pace,
    /// Segments that a job under way takes out: dead, and without a name at any moment.
    pub recycling: Vec<SegmentNumber>,
    pub checkpoints_written: u64,
    pub clean_checkpoints: u64,
    pub segments_recycled: u64,
    pub cold_recycled: u64,
    pub rolls: u64,
    pub spills: u64,
    /// Of those that were chosen, how many newest ones since the last oldest one.
    pub newest_spilled: u64,
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
    Shrink(Shrink<D>),
    Spill(Spill<D>),
    Compact(Compact<D>),
    Unspill(Unspill),
    Reserve(Reserve),
    Release(Release),
}

/// Make the segment that follows the current one.
pub(crate) struct Prepare {
    pub header: SegmentHeader,
    pub spare: Option<SpareFile>,
}

/// Write a checkpoint; its pages are frozen.
pub(crate) struct CheckpointJob {
    pub checkpoint: Checkpoint,
    pub generation: u32,
    pub pages: Vec<PageNumber>,
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
        wear: Wear,
    },
    /// Of the segment that has a footer now, if one could be written.
    FooterTried(Option<SegmentNumber>),
    CheckpointWritten {
        lsn: Lsn,
        generation: u32,
        clean: bool,
    },
    Recycled(Recycled),
    Evacuated(Box<EvacuationJob<D>>),
    Surveyed(Box<SurveyJob<D>>),
    Grown {
        slab: usize,
        file: D::File,
    },
    Shrunk,
    Spilled(Spilled<D>),
    Unspilled(Unspill),
    Compacted(Moved),
    Reserved(SegmentNumber),
    Released,
}

/// What a finished job leaves to be done, or dropped, without the lock.
pub(crate) struct Leftover<D: Disk> {
    /// Checkpoints that nothing needs any more.
    pub superseded: Vec<Lsn>,
    /// Files of segments that are gone.
    pub closed: Vec<Arc<SegmentFile<D::File>>>,
}

impl<D: Disk> Default for Leftover<D> {
    fn default() -> Self {
        Self {
            superseded: Vec::new(),
            closed: Vec::new(),
        }
    }
}

impl Prepare {
    /// How much of the file was written before.
    pub(crate) fn wear(&self) -> Wear {
        self.spare.map_or(Wear::New, |spare| spare.wear)
    }

    /// Makes the segment's file and header durable.
    pub(crate) fn perform<D: Disk>(&self, disk: &D) -> io::Result<Arc<SegmentFile<D::File>>> {
        let path = segment_path(self.header.number);
        let spare = self.spare.map(|spare| spare.number);
        let file = spare::open_as(disk, spare, self.header.number)?;
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

impl<D: Disk> Shard<D> {
    /// Decides what is to be done next. With `checkpoint`, one is taken whether it is due or not.
    pub(crate) fn next_job(&mut self, now: Now, checkpoint: CheckpointWish) -> Option<Job<D>> {
        // Nobody comes back for removals of a store that has ended, or while another job is under way.
        self.chores.removal.begin();
        if self.poisoned.is_some() || self.chores.busy {
            return None;
        }
        self.bury_forgotten(now);
        let job = self.release_job().map(Job::Release);
        let job = job.or_else(|| self.prepare_job(now).map(Job::Prepare));
        let job = job.or_else(|| self.grow_job(now).map(Job::Grow));
        let job = job.or_else(|| self.prewrite_job(now).map(Job::Prewrite));
        let job = job.or_else(|| self.footer_job().map(Job::Footer));
        // Before the spill, which a flow of transient messages keeps busy: the log is to stay short.
        let job = job.or_else(|| self.checkpoint_job(now, checkpoint).map(Job::Checkpoint));
        let job = job.or_else(|| self.recycle_job(now).map(Job::Recycle));
        let job = job.or_else(|| self.trim_job(now).map(Job::Release));
        let job = job.or_else(|| self.shrink_job(now).map(Job::Shrink));
        let job = job.or_else(|| self.spill_job(now));
        let job = job.or_else(|| self.unspill_job(now).map(Job::Unspill));
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
        let is_early = now.mono_ms < self.chores.checkpoint_at_ms;
        let due = (self.checkpoint_is_due(now) || self.is_vacated_too_much()) && !is_early;
        let is_awaited = self.vacated_bytes() > 0 || self.state.pages.shrinks_by_checkpoints();
        if due && behind == 0 && wish == CheckpointWish::WhenDue && is_awaited {
            // Two checkpoints at one address are one: the log has to go on, or what was evacuated, and the index of a backlog that
            // has gone, would never go.
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

    /// Whether nothing was written since the last checkpoint, nor is being written.
    pub(crate) fn checkpoint_is_end(&self) -> bool {
        self.chores.checkpoint_lsn == self.end() && !self.tail.is_writing()
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

    /// Takes note of a finished job.
    pub(crate) fn finish_job(&mut self, done: Done<D>, now: Now) -> Leftover<D> {
        self.chores.busy = false;
        let leftover = self.take_result(done, now);
        self.note_room();
        leftover
    }

    fn take_result(&mut self, done: Done<D>, now: Now) -> Leftover<D> {
        match done {
            Done::Prepared { file, wear } => {
                self.chores.next_segment = self.chores.next_segment.max(file.number.next());
                self.tail.set_next_segment(file, wear);
                Leftover::default()
            }
            Done::FooterTried(segment) => {
                segment.into_iter().for_each(|segment| self.note_footer(segment));
                Leftover::default()
            }
            Done::CheckpointWritten {
                lsn,
                generation,
                clean,
            } => {
                self.chores.clean_checkpoints += u64::from(clean);
                Leftover {
                    superseded: self.retain(Retained { lsn, generation }),
                    ..Leftover::default()
                }
            }
            Done::Recycled(recycled) => {
                let removed = byte_count(recycled.removed.len()) * self.options.segment_bytes;
                self.chores.removal.note(removed, now);
                let closed = self.forget_segments(&recycled);
                Leftover {
                    closed,
                    ..Leftover::default()
                }
            }
            Done::Evacuated(job) => {
                self.finish_evacuation(*job);
                Leftover::default()
            }
            Done::Surveyed(job) => {
                self.finish_survey(*job);
                Leftover::default()
            }
            Done::Grown { slab, file } => {
                if let Err(error) = self.state.pages.enter_slab(slab, file) {
                    self.poison(&PoisonCause::new("mapping the index", INDEX_DIR, error));
                }
                Leftover::default()
            }
            Done::Shrunk => {
                self.state.pages.slab_has_gone();
                let bytes = self.state.pages.slab_bytes();
                self.chores.removal.note(bytes, now);
                Leftover::default()
            }
            Done::Spilled(spilled) => {
                self.note_spilled(spilled);
                Leftover::default()
            }
            Done::Compacted(moved) => {
                if moved == Moved::NoPages {
                    self.wait_to_spill(now);
                }
                Leftover::default()
            }
            Done::Unspilled(removed) => {
                let bytes = removed.files.iter().map(|file| file.bytes).sum();
                self.chores.removal.note(bytes, now);
                self.state.units.removed(&removed.files);
                Leftover::default()
            }
            Done::Reserved(number) => {
                // Nothing was ever written to it.
                self.chores.spares.push(SpareFile::new(number));
                Leftover::default()
            }
            Done::Released => {
                self.chores.removal.note(self.options.segment_bytes, now);
                Leftover::default()
            }
        }
    }

    /// A job failed. A full disk is waited out, and so is a spill that cannot be written; anything else ends the store.
    pub(crate) fn fail_job(&mut self, failed: Failed, error: io::Error, now: Now) {
        self.chores.busy = false;
        // Of those nothing was taken out, or it is the end of the store.
        self.chores.recycling.clear();
        self.state.pages.slab_has_gone();
        if failed.need == Need::Checkpoint {
            self.chores.checkpoint_at_ms = now.mono_ms + RETRY_MS;
        }
        if failed.need == Need::Memory {
            self.wait_to_spill(now);
        } else if is_full(&error) {
            self.note_full_disk(failed.need, now);
        } else if lacks_descriptors(&error) {
            // Others may close some of theirs; what was begun is begun anew then, as on a full disk.
            self.chores.retry_at_ms = now.mono_ms + RETRY_MS;
        } else {
            self.poison(&PoisonCause::new(failed.what, failed.file, error));
        }
    }

    /// Whether no segment can be made for a while: the disk is full, or no more files can be open.
    pub(crate) const fn waits_to_try_again(&self, now: Now) -> bool {
        self.chores.is_full || now.mono_ms < self.chores.retry_at_ms
    }

    /// Keeps the newest two checkpoints; returns those that can be removed.
    fn retain(&mut self, newest: Retained) -> Vec<Lsn> {
        self.chores.checkpoints_written += 1;
        self.chores.checkpoint_lsn = newest.lsn;
        self.chores.retained.retain(|kept| kept.lsn != newest.lsn);
        self.chores.retained.push_back(newest);
        let mut superseded = Vec::new();
        while self.chores.retained.len() > checkpoint::RETAINED {
            superseded.extend(self.chores.retained.pop_front().map(|kept| kept.lsn));
        }
        if self.chores.retained.len() == 2
            && let Some(older) = self.chores.retained.front()
        {
            self.state.pages.reclaim(older.generation);
            self.vacate_slab();
        }
        self.state.pages.give_back();
        superseded
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

/// Whether the process, or the system, can have no more files open.
fn lacks_descriptors(error: &io::Error) -> bool {
    let codes = [Errno::MFILE, Errno::NFILE].map(Errno::raw_os_error);
    error.raw_os_error().is_some_and(|code| codes.contains(&code))
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

#[cfg(test)]
#[cfg(feature = "sim")]
mod tests;
