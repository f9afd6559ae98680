//! Work beside the commits: segments made, recycled and evacuated, checkpoints written. Decided under the lock, done without it.

use super::Inner;
use crate::checkpoint;
use crate::disk::{Disk, DiskFile, Now};
use crate::follower::Follower;
use crate::index::pages::{INDEX_DIR, make_slab};
use crate::planted::{self, Planted};
use crate::removal;
use crate::segments::{COLD_DIR, JOURNAL_DIR};
use crate::shard::{Applied, CheckpointJob, CheckpointWish, Done, Failed, Job, Leftover, Need, SPILL_DIR};
use crate::tail::{Next, Take};
use std::io;
use std::sync::Arc;

/// Pages sealed under one hold of the lock.
const PAGES_SEALED_AT_ONCE: usize = 64;

impl<D: Disk, F: Follower<D>> Inner<D, F> {
    pub(super) fn step(&self, wish: CheckpointWish) -> bool {
        let now = self.disk.now();
        let mut locked = self.lock();
        let expired = !locked.closing && locked.shard.expire_due(now);
        let next = self.next_write(&mut locked, now, Take::All);
        self.release(locked);
        match next {
            Next::Write(job) => {
                if planted::is(Planted::ConfirmBeforeSync) {
                    let locked = &mut *self.lock();
                    let applied = Applied {
                        durable: locked.shard.durable(),
                        queues: &[],
                    };
                    locked.follower.applied(&mut locked.shard, &applied);
                }
                self.complete(job.perform());
                true
            }
            Next::NeedsSegment => self.chore(wish) == Did::Done || expired,
            // Deciding on chores can itself append something: a queue's state, a MARK.
            Next::Nothing => self.chore(wish) == Did::Done || self.lock().shard.has_due(now),
        }
    }

    /// Does one chore, if one is due.
    pub(super) fn chore(&self, wish: CheckpointWish) -> Did {
        let now = self.disk.now();
        let mut locked = self.lock();
        let Some(job) = locked.shard.next_job(now, wish) else {
            self.report_room(&mut locked);
            self.wake_journal(&mut locked, now);
            return Did::Nothing;
        };
        locked.callers_chores += 1;
        drop(locked);
        let _under_way = UnderWay(self);
        self.carry_out(job, now)
    }

    /// Does a chore that was decided on at `now`.
    pub(super) fn carry_out(&self, job: Job<D>, now: Now) -> Did {
        let (failed, result) = self.perform(job);
        self.finish(failed, result, now)
    }

    pub(super) fn finish(&self, failed: Failed, result: io::Result<Done<D>>, now: Now) -> Did {
        let mut guard = self.lock();
        let mut leftover = Leftover::default();
        let mut did = Did::Done;
        match result {
            Ok(done) => {
                if matches!(&done, Done::Spilled(spilled) if spilled.is_refused()) {
                    did = Did::Failed;
                }
                leftover = guard.shard.finish_job(done, now);
            }
            Err(error) => {
                tracing::warn!(%error, failed.what);
                guard.shard.fail_job(failed, error, now);
                did = Did::Failed;
            }
        }
        if guard.shard.tail.has_next_segment() || guard.shard.waits_to_try_again(now) {
            self.segment_wait.end();
        }
        self.wake_journal(&mut guard, now);
        self.release(guard);
        for closed in leftover.closed {
            // Whoever reads it still closes it, and all of it goes then.
            let unshared = Arc::into_inner(closed).and_then(|segment| Arc::into_inner(segment.file));
            if let Some(file) = unshared {
                removal::give_back(&file, || self.is_awaited());
            }
        }
        for lsn in leftover.superseded {
            if let Err(error) = checkpoint::remove(&self.disk, lsn) {
                tracing::warn!(%error, "removing a superseded checkpoint");
            }
        }
        did
    }

