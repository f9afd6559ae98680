//! Taking a batch: checked first, then appended under one hold of the lock, into one block.
//!
//! Invariants:
//! - Whatever can be refused is refused before the first append; after that nothing can fail half-way.
//! - What is expired by then does not make a queue full.
//! - A batch that was refused leaves its deliveries open, so that dropping it puts them back.
//! - Acknowledgements that follow each other in one queue, with nothing beside them, are one range: whole or not at all without
//!   more ado, and in no hurry unless somebody waits for them.

use super::batch::Batch;
use super::error::{Amount, CommitError, TryCommitError};
use super::{Delivery, Store, Ticket};
use crate::disk::{Disk, Now};
use crate::encoded::EncodedMessages;
use crate::error::AppendError;
use crate::format::byte_count;
use crate::format::record::AckReason;
use crate::ids::{BlockNumber, Durable, QueueId, Seq};
use crate::limits::{EXPIRE_MESSAGES_MAX, REFERENCES_MAX};
use crate::queue_limits::WhenFull;
use crate::shard::{NewMessage, Shard, TransactionSize};
use std::sync::Arc;

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
        if let Some((queue, first, count)) = self.only_range(&batch) {
            let block = settle(batch, self.acknowledge(queue, first, count))?;
            return Ok(Ticket::new(self, block));
        }
        let block = self.append(batch)?;
        self.engine().commit(usize::MAX);
        Ok(Ticket::new(self, block))
    }

    /// The same, but gives the batch back instead of waiting while the disk is behind. One that only acknowledges is always taken.
    ///
    /// # Errors
    /// When there is no room now, or the batch cannot be taken at all.
    #[expect(clippy::result_large_err, reason = "the batch comes back as it was handed in")]
    pub fn try_commit(&self, batch: Batch<D>) -> Result<Ticket<D>, TryCommitError<D>> {
        let mut batch = batch;
        let mut guard = self.engine().lock();
        let shard = guard.shard();
        if !has_room_for(shard, &batch) && shard.check_alive().is_ok() {
            return Err(if shard.chores.is_full {
                TryCommitError::DiskFull(batch)
            } else {
                TryCommitError::Full(batch)
            });
        }
        let taken = self.take(shard, &mut batch);
        drop(guard);
        let block = settle(batch, taken).map_err(|error| self.with_name(error))?;
        self.engine().commit(usize::MAX);
        Ok(Ticket::new(self, block))
    }

    /// Makes a batch durable without blocking the thread: for any executor, tokio's among them.
    ///
    /// Nothing is done before the future is first polled. Dropped while the disk is behind, it has done nothing either, and what was
    /// in the batch goes with it: its deliveries are back in their queues, as when they are dropped. Once the batch was accepted, it
    /// becomes durable all the same, unless a crash comes first, and nobody is told. Who drops the future, by a timeout or `select!`,
    /// cannot tell which of these it was; [`Store::try_commit`] and its ticket can.
    ///
    /// # Errors
    /// As [`Store::commit`].
    pub async fn commit_async(&self, batch: Batch<D>) -> Result<Durable, CommitError> {
        let mut batch = batch;
        loop {
            batch = match self.try_commit(batch) {
                Ok(ticket) => return ticket.await,
                Err(TryCommitError::Commit(error)) => return Err(error),
                Err(TryCommitError::Full(batch) | TryCommitError::DiskFull(batch)) => batch,
            };
            let next = self.engine().lock().shard().durable().end().next();
            Ticket::new(self, next).await?;
        }
    }

    /// Ends the life of leased entries: durable a few milliseconds later, or when somebody waits for it.
    pub(super) fn acknowledge(
        &self,
        queue: QueueId,
        first: Seq,
        count: u64,
    ) -> Result<BlockNumber, CommitError> {
        let mut guard = self.engine().lock();
        let shard = guard.shard();
        let waiting = shard.waiting_lazily();
        if waiting.is_none() {
            shard.set_time(self.now());
        }
        let block = shard.acknowledge(queue, first, count, AckReason::Acked, shard.time())?;
        // Whoever brought the first that waits in a block has said when it is due.
        let rides = waiting.is_some() && shard.waiting_lazily() == waiting;
        drop(guard);
        if !rides {
            self.engine().commit(0);
        }
        Ok(block)
    }

    /// The range that the acknowledgements of a batch are, if they are one and there is nothing else in it.
    fn only_range(&self, batch: &Batch<D>) -> Option<(QueueId, Seq, u64)> {
        let (first, others) = batch.acks.split_first().filter(|_| batch.messages.count() == 0)?;
        let (queue, start) = (first.queue(), first.seq());
        let follows = |(delivery, seq): (&Delivery<D>, u64)| {
            let is_next = delivery.seq().get() == seq && delivery.queue() == queue;
            is_next && (Arc::ptr_eq(&delivery.fetched, &first.fetched) || self.is(&delivery.fetched.store))
        };
        let seqs = start.get() + 1..;
        let is_one = self.is(&first.fetched.store) && others.iter().zip(seqs).all(follows);
        is_one.then(|| (queue, start, byte_count(batch.acks.len())))
    }

    fn append(&self, batch: Batch<D>) -> Result<BlockNumber, CommitError> {
        let mut batch = batch;
        loop {
            let mut guard = self.engine().lock();
            let shard = guard.shard();
            if has_room_for(shard, &batch) || shard.check_alive().is_err() {
                let taken = self.take(shard, &mut batch);
                drop(guard);
                return settle(batch, taken).map_err(|error| self.with_name(error));
            }
            let next = shard.durable().end().next();
            drop(guard);
            self.engine().wait_durable(next).map_err(CommitError::Poisoned)?;
        }
    }

    fn take(&self, shard: &mut Shard<D>, batch: &mut Batch<D>) -> Result<BlockNumber, CommitError> {
        if batch.is_empty() {
            return Ok(shard.durable().end());
        }
        let acks = self.acks_of(shard, batch)?;
        let messages = &batch.messages;
        let (queues, limit) = (messages.references_max(), REFERENCES_MAX);
        if queues > limit {
            return Err(CommitError::TooManyQueues { queues, limit });
        }
        if let Some(unknown) = messages.queues().iter().find(|id| shard.counts(**id).is_none()) {
            return Err(CommitError::UnknownQueue((*unknown).into()));
        }
        let (bytes, limit) = (shard.bytes_of(messages), shard.transaction_bytes_max());
        if bytes > limit {
            return Err(AppendError::TooLarge { bytes, limit }.into());
        }
        let now = self.now();
        if messages.queues().iter().any(|queue| may_refuse(shard, *queue)) {
            shard.expire(now, EXPIRE_MESSAGES_MAX)?;
            check_limits(shard, batch)?;
        }
        if let (1, []) = (messages.count(), acks.as_slice()) {
            // One record is whole or not at all without more ado.
            return publish(shard, &mut batch.messages, now);
        }
        let mut size = TransactionSize::default();
        size.add_encoded(&batch.messages, bytes);
        size.add_ranges(acks.len());
        let (result, block) = shard.transaction(&size, |shard| {
            for (queue, first, count) in &acks {
                shard.acknowledge(*queue, *first, *count, AckReason::Acked, now)?;
            }
            publish(shard, &mut batch.messages, now)
        })?;
        result?;
        Ok(block)
    }

    /// The acknowledged entries as ranges.
    fn acks_of(&self, shard: &Shard<D>, batch: &Batch<D>) -> Result<Vec<(QueueId, Seq, u64)>, CommitError> {
        let mut ranges: Vec<(QueueId, Seq, u64)> = Vec::new();
        for delivery in &batch.acks {
            let (queue, seq) = (delivery.queue(), delivery.seq());
            if !self.is(&delivery.fetched.store) {
                return Err(CommitError::OtherStore { queue, seq });
            }
            match ranges.last_mut() {
                Some((last, first, count)) if *last == queue && first.plus(*count) == seq => *count += 1,
                _ => ranges.push((queue, seq, 1)),
            }
        }
        ranges.sort_unstable();
        ranges.dedup_by(|next, range| {
            let touches = next.0 == range.0 && range.1.plus(range.2) == next.1;
            if touches {
                range.2 += next.2;
            }
            touches
        });
        match ranges.iter().find(|(queue, ..)| shard.counts(*queue).is_none()) {
            Some((queue, ..)) => Err(CommitError::UnknownQueue((*queue).into())),
            None => Ok(ranges),
        }
    }
}

