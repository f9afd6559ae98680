//! What one turn came to, and the medians of several.
//!
//! Invariant: all figures are whole numbers with their unit in the name; only the record turns them into text.

use crate::generator::{Histogram, nanoseconds};
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// What one turn came to.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Figures {
    /// Messages of the measured time.
    pub messages: u64,
    /// Bytes of their bodies.
    pub body_bytes: u64,
    /// The measured time.
    pub elapsed_us: u64,
    /// CPU time of all processes of the broker in it.
    pub broker_cpu_us: u64,
    /// CPU time of the generator in it, in all its processes: near the measured time for each of its threads, it is the limit.
    pub generator_cpu_us: u64,
    /// CPU time of everybody but broker and generator in it.
    pub others_cpu_us: u64,
    /// Most memory of all processes of the broker: anonymous, mapped files and shared.
    pub peak_resident_kb: u64,
    /// How long something took, by what it is.
    pub latencies: BTreeMap<&'static str, Latency>,
    /// What else there is to say, by name with unit.
    pub facts: BTreeMap<&'static str, u64>,
}

/// A distribution, as far as it is told.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Latency {
    /// Half are not above.
    pub p50_ns: u64,
    /// 99 of 100 are not above.
    pub p99_ns: u64,
    /// None is above.
    pub max_ns: u64,
}

impl Latency {
    /// Of what was recorded.
    pub fn of(histogram: &Histogram) -> Self {
        Self {
            p50_ns: histogram.permille(500),
            p99_ns: histogram.permille(990),
            max_ns: histogram.max(),
        }
    }
}

impl Figures {
    /// So many messages with bodies of such a length in such a time.
    pub fn of(messages: u64, body_len: usize, elapsed: Duration) -> Self {
        Self {
            messages,
            body_bytes: messages * u64::try_from(body_len).unwrap_or(u64::MAX),
            elapsed_us: nanoseconds(elapsed) / 1_000,
            ..Self::default()
        }
    }

    /// Adds a distribution, if anything was recorded.
    #[must_use]
    pub fn with_latency(mut self, name: &'static str, histogram: &Histogram) -> Self {
        if histogram.count() > 0 {
            self.latencies.insert(name, Latency::of(histogram));
        }
        self
    }

    /// Adds a fact.
    #[must_use]
    pub fn with_fact(mut self, name: &'static str, value: u64) -> Self {
        self.facts.insert(name, value);
        self
    }

    /// Messages per second.
    pub fn per_second(&self) -> u64 {
        ratio(self.messages, self.elapsed_us)
    }

    /// Bytes of bodies per second.
    pub fn bytes_per_second(&self) -> u64 {
        ratio(self.body_bytes, self.elapsed_us)
    }

    /// Messages per second of the broker's CPU time; nothing when that is too short to be told.
    pub fn per_cpu_second(&self) -> Option<u64> {
        (self.broker_cpu_us > 0).then(|| ratio(self.messages, self.broker_cpu_us))
    }

    /// Whether others took more than a tenth of a core.
    pub fn is_disturbed(&self) -> bool {
        self.others_cpu_us * 10 > self.elapsed_us
    }
}

/// So many in so many microseconds, per second.
fn ratio(count: u64, us: u64) -> u64 {
    let per_second = u128::from(count) * 1_000_000 / u128::from(us.max(1));
    u64::try_from(per_second).unwrap_or(u64::MAX)
}

/// The middle of some numbers, half-way between the two of an even number of them; nothing of none.
pub fn median(mut numbers: Vec<u64>) -> Option<u64> {
    numbers.sort_unstable();
    let lower = numbers[numbers.len().checked_sub(1)? / 2];
    let upper = numbers[numbers.len() / 2];
    Some(lower.midpoint(upper))
}

#[cfg(test)]
mod tests {
    use super::{Figures, median};
    use std::time::Duration;

    #[test]
    fn rates_are_per_second_of_time_and_of_cpu() {
        let mut figures = Figures::of(1_000, 16, Duration::from_millis(500));
        assert_eq!(
            (figures.per_second(), figures.bytes_per_second()),
            (2_000, 32_000)
        );
        assert_eq!(figures.per_cpu_second(), None);
        figures.broker_cpu_us = 250_000;
        assert_eq!(figures.per_cpu_second(), Some(4_000));
    }

    #[test]
    fn a_turn_is_disturbed_when_others_take_a_tenth_of_a_core() {
        let mut figures = Figures::of(1, 16, Duration::from_secs(1));
        figures.others_cpu_us = 99_000;
        assert!(!figures.is_disturbed());
        figures.others_cpu_us = 101_000;
        assert!(figures.is_disturbed());
    }

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(vec![5, 1, 9]), Some(5));
        assert_eq!(median(vec![5, 1]), Some(3));
        assert_eq!(median(vec![9, 1, 4, 6]), Some(5));
        assert_eq!(median(vec![]), None);
    }
}
