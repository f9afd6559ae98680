//! Taking a batch: checked first, then appended under one hold of the lock, into one block.
//!
//! Invariants:
//! - Whatever can be refused is refused before the first append; after that nothing can fail half-way.
//! - A batch that was refused leaves its deliveries open, so that dropping it puts them back.

use super::batch::Batch;
use super::error::{CommitError, TryCommitError};
use super::hub::Hub;
use super::options::Overflow;
use super::{Store, Ticket};
use crate::disk::{Disk, Now};
use crate::format::byte_count;
use crate::format::record::{AckReason, Persistence};
use crate::ids::{BlockNumber, Durable, QueueId, Seq};
use crate::limits::REFERENCES_MAX;
use crate::shard::{Lease, NewMessage, Shard, Sources};

/// What an acknowledged range takes in a transaction.
const RANGE_BYTES: u64 = 24;

/// So many of the oldest messages of a queue make room.
struct Displaced {
    queue: QueueId,
    count: u64,
}

impl<D: Disk> Store<D> {
    /// Makes a batch durable, and returns when it is. Waits while the disk is behind.
    ///
    /// # Errors
    /// When the batch cannot be taken, or a write or sync failed; see [`CommitError`].
    pub fn commit(&self, batch: Batch<D>) -> Result<Durable, CommitError> {
        let block = self.append(batch)?;
        // No commit of the engine: who waits writes.
        self.engine().wait_durable(block).map_err(CommitError::Poisoned)
    }

    /// Hands a batch to the journal and returns: it is durable when the ticket says so, and lost if a crash comes before
    /// that. Waits while the disk is behind.
    ///
    /// # Errors
    /// When the batch cannot be taken; see [`CommitError`].
    pub fn commit_buffered(&self, batch: Batch<D>) -> Result<Ticket<D>, CommitError> {
        let block = self.append(batch)?;
        self.engine().commit(usize::MAX);
        Ok(Ticket::new(self, block))
    }

    /// The same, but gives the batch back instead of waiting while the disk is behind.
    ///
    /// # Errors
    /// When there is no room now, or the batch cannot be taken at all.
    pub fn try_commit(&self, batch: Batch<D>) -> Result<Ticket<D>, TryCommitError<D>> {
        let mut guard = self.engine().lock();
        let (shard, hub) = guard.parts();
        if !shard.has_room() {
            return Err(TryCommitError::Full(batch));
        }
        let taken = self.take(shard, hub, &batch);
        drop(guard);
        let block = settle(batch, taken)?;
        self.engine().commit(usize::MAX);
        Ok(Ticket::new(self, block))
    }

    /// Makes a batch durable without blocking the thread: for any executor, tokio's among them.
    ///
    /// # Errors
    /// As [`Store::commit`].
    pub async fn commit_async(&self, batch: Batch<D>) -> Result<Durable, CommitError> {
        let mut batch = batch;
        loop {
            batch = match self.try_commit(batch) {
                Ok(ticket) => return ticket.await,
                Err(TryCommitError::Commit(error)) => return Err(error),
                Err(TryCommitError::Full(batch)) => batch,
            };
            let next = self.engine().lock().shard().durable().end().next();
            Ticket::new(self, next).await?;
        }
    }

    fn append(&self, batch: Batch<D>) -> Result<BlockNumber, CommitError> {
        loop {
            let mut guard = self.engine().lock();
            let (shard, hub) = guard.parts();
            if shard.has_room() || shard.poisoned().is_some() {
                let taken = self.take(shard, hub, &batch);
                drop(guard);
                return settle(batch, taken);
            }
            let next = shard.durable().end().next();
            drop(guard);
            self.engine().wait_durable(next).map_err(CommitError::Poisoned)?;
        }
    }

    fn take(&self, shard: &mut Shard<D>, hub: &Hub, batch: &Batch<D>) -> Result<BlockNumber, CommitError> {
        if batch.is_empty() {
            return Ok(shard.durable().end());
        }
        let acks = self.acks_of(shard, batch)?;
        let mut bytes = 0;
        let mut known = None;
        for publication in batch.publications() {
            let (queues, limit) = (publication.queues.len(), REFERENCES_MAX);
            if queues > limit {
                return Err(CommitError::TooManyQueues { queues, limit });
            }
            for queue in publication.queues {
                if known != Some(*queue) && shard.counts(*queue).is_none() {
                    return Err(CommitError::UnknownQueue(*queue));
                }
                known = Some(*queue);
            }
            let message = publication.message;
            bytes += Shard::<D>::message_bytes(queues, message.properties().len(), message.body().len());
        }
        let displaced = displaced(shard, hub, batch)?;
        let now = self.now();
        if let (1, [], []) = (batch.message_count(), acks.as_slice(), displaced.as_slice()) {
            // One record is whole or not at all without more ado.
            return publish(shard, batch, now);
        }
        let dropped: u64 = displaced.iter().map(|displaced| displaced.count).sum();
        bytes += (byte_count(acks.len()) + dropped) * RANGE_BYTES;
        let (result, block) = shard.transaction(bytes, |shard| {
            for (queue, first, count) in &acks {
                shard.acknowledge(*queue, *first, *count, AckReason::Acked, now)?;
            }
            for displaced in &displaced {
                displace(shard, displaced, now)?;
            }
            publish(shard, batch, now)
        })?;
        result?;
        Ok(block)
    }

