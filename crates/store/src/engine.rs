//! The engine as its user holds it: one lock, one journal thread, one housekeeper, and one thread that spills beside it.
//!
//! Invariants:
//! - The write token is `Tail::take`: whoever got a job from it, thread or leader, is the only writer.
//! - The lock is never held during a write, a sync of data, or a wake-up.
//! - Whoever completes a write tells the follower under the same lock, before anyone can see the new
//!   watermark.

mod chores;
mod commit;
mod compaction;
mod definitions;
mod evacuation;
mod journal;
mod lifecycle;
mod snapshot;
mod stall_watch;
mod write_clock;

use crate::catalog::Catalog;
use crate::checksum::Salt;
use crate::disk::Disk;
use crate::error::PoisonCause;
use crate::follower::Follower;
use crate::ids::{BlockNumber, Durable};
use crate::meta::MetaFile;
use crate::reader::{Ahead, Reader};
use crate::segments::SegmentFiles;
use crate::shard::{CheckpointWish, Shard};
use crate::units::Units;
use chores::Did;
pub(crate) use chores::final_error;
pub use definitions::Definitions;
use stall_watch::StallWatch;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::task::Waker;
use std::thread::JoinHandle;
use std::time::Duration;
use write_clock::WriteClock;

/// An open store with its threads, as the broker uses it: cheap to clone, to be shared by threads.
///
/// When the last handle is dropped without a [`Engine::close`], what was accepted is written, the threads end and the
/// directory is free; the next open recovers, as after a crash.
pub struct Engine<D: Disk, F: Follower<D> = ()> {
    inner: Arc<Inner<D, F>>,
    owners: Arc<Owners<D, F>>,
}

impl<D: Disk, F: Follower<D>> Clone for Engine<D, F> {
    fn clone(&self) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
            owners: Arc::clone(&self.owners),
        }
    }
}

/// What all handles share and the threads do not: it goes with the last handle, and the threads with it.
struct Owners<D: Disk, F: Follower<D>> {
    inner: Arc<Inner<D, F>>,
}

impl<D: Disk, F: Follower<D>> Drop for Owners<D, F> {
    fn drop(&mut self) {
        // The thread that reads ahead knows no other lock than its own.
        self.inner.ahead.close();
        // Who panicked under the lock has ended the other threads too, and a second panic would hide the first.
        if !self.inner.locked.is_poisoned() {
            self.inner.stop_threads();
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
    /// The thread that spills beside the housekeeper waits here.
    spills: Condvar,
    /// Whoever waits for a block waits here.
    applied: Condvar,
    catalog: Mutex<Catalog<D>>,
    meta: Mutex<MetaFile<D>>,
    files: SegmentFiles<D>,
    units: Units<D>,
    ahead: Ahead<D>,
    salt: Salt,
    next_queue_id: AtomicU64,
    write_clock: WriteClock,
    /// The log will need its next segment.
    prepare_clock: WriteClock,
    /// The log stands still without its next segment, whatever the housekeeper is at.
    segment_wait: WriteClock,
    stall_watch: StallWatch,
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
    spiller_sleeps: bool,
    waiters: usize,
    /// Chores under way on threads that are not the store's.
    callers_chores: usize,
    closing: bool,
    /// The journal thread has ended; what still comes up is written by whoever closes the store.
    journal_ended: bool,
}

/// The shard and the follower, locked. Keep it for a batch, not for a disk access.
pub struct Guard<'a, D: Disk, F: Follower<D>> {
    inner: &'a Inner<D, F>,
    locked: MutexGuard<'a, Locked<D, F>>,
    /// Stands behind the lock, and so is dropped when that is free again.
    due: Due,
}

/// Who is woken when this is dropped.
struct Due(Vec<Waker>);

impl Drop for Due {
    fn drop(&mut self) {
        for waker in self.0.drain(..) {
            waker.wake();
        }
    }
}

impl<D: Disk, F: Follower<D>> Drop for Guard<'_, D, F> {
    fn drop(&mut self) {
        // Damage can show under the caller's own hands, and everybody else has to hear of it.
        let is_news = self.inner.report_poison(&mut self.locked);
        self.inner.report_room(&mut self.locked);
        if self.inner.report_dead_letters(&mut self.locked) || is_news {
            self.due.0 = self.locked.follower.take_wakers();
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
            due: Due(Vec::new()),
        }
    }

    /// To be called after something was appended and the guard was dropped; `brought` is the number of
    /// messages. They are written here and now, when no write is under way, the disk is fast, and they are few, or not many and from
    /// the only one who brings any; otherwise the journal thread takes over. Never waits for somebody else's write.
    pub fn commit(&self, brought: usize) {
        self.inner.commit(|locked| self.inner.may_lead(locked, brought));
    }

    /// The same for who has more to append at once: the journal thread writes meanwhile.
    pub fn hand_over(&self) {
        self.inner.commit(|_| false);
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

    /// The definitions. A write of them that fails ends the store.
    pub fn catalog(&self) -> Definitions<'_, D, F> {
        Definitions::lend(&self.inner)
    }

    /// A reader of leased messages.
    #[must_use]
    pub fn reader(&self) -> Reader<D> {
        let inner = &self.inner;
        Reader::new(
            inner.files.clone(),
            inner.units.clone(),
            inner.salt,
            inner.ahead.clone(),
        )
    }

