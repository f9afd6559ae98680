//! Moves what the store hands out: takes it, reads it without the lock, and publishes the copies in the block that ends the original.
//!
//! Invariants:
//! - What cannot be read now is retained, and tried again; what is damaged is dropped and reported.
//! - Whoever moves is woken once, and looks until there is nothing left or no room for more.
//!
//! Elsewhere: who calls [`Broker::move_dead_letters`] (the server's upkeep; in a simulation [`Broker::step`]).

use std::fmt;
use std::sync::{Arc, PoisonError};
use std::task::Waker;

use logpond_store::disk::{Disk, Now};
use logpond_store::{AckReason, DeadLetter, QueueId, ReadError, Reader, Shard, Sources, TransactionSize};

use super::deaths::Reason;
use super::hop::{Dying, Plan, Way};
use super::letter::Letter;
use super::walk::Walk;
use crate::broker::Broker;
use crate::delay::DelayQueue;
use crate::errors::Answer;
use crate::limits::{DEAD_LETTERS_BYTES_MAX, DEAD_LETTERS_MOVED_MAX};
use crate::queue::QueueSpec;
use crate::queue_policy::{Destination, QueuePolicy};
use crate::state::BrokerState;
use crate::topology::{Topology, Vhost};

/// When whoever moves is to be woken: the part that lives under the shard's lock.
#[derive(Default)]
pub(crate) struct Watch {
    waker: Option<Waker>,
    state: WatchState,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum WatchState {
    /// There was nothing to do.
    #[default]
    Idle,
    /// It was woken, and has not come to an end.
    Awake,
    /// There is no room to publish.
    WaitsForRoom,
}

impl Watch {
    /// There are dead letters.
    pub(crate) fn notice(&mut self, wakers: &mut Vec<Waker>) {
        if self.state == WatchState::Idle {
            self.wake(wakers);
        }
    }

    /// There is room to publish.
    pub(crate) fn notice_room(&mut self, wakers: &mut Vec<Waker>) {
        if self.state == WatchState::WaitsForRoom {
            self.wake(wakers);
        }
    }

    /// Whether it waits for room to publish.
    pub(crate) fn waits_for_room(&self) -> bool {
        self.state == WatchState::WaitsForRoom
    }

    fn wake(&mut self, wakers: &mut Vec<Waker>) {
        if let Some(waker) = &self.waker {
            self.state = WatchState::Awake;
            wakers.push(waker.clone());
        }
    }
}

/// The part of it that reads.
pub(crate) struct Mover<D: Disk> {
    reader: Reader<D>,
    found: Vec<DeadLetter>,
    sources: Sources,
}

impl<D: Disk> Mover<D> {
    pub(crate) fn new(reader: Reader<D>) -> Self {
        Self {
            reader,
            found: Vec::new(),
            sources: Sources::default(),
        }
    }
}

/// A dead letter in our hands.
struct Taken {
    handed: DeadLetter,
    fate: Fate,
    /// It was retained, and somebody has said why.
    is_tried_again: bool,
}

/// What is to become of it.
enum Fate {
    /// It died.
    Dies {
        queue: Arc<QueueSpec>,
        reason: Reason,
        /// None when its queue has no exchange for dead letters any more.
        to: Option<Arc<Destination>>,
    },
    /// An exchange put it off, and its time has come.
    Comes(Arc<DelayQueue>),
}

impl Fate {
    fn vhost(&self) -> &str {
        match self {
            Self::Dies { queue, .. } => &queue.vhost,
            Self::Comes(queue) => &queue.vhost,
        }
    }

    /// Of what it died; that its time was over is all that can be said of what was put off.
    fn reason(&self) -> Reason {
        match self {
            Self::Dies { reason, .. } => *reason,
            Self::Comes(_) => Reason::Expired,
        }
    }

    /// Whether it ends here, so that nobody need read it.
    fn is_end(&self) -> bool {
        matches!(self, Self::Dies { to: None, .. })
    }

    fn way(&self, letter: &Letter, now: Now) -> Option<Way> {
        match self {
            Self::Dies { to: None, .. } => None,
            Self::Dies {
                queue,
                reason,
                to: Some(to),
            } => {
                let dying = Dying {
                    letter,
                    queue: Arc::clone(queue),
                    reason: *reason,
                    to: Arc::clone(to),
                };
                Some(dying.way(now))
            }
            Self::Comes(queue) => Some(Way {
                letter: letter.no_longer_delayed(),
                exchange: Some(queue.exchange.clone()),
                reason: None,
            }),
        }
    }
}

/// As it is named in the log.
impl fmt::Display for Fate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dies { queue, .. } => queue.fmt(formatter),
            Self::Comes(queue) => queue.fmt(formatter),
        }
    }
}

