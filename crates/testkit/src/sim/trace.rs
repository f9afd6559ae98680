//! The story of a seed, told on stderr when asked for.

use std::sync::atomic::{AtomicBool, Ordering};

static TOLD: AtomicBool = AtomicBool::new(false);

/// From now on every event is told.
pub fn tell() {
    TOLD.store(true, Ordering::Relaxed);
}

pub(super) fn note(text: impl FnOnce() -> String) {
    if TOLD.load(Ordering::Relaxed) {
        eprintln!("{}", text());
    }
}
