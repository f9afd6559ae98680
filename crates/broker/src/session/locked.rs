//! A session together with the locked shard: what every command is applied with.
//!
//! Invariants:
//! - Acknowledgements of consecutive messages reach the shard as one; none is left behind when the lock is
//!   released.
//! - What is given back returns to its queue under the same lock, before anybody else is served.

use std::ops::Range;
use std::sync::Arc;

use logpond_store::disk::{Disk, Now};
use logpond_store::{AckReason, Guard, Lease, QueueId, Return, Seq, Shard};

use super::Core;
use super::channel::Mode;
use crate::broker::Broker;
use crate::command::{ChannelId, GiveBack, Portion};
use crate::consumer::ConsumerKey;
use crate::outbox::{OutRun, Position};
use crate::queue_policy::QueuePolicy;
use crate::state::BrokerState;
use crate::topology::Topology;
use crate::unacked::Run;

/// What becomes of a delivered message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It was processed.
    Acked,
    /// It was refused.
    Dropped,
    /// It goes back to its place.
    Requeued,
    /// It goes back, and somebody has failed with it.
    Failed,
}

impl From<GiveBack> for Outcome {
    fn from(give_back: GiveBack) -> Self {
        match give_back {
            GiveBack::Requeue => Self::Requeued,
            GiveBack::Fail => Self::Failed,
            GiveBack::Drop => Self::Dropped,
        }
    }
}

/// A session and the locked shard.
pub(super) struct Locked<'a, D: Disk> {
    pub broker: &'a Broker<D>,
    pub core: &'a mut Core,
    pub guard: Guard<'a, D, BrokerState>,
    pub topology: arc_swap::Guard<Arc<Topology>>,
    pub now: Now,
    /// Acknowledgements that wait for the next one to continue them.
    open: Option<(Run, Outcome)>,
    /// Acknowledgements, and messages beside those of the batch, that were appended.
    pub settled: usize,
    /// Whether more is to be appended at once.
    pub portion: Portion,
}

impl<'a, D: Disk> Locked<'a, D> {
    pub(super) fn new(broker: &'a Broker<D>, core: &'a mut Core, now: Now) -> Self {
        let mut guard = broker.store.lock();
        guard.shard().set_time(now);
        // Loaded under the lock, so that it names no queue that was deleted.
        let topology = core.vhost.topology();
        core.routes
            .refresh((topology.version(), broker.accounts.version()));
        Self {
            broker,
            core,
            guard,
            topology,
            now,
            open: None,
            settled: 0,
            portion: Portion::Last,
        }
    }

    pub(super) fn shard(&mut self) -> &mut Shard<D> {
        self.guard.parts().0
    }

    pub(super) fn state(&mut self) -> &mut BrokerState {
        self.guard.parts().1
    }

    /// Gives out what became deliverable, and releases the lock.
    pub(super) fn release(mut self, appended: usize, now: Now) {
        self.flush();
        let (shard, state) = self.guard.parts();
        state.dispatch_touched(shard);
        let appended = appended + self.settled;
        self.broker
            .release_portion(self.guard, appended, self.portion, now);
    }

    /// Settles messages that were taken out of a channel's outstanding ones.
    pub(super) fn settle(&mut self, run: Run, outcome: Outcome) {
        if matches!(outcome, Outcome::Requeued | Outcome::Failed) {
            self.requeue(run, outcome);
            self.state().release(run.consumer, run.count);
            return;
        }
        if let Some((open, same)) = &mut self.open
            && *same == outcome
            && open.append(&run)
        {
            return;
        }
        self.flush();
        self.open = Some((run, outcome));
    }

    /// Hands the collected acknowledgements to the shard.
    pub(super) fn flush(&mut self) {
        let Some((run, outcome)) = self.open.take() else {
            return;
        };
        let (now, shard) = (self.now, self.guard.parts().0);
        // A queue that was deleted meanwhile has nothing left to acknowledge.
        let ended = if outcome == Outcome::Acked {
            shard.acknowledge(run.queue, run.first_seq, run.count, AckReason::Acked, now)
        } else {
            self.core.has_rejected = true;
            shard.reject(run.queue, run.first_seq, run.count, now)
        };
        self.settled += usize::from(ended.is_ok());
        self.state().settled(&run);
    }

    /// Gives messages back to their queue, but for those with which clients failed too often: they are rejected.
    pub(super) fn requeue(&mut self, run: Run, outcome: Outcome) {
        let how = if outcome == Outcome::Failed {
            Return::Failed
        } else {
            Return::Released
        };
        let (shard, state) = self.guard.parts();
        let policy = state
            .queues
            .get(&run.queue)
            .and_then(|queue| queue.policy.as_ref());
        let over = match policy.and_then(QueuePolicy::delivery_limit) {
            Some(limit) => {
                let failures = if how == Return::Failed {
                    limit
                } else {
                    limit.saturating_add(1)
                };
                shard.failed_at_least(run.queue, run.first_seq, run.count, failures)
            }
            None => Vec::new(),
        };
        let mut first = run.first_seq;
        let end = first.plus(run.count);
        for over in over {
            self.give_back(run.queue, first..over.start, how);
            self.exhaust(run.queue, over.clone());
            first = over.end;
        }
        self.give_back(run.queue, first..end, how);
    }