/// One that was looked at.
struct Read {
    taken: Taken,
    vhost: Option<Arc<Vhost>>,
    content: Content,
}

enum Content {
    /// There is none, or nobody needs it.
    Nothing,
    /// What was read.
    Letter(Letter, Vec<u8>),
    /// The disk did not give it now.
    Unreadable,
}

impl Content {
    fn letter(&self) -> Option<(&Letter, &[u8])> {
        match self {
            Self::Letter(letter, body) => Some((letter, body)),
            Self::Nothing | Self::Unreadable => None,
        }
    }
}

impl<D: Disk> Broker<D> {
    /// Has `waker` woken when there are dead letters to move.
    pub fn watch_dead_letters(&self, waker: Waker) {
        let mut guard = self.store.lock();
        let (_, state) = guard.parts();
        state.letter_watch = Watch {
            waker: Some(waker),
            state: WatchState::Idle,
        };
    }

    /// Moves some dead letters, and says whether there may be more: then call it again, and otherwise when the waker was
    /// woken. Reads the disk.
    pub fn move_dead_letters(&self, now: Now) -> bool {
        let mut mover = self.mover.lock().unwrap_or_else(PoisonError::into_inner);
        let Mover {
            reader,
            found,
            sources,
        } = &mut *mover;
        let taken = self.take_letters(found, sources, now);
        if taken.is_empty() {
            return false;
        }
        let mut batch = Vec::with_capacity(taken.len());
        let mut bytes = 0;
        for taken in taken {
            let read = self.read(reader, sources, taken);
            bytes += read.iter().map(Read::len).sum::<usize>();
            batch.extend(read);
            if bytes >= DEAD_LETTERS_BYTES_MAX {
                self.settle_letters(&batch, now);
                batch.clear();
                bytes = 0;
            }
        }
        self.settle_letters(&batch, now);
        sources.clear();
        true
    }

    fn take_letters(&self, found: &mut Vec<DeadLetter>, sources: &mut Sources, now: Now) -> Vec<Taken> {
        let mut guard = self.store.lock();
        let (shard, state) = guard.parts();
        if !shard.has_room_to_move() {
            state.letter_watch.state = WatchState::WaitsForRoom;
            state.wants_tick(now.mono_ms);
            self.release(guard, 0, now);
            return Vec::new();
        }
        found.clear();
        if shard
            .take_dead_letters(DEAD_LETTERS_MOVED_MAX, found, sources)
            .is_err()
        {
            // The store takes nothing any more, and says so itself.
            return Vec::new();
        }
        if found.is_empty() {
            state.letter_watch.state = WatchState::Idle;
        }
        let (queues, delays, retained) = (&state.queues, &state.delays, &state.retained);
        let taken = found.drain(..).filter_map(|handed| {
            let retained = retained.reason(handed.queue, handed.lease.seq);
            let is_tried_again = retained.is_some();
            if let Some(queue) = delays.get(&handed.queue) {
                let fate = Fate::Comes(Arc::clone(queue));
                return Some(Taken {
                    handed,
                    fate,
                    is_tried_again,
                });
            }
            let queue = queues.get(&handed.queue)?;
            let is_over = queue.exhausted.contains(handed.lease.seq);
            let policy = queue.policy.as_ref();
            let fate = Fate::Dies {
                queue: Arc::clone(&queue.spec),
                reason: match (retained, handed.reason) {
                    (Some(reason), _) => reason,
                    (None, AckReason::Rejected) if is_over => Reason::DeliveryLimit,
                    (None, reason) => reason.into(),
                },
                to: policy.and_then(|policy| policy.dead_letters()).cloned(),
            };
            Some(Taken {
                handed,
                fate,
                is_tried_again,
            })
        });
        taken.collect()
    }