    /// The acknowledged entries as ranges.
    fn acks_of(&self, shard: &Shard<D>, batch: &Batch<D>) -> Result<Vec<(QueueId, Seq, u64)>, CommitError> {
        let mut entries = Vec::with_capacity(batch.acks.len());
        for delivery in &batch.acks {
            let (queue, seq) = (delivery.queue(), delivery.seq());
            if !self.is(&delivery.fetched.store) {
                return Err(CommitError::OtherStore { queue, seq });
            }
            entries.push((queue, seq));
        }
        entries.sort_unstable();
        let mut ranges: Vec<(QueueId, Seq, u64)> = Vec::new();
        for (queue, seq) in entries {
            match ranges.last_mut() {
                Some((last, first, count)) if *last == queue && first.plus(*count) == seq => *count += 1,
                _ => ranges.push((queue, seq, 1)),
            }
        }
        match ranges.iter().find(|(queue, ..)| shard.counts(*queue).is_none()) {
            Some((queue, ..)) => Err(CommitError::UnknownQueue(*queue)),
            None => Ok(ranges),
        }
    }
}

/// The deliveries of a batch that was taken are done.
fn settle<D: Disk>(
    mut batch: Batch<D>,
    taken: Result<BlockNumber, CommitError>,
) -> Result<BlockNumber, CommitError> {
    let block = taken?;
    for delivery in &mut batch.acks {
        delivery.is_open = false;
    }
    Ok(block)
}

fn publish<D: Disk>(shard: &mut Shard<D>, batch: &Batch<D>, now: Now) -> Result<BlockNumber, CommitError> {
    let mut block = shard.building();
    for publication in batch.publications() {
        block = shard.publish(&NewMessage {
            queues: publication.queues,
            properties: &[publication.message.properties()],
            body: &[publication.message.body()],
            persistence: Persistence::Persistent,
            priority: 0,
            timestamp_ms: now.wall_ms,
            expires_ms: None,
        })?;
    }
    Ok(block)
}

/// What has to make room for the batch in queues that have a limit.
fn displaced<D: Disk>(shard: &Shard<D>, hub: &Hub, batch: &Batch<D>) -> Result<Vec<Displaced>, CommitError> {
    let mut displaced = Vec::new();
    if hub.limits.is_empty() {
        return Ok(displaced);
    }
    let mut published = batch.published_to().to_vec();
    published.sort_unstable();
    for same in published.chunk_by(|one, other| one == other) {
        let (queue, more) = (same[0], byte_count(same.len()));
        let Some((options, limit)) = hub
            .limits
            .get(&queue)
            .and_then(|o| o.messages_max.map(|max| (o, max)))
        else {
            continue;
        };
        let counts = shard.counts(queue).unwrap_or_default();
        // What the same batch takes out of the queue makes room in it.
        let done = batch
            .acks
            .iter()
            .filter(|delivery| delivery.queue() == queue)
            .count();
        let held = (counts.ready + counts.leased).saturating_sub(byte_count(done));
        if held + more <= limit {
            continue;
        }
        match options.overflow {
            Overflow::Refuse => {
                return Err(CommitError::QueueFull {
                    queue,
                    held,
                    more,
                    limit,
                });
            }
            Overflow::DropOldest => displaced.push(Displaced {
                queue,
                count: (held + more - limit).min(counts.ready),
            }),
        }
    }
    Ok(displaced)
}

/// Takes the oldest ready messages off a queue. What is not durable yet cannot be leased, and stays.
fn displace<D: Disk>(shard: &mut Shard<D>, displaced: &Displaced, now: Now) -> Result<(), CommitError> {
    let (mut leases, mut sources) = (Vec::<Lease>::new(), Sources::default());
    let count = u32::try_from(displaced.count).unwrap_or(u32::MAX);
    shard.lease(displaced.queue, count, u64::MAX, &mut leases, &mut sources)?;
    for lease in leases {
        shard.acknowledge(displaced.queue, lease.seq, 1, AckReason::Dropped, now)?;
    }
    Ok(())
}
