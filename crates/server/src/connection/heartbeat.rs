//! Heartbeats: ours when we have nothing to say, theirs as a sign of life.
//!
//! Invariants:
//! - We write at least every half interval; a peer of whom nothing came for two intervals is gone.
//! - A peer that we do not read from (back-pressure) is never declared gone.

use std::time::Duration;

use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

/// Half intervals without a byte after which a peer is gone.
const SILENT_TICKS_MAX: u32 = 4;

/// What a tick asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Beat {
    /// Nothing.
    Nothing,
    /// Send a heartbeat.
    Send,
    /// The peer is gone.
    PeerGone,
}

/// The clock of one connection.
pub(super) struct Heartbeat {
    ticks: Option<Interval>,
    pulse: Pulse,
}

/// What happened since the last tick.
#[derive(Debug, Default)]
struct Pulse {
    sent: bool,
    received: bool,
    silent_ticks: u32,
}

impl Heartbeat {
    /// `seconds` is what was negotiated; zero for no heartbeats.
    pub fn new(seconds: u16) -> Self {
        let ticks = (seconds > 0).then(|| {
            let half = Duration::from_secs(u64::from(seconds)) / 2;
            let mut ticks = interval_at(Instant::now() + half, half);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticks
        });
        Self {
            ticks,
            pulse: Pulse::default(),
        }
    }

    pub fn sent(&mut self) {
        self.pulse.sent = true;
    }

    pub fn received(&mut self) {
        self.pulse.received = true;
    }

    /// Returns at the next tick, never without heartbeats.
    pub async fn tick(&mut self) {
        match &mut self.ticks {
            Some(ticks) => {
                ticks.tick().await;
            }
            None => std::future::pending().await,
        }
    }

    /// What is due at a tick.
    pub fn due(&mut self, reads: bool) -> Beat {
        self.pulse.tick(reads)
    }
}

impl Pulse {
    fn tick(&mut self, reads: bool) -> Beat {
        let is_alive = std::mem::take(&mut self.received) || !reads;
        self.silent_ticks = if is_alive { 0 } else { self.silent_ticks + 1 };
        let has_spoken = std::mem::take(&mut self.sent);
        if self.silent_ticks >= SILENT_TICKS_MAX {
            Beat::PeerGone
        } else if has_spoken {
            Beat::Nothing
        } else {
            Beat::Send
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_gone_after_two_silent_intervals() {
        let mut pulse = Pulse::default();
        let beats: Vec<Beat> = (0..4).map(|_| pulse.tick(true)).collect();
        assert_eq!(beats, [Beat::Send, Beat::Send, Beat::Send, Beat::PeerGone]);
    }

    #[test]
    fn any_byte_is_a_sign_of_life() {
        let mut pulse = Pulse::default();
        for _ in 0..10 {
            pulse.received = true;
            assert_eq!(pulse.tick(true), Beat::Send);
        }
    }

    #[test]
    fn a_peer_that_we_do_not_read_from_is_never_gone() {
        let mut pulse = Pulse::default();
        assert!((0..10).all(|_| pulse.tick(false) == Beat::Send));
    }

    #[test]
    fn who_speaks_sends_no_heartbeat() {
        let mut pulse = Pulse {
            sent: true,
            ..Pulse::default()
        };
        assert_eq!(pulse.tick(true), Beat::Nothing);
        assert_eq!(pulse.tick(true), Beat::Send);
    }
}
