//! What lives under the shard's lock beside the store: queues at run time, consumers, sessions.
//!
//! Invariants:
//! - A consumer stands in exactly one queue's list, and both belong to living sessions.
//! - A session in `confirming` is woken when what it waits for comes, once.
//! - No clock, no randomness: the same calls in the same order have the same effects.

use std::sync::Arc;
use std::task::Waker;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use logpond_store::disk::{Disk, Now};
use logpond_store::{Applied, BlockNumber, Durable, Follower, PoisonCause, QueueId, Shard};

use crate::consumer::{Consumer, ConsumerKey};
use crate::dead_letter::{Retained, Watch};
use crate::delay::DelayQueue;
use crate::expiration::Expirations;
use crate::outbox::{Notice, SessionKey, SessionState};
use crate::queue::{Queue, QueueKind};
use crate::registry::Registry;
use crate::replies::ReplyConsumers;
use crate::room_line::{Asker, Callable, RoomLine};
use crate::rota::Sharing;
use crate::routes::RouteCache;
use crate::tick::TickWatch;
use crate::unacked::Run;

/// The broker's part of a shard's state.
#[derive(Default)]
pub(crate) struct BrokerState {
    pub queues: HashMap<QueueId, Queue, FixedState>,
    /// Where messages wait that exchanges put off.
    pub delays: HashMap<QueueId, Arc<DelayQueue>, FixedState>,
    pub consumers: Registry<Consumer>,
    pub sessions: Registry<SessionState>,
    pub reply_consumers: ReplyConsumers,
    pub wakers: Vec<Waker>,
    /// Queues whose delivery waits for a block.
    pub waiting_queues: Vec<(BlockNumber, QueueId)>,
    /// Sessions that wait for a block.
    confirming: Vec<SessionKey>,
    pub room_line: RoomLine,
    /// Queues that may have become deliverable during the current batch.
    dirty: Vec<QueueId>,
    /// Auto-delete queues whose last consumer went: to be deleted when the lock is released.
    pub abandoned: Vec<QueueId>,
    pub expirations: Expirations,
    pub tick_watch: TickWatch,
    pub letter_watch: Watch,
    pub retained: Retained,
    /// Where dead letters went last.
    pub letter_routes: RouteCache,
    pub poisoned: Option<PoisonCause>,
    /// Who is to hear of it, beside the sessions.
    pub store_watch: Option<Waker>,
}

impl BrokerState {
    /// Notes that the queue may have something for its consumers.
    pub(crate) fn touch(&mut self, queue: QueueId) {
        if self.dirty.last() != Some(&queue) {
            self.dirty.push(queue);
        }
    }

    /// Gives the touched queues' messages out.
    pub(crate) fn dispatch_touched<D: Disk>(&mut self, shard: &mut Shard<D>) {
        let mut dirty = std::mem::take(&mut self.dirty);
        // Only neighbours are compared when noting, so a batch that alternates between queues may name one often.
        dirty.sort_unstable();
        dirty.dedup();
        for queue in dirty.drain(..) {
            self.dispatch(shard, queue);
            if self.is_quorum(queue) {
                // What came back counts from now on. A poisoned store tells its sessions itself.
                let _kept = shard.keep_limits(queue);
            }
        }
        self.dirty = dirty;
    }

    pub(crate) fn is_quorum(&self, queue: QueueId) -> bool {
        let queue = self.queues.get(&queue);
        queue.is_some_and(|queue| queue.spec.kind == QueueKind::Quorum)
    }

    /// Takes a consumer's credit back after it settled `count` messages.
    pub(crate) fn release(&mut self, consumer: Option<ConsumerKey>, count: u64) {
        if let Some(key) = consumer
            && let Some(consumer) = self.consumers.get_mut(key)
            && consumer.release(count)
        {
            let queue = consumer.queue;
            self.touch(queue);
        }
    }

    /// Follows from messages that were settled for good.
    pub(crate) fn settled(&mut self, run: &Run) {
        self.release(run.consumer, run.count);
    }

    /// Wakes the session once `block` is durable.
    pub(crate) fn await_confirm(&mut self, key: SessionKey, block: BlockNumber) {
        let Some(session) = self.sessions.get_mut(key) else {
            return;
        };
        match session.confirm_block {
            Some(earlier) => session.confirm_block = Some(earlier.min(block)),
            None => {
                session.confirm_block = Some(block);
                self.confirming.push(key);
            }
        }
    }

    /// Whether the session may publish, now that the store has room or not. If not, it is woken at its turn.
    pub(crate) fn ask_for_room(&mut self, key: SessionKey, asker: Asker, has_room: bool) -> bool {
        let mut callable = Callable {
            sessions: &mut self.sessions,
            wakers: &mut self.wakers,
        };
        self.room_line.ask(key, asker, has_room, &mut callable)
    }

