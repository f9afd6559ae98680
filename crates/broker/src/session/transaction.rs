//! What a transactional channel collects until `tx.commit`, and how it is committed.
//!
//! Invariants:
//! - Everything of one commit lands in one block: after a crash all of it is there, or nothing.
//! - A commit that no block has room for is refused as a whole, before anything of it is done.
//! - A rollback puts the acknowledgements back and forgets the publishes.
//! - What is not committed is not acknowledged: deliveries lapse here as elsewhere, and what has lapsed is no part of a commit.

use std::fmt;

use logpond_store::disk::{Disk, Now};
use logpond_store::{AckReason, AppendError, BlockNumber, QueueId, TransactionSize};

use super::channel::Mode;
use super::lapse::expect_acknowledgement;
use super::locked::{Locked, Outcome};
use super::publish::Address;
use super::reply::Answered;
use super::{Body, ChannelId, Returned, Session};
use crate::dead_letter::Letter;
use crate::errors::{AmqpError, Answer, precondition_failed, storage_failed};
use crate::limits::{TRANSACTION_BYTES_MAX, TRANSACTION_COMMANDS_MAX};
use crate::replies::is_reply_name;
use crate::table::FurtherKeys;
use crate::unacked::Run;

/// What a key takes in memory beside its bytes.
const KEY_BYTES: usize = 16;

/// A publish that waits for its commit.
pub(super) struct PendingPublish {
    pub exchange: Box<[u8]>,
    pub routing_key: Box<[u8]>,
    /// Those of the headers `CC` and `BCC`.
    pub further_keys: Vec<Box<[u8]>>,
    /// How many of them stand in `CC`.
    pub shown_keys: usize,
    pub mandatory: bool,
    /// What stands before the exchange.
    pub prefix: Box<[u8]>,
    pub properties: Box<[u8]>,
    pub body: Box<[u8]>,
    /// Where it goes, as the exchanges stood when it was published.
    pub address: Address,
}

impl PendingPublish {
    pub(super) fn further_keys(&self) -> Vec<&[u8]> {
        self.further_keys.iter().map(|key| &**key).collect()
    }

    /// As a letter, for queues that pass on what they refuse.
    fn letter(&self) -> Letter {
        let further = FurtherKeys {
            keys: self.further_keys(),
            shown: self.shown_keys,
            has_hidden: self.shown_keys < self.further_keys.len(),
        };
        Letter::published(&self.exchange, &self.routing_key, &further, &self.properties)
    }

    /// Whether it goes to a consumer of replies.
    fn is_reply(&self) -> bool {
        self.exchange.is_empty()
            && (is_reply_name(&self.routing_key) || self.further_keys.iter().any(|key| is_reply_name(key)))
    }
}

/// The collected commands of a transactional channel.
#[derive(Default)]
pub(super) struct Transaction {
    pub publishes: Vec<PendingPublish>,
    pub settled: Vec<(Run, Outcome)>,
    bytes: u64,
}

impl Transaction {
    /// Collects a publish.
    pub(super) fn add(&mut self, publish: PendingPublish) -> Answer<()> {
        let keys = publish
            .further_keys
            .iter()
            .map(|key| key.len() + KEY_BYTES)
            .sum::<usize>();
        let queues = publish.address.len() * size_of::<QueueId>();
        let bytes = publish.properties.len() + publish.body.len() + publish.routing_key.len() + keys + queues;
        self.bytes += u64::try_from(bytes).unwrap_or(u64::MAX);
        if self.publishes.len() >= TRANSACTION_COMMANDS_MAX || self.bytes > TRANSACTION_BYTES_MAX {
            return Err(precondition_failed(format_args!(
                "a transaction takes at most {TRANSACTION_COMMANDS_MAX} messages and {TRANSACTION_BYTES_MAX} bytes"
            )));
        }
        self.publishes.push(publish);
        Ok(())
    }

    /// Collects what was settled.
    pub(super) fn settle(&mut self, run: Run, outcome: Outcome) -> Answer<()> {
        if let Some((last, same)) = self.settled.last_mut()
            && *same == outcome
            && last.extend(&run)
        {
            return Ok(());
        }
        self.settled.push((run, outcome));
        if self.settled.len() > TRANSACTION_COMMANDS_MAX {
            return Err(precondition_failed(format_args!(
                "a transaction takes at most {TRANSACTION_COMMANDS_MAX} acknowledgements that do not follow one another"
            )));
        }
        Ok(())
    }

    /// Hands out what is due, and keeps its tags.
    pub(super) fn lapse(&mut self, now: Now, mut taken: impl FnMut(Run)) {
        for (run, _) in &mut self.settled {
            run.lapse(now, &mut taken);
        }
    }

