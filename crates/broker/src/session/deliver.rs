//! What a session has for its client: confirms, deliveries, cancellations.
//!
//! Invariants:
//! - Messages are read and encoded outside the lock; the lock is taken to fetch and to settle, per batch.
//! - A delivery gets its tag when it is encoded, so tags ascend in the order of the wire.
//! - A message for a consumer without acknowledgements is acknowledged after it was encoded, not before.

use logpond_store::disk::{Disk, Now};
use logpond_store::{Attempts, Durable, Lease, ReadError, Seq};

use super::channel::{Channels, Mode};
use super::lapse::expect_acknowledgement;
use super::locked::Locked;
use super::{Life, Session};
use crate::consumer::AckMode;
use crate::deadline::Deadline;
use crate::effect::{Delivery, EffectSink, Flow, Polled};
use crate::envelope::Envelope;
use crate::errors::storage_failed;
use crate::outbox::{Notice, OutRun, Outbox, Position};
use crate::properties::with_long_header;
use crate::queue::QueueKind;
use crate::replies::ReplyBox;
use crate::room_line::Asker;
use crate::unacked::Run;

/// Deliveries after which a poll ends: the client takes them in while the next are encoded.
const DELIVERIES_PER_POLL: usize = 512;

/// What was fetched from the outbox and is being encoded.
#[derive(Default)]
pub(super) struct Inbox {
    pub messages: Outbox,
    pub at: Position,
    /// Encoded messages of consumers that do not acknowledge.
    pub sent: Vec<Run>,
    /// Messages that could not be read, since their bytes are damaged.
    pub damaged: Vec<Run>,
    /// Messages that were purged or deleted on their way.
    pub gone: Vec<Run>,
    /// Direct replies.
    pub replies: ReplyBox,
    notices: Vec<Notice>,
}

impl Inbox {
    fn is_empty(&mut self) -> bool {
        self.replies.is_empty() && self.current().is_none()
    }

    /// The run to go on with.
    fn current(&mut self) -> Option<OutRun> {
        loop {
            let run = *self.messages.runs.get(self.at.run)?;
            if run.live && self.at.within < run.count {
                return Some(run);
            }
            self.at.lease += run.count - self.at.within;
            self.at.within = 0;
            self.at.run += 1;
        }
    }
}

impl<D: Disk> Session<D> {
    /// Hands over what is due: confirms, deliveries, cancellations; stops after about `bytes_max` bytes.
    pub fn poll(&mut self, bytes_max: usize, sink: &mut impl EffectSink, now: Now) -> Polled {
        self.last_now = now;
        if self.core.state != Life::Open {
            return Polled {
                more: false,
                flow: Flow::Continue,
            };
        }
        let mut written = 0;
        loop {
            let flow = self.fetch(sink, now);
            if self.core.state != Life::Open || self.core.inbox.is_empty() {
                return Polled { more: false, flow };
            }
            self.encode_replies(bytes_max, &mut written, sink);
            self.encode(bytes_max, &mut written, sink);
            if !self.core.inbox.is_empty() {
                return Polled { more: true, flow };
            }
        }
    }

    /// Settles what was sent, fetches what is due, and hands over notices and confirms.
    fn fetch(&mut self, sink: &mut impl EffectSink, now: Now) -> Flow {
        let mut locked = Locked::new(&self.broker, &mut self.core, now);
        locked.settle_sent();
        locked.flush();
        let refilled = locked.swap_outboxes();
        let durable = locked.shard().durable();
        let poisoned = locked.state().poisoned.clone();
        let flow = locked.ask_for_room(Asker::Comes);
        locked.await_confirms(durable);
        if refilled {
            locked.refill();
        }
        locked.release(0, now);
        if let Some(cause) = poisoned {
            self.core.state = Life::Failed;
            sink.closed(&storage_failed(cause));
            return flow;
        }
        self.confirm(durable, sink);
        self.notify(sink);
        flow
    }

    fn confirm(&mut self, durable: Durable, sink: &mut impl EffectSink) {
        let channels = &mut self.core.channels;
        self.core.unconfirmed.retain(|&id| {
            let Some(channel) = channels.get_mut(id) else {
                return false;
            };
            let Mode::Confirm(confirms) = &mut channel.mode else {
                return false;
            };
            while let Some((tag, extent, answer)) = confirms.confirm(durable) {
                sink.confirm(id, tag, extent, answer);
            }
            !confirms.is_empty()
        });
    }

    fn notify(&mut self, sink: &mut impl EffectSink) {
        for notice in self.core.inbox.notices.drain(..) {
            let Notice::Cancelled {
                channel,
                consumer,
                tag,
            } = notice;
            self.core.tags.remove(&consumer);
            // The client may have cancelled it meanwhile, and have another with its tag.
            if let Some(open) = self.core.channels.get_mut(channel)
                && open.consumers.get(&tag) == Some(&consumer)
            {
                open.consumers.remove(&tag);
                sink.cancelled(channel, &tag);
            }
        }
    }

    fn encode(&mut self, bytes_max: usize, written: &mut usize, sink: &mut impl EffectSink) {
        let mut deliveries = 0;
        while *written < bytes_max
            && deliveries < DELIVERIES_PER_POLL
            && let Some(run) = self.core.inbox.current()
        {
            let lease = self.core.inbox.messages.leases[self.core.inbox.at.lease];
            *written += self.encode_one(&run, &lease, sink);
            deliveries += 1;
            self.core.inbox.at.within += 1;
            self.core.inbox.at.lease += 1;
        }
    }