/// Whether the disk keeps up. What only acknowledges is taken all the same, as it is one by one: it makes room.
fn has_room_for<D: Disk>(shard: &Shard<D>, batch: &Batch<D>) -> bool {
    batch.messages.count() == 0 || shard.has_room()
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

fn publish<D: Disk>(
    shard: &mut Shard<D>,
    messages: &mut EncodedMessages,
    now: Now,
) -> Result<BlockNumber, CommitError> {
    if shard.takes_encoded(messages) {
        return Ok(shard.publish_encoded(messages, now.wall_ms)?);
    }
    let (mut block, mut queues) = (shard.building(), Vec::new());
    for (message, life_ms) in messages.iter() {
        queues.clear();
        queues.extend(message.references().map(|reference| reference.queue));
        block = shard.publish(&NewMessage {
            queues: &queues,
            properties: &[message.properties],
            body: &[message.body],
            persistence: message.persistence,
            priority: message.priority,
            timestamp_ms: now.wall_ms,
            expires_ms: life_ms.map(|life_ms| now.wall_ms.saturating_add(life_ms)),
        })?;
    }
    Ok(block)
}

/// What a batch brings to a queue that may refuse it.
struct Brought {
    queue: QueueId,
    bytes: u64,
}

/// Refuses a batch that does not fit into one of its queues: messages one by one would refuse only the last of them.
fn check_limits<D: Disk>(shard: &Shard<D>, batch: &Batch<D>) -> Result<(), CommitError> {
    let mut brought = Vec::new();
    for (message, _) in batch.messages.iter() {
        let bytes = Shard::<D>::counted_bytes(message.properties.len(), message.body.len());
        let queues = message.references().map(|reference| reference.queue);
        let limited = queues.filter(|queue| may_refuse(shard, *queue));
        brought.extend(limited.map(|queue| Brought { queue, bytes }));
    }
    brought.sort_unstable_by_key(|brought| brought.queue);
    for same in brought.chunk_by(|one, other| one.queue == other.queue) {
        let queue = same[0].queue;
        let more = Amount {
            messages: byte_count(same.len()),
            bytes: same.iter().map(|brought| brought.bytes).sum(),
        };
        let ready = Amount {
            messages: shard.counts(queue).unwrap_or_default().ready,
            bytes: shard.ready_bytes(queue).unwrap_or_default(),
        };
        if shard
            .limits(queue)
            .are_exceeded_by(ready.messages + more.messages, ready.bytes + more.bytes)
        {
            let queue = queue.into();
            return Err(CommitError::QueueFull { queue, ready, more });
        }
    }
    Ok(())
}

fn may_refuse<D: Disk>(shard: &Shard<D>, queue: QueueId) -> bool {
    let limits = shard.limits(queue);
    !limits.is_unlimited() && limits.when_full == WhenFull::Refuse
}
