//! The clients of one broker's life: started together, gone when it is gone.

use super::consumer::consume;
use super::publisher::publish;
use super::traffic::Traffic;
use super::workload::{PUBLISHER_COUNT, QUEUE_COUNT};
use crate::random::Random;
use anyhow::Context;
use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::task::JoinSet;

/// Longest that clients may take to notice that their broker is gone.
const PATIENCE: Duration = Duration::from_secs(60);

/// Clients at work.
pub struct Sessions {
    runtime: Handle,
    tasks: JoinSet<()>,
}

impl Sessions {
    /// None yet.
    pub fn new(runtime: Handle) -> Self {
        Self {
            runtime,
            tasks: JoinSet::new(),
        }
    }

    /// Starts all publishers.
    pub fn start_publishers(&mut self, traffic: &Arc<Traffic>, url: &str) {
        for publisher in 0..PUBLISHER_COUNT {
            let session = publish(Arc::clone(traffic), publisher, url.to_owned());
            self.spawn(traffic, format!("publisher {publisher}"), session);
        }
    }

    /// Starts one consumer per queue.
    pub fn start_consumers(&mut self, traffic: &Arc<Traffic>, url: &str, random: &mut Random) {
        for queue in 0..QUEUE_COUNT {
            let session = consume(Arc::clone(traffic), queue, url.to_owned(), random.number());
            self.spawn(traffic, format!("consumer of queue {queue}"), session);
        }
    }

    /// Waits until all are gone; the broker was killed before.
    pub fn join(mut self) -> anyhow::Result<()> {
        let gone = async {
            while let Some(task) = self.tasks.join_next().await {
                task.context("a client panicked")?;
            }
            Ok(())
        };
        let in_time = async { tokio::time::timeout(PATIENCE, gone).await };
        self.runtime
            .block_on(in_time)
            .context("clients hang though their broker is gone")?
    }

    fn spawn(
        &mut self,
        traffic: &Arc<Traffic>,
        who: String,
        session: impl Future<Output = lapin::Result<Infallible>> + Send + 'static,
    ) {
        let traffic = Arc::clone(traffic);
        let task = async move {
            let Err(why) = session.await;
            traffic.session_ended(&who, &why);
        };
        self.tasks.spawn_on(task, &self.runtime);
    }
}
