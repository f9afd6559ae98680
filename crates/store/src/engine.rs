//! The engine as its user holds it: one lock, one journal thread, one housekeeper.
//!
//! Invariants:
//! - The write token is `Tail::take`: whoever got a job from it, thread or leader, is the only writer.
//! - The lock is never held during a write, a sync of data, or a wake-up.
//! - Whoever completes a write tells the follower under the same lock, before anyone can see the new
//!   watermark.

mod journal;
mod lifecycle;

use crate::catalog::Catalog;
use crate::checksum::Salt;
use crate::disk::{Disk, DiskFile, Now};
use crate::error::PoisonCause;
use crate::follower::Follower;
use crate::ids::{BlockNumber, Durable};
use crate::meta::MetaFile;
use crate::planted::{self, Planted};
use crate::reader::Reader;
use crate::segments::{JOURNAL_DIR, SegmentFiles};
use crate::shard::{Applied, CheckpointJob, CheckpointWish, Done, Job, Shard};
use crate::state::DamagedIndex;
use crate::tail::{Next, Take, Written};
use crate::{checkpoint, limits};
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

/// Pages sealed under one hold of the lock.
const PAGES_SEALED_AT_ONCE: usize = 64;

/// An open store with its threads, as the broker uses it: cheap to clone, to be shared by threads.
pub struct Engine<D: Disk, F: Follower<D> = ()> {
    inner: Arc<Inner<D, F>>,
}

impl<D: Disk, F: Follower<D>> Clone for Engine<D, F> {
    fn clone(&self) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
        }
    }
}

struct Inner<D: Disk, F> {
    disk: D,
    locked: Mutex<Locked<D, F>>,
    /// The journal thread waits here.
    work: Condvar,
    /// The housekeeper waits here.
    chores: Condvar,
    /// Whoever waits for a block waits here.
    applied: Condvar,
    catalog: Mutex<Catalog<D>>,
    meta: Mutex<MetaFile<D>>,
    files: SegmentFiles<D>,
    salt: Salt,
    next_queue_id: AtomicU64,
    /// Moving average of a synced write in microseconds: a slow disk never blocks a caller's thread.
    write_us: AtomicU64,
    started: AtomicBool,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// Dropped last: the directory is ours until then.
    lock: Mutex<Option<D::Lock>>,
}

struct Locked<D: Disk, F> {
    shard: Shard<D>,
    follower: F,
    /// Until when (monotonic ms) the journal thread sleeps; `None` while it is awake.
    journal_sleeps_until: Option<u64>,
    housekeeper_sleeps: bool,
    waiters: usize,
    closing: bool,
    /// The journal thread has ended; what still comes up is written by whoever closes the store.
    journal_ended: bool,
}

/// The shard and the follower, locked. Keep it for a batch, not for a disk access.
pub struct Guard<'a, D: Disk, F: Follower<D>> {
    inner: &'a Inner<D, F>,
    locked: MutexGuard<'a, Locked<D, F>>,
}

impl<D: Disk, F: Follower<D>> Drop for Guard<'_, D, F> {
    fn drop(&mut self) {
        // Damage can show under the caller's own hands, and everybody else has to hear of it.
        if self.inner.report_poison(&mut self.locked) {
            for waker in self.locked.follower.take_wakers() {
                waker.wake();
            }
        }
    }
}

impl<D: Disk, F: Follower<D>> Guard<'_, D, F> {
    /// Both parts, to change.
    pub fn parts(&mut self) -> (&mut Shard<D>, &mut F) {
        let locked = &mut *self.locked;
        (&mut locked.shard, &mut locked.follower)
    }

    /// The shard.
    #[must_use]
    pub fn shard(&mut self) -> &mut Shard<D> {
        &mut self.locked.shard
    }
}