    /// What seals this store's bytes.
    pub(crate) fn salt(&self) -> Salt {
        self.inner.salt
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

    /// For how long the disk has not answered a synced write of the log, or has kept it waiting for a segment, once that is
    /// longer than [`limits::WRITE_STALL_MS`](crate::limits::WRITE_STALL_MS). A full disk is none. Nothing is confirmed
    /// meanwhile; takes no lock.
    #[must_use]
    pub fn write_stall(&self) -> Option<Duration> {
        let now = self.inner.disk.now();
        let inner = &self.inner;
        let clocks = inner.clocks().into_iter();
        clocks.filter_map(|clock| clock.stalled(now)).max()
    }

    /// Has `waker` woken by the next write after [`Engine::rests`] was true. It may be woken under the engine's lock, so it must not
    /// enter the engine.
    pub fn watch_writes(&self, waker: Waker) {
        self.inner.stall_watch.set_waker(waker);
    }

    /// Whether no write of the log has begun since this was asked last, and none is under way. Whoever looks at
    /// [`Engine::write_stall`] every so often may sleep then, until the next write wakes them. For one watcher.
    #[must_use]
    pub fn rests(&self) -> bool {
        let inner = &self.inner;
        inner
            .stall_watch
            .sleep(|| inner.clocks().into_iter().any(WriteClock::is_running))
    }

    /// What has been done so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        let locked = self.inner.lock();
        let shard = &locked.shard;
        let units = shard.state.units.bytes();
        let spare = shard.chores.spares.len() + usize::from(shard.tail.has_next_segment());
        let mut counters = Counters {
            blocks: shard.durable().end().get(),
            checkpoints: shard.chores.checkpoints_written,
            rolls: shard.chores.rolls,
            segments_recycled: shard.chores.segments_recycled,
            cold_segments_recycled: shard.chores.cold_recycled,
            evacuations: shard.evacuator.evacuations,
            copies: shard.evacuator.copies,
            footers_written: shard.footers.written,
            is_disk_full: shard.chores.is_full,
            segments_spare: crate::format::byte_count(spare),
            transient_memory_bytes: units.memory,
            transient_spilled_bytes: units.spilled,
            transient_live_bytes: units.live,
            transient_spills: shard.chores.spills,
            ..Counters::default()
        };
        for segment in shard.state.segments.iter() {
            counters.segments += 1;
            counters.cold_segments += u64::from(segment.file.number.is_cold());
            counters.segment_bytes += segment.file.file_bytes;
            counters.live_bytes += segment.live.bytes;
            if segment.is_kept {
                counters.kept_bytes += segment.file.file_bytes;
            }
        }
        counters
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
    /// Segments recycled, cold ones included.
    pub segments_recycled: u64,
    /// Cold segments recycled.
    pub cold_segments_recycled: u64,
    /// Mostly dead segments whose survivors were moved.
    pub evacuations: u64,
    /// Messages that were moved.
    pub copies: u64,
    /// Footers written for sealed segments.
    pub footers_written: u64,
    /// Whether the disk was found full, so that nobody may publish until there is room again.
    pub is_disk_full: bool,
    /// Segments that hold something or wait to be recycled, cold ones included; spares and the one prepared not.
    pub segments: u64,
    /// Segment files beside them: the one that comes next, and those that wait to be used again.
    pub segments_spare: u64,
    /// Cold segments.
    pub cold_segments: u64,
    /// Size of their files.
    pub segment_bytes: u64,
    /// Bytes of records in them that are still needed.
    pub live_bytes: u64,
    /// Memory that transient messages take which the log does not hold.
    pub transient_memory_bytes: u64,
    /// Size of the files into which they were spilled.
    pub transient_spilled_bytes: u64,
    /// Bytes of records in both that are still needed.
    pub transient_live_bytes: u64,
    /// How often some of them were spilled.
    pub transient_spills: u64,
    /// Size of those that stay because of what was acknowledged in them: see [`Shard::set_retention`].
    pub kept_bytes: u64,
}

impl<D: Disk, F: Follower<D>> Inner<D, F> {
    fn lock(&self) -> MutexGuard<'_, Locked<D, F>> {
        self.locked.lock().expect("no holder of this lock panics")
    }
}

#[cfg(test)]
#[cfg(feature = "sim")]
mod checkpoint_tests;
#[cfg(test)]
#[cfg(feature = "sim")]
mod close_tests;
#[cfg(test)]
#[cfg(feature = "sim")]
mod commit_tests;
#[cfg(test)]
#[cfg(feature = "sim")]
mod descriptor_tests;
#[cfg(test)]
#[cfg(feature = "sim")]
mod full_disk_start_tests;
#[cfg(test)]
#[cfg(feature = "sim")]
mod full_disk_tests;
#[cfg(test)]
#[cfg(feature = "sim")]
mod index_tests;
#[cfg(test)]
#[cfg(feature = "sim")]
mod missing_catalog_tests;
#[cfg(test)]
#[cfg(feature = "sim")]
mod orderly_stop_tests;
#[cfg(test)]
#[cfg(feature = "sim")]
mod prewrite_tests;
#[cfg(test)]
#[cfg(feature = "sim")]
mod retention_tests;
#[cfg(test)]
#[cfg(feature = "sim")]
mod room_tests;
#[cfg(test)]
#[cfg(feature = "sim")]
mod segment_end_tests;
#[cfg(test)]
#[cfg(feature = "sim")]
mod spare_tests;
#[cfg(test)]
#[cfg(feature = "sim")]
mod spill_tests;
#[cfg(test)]
#[cfg(feature = "sim")]
mod stall_tests;
#[cfg(test)]
#[cfg(feature = "sim")]
pub(crate) mod stepped;
#[cfg(test)]
#[cfg(feature = "sim")]
mod tests;