    /// The first deadline that is still to come.
    pub(super) fn first_deadline_ms(&self) -> Option<u64> {
        let runs = self.settled.iter();
        runs.filter_map(|(run, _)| run.deadline.at_ms()).min()
    }
}

impl<D: Disk> Session<D> {
    /// `tx.select`.
    ///
    /// # Errors
    /// 406 on a channel in confirm mode.
    pub fn tx_select(&mut self, channel: ChannelId, now: Now) -> Answer<()> {
        self.on_channel(channel, now, |session| {
            let mode = &mut session.core.channel(channel)?.mode;
            match mode {
                Mode::Confirm(_) => Err(precondition_failed("cannot switch from confirm to tx mode")),
                Mode::Transactional(_) => Ok(()),
                Mode::Plain => {
                    *mode = Mode::Transactional(Box::default());
                    Ok(())
                }
            }
        })
    }

    /// `tx.commit`: returns when everything is durable. `returned` gets mandatory messages without a queue;
    /// send them before commit-ok.
    ///
    /// # Errors
    /// 406 when the channel is not transactional, or when it is too much for one block: nothing of it was done then. 406 with
    /// "partial tx completion" when a full queue refused some of it, and the rest was done. 541 when the storage failed.
    pub fn tx_commit(
        &mut self,
        channel: ChannelId,
        now: Now,
        returned: &mut impl FnMut(&Returned<'_>),
    ) -> Answer<()> {
        self.on_channel(channel, now, |session| session.commit(channel, now, returned))
    }

    /// `tx.rollback`.
    ///
    /// # Errors
    /// 406 when the channel is not transactional.
    pub fn tx_rollback(&mut self, channel: ChannelId, now: Now) -> Answer<()> {
        self.on_channel(channel, now, |session| {
            let transaction = session.take_transaction(channel)?;
            for (run, _) in transaction.settled {
                session.core.channel(channel)?.unacked.restore(run);
                expect_acknowledgement(&mut session.core.lapse_ms, run.deadline);
            }
            Ok(())
        })
    }

    fn take_transaction(&mut self, channel: ChannelId) -> Answer<Transaction> {
        match &mut self.core.channel(channel)?.mode {
            Mode::Transactional(transaction) => Ok(std::mem::take(transaction)),
            _ => Err(precondition_failed("channel is not transactional")),
        }
    }

    fn commit(
        &mut self,
        channel: ChannelId,
        now: Now,
        returned: &mut impl FnMut(&Returned<'_>),
    ) -> Answer<()> {
        let mut transaction = self.take_transaction(channel)?;
        // Too late: others may have it.
        transaction.settled.retain(|(run, _)| !run.has_lapsed());
        let mut locked = Locked::new(&self.broker, &mut self.core, now);
        let published = locked.commit(&mut transaction, now);
        let appended = transaction.publishes.len() + transaction.settled.len();
        locked.release(appended, now);
        let Committed {
            block,
            unroutable,
            is_partial,
        } = published?;
        for at in unroutable {
            let publish = &transaction.publishes[at];
            returned(&Returned {
                channel,
                exchange: &publish.exchange,
                routing_key: &publish.routing_key,
                properties: &publish.properties,
                body: Body::Whole(&publish.body),
            });
        }
        block.map_or(Ok(()), |block| self.broker.wait_durable(block))?;
        if is_partial {
            return Err(precondition_failed("partial tx completion"));
        }
        Ok(())
    }
}

/// What came of a commit.
struct Committed {
    /// The block of all of it, or of the last copy of what full queues refused, unless nothing was written.
    block: Option<BlockNumber>,
    /// Which mandatory publishes reached no queue.
    unroutable: Vec<usize>,
    /// A full queue refused something.
    is_partial: bool,
}

/// What the shard took of a transaction, and what is left to be done.
struct Applied<'t> {
    committed: Committed,
    replies: Vec<&'t PendingPublish>,
    /// Publishes that some of their queues refused.
    refused: Vec<(&'t PendingPublish, Vec<QueueId>)>,
}

impl<D: Disk> Locked<'_, D> {
    fn commit(&mut self, transaction: &mut Transaction, now: Now) -> Answer<Committed> {
        let (_, state) = self.guard.parts();
        for publish in &mut transaction.publishes {
            publish.address.keep_existing(state);
        }
        let transaction = &*transaction;
        let applied = self.apply_transaction(transaction, now);
        if applied.is_err() {
            // Nothing that it settled has come to its end: the messages go back, as when the channel closes.
            for (run, _) in &transaction.settled {
                self.settle(*run, Outcome::Failed);
            }
        }
        let Applied {
            mut committed,
            replies,
            refused,
        } = applied?;
        for (run, outcome) in &transaction.settled {
            match outcome {
                Outcome::Requeued | Outcome::Failed => self.settle(*run, *outcome),
                Outcome::Acked | Outcome::Dropped => self.state().settled(run),
            }
        }
        for (publish, queues) in refused {
            let block = self.pass_on(|| publish.letter(), &[&publish.body], &queues)?;
            committed.block = committed.block.max(block);
        }
        for publish in replies {
            self.reply(Answered {
                routing_key: &publish.routing_key,
                further_keys: &publish.further_keys(),
                properties: &publish.properties,
                body: &[&publish.body],
            });
        }
        Ok(committed)
    }

    /// Hands a transaction to the shard, in one block. Where that fails, nothing that it settled has come to its end.
    fn apply_transaction<'t>(&mut self, transaction: &'t Transaction, now: Now) -> Answer<Applied<'t>> {
        let mut unroutable = Vec::new();
        let mut routed = Vec::new();
        let mut replies = Vec::new();
        let mut size = TransactionSize::default();
        let limit = self.guard.shard().transaction_bytes_max();
        let mut bytes_min = 0;
        for (at, publish) in transaction.publishes.iter().enumerate() {
            let address = &publish.address;
            if publish.is_reply() {
                replies.push(publish);
            } else if address.queues.is_empty() && publish.mandatory {
                unroutable.push(at);
            }
            if address.queues.is_empty() && address.delays.is_empty() {
                continue;
            }
            let body = [&*publish.body];
            let waiting = (!address.delays.is_empty()).then(|| address.waiting(publish, &body));
            for stored in waiting.iter().chain([&address.stored(publish, &body)]) {
                stored.add_to(&mut size);
                bytes_min += stored.bytes_min();
            }
            if bytes_min > limit {
                // Here, so that of a transaction that is far too large the queues are not collected.
                return Err(too_large(format_args!("{bytes_min} bytes or more"), limit));
            }
            routed.push((publish, address));
        }
        let ends = |outcome: Outcome| matches!(outcome, Outcome::Acked | Outcome::Dropped);
        let ends = transaction.settled.iter().filter(|(_, how)| ends(*how)).count();
        let writes = !routed.is_empty() || ends > 0;
        size.add_ranges(ends);
        let mut refused = Vec::new();
        let (shard, state) = self.guard.parts();
        let applied = shard.transaction(&size, |shard| {
            for (publish, address) in &routed {
                // A full queue that refuses it goes without.
                let body = [&*publish.body];
                if !address.delays.is_empty() {
                    address.waiting(publish, &body).publish(shard, now)?;
                }
                let stored = address.stored(publish, &body);
                let (properties, bytes) = stored.lengths();
                state.tell_awaited(shard, &address.queues, properties, bytes);
                let fitted = stored.publish_where_it_fits(shard, now)?;
                if !fitted.refused.is_empty() {
                    refused.push((*publish, fitted.refused));
                }
            }
            for (run, outcome) in &transaction.settled {
                let ended = match outcome {
                    Outcome::Acked => {
                        shard.acknowledge(run.queue, run.first_seq, run.count, AckReason::Acked, now)
                    }
                    // What is a dead letter ends later, together with its copy.
                    Outcome::Dropped => shard.reject(run.queue, run.first_seq, run.count, now),
                    Outcome::Requeued | Outcome::Failed => continue,
                };
                match ended {
                    // A queue that was deleted meanwhile has nothing left to acknowledge.
                    Ok(_) | Err(AppendError::UnknownQueue(_)) => {}
                    Err(error) => return Err(storage_failed(error)),
                }
            }
            Ok::<_, AmqpError>(())
        });
        let (outcome, block) = applied.map_err(not_taken)?;
        // There was room for all of it, so what failed is the storage, and the block is never written.
        outcome?;
        Ok(Applied {
            committed: Committed {
                block: writes.then_some(block),
                unroutable,
                is_partial: !refused.is_empty(),
            },
            replies,
            refused,
        })
    }
}

fn not_taken(error: AppendError) -> AmqpError {
    match error {
        AppendError::TooLarge { bytes, limit } => too_large(format_args!("{bytes} bytes"), limit),
        other => storage_failed(other),
    }
}

fn too_large(length: impl fmt::Display, limit: u64) -> AmqpError {
    precondition_failed(format_args!(
        "a transaction of {length} is larger than the limit of {limit}"
    ))
}
