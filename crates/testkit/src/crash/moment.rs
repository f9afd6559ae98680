//! When the broker is killed.
//!
//! Invariants: with enough confirmed since its start, and with enough in flight; if that does not come
//! together in time the kill happens all the same, and does not count.

use super::roll_watch::RollWatch;
use super::traffic::Traffic;
use crate::random::Random;
use std::path::Path;
use std::time::{Duration, Instant};

/// How often the state of the clients is looked at.
const GLANCE: Duration = Duration::from_micros(200);
/// How much longer than the threshold says, at most, a broker lives.
const EXTRA_MS_MAX: u64 = 400;
/// When to give up waiting for the right moment.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a kill waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Any moment under load.
    UnderLoad,
    /// The broker takes a segment into use, under load.
    SegmentRoll,
}

/// What must be true of every kill.
#[derive(Clone, Copy, Debug)]
pub struct Thresholds {
    /// Messages confirmed since the broker's start.
    pub confirmed_min: u64,
    /// Messages in flight.
    pub in_flight_min: u64,
}

impl Moment {
    /// Blocks until the moment has come. Says whether it was the one that was waited for.
    pub fn wait(
        self,
        traffic: &Traffic,
        thresholds: Thresholds,
        data: &Path,
        random: &mut Random,
    ) -> anyhow::Result<bool> {
        let until = Instant::now() + PATIENCE;
        // More than needed, because confirms are under way while the signal is.
        let in_flight = thresholds.in_flight_min + thresholds.in_flight_min / 4;
        let is_loaded = || traffic.in_flight_count() >= in_flight;
        while traffic.confirmed_count() < thresholds.confirmed_min && Instant::now() < until {
            std::thread::sleep(GLANCE);
        }
        match self {
            Self::UnderLoad => {
                std::thread::sleep(Duration::from_micros(random.below(EXTRA_MS_MAX * 1_000)));
                Ok(wait_until(until, GLANCE, || Ok(is_loaded()))?)
            }
            Self::SegmentRoll => {
                let watch = RollWatch::new(data)?;
                let is_there = wait_until(until, Duration::ZERO, || Ok(watch.has_rolled()? && is_loaded()))?;
                // From the moment the file appears until after its first blocks.
                std::thread::sleep(Duration::from_micros(random.below(3_000)));
                Ok(is_there)
            }
        }
    }
}

fn wait_until(
    until: Instant,
    pause: Duration,
    mut condition: impl FnMut() -> anyhow::Result<bool>,
) -> anyhow::Result<bool> {
    while Instant::now() < until {
        if condition()? {
            return Ok(true);
        }
        std::thread::sleep(pause.max(Duration::from_micros(50)));
    }
    Ok(false)
}
