//! Whoever looks for writes that the disk does not answer, and sleeps while there are none.
//!
//! Invariant: who sleeps is woken by the next write, after that has said that it is under way. Of the two, the write that begins and the
//! watcher that falls asleep, at least one sees the other.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::task::Waker;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct StallWatch {
    is_asleep: AtomicBool,
    writes: AtomicU64,
    /// Writes that had begun when the watcher looked last.
    seen: AtomicU64,
    waker: Mutex<Option<Waker>>,
}

impl StallWatch {
    /// Who is woken.
    pub(super) fn set_waker(&self, waker: Waker) {
        *self.waker.lock().unwrap_or_else(PoisonError::into_inner) = Some(waker);
    }

    /// A write is under way, and its clock says so.
    pub(super) fn write_begins(&self) {
        self.writes.fetch_add(1, Ordering::SeqCst);
        if self.is_asleep.load(Ordering::SeqCst) && self.is_asleep.swap(false, Ordering::SeqCst) {
            let waker = self.waker.lock().unwrap_or_else(PoisonError::into_inner).clone();
            waker.into_iter().for_each(Waker::wake);
        }
    }

    /// Whether no write has begun since the last call, and none is under way. Then the next one wakes.
    pub(super) fn sleep(&self, is_writing: impl FnOnce() -> bool) -> bool {
        let writes = self.writes.load(Ordering::SeqCst);
        if self.seen.swap(writes, Ordering::SeqCst) != writes {
            return false;
        }
        self.is_asleep.store(true, Ordering::SeqCst);
        let is_awake = is_writing() || self.writes.load(Ordering::SeqCst) != writes;
        if is_awake {
            self.is_asleep.store(false, Ordering::SeqCst);
        }
        !is_awake
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::task::Wake;

    #[derive(Default)]
    struct Woken(AtomicU64);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn watch() -> (StallWatch, Arc<Woken>) {
        let (watch, woken) = (StallWatch::default(), Arc::new(Woken::default()));
        watch.set_waker(Waker::from(Arc::clone(&woken)));
        (watch, woken)
    }

    #[test]
    fn the_first_write_wakes_who_sleeps_and_no_other_does() {
        let (watch, woken) = watch();
        assert!(watch.sleep(|| false));
        for _ in 0..3 {
            watch.write_begins();
            assert_eq!(woken.0.load(Ordering::Relaxed), 1);
        }
    }

    #[test]
    fn nobody_sleeps_while_writes_come() {
        let (watch, woken) = watch();
        watch.write_begins();
        assert!(!watch.sleep(|| false), "one has come");
        assert!(!watch.sleep(|| true), "it is under way");
        assert!(watch.sleep(|| false));
        assert_eq!(woken.0.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_write_that_begins_meanwhile_is_seen() {
        let (watch, _) = watch();
        let begins = || {
            watch.write_begins();
            false
        };
        assert!(!watch.sleep(begins));
    }
}
