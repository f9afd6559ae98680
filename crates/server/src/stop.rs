//! The stages of a clean stop, told to everyone at once.
//!
//! Invariant: phases only move forward.

use tokio::sync::watch;

/// How far the stop is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// No stop.
    Running,
    /// Nothing is accepted or read any more; confirms still go out.
    Draining,
    /// Connections are closed.
    Closing,
}

/// Moves the server through its stop.
#[derive(Debug)]
pub(crate) struct Stopper {
    phase: watch::Sender<Phase>,
}

impl Stopper {
    pub fn new() -> Self {
        Self {
            phase: watch::Sender::new(Phase::Running),
        }
    }

    /// Enters a phase.
    pub fn enter(&self, phase: Phase) {
        self.phase.send_if_modified(|current| {
            let is_forward = phase > *current;
            *current = phase.max(*current);
            is_forward
        });
    }

    /// For someone who has to hear of it.
    pub fn subscribe(&self) -> Stop {
        Stop {
            phase: self.phase.subscribe(),
        }
    }
}

/// Hears of a stop.
#[derive(Debug, Clone)]
pub(crate) struct Stop {
    phase: watch::Receiver<Phase>,
}

impl Stop {
    /// The next phase, once it is entered.
    pub async fn changed(&mut self) -> Phase {
        if self.phase.changed().await.is_err() {
            // The server is gone without a stop: nothing more will be said.
            std::future::pending::<()>().await;
        }
        *self.phase.borrow_and_update()
    }

    /// Returns in `phase` or behind it.
    pub async fn reached(&mut self, phase: Phase) {
        if self.phase.wait_for(|current| *current >= phase).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
