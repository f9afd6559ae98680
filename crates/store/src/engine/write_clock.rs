//! How long synced writes take, and the log waits for a segment: whether a caller may wait for a write, and whether the disk
//! answers at all.
//!
//! Invariant: of what a clock times there is one at a time (by the write token of the tail, the one housekeeper, or the
//! shard's lock), so one start is remembered.

use crate::disk::Now;
use crate::limits;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Nothing is being written.
const IDLE: u64 = u64::MAX;

/// Times writes of one kind.
pub(super) struct WriteClock {
    /// Moving average in microseconds.
    average_us: AtomicU64,
    /// When the write that is under way began (monotonic ms), or [`IDLE`].
    began_ms: AtomicU64,
}

impl WriteClock {
    pub(super) const fn new() -> Self {
        Self {
            average_us: AtomicU64::new(0),
            began_ms: AtomicU64::new(IDLE),
        }
    }

    /// Does a write and takes its time.
    pub(super) fn time<T>(&self, now: Now, write: impl FnOnce() -> T) -> T {
        // Before whoever watches is told: see `stall_watch`.
        self.began_ms.store(now.mono_ms, Ordering::SeqCst);
        let before = std::time::Instant::now();
        let written = write();
        let took = u64::try_from(before.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.end();
        let average = self.average_us.load(Ordering::Relaxed);
        let next = average - average / 8 + took.min(1_000_000) / 8;
        self.average_us.store(next, Ordering::Relaxed);
        written
    }

    /// Something is waited for from now on, if it was not before.
    pub(super) fn begin(&self, now: Now) {
        // Fails where the clock runs: it goes on then.
        let _ = self
            .began_ms
            .compare_exchange(IDLE, now.mono_ms, Ordering::SeqCst, Ordering::Relaxed);
    }

    /// It has come.
    pub(super) fn end(&self) {
        self.began_ms.store(IDLE, Ordering::Relaxed);
    }

    /// Whether a caller's own thread may write: a slow disk must not block it.
    pub(super) fn is_fast(&self) -> bool {
        self.average_us.load(Ordering::Relaxed) < limits::LEADER_WRITE_US_MAX
    }

    /// Whether a write is under way.
    pub(super) fn is_running(&self) -> bool {
        self.began_ms.load(Ordering::SeqCst) != IDLE
    }

    /// For how long the disk has not answered, once that is too long.
    pub(super) fn stalled(&self, now: Now) -> Option<Duration> {
        let began = self.began_ms.load(Ordering::Relaxed);
        let waited = now.mono_ms.checked_sub(began)?;
        (waited >= limits::WRITE_STALL_MS).then(|| Duration::from_millis(waited))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(mono_ms: u64) -> Now {
        Now { wall_ms: 0, mono_ms }
    }

    #[test]
    fn a_write_that_takes_too_long_is_a_stall_while_it_lasts() {
        let clock = WriteClock::new();
        assert_eq!(clock.stalled(at(u64::MAX - 1)), None);
        clock.time(at(100), || {
            assert_eq!(clock.stalled(at(100 + limits::WRITE_STALL_MS - 1)), None);
            let stalled = clock.stalled(at(100 + limits::WRITE_STALL_MS + 5));
            assert_eq!(stalled, Some(Duration::from_millis(limits::WRITE_STALL_MS + 5)));
        });
        assert_eq!(clock.stalled(at(u64::MAX - 1)), None);
    }
}