impl<D: Disk, F: Follower<D>> Engine<D, F> {
    /// Takes the lock of the shard.
    #[must_use]
    pub fn lock(&self) -> Guard<'_, D, F> {
        Guard {
            inner: &self.inner,
            locked: self.inner.lock(),
        }
    }

    /// To be called after something was appended and the guard was dropped; `brought` is the number of
    /// messages. A few messages are written here and now, when no write is under way and the disk is fast;
    /// otherwise the journal thread takes over. Never waits for somebody else's write.
    pub fn commit(&self, brought: usize) {
        self.inner.commit(brought);
    }

    /// Waits until a block is durable. For administrative work; hot paths look at the watermark.
    ///
    /// # Errors
    /// When the store is poisoned before that.
    pub fn wait_durable(&self, block: BlockNumber) -> Result<Durable, PoisonCause> {
        self.inner.wait_durable(block)
    }

    /// Does one piece of pending work on this thread: a write, or a chore. `false` when there was none.
    /// For simulations, which do not [`Engine::start`] threads.
    pub fn step(&self) -> bool {
        self.inner.step(CheckpointWish::WhenDue)
    }

    /// Takes a checkpoint now, on this thread.
    pub fn checkpoint(&self) {
        let before = self.counters().checkpoints;
        while self.inner.chore(CheckpointWish::Now) == Did::Done && self.counters().checkpoints == before {}
    }

    /// The definitions.
    pub fn catalog(&self) -> MutexGuard<'_, Catalog<D>> {
        self.inner.catalog.lock().expect("no holder of this lock panics")
    }

    /// A reader of leased messages.
    #[must_use]
    pub fn reader(&self) -> Reader<D> {
        Reader::new(self.inner.files.clone(), self.inner.salt)
    }

    /// A queue id that was never used before.
    #[must_use]
    pub fn next_queue_id(&self) -> crate::QueueId {
        crate::QueueId::new(self.inner.next_queue_id.fetch_add(1, Ordering::Relaxed))
    }

    /// From now on [`Engine::next_queue_id`] gives ids above `used`.
    pub fn raise_queue_ids(&self, used: crate::QueueId) {
        self.inner
            .next_queue_id
            .fetch_max(used.get() + 1, Ordering::Relaxed);
    }

    /// What has been done so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        let mut locked = self.inner.lock();
        let shard = &mut locked.shard;
        Counters {
            blocks: shard.durable().end().get(),
            checkpoints: shard.chores.checkpoints_written,
            segments_recycled: shard.chores.segments_recycled,
            rolls: shard.chores.rolls,
            segments: crate::format::byte_count(shard.state.segments.iter().count()),
        }
    }
}

/// Counts of what a store has done since it was opened, and of what it has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// The number of the newest durable block.
    pub blocks: u64,
    /// Checkpoints written.
    pub checkpoints: u64,
    /// How often the log went on to the next segment.
    pub rolls: u64,
    /// Segments recycled.
    pub segments_recycled: u64,
    /// Segments in the journal.
    pub segments: u64,
}

