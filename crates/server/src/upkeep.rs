//! What is done beside the connections: queues that nobody used for as long as they asked for are deleted, dead letters are moved,
//! certificates that changed are loaded again.
//!
//! Invariant: nothing here outlives the server's run, and nothing here holds up a connection.

use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::blocking::blocking;
use crate::limits::CERTIFICATES_INTERVAL;
use crate::server::Shared;
use crate::signal::Signal;
use crate::stop::{Phase, Stop};
use crate::tls::Certificates;

/// The broker is not called more often: what is due within so long is done together.
const UPKEEP_INTERVAL: Duration = Duration::from_millis(100);

/// Calls the broker when something is due, until the server stops.
pub(crate) async fn keep_up(shared: Arc<Shared>, mut stop: Stop) {
    let signal = Arc::new(Signal::default());
    shared.broker.watch_ticks(signal.waker());
    loop {
        tokio::select! {
            () = sleep(UPKEEP_INTERVAL) => {}
            () = stop.reached(Phase::Draining) => return,
        }
        tokio::select! {
            () = next_tick(&shared, &signal) => {}
            () = stop.reached(Phase::Draining) => return,
        }
        blocking(|| shared.broker.tick(shared.now()));
    }
}

/// Returns when the broker has something to do, without looking before that.
async fn next_tick(shared: &Shared, signal: &Signal) {
    loop {
        let now = shared.now();
        let Some(at_ms) = shared.broker.next_tick_ms(now) else {
            signal.knocked().await;
            continue;
        };
        let Some(wait) = at_ms.checked_sub(now.mono_ms).filter(|wait| *wait > 0) else {
            return;
        };
        tokio::select! {
            () = sleep(Duration::from_millis(wait)) => {}
            () = signal.knocked() => {}
        }
    }
}

/// Moves dead letters whenever there are any, until the server stops.
pub(crate) async fn move_dead_letters(shared: Arc<Shared>, mut stop: Stop) {
    let signal = Arc::new(Signal::default());
    shared.broker.watch_dead_letters(signal.waker());
    loop {
        // The lock is free between two calls, and so is this worker.
        while blocking(|| shared.broker.move_dead_letters(shared.now())) {
            tokio::task::yield_now().await;
        }
        tokio::select! {
            () = signal.knocked() => {}
            () = stop.reached(Phase::Draining) => return,
        }
    }
}

/// Loads certificates again when a file changed, and at SIGHUP, until the server stops.
pub(crate) async fn keep_certificates(certificates: Arc<Certificates>, mut stop: Stop) {
    let mut ticks = interval(CERTIFICATES_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut hangup = signal(SignalKind::hangup())
        .inspect_err(|error| tracing::warn!(%error, "cannot listen for SIGHUP"))
        .ok();
    let mut hung_up = async || match &mut hangup {
        Some(hangup) => hangup.recv().await,
        None => std::future::pending().await,
    };
    loop {
        let is_due = tokio::select! {
            _ = ticks.tick() => blocking(|| certificates.has_changed()),
            _ = hung_up() => true,
            () = stop.reached(Phase::Draining) => return,
        };
        if !is_due {
            continue;
        }
        match blocking(|| certificates.reload()) {
            Ok(()) => tracing::info!("certificate and key were loaded again"),
            Err(error) => tracing::error!(%error, "certificate and key stay as they were"),
        }
    }
}