    /// Forgets a session; what it was, if it was there.
    pub(crate) fn remove_session(&mut self, key: SessionKey) -> Option<SessionState> {
        let session = self.sessions.remove(key)?;
        self.room_line.leave(&session);
        Some(session)
    }

    /// Ends a consumer; says whether there was one. Its undelivered messages are the session's to give back.
    pub(crate) fn remove_consumer(&mut self, key: ConsumerKey, now: Now) -> Option<Consumer> {
        let consumer = self.consumers.remove(key)?;
        if let Some(queue) = self.queues.get_mut(&consumer.queue) {
            queue.rota.remove(key);
            if queue.rota.is_empty() && queue.spec.auto_delete {
                self.abandoned.push(consumer.queue);
            }
            let (is_alone, sharing) = (queue.rota.is_empty(), queue.rota.sharing());
            if is_alone {
                self.left_alone(consumer.queue, now);
            }
            if sharing != Sharing::Competing {
                // Another may be the active one now, and has been given nothing yet.
                self.touch(consumer.queue);
            }
        }
        if consumer.stalled {
            self.unstall(&consumer);
        }
        Some(consumer)
    }

    /// Lets the queue of a consumer that ended wait no longer for room in its session's outbox, unless another one waits there.
    fn unstall(&mut self, ended: &Consumer) {
        let queue = self.queues.get(&ended.queue);
        let others = queue.into_iter().flat_map(|queue| queue.rota.iter());
        let mut others = others.filter_map(|key| self.consumers.get(key));
        let is_waited_for = others.any(|other| other.stalled && other.session == ended.session);
        if !is_waited_for && let Some(session) = self.sessions.get_mut(ended.session) {
            session.unstall(ended.queue);
        }
    }

    /// Forgets a queue that was deleted, and tells its consumers.
    pub(crate) fn remove_queue(&mut self, id: QueueId) {
        let Some(queue) = self.queues.remove(&id) else {
            return;
        };
        if let Some(owner) = queue.owner.and_then(|owner| self.sessions.get_mut(owner)) {
            owner.owned.remove(&id);
        }
        for key in queue.rota.iter() {
            let Some(consumer) = self.consumers.remove(key) else {
                continue;
            };
            if let Some(session) = self.sessions.get_mut(consumer.session) {
                if consumer.stalled {
                    session.unstall(id);
                }
                session.notices.push(Notice::Cancelled {
                    channel: consumer.channel,
                    consumer: key,
                    tag: consumer.tag,
                });
                session.wake(&mut self.wakers);
            }
        }
    }

    fn wake_confirmed(&mut self, durable: Durable) {
        let (sessions, wakers) = (&mut self.sessions, &mut self.wakers);
        self.confirming.retain(|&key| {
            let Some(session) = sessions.get_mut(key) else {
                return false;
            };
            let waits = session.confirm_block.is_some_and(|block| !durable.covers(block));
            if !waits {
                session.confirm_block = None;
                session.wake(wakers);
            }
            waits
        });
    }
}

impl<D: Disk> Follower<D> for BrokerState {
    fn applied(&mut self, shard: &mut Shard<D>, applied: &Applied<'_>) {
        self.wake_confirmed(applied.durable);
        for &queue in applied.queues {
            self.dispatch(shard, queue);
        }
        if !self.waiting_queues.is_empty() {
            self.dispatch_due(shard, applied.durable);
        }
        if !self.room_line.is_empty() && shard.has_room() {
            let mut callable = Callable {
                sessions: &mut self.sessions,
                wakers: &mut self.wakers,
            };
            self.room_line.has_room(shard.is_at_rest(), &mut callable);
        }
        if self.letter_watch.waits_for_room() && shard.has_room_to_move() {
            self.letter_watch.notice_room(&mut self.wakers);
        }
    }

    fn has_dead_letters(&mut self, _shard: &mut Shard<D>) {
        self.letter_watch.notice(&mut self.wakers);
    }

    fn poisoned(&mut self, cause: &PoisonCause) {
        self.poisoned = Some(cause.clone());
        self.wakers.extend(self.store_watch.clone());
        for (_, session) in self.sessions.iter_mut() {
            session.wake(&mut self.wakers);
        }
    }

    fn take_wakers(&mut self) -> Vec<Waker> {
        std::mem::take(&mut self.wakers)
    }

    fn return_wakers(&mut self, empty: Vec<Waker>) {
        debug_assert!(empty.is_empty(), "wakers are fired, not returned");
        if self.wakers.capacity() == 0 {
            self.wakers = empty;
        }
    }
}