impl<D: Disk, F: Follower<D>> Inner<D, F> {
    fn lock(&self) -> MutexGuard<'_, Locked<D, F>> {
        self.locked.lock().expect("no holder of this lock panics")
    }

    fn commit(&self, brought: usize) {
        let now = self.disk.now();
        let mut locked = self.lock();
        if locked.shard.tail.is_writing() {
            // Whoever writes looks again when done.
            return;
        }
        let few = brought > 0 && brought <= limits::LEADER_MESSAGES_MAX;
        let fast = self.write_us.load(Ordering::Relaxed) < limits::LEADER_WRITE_US_MAX;
        if few && fast && self.started.load(Ordering::Relaxed) {
            match locked.shard.next_write(now, Take::Due) {
                Next::Write(job) => {
                    drop(locked);
                    let written = self.timed(|| job.perform());
                    self.complete(written);
                    return;
                }
                Next::NeedsSegment => self.chores.notify_one(),
                Next::Nothing => {}
            }
        }
        self.wake_journal(&mut locked, now);
    }

    /// Wakes the journal thread if it would sleep past what is due.
    fn wake_journal(&self, locked: &mut Locked<D, F>, now: Now) {
        let Some(until) = locked.journal_sleeps_until else {
            return;
        };
        let due = if locked.shard.tail.has_due(now) {
            Some(0)
        } else {
            locked.shard.tail.due_at_ms()
        };
        if due.is_some_and(|due| due < until) {
            locked.journal_sleeps_until = None;
            self.work.notify_one();
        }
    }

    fn timed(&self, write: impl FnOnce() -> Written) -> Written {
        let before = std::time::Instant::now();
        let written = write();
        let took = u64::try_from(before.elapsed().as_micros()).unwrap_or(u64::MAX);
        let average = self.write_us.load(Ordering::Relaxed);
        self.write_us
            .store(average - average / 8 + took.min(1_000_000) / 8, Ordering::Relaxed);
        written
    }

    /// Applies a finished write, tells the follower, and wakes whom it names.
    fn complete(&self, written: Written) {
        let now = self.disk.now();
        let mut guard = self.lock();
        let locked = &mut *guard;
        match locked.shard.complete(written, now) {
            Ok(()) => {
                let mut touched = std::mem::take(&mut locked.shard.state.touched);
                let applied = Applied {
                    durable: locked.shard.durable(),
                    queues: &touched,
                };
                locked.follower.applied(&mut locked.shard, &applied);
                touched.clear();
                if locked.shard.state.touched.is_empty() {
                    locked.shard.state.touched = touched;
                }
            }
            // The shard remembers why, and everybody is told below.
            Err(cause) => debug_assert!(locked.shard.poisoned().is_some(), "{cause}"),
        }
        self.wake_journal(locked, now);
        let housekeeping_due = !locked.shard.tail.has_next_segment() || locked.shard.checkpoint_is_due(now);
        if housekeeping_due && locked.housekeeper_sleeps {
            self.chores.notify_one();
        }
        self.release(guard);
    }

    /// Unlocks, then wakes.
    fn release(&self, mut guard: MutexGuard<'_, Locked<D, F>>) {
        self.report_poison(&mut guard);
        if guard.waiters > 0 {
            self.applied.notify_all();
        }
        let mut wakers = guard.follower.take_wakers();
        drop(guard);
        if wakers.is_empty() && wakers.capacity() == 0 {
            return;
        }
        for waker in wakers.drain(..) {
            waker.wake();
        }
        self.lock().follower.return_wakers(wakers);
    }

    /// Tells the follower that the shard takes nothing any more, once. Whether there was something to tell.
    fn report_poison(&self, locked: &mut Locked<D, F>) -> bool {
        let shard = &mut locked.shard;
        let Some(cause) = shard.poisoned.clone().filter(|_| !shard.poison_reported) else {
            return false;
        };
        shard.poison_reported = true;
        tracing::error!(%cause, "the store takes nothing any more");
        let is_index = cause
            .source
            .get_ref()
            .is_some_and(|error| error.is::<DamagedIndex>());
        if is_index && let Err(error) = checkpoint::remove_all(&self.disk) {
            // The index is derived: without its checkpoints the next start rebuilds it from the log.
            tracing::warn!(%error, "removing the checkpoints of a damaged index");
        }
        locked.follower.poisoned(&cause);
        true
    }

    fn wait_durable(&self, block: BlockNumber) -> Result<Durable, PoisonCause> {
        let mut locked = self.lock();
        loop {
            if locked.shard.durable().covers(block) {
                return Ok(locked.shard.durable());
            }
            if let Some(cause) = locked.shard.poisoned() {
                return Err(cause.clone());
            }
            locked.shard.tail.set_urgent();
            if self.started.load(Ordering::Relaxed) {
                let now = self.disk.now();
                self.wake_journal(&mut locked, now);
                locked.waiters += 1;
                let timeout = Duration::from_millis(100);
                let (woken, _) = self
                    .applied
                    .wait_timeout(locked, timeout)
                    .expect("no holder of this lock panics");
                locked = woken;
                locked.waiters -= 1;
            } else {
                drop(locked);
                self.step(CheckpointWish::WhenDue);
                locked = self.lock();
            }
        }
    }

    fn step(&self, wish: CheckpointWish) -> bool {
        let now = self.disk.now();
        let next = self.lock().shard.next_write(now, Take::All);
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
            Next::NeedsSegment | Next::Nothing => self.chore(wish) == Did::Done,
        }
    }

    /// Does one chore, if one is due.
    fn chore(&self, wish: CheckpointWish) -> Did {
        let now = self.disk.now();
        let Some(job) = self.lock().shard.next_job(now, wish) else {
            return Did::Nothing;
        };
        let (what, file, result) = match job {
            Job::Prepare(prepare) => (
                "preparing a segment",
                JOURNAL_DIR,
                prepare.perform(&self.disk).map(Done::Prepared),
            ),
            Job::Recycle(recycle) => (
                "recycling segments",
                JOURNAL_DIR,
                recycle.perform(&self.disk).map(|()| Done::Recycled(recycle)),
            ),
            Job::Checkpoint(job) => (
                "writing a checkpoint",
                checkpoint::SHARD_DIR,
                self.write_checkpoint(job),
            ),
        };
        let mut guard = self.lock();
        let mut superseded = Vec::new();
        let mut did = Did::Done;
        match result {
            Ok(done) => superseded = guard.shard.finish_job(done),
            Err(error) => {
                tracing::warn!(%error, what);
                guard.shard.fail_job(what, file, error, now);
                did = Did::Failed;
            }
        }
        self.wake_journal(&mut guard, now);
        self.release(guard);
        for lsn in superseded {
            if let Err(error) = checkpoint::remove(&self.disk, lsn) {
                tracing::warn!(%error, "removing a superseded checkpoint");
            }
        }
        did
    }

    fn write_checkpoint(&self, mut job: CheckpointJob) -> io::Result<Done<D>> {
        for pages in job.pages.chunks(PAGES_SEALED_AT_ONCE) {
            self.lock().shard.state.pages.seal(pages);
        }
        // Most of the writing happens here, without the lock; what remains for the map's own sync is little.
        let dirty = self.lock().shard.state.pages.dirty_files();
        for file in dirty {
            file.sync().map_err(final_error)?;
        }
        let mut locked = self.lock();
        locked.shard.state.pages.sync().map_err(final_error)?;
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

/// What came of looking for a chore.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Did {
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
