//! How fast segments and files of the spill are removed.
//!
//! Removing a file can cost the device more than writing it: file systems tell flash which blocks are free (`discard`), and writes
//! wait behind that. 5 GiB removed at once held writes of the log up for 350 ms.
//!
//! Invariants:
//! - Over time removal gives back more than a log on a fast disk takes; in a moment, no more than a few files.
//! - On a full disk nothing is held back.

use crate::disk::Now;

/// What is removed in one go, if it is more than one file.
const BYTES_AT_ONCE: u64 = 128 << 20;
/// What is removed in a millisecond, over time.
const BYTES_PER_MS: u64 = 2 << 20;

/// When files may be removed again.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pace {
    next_ms: u64,
    /// Whether some wait for that.
    is_awaited: bool,
}

impl Pace {
    /// Somebody looks again what is to be removed.
    pub(super) const fn begin(&mut self) {
        self.is_awaited = false;
    }

    /// How many of `wanted` files of `bytes` each may be removed now.
    pub(super) fn grant(&mut self, wanted: usize, bytes: u64, now: Now) -> usize {
        let at_once = usize::try_from(BYTES_AT_ONCE / bytes.max(1)).unwrap_or(usize::MAX);
        let granted = if now.mono_ms < self.next_ms {
            0
        } else {
            wanted.min(at_once.max(1))
        };
        self.is_awaited |= granted < wanted;
        granted
    }

    /// So many bytes were removed.
    pub(super) fn note(&mut self, bytes: u64, now: Now) {
        self.next_ms = self.next_ms.max(now.mono_ms + bytes / BYTES_PER_MS);
    }

    /// In how many milliseconds those that wait may be removed.
    pub(crate) fn awaited_for(&self, now: Now) -> Option<u64> {
        self.is_awaited.then(|| self.next_ms.saturating_sub(now.mono_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEGMENT: u64 = 64 << 20;

    const fn at(mono_ms: u64) -> Now {
        Now { wall_ms: 0, mono_ms }
    }

    #[test]
    fn a_few_segments_go_at_once_and_the_others_wait() {
        let mut pace = Pace::default();
        assert_eq!(pace.grant(80, SEGMENT, at(1000)), 2);
        pace.note(2 * SEGMENT, at(1000));
        pace.begin();
        assert_eq!(pace.grant(78, SEGMENT, at(1063)), 0);
        assert_eq!(pace.awaited_for(at(1063)), Some(1));
        assert_eq!(pace.grant(78, SEGMENT, at(1064)), 2);
    }

    #[test]
    fn nothing_is_awaited_when_all_may_go() {
        let mut pace = Pace::default();
        assert_eq!(pace.grant(1, SEGMENT, at(1000)), 1);
        assert_eq!(pace.awaited_for(at(1000)), None);
    }

    #[test]
    fn a_segment_that_is_larger_than_what_goes_at_once_goes_alone() {
        assert_eq!(Pace::default().grant(3, 1 << 30, at(0)), 1);
    }

    #[test]
    fn what_removes_nothing_ends_no_pause() {
        let mut pace = Pace::default();
        pace.note(2 * SEGMENT, at(1000));
        pace.note(0, at(1010));
        assert_eq!(pace.grant(1, SEGMENT, at(1063)), 0);
        assert_eq!(pace.grant(1, SEGMENT, at(1064)), 1);
    }

    #[test]
    fn small_segments_wait_for_nothing() {
        let mut pace = Pace::default();
        assert_eq!(pace.grant(30, 64 << 10, at(5)), 30);
        pace.note(30 * (64 << 10), at(5));
        assert_eq!(pace.grant(30, 64 << 10, at(5)), 30);
    }
}
