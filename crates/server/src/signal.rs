//! The broker's knock on a task.

use std::sync::Arc;
use std::task::{Wake, Waker};

use tokio::sync::Notify;

/// Remembers one knock until the task looks.
#[derive(Debug, Default)]
pub(crate) struct Signal {
    notify: Notify,
}

impl Signal {
    /// The waker to hand to the broker.
    pub fn waker(self: &Arc<Self>) -> Waker {
        Waker::from(Arc::clone(self))
    }

    /// Returns after a knock, also one that came before the call.
    pub async fn knocked(&self) {
        self.notify.notified().await;
    }
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.notify.notify_one();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.notify.notify_one();
    }
}
