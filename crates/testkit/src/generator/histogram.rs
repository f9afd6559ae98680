//! Durations in buckets: bounded memory, and every quantile within 1.6 %.
//!
//! Invariant: `count` is the sum of the buckets.

/// Below this many nanoseconds every value has a bucket of its own, and above each power of two has so many.
const STEPS: u64 = 64;
const STEP_BITS: u32 = STEPS.ilog2();
const BUCKETS: usize = 64 * 64;

/// How often which duration was seen, in nanoseconds.
#[derive(Clone, Debug)]
pub struct Histogram {
    buckets: Vec<u64>,
    count: u64,
    max: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            buckets: vec![0; BUCKETS],
            count: 0,
            max: 0,
        }
    }
}

impl Histogram {
    /// Takes note of one duration.
    #[inline]
    pub fn record(&mut self, nanoseconds: u64) {
        self.buckets[bucket_of(nanoseconds)] += 1;
        self.count += 1;
        self.max = self.max.max(nanoseconds);
    }

    /// Takes over what another has seen.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.buckets.iter_mut().zip(&other.buckets) {
            *mine += theirs;
        }
        self.count += other.count;
        self.max = self.max.max(other.max);
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The longest.
    pub fn max(&self) -> u64 {
        self.max
    }

    /// What so many of a thousand do not exceed: 500 is the median. Zero when nothing was seen.
    pub fn permille(&self, permille: u64) -> u64 {
        let wanted = (self.count * permille).div_ceil(1000).max(1);
        let mut seen = 0;
        for (bucket, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return floor_of(bucket).min(self.max);
            }
        }
        self.max
    }
}

#[inline]
fn bucket_of(value: u64) -> usize {
    let index = if value < STEPS {
        value
    } else {
        let power = value.ilog2();
        u64::from(power - STEP_BITS) * STEPS + (value >> (power - STEP_BITS))
    };
    usize::try_from(index).expect("64 powers of 64 steps are few")
}

/// The least value of a bucket.
fn floor_of(bucket: usize) -> u64 {
    let index = u64::try_from(bucket).expect("few buckets");
    if index < 2 * STEPS {
        return index;
    }
    let power = index / STEPS - 1;
    (index % STEPS + STEPS) << power
}

#[cfg(test)]
mod tests {
    use super::{BUCKETS, Histogram, bucket_of, floor_of};

    #[test]
    fn each_value_lies_in_its_bucket_and_close_to_its_floor() {
        for value in (0..1000).chain((10..63).map(|power| (1 << power) + 12_345)) {
            let floor = floor_of(bucket_of(value));
            assert!(
                floor <= value && value - floor <= value / 63,
                "{value} in {floor}"
            );
            assert_eq!(bucket_of(floor), bucket_of(value));
        }
        assert!(bucket_of(u64::MAX) < BUCKETS);
    }

    #[test]
    fn the_median_and_the_tail_are_found() {
        let mut histogram = Histogram::default();
        (1..=50).for_each(|value| histogram.record(value));
        assert_eq!(histogram.permille(500), 25);
        assert_eq!(histogram.permille(990), 50);
        assert_eq!(histogram.max(), 50);
        assert_eq!(Histogram::default().permille(500), 0);
    }

    #[test]
    fn merged_histograms_count_what_both_saw() {
        let mut one = Histogram::default();
        one.record(10);
        let mut other = Histogram::default();
        (0..9).for_each(|_| other.record(1_000));
        one.merge(&other);
        assert_eq!(one.count(), 10);
        assert_eq!(one.permille(100), 10);
    }
}
