//! Queues created, deleted and purged.

use logpond_store::disk::Disk;
use logpond_store::{QueueDurability, QueueId};

use super::{Flow, Session, Step};
use crate::sim::model::Event;

impl Session<'_> {
    pub(in crate::sim) fn next_queue(&mut self) -> u64 {
        self.world.numbers.queue += 1;
        self.world.numbers.queue
    }

    pub(in crate::sim) fn create_queue(&mut self, queue: u64, durability: QueueDurability) -> Step {
        let durable = durability == QueueDurability::Durable;
        let created = self
            .store
            .lock()
            .shard()
            .create_queue(QueueId::new(queue), durability, b"a queue");
        match created {
            Ok(block) => self.record(block, Event::Create { queue, durable }),
            Err(error) => return self.refused(&error),
        }
        Ok(Flow::On)
    }

    pub(in crate::sim) fn delete_queue(&mut self, queue: u64) -> Step {
        let deleted = self.store.lock().shard().delete_queue(QueueId::new(queue));
        match deleted {
            Ok(block) => self.record(block, Event::Delete { queue }),
            Err(error) => return self.refused(&error),
        }
        self.leased.retain(|(id, _)| *id != queue);
        self.held.retain(|(id, _), _| *id != queue);
        self.letters.retain(|(id, _)| *id != queue);
        Ok(Flow::On)
    }

    pub(in crate::sim) fn purge(&mut self, queue: u64) -> Step {
        let ready: Vec<u64> = self.ready(queue).map(|ready| ready.seq).collect();
        let now = self.disk.now();
        let (first, purged) = {
            let mut guard = self.store.lock();
            let shard = guard.shard();
            (shard.building(), shard.purge(QueueId::new(queue), now))
        };
        match purged {
            Ok((count, _)) if count != u64::try_from(ready.len()).expect("a short queue") => Err(format!(
                "purging queue {queue} took {count} entries instead of {}",
                ready.len()
            )),
            // A purge of nothing writes nothing.
            Ok(_) if ready.is_empty() => Ok(Flow::On),
            Ok((_, last)) => {
                self.world.model.record(
                    first.get(),
                    last.get(),
                    Event::Gone {
                        queue,
                        entries: ready,
                    },
                );
                Ok(Flow::On)
            }
            Err(error) => self.refused(&error),
        }
    }
}
