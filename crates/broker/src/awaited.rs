//! Consumers that wait for the messages of a queue with limits: what they take at once is in nobody's way.
//!
//! RabbitMQ hands a message to a consumer that has credit before it looks at the limits of the queue. Here no message is handed out before it is durable,
//! so the shard is told, when a limit is about to count, how many of those that are on their way will be.
//!
//! Elsewhere: what that does to limits ([`Shard::set_awaited`]).

use logpond_store::disk::Disk;
use logpond_store::{QueueId, Shard};

use crate::consumer::ConsumerKey;
use crate::state::BrokerState;

impl BrokerState {
    /// Says of each of these queues in which one more message of such a size would be too much for how many messages its consumers wait. To be
    /// called before the message is published, or refused.
    pub(crate) fn tell_awaited<D: Disk>(
        &self,
        shard: &mut Shard<D>,
        queues: &[QueueId],
        properties_bytes: usize,
        body_bytes: usize,
    ) {
        for id in queues {
            if shard.overflows(*id, properties_bytes, body_bytes) {
                shard.set_awaited(*id, self.awaited(*id));
            }
        }
    }

    /// How many messages the consumers of a queue would be given now.
    fn awaited(&self, id: QueueId) -> u64 {
        let Some(queue) = self.queues.get(&id) else {
            return 0;
        };
        match queue.rota.active() {
            None => queue.rota.iter().map(|key| self.would_take(key)).sum(),
            // Whoever is to follow gets nothing before that.
            Some(active) if queue.rota.successor().is_some() && self.holds(active) => 0,
            Some(active) => self.would_take(queue.rota.successor().unwrap_or(active)),
        }
    }

    fn holds(&self, key: ConsumerKey) -> bool {
        self.consumers.get(key).is_some_and(|consumer| consumer.held > 0)
    }

    fn would_take(&self, key: ConsumerKey) -> u64 {
        let Some(consumer) = self.consumers.get(key) else {
            return 0;
        };
        let session = self.sessions.get(consumer.session);
        let room = session.and_then(|session| session.outbox.room());
        room.map_or(0, |(messages, _)| u64::from(messages.min(consumer.credit())))
    }
}
