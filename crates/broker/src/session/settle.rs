//! `basic.ack`, `basic.nack`, `basic.reject`, `basic.recover`.

use logpond_store::AckReason;
use logpond_store::disk::Disk;

use super::channel::Mode;
use super::locked::{Locked, Outcome};
use crate::command::{ChannelId, Extent};
use crate::errors::{AmqpError, Answer, precondition_failed};
use crate::unacked::Run;

impl<D: Disk> Locked<'_, D> {
    /// Settles one tag, or all up to it.
    pub(super) fn settle_tags(
        &mut self,
        channel: ChannelId,
        tag: u64,
        extent: Extent,
        outcome: Outcome,
    ) -> Answer<()> {
        // Without the channel: it failed earlier in this batch.
        let Some(channel) = self.core.channels.get_mut(channel) else {
            return Ok(());
        };
        if extent == Extent::One {
            let run = channel.unacked.take(tag).ok_or_else(|| unknown_tag(tag))?;
            // Too late: others may have it.
            if run.has_lapsed() {
                return Ok(());
            }
            match &mut channel.mode {
                Mode::Transactional(transaction) => return transaction.settle(run, outcome),
                _ => self.settle(run, outcome),
            }
            return Ok(());
        }
        let mut runs = std::mem::take(&mut self.core.runs);
        let known = match tag {
            //= amqp-0-9-1 basic.ack/multiple: tag zero means all outstanding messages, none included
            0 => {
                channel.unacked.take_all(|run| runs.push(run));
                true
            }
            _ => channel.unacked.take_up_to(tag, |run| runs.push(run)),
        };
        let mut collected = Ok(());
        match &mut channel.mode {
            Mode::Transactional(transaction) => {
                for run in runs.drain(..) {
                    // Whatever comes of it, the transaction has all of them: they go back with the channel.
                    collected = collected.and(transaction.settle(run, outcome));
                }
            }
            _ => runs.drain(..).for_each(|run| self.settle(run, outcome)),
        }
        self.core.runs = runs;
        collected?;
        if known { Ok(()) } else { Err(unknown_tag(tag)) }
    }

    /// Gives everything outstanding on the channel back.
    pub(super) fn recover(&mut self, channel: ChannelId) {
        let Some(channel) = self.core.channels.get_mut(channel) else {
            return;
        };
        let mut runs = Vec::new();
        channel.unacked.take_all(|run| runs.push(run));
        runs.into_iter()
            .for_each(|run| self.settle(run, Outcome::Requeued));
    }

    /// Acknowledges what was sent to consumers that do not acknowledge, and drops what could not be read.
    pub(super) fn settle_sent(&mut self) {
        let mut sent = std::mem::take(&mut self.core.inbox.sent);
        sent.drain(..).for_each(|run| self.settle(run, Outcome::Acked));
        self.core.inbox.sent = sent;
        self.flush();
        let mut damaged = std::mem::take(&mut self.core.inbox.damaged);
        for run in damaged.drain(..) {
            self.drop_damaged(run);
        }
        self.core.inbox.damaged = damaged;
        let mut gone = std::mem::take(&mut self.core.inbox.gone);
        for run in gone.drain(..) {
            if self.state().queues.contains_key(&run.queue) {
                // Only a deleted queue's messages may go under a reader. This one stays leased, so that the next
                // start can look for it again.
                tracing::error!(queue = %run.queue, seq = %run.first_seq, "the journal does not hold a message that its queue holds");
            }
            self.state().release(run.consumer, run.count);
        }
        self.core.inbox.gone = gone;
    }

    fn drop_damaged(&mut self, run: Run) {
        let now = self.now;
        // A queue that was deleted meanwhile has nothing left to drop.
        let _gone = self
            .shard()
            .acknowledge(run.queue, run.first_seq, run.count, AckReason::Dropped, now);
        self.state().release(run.consumer, run.count);
    }
}

fn unknown_tag(tag: u64) -> AmqpError {
    precondition_failed(format_args!("unknown delivery tag {tag}"))
}
