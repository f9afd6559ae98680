//! Deliveries that were not acknowledged in time (`x-consumer-timeout`).
//!
//! As in RabbitMQ 4.3: of quorum queues only. The messages go back, which counts as taken and not as failed, and the consumer is
//! cancelled; what it holds besides stays with it. Where the client does not want to hear of cancellations, and where nobody ever
//! was there to be cancelled (`basic.get`), the channel is closed.
//!
//! Invariants:
//! - A tag that has lapsed stays known to its channel, so that a late acknowledgement is no error. It settles nothing. One in a
//!   transaction acknowledges with the commit, not before.
//! - A channel remembers at most `LAPSED_MAX` of them: with more it is closed.
//! - `lapse_ms` is never later than the first deadline of any outstanding delivery, so no delivery needs a timer.

use std::sync::Arc;

use logpond_store::disk::{Disk, Now};

use super::channel::{Channel, Mode};
use super::locked::{Locked, Outcome};
use super::{Core, Life, Session};
use crate::command::ChannelId;
use crate::consumer::ConsumerKey;
use crate::deadline::Deadline;
use crate::effect::EffectSink;
use crate::errors::{AmqpError, precondition_failed};
use crate::limits::LAPSED_MAX;
use crate::queue::{QueueKind, QueueSpec};
use crate::queue_policy::QueuePolicy;
use crate::unacked::Run;

/// Notes that something has to be acknowledged until then.
pub(super) fn expect_acknowledgement(lapse_ms: &mut Option<u64>, deadline: Deadline) {
    if let Some(at_ms) = deadline.at_ms() {
        *lapse_ms = Some(lapse_ms.map_or(at_ms, |earlier| earlier.min(at_ms)));
    }
}

impl Channel {
    fn first_deadline_ms(&self) -> Option<u64> {
        let collected_ms = match &self.mode {
            Mode::Transactional(transaction) => transaction.first_deadline_ms(),
            Mode::Plain | Mode::Confirm(_) => None,
        };
        self.unacked
            .first_deadline_ms()
            .into_iter()
            .chain(collected_ms)
            .min()
    }
}

impl Core {
    fn first_deadline_ms(&self) -> Option<u64> {
        let ids = self.channels.ids().into_iter();
        let first = |id| self.channels.get(id)?.first_deadline_ms();
        ids.filter_map(first).min()
    }
}

impl<D: Disk> Session<D> {
    /// When [`Session::lapse`] may have something to do, in milliseconds of the monotonic clock.
    pub fn lapse_ms(&self) -> Option<u64> {
        self.core.lapse_ms
    }

    /// Takes back what was not acknowledged in time. `failed` is called for each channel that this closes.
    pub fn lapse(
        &mut self,
        sink: &mut impl EffectSink,
        now: Now,
        failed: &mut impl FnMut(ChannelId, AmqpError),
    ) {
        self.last_now = now;
        let is_due = self.core.lapse_ms.is_some_and(|at_ms| at_ms <= now.mono_ms);
        if self.core.state != Life::Open || !is_due {
            return;
        }
        // What was to be acknowledged may have been, and then nobody else waits for this look.
        self.core.lapse_ms = self.core.first_deadline_ms();
        if self.core.lapse_ms.is_none_or(|at_ms| at_ms > now.mono_ms) {
            return;
        }
        let mut locked = Locked::new(&self.broker, &mut self.core, now);
        for id in locked.core.channels.ids() {
            if let Err(error) = locked.lapse(id, sink) {
                locked.end_channel(id);
                failed(id, error);
            }
        }
        locked.core.lapse_ms = locked.core.first_deadline_ms();
        locked.release(0, now);
    }
}

impl<D: Disk> Locked<'_, D> {
    /// How long a client may take to acknowledge what it gets from a queue, unless it asks for something else.
    pub(super) fn timeout_ms(&mut self, spec: &QueueSpec) -> Option<u64> {
        let default_ms = self.broker.options.consumer_timeout_ms;
        let queue = self.state().queues.get(&spec.id)?;
        let said_ms = queue.policy.as_ref().and_then(QueuePolicy::consumer_timeout_ms);
        (spec.kind == QueueKind::Quorum).then(|| said_ms.unwrap_or(default_ms))
    }

    fn lapse(&mut self, id: ChannelId, sink: &mut impl EffectSink) -> Result<(), AmqpError> {
        let now = self.now;
        let Some(channel) = self.core.channels.get_mut(id) else {
            return Ok(());
        };
        let mut overdue = Vec::new();
        if let Mode::Transactional(transaction) = &mut channel.mode {
            transaction.lapse(now, |run| overdue.push(run));
            channel
                .unacked
                .count_lapsed(overdue.iter().map(|run| run.count).sum());
        }
        let lapsed = channel.unacked.lapse(now, |run| overdue.push(run));
        // A queue that was deleted has nobody waiting for its messages.
        overdue.retain(|run| self.state().queues.contains_key(&run.queue));
        let Some(first) = overdue.first().copied() else {
            return Ok(());
        };
        let is_told = sink.hears_of_cancellations() && overdue.iter().all(|run| run.consumer.is_some());
        for run in overdue {
            self.settle(run, Outcome::Requeued);
            if is_told && let Some(key) = run.consumer {
                self.cancel(id, key, sink);
            }
        }
        if is_told && lapsed <= LAPSED_MAX {
            return Ok(());
        }
        Err(timed_out(id, &first))
    }

    /// Ends a consumer that did not end before.
    fn cancel(&mut self, id: ChannelId, key: ConsumerKey, sink: &mut impl EffectSink) {
        let Some(tag) = self.core.tags.get(&key).map(|told| Arc::clone(&told.tag)) else {
            return;
        };
        if let Some(channel) = self.core.channels.get_mut(id) {
            channel.consumers.remove(&tag);
        }
        tracing::warn!(consumer = %tag, channel = id.get(), "a consumer was cancelled: a delivery was not acknowledged in time");
        self.end_consumer(key);
        sink.cancelled(id, &tag);
    }
}

fn timed_out(id: ChannelId, first: &Run) -> AmqpError {
    precondition_failed(format_args!(
        "delivery acknowledgement on channel {} timed out. Timeout value used: {} ms. This timeout value can be configured, see \
         consumers doc guide to learn more",
        id.get(),
        first.deadline.timeout_ms(),
    ))
}
