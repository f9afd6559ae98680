//! Gives ready messages to consumers with credit: ranges to a single consumer, in turns among several.
//!
//! Invariants:
//! - Messages of a queue are leased in order, whoever gets them.
//! - Among consumers of one priority with credit the turns go round message by message, so none gets more than one ahead.
//! - A queue of which a consumer found its session's outbox full stands in that session's `stalled` list, once, however many of its
//!   consumers are the session's. A consumer that is marked so has its queue there.

use std::task::Waker;

use logpond_store::disk::Disk;
use logpond_store::{BlockNumber, Durable, LeaseOutcome, QueueId, Shard};

use crate::consumer::{Consumer, ConsumerKey};
use crate::outbox::{OutRun, SessionKey, SessionState};
use crate::registry::Registry;
use crate::state::BrokerState;

/// What came of giving one consumer messages.
enum Given {
    Messages,
    /// The consumer has no credit, or its session no room.
    Refused,
    /// There is nothing to give.
    Nothing,
    /// There is nothing to give before this block is durable.
    Until(BlockNumber),
}

impl BrokerState {
    /// Gives out what the queue has.
    pub(crate) fn dispatch<D: Disk>(&mut self, shard: &mut Shard<D>, id: QueueId) {
        let Self {
            queues,
            consumers,
            sessions,
            wakers,
            waiting_queues,
            ..
        } = self;
        let Some(queue) = queues.get_mut(&id) else { return };
        if let Some(successor) = queue.rota.successor() {
            // Whoever is active keeps what it holds, and gets no more.
            if hold_back(consumers, queue.rota.active()) {
                return;
            }
            debug_assert!(
                consumers.get(successor).is_some(),
                "a rota holds living consumers"
            );
            queue.rota.succeed();
        }
        let mut give = |key, count| give(shard, consumers, sessions, wakers, key, count);
        let end = match queue.rota.active() {
            Some(active) => serve(&[active], &mut 0, &mut give),
            None => queue
                .rota
                .levels_mut()
                .iter_mut()
                .map(|level| serve(&level.consumers, &mut level.turn, &mut give))
                .find(|end| !matches!(end, Given::Refused))
                .unwrap_or(Given::Refused),
        };
        if let Given::Until(block) = end
            && queue.waits.is_none_or(|waits| block > waits)
        {
            queue.waits = Some(block);
            waiting_queues.push((block, id));
        }
    }

    /// Tries the queues again that waited for what is durable now.
    pub(crate) fn dispatch_due<D: Disk>(&mut self, shard: &mut Shard<D>, durable: Durable) {
        let mut waiting = std::mem::take(&mut self.waiting_queues);
        let mut later = 0;
        for at in 0..waiting.len() {
            let (block, id) = waiting[at];
            if !durable.covers(block) {
                waiting[later] = (block, id);
                later += 1;
                continue;
            }
            if let Some(queue) = self.queues.get_mut(&id)
                && queue.waits == Some(block)
            {
                queue.waits = None;
            }
            self.dispatch(shard, id);
        }
        waiting.truncate(later);
        waiting.append(&mut self.waiting_queues);
        self.waiting_queues = waiting;
    }

    /// Fills the room that a session's outbox has again.
    pub(crate) fn dispatch_stalled<D: Disk>(&mut self, shard: &mut Shard<D>, key: SessionKey) {
        let Some(session) = self.sessions.get_mut(key) else {
            return;
        };
        for _ in 0..session.stalled.len() {
            let Some(session) = self.sessions.get_mut(key) else {
                return;
            };
            if session.outbox.room().is_none() {
                return;
            }
            let Some(id) = session.stalled.pop_front() else {
                return;
            };
            for consumer in self
                .queues
                .get(&id)
                .into_iter()
                .flat_map(|queue| queue.rota.iter())
            {
                if let Some(consumer) = self.consumers.get_mut(consumer)
                    && consumer.session == key
                {
                    consumer.stalled = false;
                }
            }
            self.dispatch(shard, id);
        }
    }
}

/// Gives the consumers of one level messages in turns, until nobody takes any more or there are none; says what ended it.
fn serve(
    consumers: &[ConsumerKey],
    turn: &mut usize,
    give: &mut impl FnMut(ConsumerKey, u32) -> Given,
) -> Given {
    let all = if consumers.len() == 1 { u32::MAX } else { 1 };
    let (mut at, mut refused) = (*turn, 0);
    while refused < consumers.len() {
        let given = give(consumers[at], all);
        at = (at + 1) % consumers.len();
        match given {
            Given::Messages => {
                refused = 0;
                // It stays with who was passed over, until somebody gets something.
                *turn = at;
            }
            Given::Refused => refused += 1,
            end => return end,
        }
    }
    Given::Refused
}

/// Whether the active consumer still holds something. Then its queue is looked at again once it does not.
fn hold_back(consumers: &mut Registry<Consumer>, active: Option<ConsumerKey>) -> bool {
    let Some(active) = active.and_then(|key| consumers.get_mut(key)) else {
        return false;
    };
    active.yields = active.held > 0;
    active.yields
}

fn give<D: Disk>(
    shard: &mut Shard<D>,
    consumers: &mut Registry<Consumer>,
    sessions: &mut Registry<SessionState>,
    wakers: &mut Vec<Waker>,
    key: ConsumerKey,
    messages_max: u32,
) -> Given {
    let Some(consumer) = consumers.get_mut(key) else {
        return Given::Refused;
    };
    let Some(session) = sessions.get_mut(consumer.session) else {
        return Given::Refused;
    };
    let credit = consumer.credit();
    if credit == 0 {
        return Given::Refused;
    }
    let Some((messages, bytes)) = session.outbox.room() else {
        if !consumer.stalled {
            consumer.stalled = true;
            session.stall(consumer.queue);
        }
        return Given::Refused;
    };
    let count = messages.min(credit).min(messages_max);
    let outbox = &mut session.outbox;
    let from = outbox.leases.len();
    match shard.lease(
        consumer.queue,
        count,
        bytes,
        &mut outbox.leases,
        &mut outbox.sources,
    ) {
        Ok(LeaseOutcome::Some(leased)) => {
            consumer.hold(leased);
            outbox.appended(
                from,
                OutRun {
                    consumer: key,
                    channel: consumer.channel,
                    queue: consumer.queue,
                    ack_mode: consumer.ack_mode,
                    count: 0,
                    live: true,
                },
            );
            session.wake(wakers);
            Given::Messages
        }
        Ok(LeaseOutcome::Pending(block)) => Given::Until(block),
        // A poisoned store tells its sessions itself.
        Ok(LeaseOutcome::Empty) | Err(_) => Given::Nothing,
    }
}
