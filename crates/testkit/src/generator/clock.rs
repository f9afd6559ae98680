//! One origin of time for all threads of a generator.

use std::time::{Duration, Instant};

/// Nanoseconds since it was made; never 0.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: Instant,
}

impl Clock {
    /// Begins now.
    pub fn start() -> Self {
        Self {
            origin: Instant::now(),
        }
    }

    /// What time it is.
    #[inline]
    pub fn now(&self) -> u64 {
        nanoseconds(self.origin.elapsed()) + 1
    }
}

/// A duration as a number.
#[inline]
pub fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
