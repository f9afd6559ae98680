//! Messages published, one by one and in transactions.

use logpond_store::disk::Disk;
use logpond_store::disk::sim::SimDisk;
use logpond_store::{AckReason, AppendError, BlockNumber, NewMessage, Persistence, QueueId, Seq, Shard};

use super::{Entries, Flow, Session, Step};
use crate::sim::message::Content;
use crate::sim::model::Event;

/// Bytes of the record of an acknowledgement.
const ACKNOWLEDGEMENT_BYTES: u64 = 24;

impl Session<'_> {
    pub(in crate::sim) fn next_message(&mut self) -> u64 {
        self.world.numbers.message += 1;
        self.world.numbers.message
    }

    /// Publishes, or lets the store make room first.
    pub(in crate::sim) fn publish(
        &mut self,
        queues: Vec<u64>,
        message: u64,
        persistence: Persistence,
    ) -> Step {
        let published = {
            let mut guard = self.store.lock();
            let shard = guard.shard();
            if shard.has_room() {
                Some(publish_to(shard, &queues, message, persistence))
            } else {
                None
            }
        };
        match published {
            Some(Ok(block)) => {
                self.published(block, queues, message, persistence);
                Ok(Flow::On)
            }
            Some(Err(error)) => self.refused(&error),
            None => self.step(),
        }
    }

    fn published(&mut self, block: BlockNumber, queues: Vec<u64>, message: u64, persistence: Persistence) {
        self.world.statistics.publishes += 1;
        self.record(
            block,
            Event::Publish {
                queues,
                message,
                persistent: persistence == Persistence::Persistent,
            },
        );
    }

    /// Some publishes (queues, message) and an acknowledgement that a crash must not part. Too much for a block is let be.
    pub(in crate::sim) fn transaction(
        &mut self,
        publishes: Vec<(Vec<u64>, u64)>,
        persistence: Persistence,
        acked: Option<Entries>,
    ) -> Step {
        let now = self.disk.now();
        let bytes: u64 = publishes
            .iter()
            .map(|(queues, message)| {
                let content = Content::of(*message);
                Shard::<SimDisk>::message_bytes(queues.len(), content.properties.len(), content.body.len())
            })
            .sum();
        let done = {
            let mut guard = self.store.lock();
            let shard = guard.shard();
            if bytes + ACKNOWLEDGEMENT_BYTES > shard.transaction_bytes_max() || !shard.has_room() {
                return Ok(Flow::On);
            }
            shard.transaction(bytes + ACKNOWLEDGEMENT_BYTES, |shard| {
                for (queues, message) in &publishes {
                    publish_to(shard, queues, *message, persistence)?;
                }
                if let Some(Entries { queue, first, count }) = acked {
                    shard.acknowledge(QueueId::new(queue), Seq::new(first), count, AckReason::Acked, now)?;
                }
                Ok(())
            })
        };
        match done {
            Ok((Ok(()), block)) => {
                for (queues, message) in publishes {
                    self.published(block, queues, message, persistence);
                }
                if let Some(entries) = acked {
                    self.gone(block, entries);
                }
                Ok(Flow::On)
            }
            Ok((Err(error), _)) | Err(error) => self.refused(&error),
        }
    }
}

fn publish_to(
    shard: &mut Shard<SimDisk>,
    queues: &[u64],
    message: u64,
    persistence: Persistence,
) -> Result<BlockNumber, AppendError> {
    let content = Content::of(message);
    let queues: Vec<QueueId> = queues.iter().map(|queue| QueueId::new(*queue)).collect();
    let (head, tail) = content.body.split_at(content.body.len() / 3);
    shard.publish(&NewMessage {
        queues: &queues,
        properties: &[&content.properties],
        body: &[head, tail],
        persistence,
        priority: 0,
        timestamp_ms: message,
        expires_ms: None,
    })
}
