//! The queues in which messages wait that an exchange puts off: one for each such exchange, made and deleted with it.
//!
//! Invariants:
//! - The catalog names a queue before the journal has it, and forgets it after, as with all queues.
//! - An exchange has its queue, which hands out what is due, before anybody can publish to it, and loses it after.

use std::fmt;
use std::sync::Arc;

use logpond_routing::{Name, Routes};
use logpond_store::disk::{Disk, Now};
use logpond_store::{AppendError, BlockNumber, DeadLetters, QueueDurability, QueueId, Shard};
use serde::{Deserialize, Serialize};

use crate::broker::Broker;
use crate::errors::{Answer, storage_failed};
use crate::resource::Resource;
use crate::state::BrokerState;
use crate::topology::{Vhost, queue_ref};

/// The queue of an exchange, in the catalog.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct DelayEntry {
    pub vhost: String,
    pub exchange: String,
    pub queue: u64,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct DelayQueue {
    pub id: QueueId,
    pub vhost: Arc<str>,
    pub exchange: Box<[u8]>,
    /// Whether it survives a restart, as its exchange does.
    pub durable: bool,
}

impl fmt::Display for DelayQueue {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exchange = Resource::exchange(&self.exchange, &self.vhost);
        write!(formatter, "delayed messages of {exchange}")
    }
}

impl DelayQueue {
    /// What the journal keeps beside it, so that it can be told even without the catalog.
    pub(crate) fn meta(&self) -> Vec<u8> {
        self.to_string().into_bytes()
    }

    /// Has the shard hand out what is due. To be said after each start.
    pub(crate) fn arrange<D: Disk>(&self, shard: &mut Shard<D>, now: Now) -> Result<(), AppendError> {
        shard.set_due_order(self.id)?;
        shard.set_dead_letters(self.id, DeadLetters::HandOut, now)
    }
}

impl<D: Disk> Broker<D> {
    /// Makes the queue of an exchange and then, with `declare`, the exchange, which so is never seen without it. Hold the
    /// administration lock.
    pub(crate) fn create_delaying(
        &self,
        vhost: &Vhost,
        queue: DelayQueue,
        declare: impl FnOnce(&mut Routes) -> Answer<()>,
    ) -> Answer<()> {
        let durability = match queue.durable {
            true => QueueDurability::Durable,
            false => QueueDurability::Transient,
        };
        let now = self.disk.now();
        let mut guard = self.store.lock();
        let (shard, state) = guard.parts();
        let created = shard.create_queue(queue.id, durability, &queue.meta());
        let block = created.map_err(storage_failed)?;
        queue.arrange(shard, now).map_err(storage_failed)?;
        let (id, exchange, durable) = (queue.id, queue.exchange.clone(), queue.durable);
        state.delays.insert(id, Arc::new(queue));
        vhost.change(|routes| {
            declare(routes)?;
            routes.set_waiting(&exchange, queue_ref(id));
            Answer::Ok(())
        })?;
        self.release(guard, 1, now);
        if durable {
            self.wait_durable(block)?;
        }
        Ok(())
    }

    /// Deletes the queue of an exchange that is gone, and all that waits in it, durably. Hold the administration lock.
    pub(crate) fn delete_delay_queue(&self, vhost: &Vhost, exchange: &Name) -> Answer<()> {
        let now = self.disk.now();
        let mut guard = self.store.lock();
        let (shard, state) = guard.parts();
        let Some(queue) = state.delay_queue(&vhost.name, exchange.as_bytes()).cloned() else {
            return Ok(());
        };
        let block: BlockNumber = shard.delete_queue(queue.id).map_err(storage_failed)?;
        state.delays.remove(&queue.id);
        self.release(guard, 1, now);
        if queue.durable {
            self.wait_durable(block)?;
        }
        Ok(())
    }
}

impl BrokerState {
    /// The queue in which messages wait that the exchange puts off.
    fn delay_queue(&self, vhost: &str, exchange: &[u8]) -> Option<&Arc<DelayQueue>> {
        let mut queues = self.delays.values();
        queues.find(|queue| *queue.vhost == *vhost && *queue.exchange == *exchange)
    }

    /// Whether one of these queues survives a restart.
    pub(crate) fn delays_durably(&self, queues: &[QueueId]) -> bool {
        let mut found = queues.iter().filter_map(|id| self.delays.get(id));
        found.any(|queue| queue.durable)
    }
}
