//! One machine from its start to the cut of its power.
//!
//! Elsewhere: how it is started (`machine`), what is made of its disk (`jury`).

use std::time::{Duration, Instant};

use anyhow::ensure;

use super::machine::{Files, Machine, Recording, Start};
use crate::random::Random;

/// Longest from the start to the cut.
const TIME_MAX: Duration = Duration::from_secs(300);
/// How often we look at what left the guest.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// The cut comes at most this long after enough was confirmed.
const SUSPENSE_MS_MAX: u64 = 400;

/// What a machine is made of, and for how long.
pub struct Ground<'a> {
    /// How it is started.
    pub start: Start<'a>,
    /// Messages confirmed before the cut.
    pub confirmed: u64,
}

/// How much a machine did.
#[derive(Clone, Copy, Debug)]
pub struct Told {
    /// From its start to the first mark.
    pub boot: Duration,
    /// From its start to the cut.
    pub whole: Duration,
}

/// Runs a machine on its disk until enough was confirmed, and a little longer.
pub fn run(ground: &Ground<'_>, files: &Files, random: &mut Random) -> anyhow::Result<Told> {
    let began = Instant::now();
    let mut machine = Machine::start(&ground.start, files)?;
    let mut first = None;
    loop {
        ensure!(
            began.elapsed() < TIME_MAX,
            "the guest confirmed too little within {TIME_MAX:?}"
        );
        std::thread::sleep(LOOK_EVERY);
        let Some(mark) = machine.newest_mark()? else {
            continue;
        };
        let (start, _) = *first.get_or_insert_with(|| (mark.first, began.elapsed()));
        if mark.first + mark.confirmed >= start + ground.confirmed {
            break;
        }
    }
    std::thread::sleep(Duration::from_millis(random.below(SUSPENSE_MS_MAX)));
    let boot = first.map_or(Duration::ZERO, |(_, boot)| boot);
    let whole = began.elapsed();
    match ground.start.recording {
        Recording::On => machine.end()?,
        Recording::Off => machine.kill()?,
    }
    Ok(Told { boot, whole })
}
