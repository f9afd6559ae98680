//! Who writes a block, and who is told when it is durable.

use super::{Inner, Locked, WriteClock};
use crate::checkpoint;
use crate::disk::{Disk, Now};
use crate::error::PoisonCause;
use crate::follower::Follower;
use crate::ids::{BlockNumber, Durable};
use crate::limits;
use crate::shard::{Applied, CheckpointWish};
use crate::state::DamagedIndex;
use crate::tail::{Next, Take, WriteJob, Written};
use std::sync::MutexGuard;
use std::sync::atomic::Ordering;
use std::time::Duration;

impl<D: Disk, F: Follower<D>> Inner<D, F> {
    /// Has written what was appended, by the caller if it [may lead](Self::may_lead) and nothing else keeps it from that.
    pub(super) fn commit(&self, may_lead: impl FnOnce(&Locked<D, F>) -> bool) {
        let now = self.disk.now();
        let mut locked = self.lock();
        if locked.shard.tail.is_writing() {
            // Whoever writes looks again when done.
            locked.shard.tail.meet_write(now);
            return;
        }
        // What is not written keeps nobody waiting.
        let leads = may_lead(&locked) || locked.shard.tail.is_unlogged_due();
        if leads && self.started.load(Ordering::Relaxed) {
            match self.next_write(&mut locked, now, Take::Due) {
                Next::Write(job) => {
                    drop(locked);
                    self.write(job);
                    return;
                }
                Next::NeedsSegment => self.chores.notify_one(),
                Next::Nothing => {}
            }
        }
        self.wake_journal(&mut locked, now);
    }

    /// Whether who brought so many messages, and has no more at hand, may write them: while the disk is fast, few of them always, and some
    /// more as long as nobody else brings any. A write keeps its thread from serving others.
    pub(super) fn may_lead(&self, locked: &Locked<D, F>, brought: usize) -> bool {
        let tail = &locked.shard.tail;
        let is_small = brought <= limits::LEADER_MESSAGES_MAX
            || (tail.is_alone()
                && brought <= limits::LEADER_MESSAGES_ALONE_MAX
                && tail.accepted_bytes() <= limits::LEADER_BYTES_ALONE_MAX);
        brought > 0 && is_small && self.write_clock.is_fast()
    }

    /// Wakes the journal thread if it would sleep past what is due.
    pub(super) fn wake_journal(&self, locked: &mut Locked<D, F>, now: Now) {
        let Some(until) = locked.journal_sleeps_until else {
            return;
        };
        let due = if locked.shard.tail.has_due(now) {
            Some(0)
        } else {
            locked.shard.due_at_ms(now)
        };
        if due.is_some_and(|due| due < until) {
            locked.journal_sleeps_until = None;
            self.work.notify_one();
        }
    }

    /// The block to write next. That the log needs a segment for it is remembered until it has one.
    pub(super) fn next_write(&self, locked: &mut Locked<D, F>, now: Now, take: Take) -> Next<D> {
        let next = locked.shard.next_write(now, take);
        if matches!(next, Next::NeedsSegment) && !locked.shard.waits_to_try_again(now) {
            self.segment_wait.begin(now);
            self.stall_watch.write_begins();
        }
        next
    }

    /// Every time that the disk may keep the log waiting.
    pub(super) const fn clocks(&self) -> [&WriteClock; 3] {
        [&self.write_clock, &self.prepare_clock, &self.segment_wait]
    }

    /// Lets a block have its turn, and applies it.
    pub(super) fn write(&self, job: WriteJob<D>) {
        let written = if job.is_logged() {
            self.write_clock.time(self.disk.now(), || {
                self.stall_watch.write_begins();
                job.perform()
            })
        } else {
            job.perform()
        };
        self.complete(written);
    }

    /// Applies a finished write, tells the follower, and wakes whom it names.
    pub(super) fn complete(&self, written: Written) {
        let now = self.disk.now();
        let mut guard = self.lock();
        let locked = &mut *guard;
        match locked.shard.complete(written, now) {
            Ok(()) => {
                locked.shard.forget_refusals();
                let mut touched = std::mem::take(&mut locked.shard.state.touched);
                let applied = Applied {
                    durable: locked.shard.durable(),
                    queues: &touched,
                };
                locked.follower.applied(&mut locked.shard, &applied);
                locked.shard.arrived();
                touched.clear();
                if locked.shard.state.touched.is_empty() {
                    locked.shard.state.touched = touched;
                }
            }
            // The shard remembers why, and everybody is told below.
            Err(cause) => debug_assert!(locked.shard.poisoned().is_some(), "{cause}"),
        }
        self.wake_journal(locked, now);
        let housekeeping_due = !locked.shard.tail.has_next_segment()
            || locked.shard.checkpoint_is_due(now)
            || locked.shard.prewrite_is_due(now)
            || locked.shard.slab_is_due()
            || locked.shard.spill_is_due()
            || locked.shard.evacuation_is_due();
        if housekeeping_due && locked.housekeeper_sleeps {
            self.chores.notify_one();
        }
        if locked.spiller_sleeps && locked.shard.wants_second_spill(now) {
            locked.spiller_sleeps = false;
            self.spills.notify_one();
        }
        self.release(guard);
    }

    /// Unlocks, then wakes.
    pub(super) fn release(&self, mut guard: MutexGuard<'_, Locked<D, F>>) {
        self.report_poison(&mut guard);
        self.report_dead_letters(&mut guard);
        self.report_room(&mut guard);
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

    /// Sees to it that a block comes when there is room again: whoever waits for room asks when one is applied.
    pub(super) fn report_room(&self, locked: &mut Locked<D, F>) {
        if locked.shard.has_news_of_room() {
            let now = self.disk.now();
            locked.shard.tail.nudge(now);
            self.wake_journal(locked, now);
        }
    }

    /// Tells the follower of dead letters, if there are any.
    pub(super) fn report_dead_letters(&self, locked: &mut Locked<D, F>) -> bool {
        let has_any = locked.shard.has_dead_letters();
        if has_any {
            locked.follower.has_dead_letters(&mut locked.shard);
        }
        has_any
    }

    /// Tells the follower that the shard takes nothing any more, once. Whether there was something to tell.
    pub(super) fn report_poison(&self, locked: &mut Locked<D, F>) -> bool {
        let shard = &mut locked.shard;
        if shard.poison_reported {
            return false;
        }
        let Some(cause) = shard.poisoned.clone() else {
            return false;
        };
        shard.poison_reported = true;
        self.segment_wait.end();
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

    pub(super) fn wait_durable(&self, block: BlockNumber) -> Result<Durable, PoisonCause> {
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
                // Who waits anyway writes: waking the journal thread for it would only take longer.
                if let Next::Write(job) = self.next_write(&mut locked, now, Take::Due) {
                    drop(locked);
                    self.write(job);
                    locked = self.lock();
                    continue;
                }
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
}