    pub(super) fn perform(&self, job: Job<D>) -> (Failed, io::Result<Done<D>>) {
        let disk = &self.disk;
        let failed = |what, file, need| Failed { what, file, need };
        match job {
            Job::Prepare(job) => (
                failed("preparing a segment", JOURNAL_DIR, Need::Segment),
                self.prepare_clock
                    .time(disk.now(), || {
                        self.stall_watch.write_begins();
                        job.perform(disk)
                    })
                    .map(|file| Done::Prepared {
                        file,
                        wear: job.wear(),
                    }),
            ),
            Job::Prewrite(job) => {
                let written = job.perform(|| self.is_next_wanted());
                let file = job.file;
                (
                    failed("writing a new segment once", JOURNAL_DIR, Need::Other),
                    written.map(|wear| Done::Prepared { file, wear }),
                )
            }
            Job::Footer(job) => (
                failed("writing a footer", JOURNAL_DIR, Need::Other),
                Ok(Done::FooterTried(job.perform(disk))),
            ),
            Job::Reserve(job) => (
                failed("making a spare segment", JOURNAL_DIR, Need::Segment),
                job.perform(disk).map(Done::Reserved),
            ),
            Job::Release(job) => (
                failed("removing a spare segment", JOURNAL_DIR, Need::Segment),
                job.perform(disk, || self.is_awaited()).map(|()| Done::Released),
            ),
            Job::Recycle(job) => (
                failed("recycling segments", JOURNAL_DIR, Need::Other),
                job.perform(disk, || self.needs_segment()).map(Done::Recycled),
            ),
            Job::Evacuate(job) => (
                failed("evacuating a segment", COLD_DIR, Need::Other),
                self.evacuate(job),
            ),
            Job::Survey(job) => (
                failed("surveying a segment", JOURNAL_DIR, Need::Other),
                Ok(Done::Surveyed(Box::new(job.perform()))),
            ),
            Job::Grow(job) => (
                failed("growing the index", INDEX_DIR, Need::Other),
                make_slab(disk, job.slab, job.bytes).map(|file| Done::Grown { slab: job.slab, file }),
            ),
            Job::Shrink(job) => (
                failed("shrinking the index", INDEX_DIR, Need::Other),
                job.perform(disk, || self.is_awaited()).map(|()| Done::Shrunk),
            ),
            Job::Spill(job) => (
                failed("spilling transient messages", SPILL_DIR, Need::Memory),
                Ok(Done::Spilled(job.perform(disk, &self.units, self.salt))),
            ),
            Job::Compact(job) => (
                failed("moving transient messages", SPILL_DIR, Need::Memory),
                self.compact(&job),
            ),
            Job::Unspill(job) => {
                job.perform(disk);
                (
                    failed("removing files of the spill", SPILL_DIR, Need::Memory),
                    Ok(Done::Unspilled(job)),
                )
            }
            Job::Checkpoint(job) => (
                failed("writing a checkpoint", checkpoint::SHARD_DIR, Need::Checkpoint),
                self.write_checkpoint(job),
            ),
        }
    }

    /// Whether the log will soon need the segment that is being prewritten, or all of the disk, or the store its housekeeper.
    pub(super) fn is_next_wanted(&self) -> bool {
        let now = self.disk.now();
        let locked = self.lock();
        locked.closing || locked.shard.is_next_wanted(now)
    }

    /// Whether somebody waits for what only the housekeeper does.
    fn is_awaited(&self) -> bool {
        let locked = self.lock();
        locked.closing || !locked.shard.tail.has_next_segment() || locked.shard.is_awaited()
    }

    /// Whether there is no segment that the log could go on to.
    fn needs_segment(&self) -> bool {
        !self.lock().shard.tail.has_next_segment()
    }

    fn write_checkpoint(&self, mut job: CheckpointJob) -> io::Result<Done<D>> {
        for pages in job.pages.chunks(PAGES_SEALED_AT_ONCE) {
            self.lock()
                .shard
                .state
                .pages
                .seal(job.generation, pages)
                .map_err(final_error)?;
        }
        // Most of the writing happens here, without the lock; what remains for the map's own sync is little.
        let mut locked = self.lock();
        // To write a page that is mapped the kernel interrupts the other processors, for each page anew.
        locked.shard.state.pages.give_back();
        let dirty = locked.shard.state.pages.dirty_files();
        drop(locked);
        for file in dirty {
            file.sync().map_err(final_error)?;
        }
        let mut locked = self.lock();
        locked.shard.state.pages.sync().map_err(final_error)?;
        // What failed may have been the writing of pages that this checkpoint names.
        if let Some(cause) = locked.shard.poisoned() {
            return Err(final_error(io::Error::other(cause.clone())));
        }
        job.checkpoint.fill_checksums(&locked.shard.state.pages);
        drop(locked);
        job.checkpoint.write(&self.disk)?;
        let lsn = crate::Lsn::new(job.checkpoint.lsn);
        Ok(Done::CheckpointWritten {
            lsn,
            generation: job.generation,
            clean: job.checkpoint.clean,
        })
    }
}

/// A chore of a caller, until that is through with it or panics.
pub(super) struct UnderWay<'a, D: Disk, F>(pub(super) &'a Inner<D, F>);

impl<D: Disk, F> Drop for UnderWay<'_, D, F> {
    fn drop(&mut self) {
        if let Ok(mut locked) = self.0.locked.lock() {
            locked.callers_chores -= 1;
            if locked.closing {
                self.0.chores.notify_all();
            }
        }
    }
}

/// What came of looking for a chore.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Did {
    /// There was none.
    Nothing,
    /// It was done.
    Done,
    /// It could not be done now, or the store is poisoned.
    Failed,
}

/// An error that says that data may be lost, whatever its kind: it is never waited out.
pub(crate) fn final_error(error: io::Error) -> io::Error {
    io::Error::other(error)
}