    /// What is to be settled; nothing when the message went with its queue.
    fn read(&self, reader: &mut Reader<D>, sources: &Sources, taken: Taken) -> Option<Read> {
        if taken.fate.is_end() {
            return Some(Read {
                taken,
                vhost: None,
                content: Content::Nothing,
            });
        }
        let (queue, seq) = (&taken.fate, taken.handed.lease.seq);
        let content = match reader.message(taken.handed.queue, &taken.handed.lease, sources) {
            Ok(message) => {
                if let Some(letter) = Letter::stored(message.properties) {
                    Content::Letter(letter, message.body.to_vec())
                } else {
                    tracing::error!(%queue, %seq, "a dead letter has no address, and is dropped");
                    Content::Nothing
                }
            }
            Err(ReadError::Gone) => return None,
            Err(error @ ReadError::Damaged { .. }) => {
                tracing::error!(%queue, %seq, %error, "a message is lost");
                Content::Nothing
            }
            Err(error) => {
                if !taken.is_tried_again {
                    tracing::error!(%queue, %seq, %error, "a message cannot be moved on: it is tried again until it can be read");
                }
                Content::Unreadable
            }
        };
        Some(Read {
            vhost: self.vhost(taken.fate.vhost()),
            taken,
            content,
        })
    }

    fn settle_letters(&self, batch: &[Read], now: Now) {
        if batch.is_empty() {
            return;
        }
        let appended = batch.len();
        let mut guard = self.store.lock();
        let (shard, state) = guard.parts();
        for read in batch {
            // Loaded under the lock, so that it names no queue that was deleted.
            let topology = read.vhost.as_ref().map(|vhost| vhost.topology());
            state.settle_letter(shard, topology.as_deref().map(Arc::as_ref), read, now);
        }
        if state.may_retry_letters() {
            state.wants_tick(now.mono_ms);
        }
        self.release(guard, appended, now);
    }
}

impl Read {
    fn len(&self) -> usize {
        let content = self.content.letter();
        content.map_or(0, |(letter, body)| letter.properties().len() + body.len())
    }
}

impl BrokerState {
    fn settle_letter<D: Disk>(
        &mut self,
        shard: &mut Shard<D>,
        topology: Option<&Topology>,
        read: &Read,
        now: Now,
    ) {
        let taken = &read.taken;
        let (id, seq) = (taken.handed.queue, taken.handed.lease.seq);
        if !self.queues.contains_key(&id) && !self.delays.contains_key(&id) {
            // It went with its queue.
            return;
        }
        if matches!(read.content, Content::Unreadable) {
            self.retained.keep(id, seq, taken.fate.reason());
            return;
        }
        let body = read.content.letter().map(|(_, body)| [body]);
        let body = body.as_ref().map(|body| &body[..]).unwrap_or_default();
        let letter = read.content.letter().map(|(letter, _)| letter);
        let way = letter.and_then(|letter| taken.fate.way(letter, now));
        let plan = match (way, topology) {
            (Some(way), Some(topology)) => {
                let mut walk = Walk::default();
                let plan = self.plan(shard, topology, way, &mut walk, body, now);
                self.report_dropped(&walk);
                plan
            }
            _ => Plan::default(),
        };
        let keeps = self.queues.get(&id).and_then(|queue| queue.policy.as_ref());
        if let Fate::Dies { reason, .. } = taken.fate
            && keeps.is_some_and(QueuePolicy::keeps_letters)
            && !plan.reaches_all
            && letter.is_some()
        {
            self.retained.keep(id, seq, reason);
            return;
        }
        self.retained.remove(id, seq);
        let hops = plan.hops;
        let mut size = TransactionSize::default();
        hops.iter().for_each(|hop| hop.add_to(body, &mut size));
        // Its end.
        size.add_ranges(1);
        let reason = taken.handed.reason;
        let mut published = 0;
        let together = shard.transaction(&size, |shard| {
            for hop in &hops {
                hop.publish(shard, body, now)?;
                published += 1;
            }
            end(shard, id, seq, reason, now);
            Answer::Ok(())
        });
        if shard.poisoned().is_some() {
            // It is in its queue at the next start.
            return;
        }
        if !matches!(together, Ok((Ok(()), _))) {
            // Together they are larger than a block: one after the other, and a crash between may show more than one.
            for hop in &hops[published..] {
                if let Err(error) = hop.publish(shard, body, now) {
                    tracing::error!(queue = %taken.fate, %seq, %error, "a dead letter is lost");
                }
            }
            end(shard, id, seq, reason, now);
        }
        if let Some(queue) = self.queues.get_mut(&id) {
            queue.exhausted.remove(seq);
        }
    }
}

fn end<D: Disk>(shard: &mut Shard<D>, queue: QueueId, seq: logpond_store::Seq, reason: AckReason, now: Now) {
    // A store that is poisoned meanwhile says so itself, and a queue that is gone has nothing to end.
    let _gone = shard.acknowledge(queue, seq, 1, reason, now);
}
