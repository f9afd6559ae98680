//! Messages published, one by one and in transactions; refused where a queue is full.

use logpond_store::Priority;
use logpond_store::disk::Disk;
use logpond_store::disk::sim::SimDisk;
use logpond_store::{
    AckReason, AppendError, Attempts, BlockNumber, NewMessage, Now, Persistence, QueueId, Seq, Shard,
    TransactionSize,
};

use super::ended::Carriers;
use super::{Entries, Flow, Session, Step};
use crate::sim::message::Content;
use crate::sim::model::{Entry, Event};

/// A message that is to be published.
#[derive(Clone, Debug)]
pub(in crate::sim) struct Publication {
    pub(in crate::sim) queues: Vec<u64>,
    pub(in crate::sim) message: u64,
    pub(in crate::sim) persistence: Persistence,
    pub(in crate::sim) priority: Option<u8>,
    /// How long it lives.
    pub(in crate::sim) life_ms: Option<u64>,
}

impl Publication {
    /// For ever, and like any other.
    pub(in crate::sim) const fn plain(queues: Vec<u64>, message: u64, persistence: Persistence) -> Self {
        Self {
            queues,
            message,
            persistence,
            priority: None,
            life_ms: None,
        }
    }

    fn content(&self) -> Content {
        Content::of(self.message)
    }
}

impl Session<'_> {
    pub(in crate::sim) fn next_message(&mut self) -> u64 {
        self.world.numbers.message += 1;
        self.world.numbers.message
    }

    /// Publishes, or lets the store make room first.
    pub(in crate::sim) fn publish(&mut self, publication: &Publication) -> Step {
        let now = self.disk.now();
        let content = publication.content();
        let published = {
            let mut guard = self.store.lock();
            let shard = guard.shard();
            if shard.has_room() {
                Some(publish_to(shard, publication, &content, now))
            } else {
                None
            }
        };
        let Some(published) = published else {
            return self.step();
        };
        self.check_refusal(publication, &content, &published)?;
        match published {
            Ok(block) => {
                self.published(block, publication, &content, now);
                self.trim_all(&publication.queues, block);
                Ok(Flow::On)
            }
            Err(AppendError::QueueFull(_)) => Ok(Flow::On),
            Err(error) => self.refused(&error),
        }
    }

    /// A message is refused if and only if one of its queues is full, and the first of them is named.
    fn check_refusal(
        &mut self,
        publication: &Publication,
        content: &Content,
        published: &Result<BlockNumber, AppendError>,
    ) -> Result<(), String> {
        let refused_by = match published {
            Ok(_) => None,
            Err(AppendError::QueueFull(queue)) => Some(queue.get()),
            Err(_) => return Ok(()),
        };
        let bytes = content.body_bytes();
        let mut queues = publication.queues.iter().copied();
        let full = queues.find(|queue| self.refuses(*queue, bytes));
        if refused_by != full {
            return Err(format!(
                "message {} was refused by queue {refused_by:?}; full is {full:?}",
                publication.message
            ));
        }
        self.world.statistics.refused += u64::from(full.is_some());
        Ok(())
    }

    fn published(&mut self, block: BlockNumber, publication: &Publication, content: &Content, now: Now) {
        self.world.statistics.publishes += 1;
        let bytes = content.body_bytes();
        let entry = |queue: &u64| {
            let lives = [publication.life_ms, self.policy(*queue).life_ms];
            let life_ms = lives.into_iter().flatten().min();
            let entry = Entry {
                message: publication.message,
                persistent: publication.persistence == Persistence::Persistent,
                delivered: false,
                attempts: Attempts::default(),
                attempts_most: Attempts::default(),
                priority: publication.priority,
                expires_ms: life_ms.map(|life_ms| now.wall_ms + life_ms),
                bytes,
            };
            (*queue, entry)
        };
        let entries = publication.queues.iter().map(entry).collect();
        self.record(block, Event::Publish { entries });
    }

    /// What a message drops is dropped in its block.
    fn trim_all(&mut self, queues: &[u64], block: BlockNumber) {
        for queue in queues {
            let (first, last) = (block, block);
            self.trim(*queue, Carriers { first, last });
        }
    }

    /// Some publishes and an acknowledgement that a crash must not part; what a full queue refuses is left out. Too much for a
    /// block is let be.
    pub(in crate::sim) fn transaction(
        &mut self,
        publications: &[Publication],
        acked: Option<Entries>,
    ) -> Step {
        let now = self.disk.now();
        let contents: Vec<_> = publications.iter().map(Publication::content).collect();
        let mut size = TransactionSize::default();
        for (publication, content) in publications.iter().zip(&contents) {
            let queues: Vec<_> = publication.queues.iter().copied().map(QueueId::new).collect();
            size.add_message(&queues, content.properties.len(), content.body.len());
        }
        size.add_ranges(1);
        let done = {
            let mut guard = self.store.lock();
            let shard = guard.shard();
            if !shard.has_room() {
                return Ok(Flow::On);
            }
            shard.transaction(&size, |shard| {
                let published: Vec<_> = publications
                    .iter()
                    .zip(&contents)
                    .map(|(publication, content)| publish_to(shard, publication, content, now))
                    .collect();
                let Some(Entries { queue, first, count }) = acked else {
                    return Ok((published, None));
                };
                let queue = QueueId::new(queue);
                let block = shard.acknowledge(queue, Seq::new(first), count, AckReason::Acked, now)?;
                Ok((published, Some(block)))
            })
        };
        let ((published, acked_in), block) = match done {
            Ok((Ok(done), block)) => (done, block),
            Err(AppendError::TooLarge { .. }) => return Ok(Flow::On),
            Ok((Err(error), _)) | Err(error) => return self.refused(&error),
        };
        for ((publication, content), published) in publications.iter().zip(&contents).zip(&published) {
            self.check_refusal(publication, content, published)?;
            match published {
                Ok(_) => self.published(block, publication, content, now),
                Err(AppendError::QueueFull(_)) => {}
                Err(error) => return self.refused(error),
            }
        }
        // What is not logged is gone before the block is durable.
        if let (Some(block), Some(entries)) = (acked_in, acked) {
            self.gone(block, entries);
        }
        for publication in publications {
            self.trim_all(&publication.queues, block);
        }
        Ok(Flow::On)
    }
}

fn publish_to(
    shard: &mut Shard<SimDisk>,
    publication: &Publication,
    content: &Content,
    now: Now,
) -> Result<BlockNumber, AppendError> {
    let queues: Vec<QueueId> = publication
        .queues
        .iter()
        .map(|queue| QueueId::new(*queue))
        .collect();
    let (head, tail) = content.body.split_at(content.body.len() / 3);
    shard.publish(&NewMessage {
        queues: &queues,
        properties: &[&content.properties],
        body: &[head, tail],
        persistence: publication.persistence,
        priority: publication.priority.map_or(Priority::NONE, Priority::new),
        timestamp_ms: now.wall_ms,
        expires_ms: publication.life_ms.map(|life_ms| now.wall_ms + life_ms),
    })
}
