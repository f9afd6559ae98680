//! What the broker does when time passes: queues that nobody used for as long as they asked for are deleted.
//!
//! Invariant: nothing here outlives the server's run, and nothing here holds up a connection.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use crate::blocking::blocking;
use crate::server::Shared;
use crate::stop::{Phase, Stop};

/// How late something that is due may be noticed.
const UPKEEP_INTERVAL: Duration = Duration::from_millis(100);

/// Calls the broker every so often, until the server stops.
pub(crate) async fn keep_up(shared: Arc<Shared>, mut stop: Stop) {
    let mut ticks = interval(UPKEEP_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => blocking(|| shared.broker.tick(shared.now())),
            () = stop.reached(Phase::Draining) => return,
        }
    }
}
