//! Reading the next stretches of a segment while the one before them is used: a few threads for all readers of a store.
//!
//! Invariants:
//! - No more than [`READS_ASKED_MAX`] reads of all readers wait, are under way, or were done and not taken. For one more the oldest
//!   that is done is given up; while there is none, what is asked for is not read ahead.
//! - What is not wanted next is only read ahead while half of them are free: a reader alone is far ahead, many of them one stretch each.
//! - Nobody waits for a read that has not begun: it is given up, and whoever wanted it reads.
//! - What was read ahead is as good as any read of its moment, which may have been before the bytes were written.
//!
//! Elsewhere: what is worth reading ahead (`window`).

use super::window::Stretch;
use crate::disk::Disk;
use crate::limits::READS_ASKED_MAX;
use crate::segments::SegmentFile;
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

/// Where readers leave what they will want next.
pub(crate) struct Ahead<D: Disk>(Arc<Desk<D>>);

struct Desk<D: Disk> {
    waiting: Mutex<Waiting<D>>,
    /// The threads wait here.
    work: Condvar,
}

struct Waiting<D: Disk> {
    reads: VecDeque<Arc<Slot<D>>>,
    /// These, those that a thread has begun, and those that nobody has come for; among them what was given up lately.
    asked: Vec<Arc<Slot<D>>>,
    /// Whether there are threads.
    is_served: bool,
}

/// One read, shared by the reader that wants it and the thread that does it.
struct Slot<D: Disk> {
    progress: Mutex<Progress<D>>,
    done: Condvar,
}

enum Progress<D: Disk> {
    Asked(Read<D>),
    /// A thread reads.
    Begun,
    /// It has read; nothing if the disk refused.
    Done(Option<Arc<Stretch>>),
    /// Nobody wants it any more, or it was taken.
    Over,
}

/// What is to be read: as much as the stretch has room for, from `offset` of the file on.
pub(super) struct Read<D: Disk> {
    pub file: Arc<SegmentFile<D::File>>,
    pub offset: u64,
    /// Nobody else has it.
    pub stretch: Arc<Stretch>,
}

/// When what is read will be wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Wanted {
    /// When the reader is done with what it has.
    Next,
    /// When it is done with others that it has asked for.
    Later,
}

/// A read that was asked for. Dropped, it is given up.
pub(super) struct Asked<D: Disk>(Arc<Slot<D>>);

impl<D: Disk> Ahead<D> {
    pub(crate) fn new() -> Self {
        let waiting = Waiting {
            reads: VecDeque::new(),
            asked: Vec::new(),
            is_served: false,
        };
        Self(Arc::new(Desk {
            waiting: Mutex::new(waiting),
            work: Condvar::new(),
        }))
    }

    /// Whether somebody does what is asked for.
    pub(super) fn is_served(&self) -> bool {
        self.0.waiting().is_served
    }

    /// Asks for a read; gives it back when nobody would do it, or too many were asked for.
    pub(super) fn ask(&self, read: Read<D>, wanted: Wanted) -> Result<Asked<D>, Read<D>> {
        let mut waiting = self.0.waiting();
        if !waiting.is_served || !waiting.make_room(wanted) {
            return Err(read);
        }
        let slot = Arc::new(Slot {
            progress: Mutex::new(Progress::Asked(read)),
            done: Condvar::new(),
        });
        waiting.reads.push_back(Arc::clone(&slot));
        waiting.asked.push(Arc::clone(&slot));
        drop(waiting);
        self.0.work.notify_one();
        Ok(Asked(slot))
    }

    /// From now on reads that are asked for are done by [`Ahead::serve`].
    pub(crate) fn open(&self) {
        self.0.waiting().is_served = true;
    }

    /// Ends [`Ahead::serve`].
    pub(crate) fn close(&self) {
        let mut waiting = self.0.waiting();
        waiting.is_served = false;
        waiting.reads.clear();
        waiting.asked.clear();
        drop(waiting);
        self.0.work.notify_all();
    }

    /// Reads what is asked for, until it is closed.
    pub(crate) fn serve(&self) {
        while let Some(slot) = self.next() {
            slot.perform();
        }
    }