    fn give_back(&mut self, queue: QueueId, seqs: Range<Seq>, how: Return) {
        let count = seqs.end.get().saturating_sub(seqs.start.get());
        if count > 0 {
            give_back(&mut self.guard, queue, seqs.start, count, how, self.now);
            // That it came back is to be remembered.
            self.settled += 1;
        }
    }

    /// The end of messages that failed too often.
    fn exhaust(&mut self, queue: QueueId, seqs: Range<Seq>) {
        let (shard, state) = self.guard.parts();
        let count = seqs.end.get().saturating_sub(seqs.start.get());
        if shard.reject(queue, seqs.start, count, self.now).is_ok() {
            self.settled += 1;
        }
        let Some(queue) = state.queues.get_mut(&queue) else {
            return;
        };
        let policy = queue.policy.as_ref();
        if policy.is_some_and(|policy| policy.dead_letters().is_some()) {
            queue.exhausted.insert(seqs);
        }
    }

    /// Gives back what the disk did not give. No client has seen it, so nobody has failed with it.
    pub(super) fn return_withheld(&mut self, matches: impl FnMut(&Run) -> bool) {
        let withheld = std::mem::take(&mut self.core.withheld);
        let (back, kept): (Vec<_>, Vec<_>) = withheld.into_iter().partition(matches);
        self.core.withheld = kept;
        for run in back {
            let end = run.first_seq.plus(run.count);
            self.give_back(run.queue, run.first_seq..end, Return::Unseen);
        }
    }

    /// Ends a consumer, and gives back what was not handed to the client yet.
    pub(super) fn end_consumer(&mut self, key: ConsumerKey) {
        self.core.tags.remove(&key);
        self.recall(|run| run.consumer == key);
        self.return_withheld(|run| run.consumer == Some(key));
        let now = self.now;
        self.state().remove_consumer(key, now);
    }

    /// Ends the consumers that no channel has ended: none, unless a channel lost sight of one. Left behind, it would be given
    /// messages that nobody sees.
    pub(super) fn end_consumers(&mut self) {
        let keys: Vec<_> = self.core.tags.keys().copied().collect();
        for key in keys {
            self.end_consumer(key);
        }
    }

    /// Ends a channel: its consumers, its outstanding messages, its unfinished transaction.
    pub(super) fn end_channel(&mut self, id: ChannelId) {
        let Some(mut channel) = self.core.channels.remove(id) else {
            return;
        };
        self.core.admission.close_channel();
        self.flush();
        self.recall(|run| run.channel == id);
        for &key in channel.consumers.values() {
            self.core.tags.remove(&key);
            self.return_withheld(|run| run.consumer == Some(key));
            let now = self.now;
            self.state().remove_consumer(key, now);
        }
        channel.unacked.take_all(|run| self.requeue(run, Outcome::Failed));
        if let Some(reply_to) = &channel.reply_to {
            self.end_reply_consumer(reply_to);
        }
        if let Mode::Transactional(transaction) = channel.mode {
            let settled = transaction.settled.iter().filter(|(run, _)| !run.has_lapsed());
            settled.for_each(|(run, _)| self.requeue(*run, Outcome::Failed));
        }
        self.core.unconfirmed.retain(|&other| other != id);
    }

    /// Takes back what waits for the client on the way through the outboxes.
    fn recall(&mut self, matches: impl Fn(&OutRun) -> bool) {
        let Self { guard, core, now, .. } = self;
        core.inbox.messages.kill(core.inbox.at, &matches, |run, leases| {
            give_back_all(guard, run, leases, *now);
        });
        let (_, state) = guard.parts();
        let Some(session) = state.sessions.get_mut(core.key) else {
            return;
        };
        let mut outbox = std::mem::take(&mut session.outbox);
        outbox.kill(Position::default(), &matches, |run, leases| {
            give_back_all(guard, run, leases, *now);
        });
        let (_, state) = guard.parts();
        if let Some(session) = state.sessions.get_mut(core.key) {
            session.outbox = outbox;
        }
    }
}

fn give_back_all<D: Disk>(guard: &mut Guard<'_, D, BrokerState>, run: &OutRun, leases: &[Lease], now: Now) {
    let consecutive = leases.chunk_by(|lease, next| lease.seq.next() == next.seq);
    let mut count = 0;
    for leases in consecutive {
        let messages = u64::try_from(leases.len()).expect("a length fits into 64 bits");
        give_back(guard, run.queue, leases[0].seq, messages, Return::Unseen, now);
        count += messages;
    }
    let (_, state) = guard.parts();
    state.release(Some(run.consumer), count);
}

fn give_back<D: Disk>(
    guard: &mut Guard<'_, D, BrokerState>,
    queue: QueueId,
    first: Seq,
    count: u64,
    how: Return,
    now: Now,
) {
    let (shard, state) = guard.parts();
    // A quorum queue looks at its limits when its consumers have had their part.
    let back = if state.is_quorum(queue) {
        shard.give_back(queue, first, count, how, now)
    } else {
        shard.requeue(queue, first, count, how, now)
    };
    // A queue that was deleted meanwhile takes nothing back.
    if back.is_ok() {
        state.touch(queue);
    }
}
