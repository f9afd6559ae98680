//! The clients of one broker's life: started together, gone when it is gone.

use super::consumer::consume;
use super::publisher::publish;
use super::traffic::Traffic;
use super::worker::work;
use super::workload::{PUBLISHER_COUNT, QUEUE_COUNT};
use crate::random::Random;
use anyhow::Context;
use std::collections::BTreeSet;
use std::convert::Infallible;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::task::JoinSet;

/// Longest that a client may take to notice that its broker is gone. lapin does not always: the others are
/// given up, and what they still waited for was in flight.
const PATIENCE: Duration = Duration::from_secs(3);

/// Clients at work.
pub struct Sessions {
    runtime: Handle,
    tasks: JoinSet<()>,
    at_work: Arc<Mutex<BTreeSet<String>>>,
}

impl Sessions {
    /// None yet.
    pub fn new(runtime: Handle) -> Self {
        Self {
            runtime,
            tasks: JoinSet::new(),
            at_work: Arc::default(),
        }
    }

    /// Starts all publishers.
    pub fn start_publishers(&mut self, traffic: &Arc<Traffic>, url: &str) {
        for publisher in 0..PUBLISHER_COUNT {
            let session = publish(Arc::clone(traffic), publisher, url.to_owned());
            self.spawn(traffic, format!("publisher {publisher}"), session);
        }
    }

    /// Starts one consumer per queue, and the one that never acknowledges.
    pub fn start_consumers(&mut self, traffic: &Arc<Traffic>, url: &str, random: &mut Random) {
        for queue in 0..QUEUE_COUNT {
            let session = consume(Arc::clone(traffic), queue, url.to_owned(), random.number());
            self.spawn(traffic, format!("consumer of queue {queue}"), session);
        }
        let session = work(Arc::clone(traffic), url.to_owned(), random.number());
        self.spawn(traffic, "worker".to_owned(), session);
    }

    /// Waits until all are gone; the broker was killed before. Returns those that did not notice.
    pub fn join(mut self) -> anyhow::Result<Vec<String>> {
        let at_work = Arc::clone(&self.at_work);
        let gone = async {
            while let Some(task) = self.tasks.join_next().await {
                task.context("a client panicked")?;
            }
            anyhow::Ok(())
        };
        let in_time = self
            .runtime
            .block_on(async { tokio::time::timeout(PATIENCE, gone).await });
        if let Ok(gone) = in_time {
            gone?;
        }
        self.runtime.block_on(self.tasks.shutdown());
        let names = at_work
            .lock()
            .expect("nothing panics while it holds this")
            .iter()
            .cloned()
            .collect();
        Ok(names)
    }

    fn spawn(
        &mut self,
        traffic: &Arc<Traffic>,
        who: String,
        session: impl Future<Output = lapin::Result<Infallible>> + Send + 'static,
    ) {
        let (traffic, at_work) = (Arc::clone(traffic), Arc::clone(&self.at_work));
        at_work
            .lock()
            .expect("nothing panics while it holds this")
            .insert(who.clone());
        let task = async move {
            let Err(why) = session.await;
            traffic.session_ended(&who, &why);
            at_work
                .lock()
                .expect("nothing panics while it holds this")
                .remove(&who);
        };
        self.tasks.spawn_on(task, &self.runtime);
    }
}
