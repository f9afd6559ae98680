//! Heartbeats: ours when we have nothing to say, theirs as a sign of life.
//!
//! Invariants:
//! - Who has nothing to say sends a heartbeat every half interval; a peer of whom nothing came for two intervals is gone, at the latest after
//!   half an interval more.
//! - A peer that we do not read from (back-pressure) is never declared gone.
//! - All connections look at the same moments, on whole seconds where the interval allows it: a thousand idle ones wake the process
//!   once for all that are due, and not a thousand times.

use std::pin::Pin;
use std::sync::LazyLock;
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// Half intervals without a byte after which a peer is gone.
const SILENT_TICKS_MAX: u32 = 4;
/// Ticks are so far apart, or a multiple of it. An odd number of seconds has halves that are no whole ones.
const GRID: Duration = Duration::from_secs(1);
const ODD_GRID: Duration = Duration::from_millis(500);
/// Where the grids begin, for all connections.
static ORIGIN: LazyLock<Instant> = LazyLock::new(Instant::now);

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
    ticks: Option<Ticks>,
    pulse: Pulse,
}

/// When to look.
struct Ticks {
    next: Pin<Box<Sleep>>,
    half: Duration,
    grid: Duration,
}

/// What happened since the last tick.
#[derive(Debug, Default)]
struct Pulse {
    sent: bool,
    /// What is sent next is a heartbeat that a tick asked for.
    is_beating: bool,
    received: bool,
    silent_ticks: u32,
}

impl Heartbeat {
    /// `seconds` is what was negotiated; zero for no heartbeats. The peer was just heard.
    pub fn new(seconds: u16) -> Self {
        Self {
            ticks: (seconds > 0).then(|| Ticks::new(seconds)),
            pulse: Pulse {
                received: true,
                ..Pulse::default()
            },
        }
    }

    pub fn sent(&mut self) {
        self.pulse.sent();
    }

    pub fn received(&mut self) {
        self.pulse.received = true;
    }

    /// Returns at the next tick, never without heartbeats.
    pub async fn tick(&mut self) {
        match &mut self.ticks {
            Some(ticks) => ticks.tick().await,
            None => std::future::pending().await,
        }
    }

    /// What is due at a tick.
    pub fn due(&mut self, reads: bool) -> Beat {
        self.pulse.tick(reads)
    }
}

impl Ticks {
    fn new(seconds: u16) -> Self {
        let half = Duration::from_secs(u64::from(seconds)) / 2;
        let grid = if seconds.is_multiple_of(2) { GRID } else { ODD_GRID };
        let next = Box::pin(sleep_until(grid_point(Instant::now() + half, grid)));
        Self { next, half, grid }
    }

    /// Never loses a tick: what follows the wait does not wait.
    async fn tick(&mut self) {
        self.next.as_mut().await;
        let (due, now) = (self.next.deadline(), Instant::now());
        let is_late = now.saturating_duration_since(due) > self.grid / 4;
        // Whoever was late waits for no less than half an interval: a peer is not to seem silent for our own sake.
        let next = if is_late {
            grid_point(now + self.half, self.grid) + self.grid
        } else {
            due + self.half
        };
        self.next.as_mut().reset(next);
    }
}

/// The last point of the grid that is not behind `at`.
fn grid_point(at: Instant, grid: Duration) -> Instant {
    let beyond = at.saturating_duration_since(*ORIGIN).as_nanos() % grid.as_nanos();
    at - Duration::from_nanos(u64::try_from(beyond).expect("less than a second"))
}

impl Pulse {
    fn sent(&mut self) {
        // A heartbeat does not stand in for the next one.
        self.sent |= !std::mem::take(&mut self.is_beating);
    }

    fn tick(&mut self, reads: bool) -> Beat {
        let is_alive = std::mem::take(&mut self.received) || !reads;
        self.silent_ticks = if is_alive { 0 } else { self.silent_ticks + 1 };
        let has_spoken = std::mem::take(&mut self.sent);
        self.is_beating = false;
        if self.silent_ticks >= SILENT_TICKS_MAX {
            Beat::PeerGone
        } else if has_spoken {
            Beat::Nothing
        } else {
            self.is_beating = true;
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

    #[test]
    fn a_heartbeat_is_followed_by_the_next_after_half_an_interval() {
        let mut pulse = Pulse::default();
        for _ in 0..10 {
            pulse.received = true;
            assert_eq!(pulse.tick(true), Beat::Send);
            pulse.sent();
        }
        pulse.sent();
        assert_eq!(pulse.tick(true), Beat::Nothing);
    }

    #[tokio::test(start_paused = true)]
    async fn connections_that_began_within_a_second_tick_together_every_half_interval() {
        let mut ticks = Vec::new();
        for _ in 0..9 {
            ticks.push(Ticks::new(60));
            tokio::time::advance(Duration::from_millis(100)).await;
        }
        let mut moments = std::collections::BTreeSet::new();
        for each in &mut ticks {
            let first = each.next.deadline();
            moments.insert(first);
            each.tick().await;
            assert_eq!(each.next.deadline(), first + Duration::from_secs(30));
        }
        assert!(moments.len() <= 2, "{moments:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn half_of_an_odd_interval_is_no_longer_and_no_shorter() {
        let mut ticks = Ticks::new(5);
        let first = ticks.next.deadline();
        assert!(first <= Instant::now() + Duration::from_millis(2_500));
        for count in 1..5 {
            ticks.tick().await;
            assert_eq!(
                ticks.next.deadline(),
                first + Duration::from_millis(2_500) * count
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_late_waits_for_half_an_interval_all_the_same() {
        let mut ticks = Ticks::new(10);
        let late = ticks.next.deadline() + Duration::from_millis(700);
        tokio::time::advance(late - Instant::now()).await;
        ticks.tick().await;
        let wait = ticks.next.deadline() - late;
        assert!(
            wait >= Duration::from_secs(5) && wait < Duration::from_secs(6),
            "{wait:?}"
        );
    }
}
