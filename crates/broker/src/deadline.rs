//! Until when a delivery has to be acknowledged (`x-consumer-timeout`).
//!
//! Invariants:
//! - A deadline is never early, and late by less than a 64th of the timeout: within that time all deliveries to a consumer share one,
//!   so that a busy consumer costs at most some 65 runs of outstanding messages more.
//! - What has lapsed stays so.
//!
//! Elsewhere: what holds for a queue (`queue_policy`), what happens then (`session/lapse`).

use logpond_store::disk::Now;

/// In how many steps the time of a timeout is told.
const STEPS: u64 = 64;

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Deadline {
    /// Of the monotonic clock.
    at_ms: u64,
    timeout_ms: u64,
}

impl Deadline {
    /// There is as much time as anybody likes.
    pub(crate) const NONE: Self = Self {
        at_ms: u64::MAX,
        timeout_ms: u64::MAX,
    };
    /// It is over, and the message went back: whatever the client says of it now means nothing.
    pub(crate) const LAPSED: Self = Self {
        at_ms: 0,
        timeout_ms: 0,
    };

    /// That of a delivery.
    pub(crate) fn after(timeout_ms: Option<u64>, now: Now) -> Self {
        let Some(timeout_ms) = timeout_ms else {
            return Self::NONE;
        };
        let step = (timeout_ms / STEPS).max(1);
        let exact = now.mono_ms.saturating_add(timeout_ms).max(1);
        Self {
            at_ms: exact.div_ceil(step).saturating_mul(step),
            timeout_ms,
        }
    }

    /// How much time there was.
    pub(crate) fn timeout_ms(self) -> u64 {
        self.timeout_ms
    }

    /// Milliseconds of the monotonic clock, if it is still to come.
    pub(crate) fn at_ms(self) -> Option<u64> {
        (self.at_ms > 0 && self.at_ms < u64::MAX).then_some(self.at_ms)
    }

    /// Whether its time has come.
    pub(crate) fn is_due(self, now: Now) -> bool {
        self.at_ms().is_some_and(|at_ms| at_ms <= now.mono_ms)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(mono_ms: u64) -> Now {
        Now { wall_ms: 0, mono_ms }
    }

    proptest! {
        #[test]
        fn a_deadline_is_never_early_and_late_by_a_64th_at_most(timeout in 0..10_000_000_u64, now in 0..u64::from(u32::MAX)) {
            let deadline = Deadline::after(Some(timeout), at(now)).at_ms().unwrap();
            prop_assert!(deadline >= now + timeout);
            prop_assert!(deadline <= (now + timeout).max(1) + timeout / STEPS);
        }
    }

    #[test]
    fn who_has_forever_is_never_due_and_neither_is_what_has_lapsed() {
        let forever = Deadline::after(Some(u64::MAX), at(9));
        for deadline in [
            Deadline::NONE,
            Deadline::after(None, at(9)),
            Deadline::LAPSED,
            forever,
        ] {
            assert!(!deadline.is_due(at(u64::MAX)), "{deadline:?}");
        }
        assert!(Deadline::after(Some(0), at(9)).is_due(at(9)));
    }
}