    /// The read that was asked for first; waits for one. None when it is closed.
    fn next(&self) -> Option<Arc<Slot<D>>> {
        let mut waiting = self.0.waiting();
        while waiting.is_served {
            let first = waiting.reads.pop_front();
            if first.is_some() {
                return first;
            }
            waiting = self.0.work.wait(waiting).expect("no holder of this lock panics");
        }
        None
    }
}

impl<D: Disk> Clone for Ahead<D> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<D: Disk> Desk<D> {
    fn waiting(&self) -> MutexGuard<'_, Waiting<D>> {
        self.waiting.lock().expect("no holder of this lock panics")
    }
}

impl<D: Disk> Waiting<D> {
    /// Whether one more may be asked for.
    fn make_room(&mut self, wanted: Wanted) -> bool {
        self.asked
            .retain(|slot| !matches!(*slot.progress(), Progress::Over));
        self.reads
            .retain(|slot| !matches!(*slot.progress(), Progress::Over));
        if wanted == Wanted::Later {
            return self.asked.len() < READS_ASKED_MAX / 2;
        }
        if self.asked.len() < READS_ASKED_MAX {
            return true;
        }
        let Some(idle) = self.asked.iter().position(|slot| slot.give_up_done()) else {
            return false;
        };
        self.asked.remove(idle);
        true
    }
}

impl<D: Disk> Slot<D> {
    fn progress(&self) -> MutexGuard<'_, Progress<D>> {
        self.progress.lock().expect("no holder of this lock panics")
    }

    fn perform(&self) {
        let mut progress = self.progress();
        let Progress::Asked(read) = std::mem::replace(&mut *progress, Progress::Over) else {
            return;
        };
        *progress = Progress::Begun;
        drop(progress);
        let mut begun = Begun {
            slot: self,
            done: None,
        };
        begun.done = read.perform();
    }

    /// Whether it was done, and is not any more.
    fn give_up_done(&self) -> bool {
        let mut progress = self.progress();
        let is_done = matches!(*progress, Progress::Done(_));
        if is_done {
            *progress = Progress::Over;
        }
        is_done
    }
}

/// A read that is under way. However it ends, nobody waits for it any longer.
struct Begun<'a, D: Disk> {
    slot: &'a Slot<D>,
    done: Option<Arc<Stretch>>,
}

impl<D: Disk> Drop for Begun<'_, D> {
    fn drop(&mut self) {
        let mut progress = self.slot.progress();
        // Whoever has given it up meanwhile needs nothing of it.
        if matches!(*progress, Progress::Begun) {
            *progress = Progress::Done(self.done.take());
        }
        drop(progress);
        self.slot.done.notify_one();
    }
}

impl<D: Disk> Read<D> {
    fn perform(mut self) -> Option<Arc<Stretch>> {
        let stretch = Arc::get_mut(&mut self.stretch)?;
        // Whoever wants the bytes tries again, and says what is wrong.
        let read = self.file.read_at(stretch.room(), self.offset).ok()?;
        stretch.truncate(read);
        Some(self.stretch)
    }
}

impl<D: Disk> Asked<D> {
    /// Whether the disk has not answered yet.
    pub(super) fn is_late(&self) -> bool {
        matches!(*self.0.progress(), Progress::Asked(_) | Progress::Begun)
    }

    /// What was read; waits for a read that has begun. Nothing when it has not, or the disk refused.
    pub(super) fn take(self) -> Option<Arc<Stretch>> {
        let mut progress = self.0.progress();
        while matches!(*progress, Progress::Begun) {
            progress = self.0.done.wait(progress).expect("no holder of this lock panics");
        }
        match std::mem::replace(&mut *progress, Progress::Over) {
            Progress::Done(stretch) => stretch,
            _ => None,
        }
    }
}

impl<D: Disk> Drop for Asked<D> {
    fn drop(&mut self) {
        let given_up = std::mem::replace(&mut *self.0.progress(), Progress::Over);
        drop(given_up);
    }
}

#[cfg(test)]
#[cfg(feature = "sim")]
mod tests;