    fn encode_one(&mut self, run: &OutRun, lease: &Lease, sink: &mut impl EffectSink) -> usize {
        let core = &mut self.core;
        let message = match self
            .reader
            .message(run.queue, lease, &core.inbox.messages.sources)
        {
            Ok(message) => message,
            Err(error) => {
                core.unreadable(run, lease.seq, &error);
                return 0;
            }
        };
        let (Some(channel), Some(told)) = (core.channels.get_mut(run.channel), core.tags.get(&run.consumer))
        else {
            // The consumer's queue was deleted while the message was on its way.
            core.inbox.gone.push(one(run, lease.seq, 0));
            return 0;
        };
        let envelope = Envelope::parse(message.properties).unwrap_or(Envelope::unknown());
        let delivery_tag = channel.take_delivery_tag();
        let mut sent = one(run, lease.seq, delivery_tag);
        match run.ack_mode {
            AckMode::Manual => {
                sent.deadline = Deadline::after(told.timeout_ms, self.last_now);
                expect_acknowledgement(&mut core.lapse_ms, sent.deadline);
                channel.unacked.push(sent);
            }
            AckMode::Automatic => {
                append(&mut core.inbox.sent, &sent);
            }
        }
        let counted;
        let properties = if lease.redelivered && told.kind == QueueKind::Quorum {
            counted = with_attempts(envelope.properties, lease.attempts);
            &counted
        } else {
            envelope.properties
        };
        sink.deliver(&Delivery {
            channel: run.channel,
            consumer_tag: &told.tag,
            delivery_tag,
            redelivered: lease.redelivered,
            exchange: envelope.exchange,
            routing_key: envelope.routing_key,
            properties,
            body: message.body,
        })
    }
}

/// As quorum queues say it of what they deliver again. That was taken once at least, also where nobody gave it back.
pub(super) fn with_attempts(properties: &[u8], attempts: Attempts) -> Vec<u8> {
    let acquired = attempts.returned.max(1);
    let acquired = with_long_header(properties, b"x-acquired-count", acquired.into());
    match attempts.failed {
        0 => acquired,
        failed => with_long_header(&acquired, b"x-delivery-count", failed.into()),
    }
}

/// Whether it continues the last run.
fn append(runs: &mut Vec<Run>, next: &Run) -> bool {
    let continues = runs.last_mut().is_some_and(|last| last.append(next));
    if !continues {
        runs.push(*next);
    }
    continues
}

impl super::Core {
    /// Sets a message aside that could not be read: what is gone is forgotten, what is damaged is dropped
    /// and reported, what the disk refused stays leased until its consumer ends.
    pub(super) fn unreadable(&mut self, run: &OutRun, seq: Seq, error: &ReadError) {
        let lost = one(run, seq, 0);
        match error {
            ReadError::Gone => self.inbox.gone.push(lost),
            ReadError::Damaged { .. } => {
                tracing::error!(queue = %run.queue, seq = %seq, %error, "a message is lost");
                self.inbox.damaged.push(lost);
            }
            _ => {
                if !append(&mut self.withheld, &lost) {
                    tracing::error!(queue = %run.queue, %seq, %error, "a message, and maybe some behind it, cannot be read now");
                }
            }
        }
    }
}

fn one(run: &OutRun, seq: Seq, tag: u64) -> Run {
    Run {
        first_tag: tag,
        first_seq: seq,
        count: 1,
        queue: run.queue,
        consumer: Some(run.consumer),
        deadline: Deadline::NONE,
    }
}

impl<D: Disk> Locked<'_, D> {
    /// The session looks by itself after this: it need not be woken.
    pub(super) fn is_looking(&mut self) {
        let key = self.core.key;
        if let Some(session) = self.state().sessions.get_mut(key) {
            session.is_looking();
        }
    }

    /// Takes the outbox if the last one was worked off, and the notices. True if the outbox was taken.
    fn swap_outboxes(&mut self) -> bool {
        let core = &mut *self.core;
        let Some(session) = self.guard.parts().1.sessions.get_mut(core.key) else {
            return false;
        };
        session.has_looked();
        core.inbox.notices.append(&mut session.notices);
        if core.inbox.replies.is_empty() {
            std::mem::swap(&mut core.inbox.replies, &mut session.replies);
        }
        if core.inbox.current().is_some() {
            return false;
        }
        core.inbox.messages.clear();
        core.inbox.at = Position::default();
        std::mem::swap(&mut core.inbox.messages, &mut session.outbox);
        true
    }

    /// Lets the queues fill the room that the swap made.
    fn refill(&mut self) {
        let key = self.core.key;
        let (shard, state) = self.guard.parts();
        state.dispatch_stalled(shard, key);
    }

    /// Has the session woken for the first confirm that is not due yet.
    fn await_confirms(&mut self, durable: Durable) {
        let first = first_unconfirmed(&self.core.channels, &self.core.unconfirmed, durable);
        let key = self.core.key;
        if let Some(block) = first {
            self.state().await_confirm(key, block);
        }
    }
}

fn first_unconfirmed(
    channels: &Channels,
    unconfirmed: &[crate::command::ChannelId],
    durable: Durable,
) -> Option<logpond_store::BlockNumber> {
    unconfirmed
        .iter()
        .filter_map(|&id| match &channels.get(id)?.mode {
            Mode::Confirm(confirms) => confirms.next_uncovered(durable),
            _ => None,
        })
        .min()
}
