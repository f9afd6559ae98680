//! The threads of a running store.

use super::{Did, Engine, Inner};
use crate::batch_memory;
use crate::disk::Disk;
use crate::follower::Follower;
use crate::limits;
use crate::shard::CheckpointWish;
use crate::tail::{Next, Take};
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

/// The housekeeper looks around this often even when nobody calls it.
const HOUSEKEEPING_INTERVAL: Duration = Duration::from_millis(500);

impl<D: Disk, F: Follower<D>> Engine<D, F> {
    /// Starts the journal thread, the housekeeper, and the threads that spill beside it and read ahead.
    ///
    /// # Errors
    /// When the system grants no thread.
    pub fn start(&self) -> io::Result<()> {
        if self.inner.started.swap(true, Ordering::SeqCst) {
            return Ok(());
        }
        let mut threads = self.inner.threads.lock().expect("no holder of this lock panics");
        let inner = Arc::clone(&self.inner);
        threads.push(
            thread::Builder::new()
                .name("journal".to_owned())
                .spawn(move || inner.write_until_closed())?,
        );
        let inner = Arc::clone(&self.inner);
        threads.push(
            thread::Builder::new()
                .name("housekeeper".to_owned())
                .spawn(move || inner.keep_house())?,
        );
        let inner = Arc::clone(&self.inner);
        threads.push(
            thread::Builder::new()
                .name("spill".to_owned())
                .spawn(move || inner.spill_beside())?,
        );
        self.inner.ahead.open();
        for _ in 0..limits::READ_AHEAD_THREADS {
            let ahead = self.inner.ahead.clone();
            threads.push(
                thread::Builder::new()
                    .name("read-ahead".to_owned())
                    .spawn(move || ahead.serve())?,
            );
        }
        Ok(())
    }
}

impl<D: Disk, F: Follower<D>> Inner<D, F> {
    fn write_until_closed(&self) {
        loop {
            let now = self.disk.now();
            let mut locked = self.lock();
            if locked.shard.poisoned().is_none() {
                locked.shard.tail.mark_if_idle(now);
                let has_expired = !locked.closing && locked.shard.expire_due(now);
                // Who finds damage there is nobody's caller, and everybody has to hear of it.
                if has_expired || locked.shard.has_unreported_poison() {
                    self.release(locked);
                    continue;
                }
            }
            let mut is_stuck = false;
            match self.next_write(&mut locked, now, Take::Due) {
                Next::Write(job) => {
                    drop(locked);
                    self.write(job);
                    continue;
                }
                Next::NeedsSegment => {
                    // On a full disk there is no next segment, and an orderly stop does not wait for one.
                    is_stuck = locked.shard.chores.retry_at_ms > now.mono_ms;
                    self.chores.notify_one();
                }
                Next::Nothing => {}
            }
            let is_dead = locked.shard.poisoned().is_some();
            if locked.closing && (locked.shard.tail.is_idle() || is_dead || is_stuck) {
                locked.journal_ended = true;
                self.chores.notify_all();
                return;
            }
            let due = locked.shard.due_at_ms(now).filter(|_| !is_dead);
            let sleep_ms = match due {
                _ if locked.closing => 1,
                Some(due) => due.saturating_sub(now.mono_ms).max(1),
                None => u64::MAX,
            };
            locked.journal_sleeps_until = Some(due.unwrap_or(u64::MAX));
            let mut woken = if sleep_ms == u64::MAX {
                self.work.wait(locked).expect("no holder of this lock panics")
            } else {
                let timeout = Duration::from_millis(sleep_ms.min(limits::CHECKPOINT_MS));
                self.work
                    .wait_timeout(locked, timeout)
                    .expect("no holder of this lock panics")
                    .0
            };
            woken.journal_sleeps_until = None;
        }
    }

    /// Spills beside the housekeeper, which it leaves everything else to.
    fn spill_beside(&self) {
        let mut locked = self.lock();
        while !locked.closing && locked.shard.poisoned().is_none() {
            if let Some(job) = locked.shard.next_spill(self.disk.now()) {
                drop(locked);
                let spilled = job.perform(&self.disk, &self.units, self.salt);
                let mut finished = self.lock();
                finished.shard.finish_spill(spilled);
                self.release(finished);
                locked = self.lock();
                continue;
            }
            locked.spiller_sleeps = true;
            // While there is too much nobody brings more, and nobody says that the disk takes it again.
            let woken = if locked.shard.spill_is_late() {
                self.spills
                    .wait_timeout(locked, HOUSEKEEPING_INTERVAL)
                    .map(|woken| woken.0)
                    .ok()
            } else {
                self.spills.wait(locked).ok()
            };
            locked = woken.expect("no holder of this lock panics");
            locked.spiller_sleeps = false;
        }
    }

    fn keep_house(&self) {
        let mut looked_at_ms = self.disk.now().mono_ms;
        loop {
            let now = self.disk.now();
            if now.mono_ms.saturating_sub(looked_at_ms) >= limits::BATCH_MEMORY_UNUSED_MS {
                looked_at_ms = now.mono_ms;
                batch_memory::free_unused();
            }
            let mut locked = self.lock();
            if let Some(job) = locked.shard.next_job(now, CheckpointWish::WhenDue) {
                drop(locked);
                if self.carry_out(job, now) == Did::Done {
                    continue;
                }
                locked = self.lock();
            } else if locked.shard.has_unreported_poison() {
                // Damage that deciding on chores has found, or that some other thread left behind.
                self.release(locked);
                continue;
            } else {
                self.report_room(&mut locked);
                self.wake_journal(&mut locked, now);
            }
            // What still waits may need a segment, so the journal thread leaves first.
            if locked.closing && (locked.journal_ended || locked.shard.poisoned().is_some()) {
                return;
            }
            // Under the lock under which nothing was found to do: whoever brings something up from now on sees a sleeper.
            locked.housekeeper_sleeps = true;
            let awaited = locked.shard.chores.removal.awaited_for(now);
            let interval = awaited.map_or(HOUSEKEEPING_INTERVAL, |ms| Duration::from_millis(ms.max(1)));
            let woken = self
                .chores
                .wait_timeout(locked, interval.min(HOUSEKEEPING_INTERVAL));
            woken.expect("no holder of this lock panics").0.housekeeper_sleeps = false;
        }
    }
}
