//! `basic.get`.

use logpond_store::disk::{Disk, Now};
use logpond_store::{AckReason, Lease, LeaseOutcome, ReadError, Sources};

use super::Session;
use super::deliver::with_attempts;
use super::lapse::expect_acknowledgement;
use super::locked::Locked;
use crate::admin::count;
use crate::auth::Action;
use crate::command::ChannelId;
use crate::consumer::AckMode;
use crate::deadline::Deadline;
use crate::effect::Delivery;
use crate::envelope::Envelope;
use crate::errors::{AmqpError, Answer, ReplyCode, storage_failed};
use crate::limits::EXPIRED_MAX;
use crate::queue::{QueueKind, QueueSpec};
use crate::replies::is_reply_name;
use crate::resource::Resource;
use crate::rota::Sharing;
use crate::unacked::Run;

/// What was taken off the queue.
struct Taken {
    lease: Lease,
    sources: Sources,
    remaining: u32,
    /// How long the client may take to acknowledge it.
    timeout_ms: Option<u64>,
}

impl<D: Disk> Session<D> {
    /// `basic.get`: calls `deliver` with the message and the number of messages that remain ready, and says
    /// whether there was one. Waits for what was accepted before, and for dead letters of what this session rejected before.
    ///
    /// # Errors
    /// Those of RabbitMQ.
    pub fn get(
        &mut self,
        channel: ChannelId,
        queue: &str,
        no_ack: bool,
        now: Now,
        deliver: &mut impl FnMut(&Delivery<'_>, u32),
    ) -> Answer<bool> {
        let mode = if no_ack {
            AckMode::Automatic
        } else {
            AckMode::Manual
        };
        self.on_channel(channel, now, |session| {
            let queue = session.named_queue(channel, queue)?;
            session.authorise(Action::Get(&queue))?;
            if is_reply_name(queue.as_bytes()) {
                let resource = Resource::queue(&queue, &session.core.vhost.name);
                let text = format_args!("basic.get not supported by volatile {resource}");
                return Err(AmqpError::not_implemented(text));
            }
            loop {
                let (spec, taken) = session.take(&queue, now)?;
                let Some(taken) = taken else { return Ok(false) };
                if session.hand_over(channel, &spec, &taken, mode, now, deliver)? {
                    return Ok(true);
                }
            }
        })
    }

    fn take(&mut self, queue: &str, now: Now) -> Answer<(std::sync::Arc<QueueSpec>, Option<Taken>)> {
        let (mut leases, mut sources) = (Vec::with_capacity(1), Sources::default());
        loop {
            let mut locked = Locked::new(&self.broker, &mut self.core, now);
            let key = locked.core.key;
            let vhost = std::sync::Arc::clone(&locked.core.vhost);
            let (shard, state) = locked.guard.parts();
            let spec = self.broker.find_queue(&vhost, state, queue, key)?;
            state.used(spec.id, now);
            if state
                .queues
                .get(&spec.id)
                .is_some_and(|queue| queue.rota.sharing() == Sharing::SingleYielding)
            {
                return Err(AmqpError::channel(
                    ReplyCode::ResourceLocked,
                    format_args!(
                        "cannot obtain access to locked {spec}. basic.get operations are not supported by quorum \
                         queues with single active consumer"
                    ),
                ));
            }
            let outcome = shard
                .lease(spec.id, 1, u64::MAX, &mut leases, &mut sources)
                .map_err(storage_failed)?;
            if shard.next_expiry_ms().is_some_and(|due| due <= now.wall_ms) {
                // What has expired behind it is not to be counted.
                shard.expire(now, EXPIRED_MAX).map_err(storage_failed)?;
            }
            let remaining = count(shard.counts(spec.id).unwrap_or_default().ready);
            let timeout_ms = locked.timeout_ms(&spec);
            // The lease may have asked for a delivery mark, which somebody has to write.
            locked.release(1, now);
            match outcome {
                LeaseOutcome::Some(_) => {
                    let taken = Taken {
                        lease: leases[0],
                        sources,
                        remaining,
                        timeout_ms,
                    };
                    return Ok((spec, Some(taken)));
                }
                // It may be asked for the letters of what this session rejected before.
                LeaseOutcome::Empty if std::mem::take(&mut self.core.has_rejected) => {
                    self.broker.move_dead_letters(now);
                }
                LeaseOutcome::Empty => return Ok((spec, None)),
                LeaseOutcome::Pending(block) => self.broker.wait_durable(block)?,
            }
        }
    }

    /// Says whether the message could be read.
    fn hand_over(
        &mut self,
        channel: ChannelId,
        spec: &QueueSpec,
        taken: &Taken,
        mode: AckMode,
        now: Now,
        deliver: &mut impl FnMut(&Delivery<'_>, u32),
    ) -> Answer<bool> {
        let mut run = Run {
            first_tag: 0,
            first_seq: taken.lease.seq,
            count: 1,
            queue: spec.id,
            consumer: None,
            deadline: Deadline::NONE,
        };
        let message = match self.reader.message(spec.id, &taken.lease, &taken.sources) {
            Ok(message) => message,
            Err(ReadError::Gone) => return Ok(false),
            Err(error @ ReadError::Damaged { .. }) => {
                tracing::error!(queue = %spec, seq = %run.first_seq, %error, "a message is lost");
                self.finish(run, AckReason::Dropped, now);
                return Ok(false);
            }
            Err(error) => {
                self.core.withheld.push(run);
                return Err(storage_failed(error));
            }
        };
        let open = self.core.channel(channel)?;
        let envelope = Envelope::parse(message.properties).unwrap_or(Envelope::unknown());
        run.first_tag = open.take_delivery_tag();
        if mode == AckMode::Manual {
            run.deadline = Deadline::after(taken.timeout_ms, now);
            open.unacked.push(run);
            expect_acknowledgement(&mut self.core.lapse_ms, run.deadline);
        }
        let counted = (taken.lease.redelivered && spec.kind == QueueKind::Quorum)
            .then(|| with_attempts(envelope.properties, taken.lease.attempts));
        let delivery = Delivery {
            channel,
            consumer_tag: "",
            delivery_tag: run.first_tag,
            redelivered: taken.lease.redelivered,
            exchange: envelope.exchange,
            routing_key: envelope.routing_key,
            properties: counted.as_deref().unwrap_or(envelope.properties),
            body: message.body,
        };
        deliver(&delivery, taken.remaining);
        if mode == AckMode::Automatic {
            self.finish(run, AckReason::Acked, now);
        }
        Ok(true)
    }

    fn finish(&mut self, run: Run, reason: AckReason, now: Now) {
        let mut locked = Locked::new(&self.broker, &mut self.core, now);
        // A queue that was deleted meanwhile has nothing left to acknowledge.
        let _gone = locked
            .shard()
            .acknowledge(run.queue, run.first_seq, run.count, reason, now);
        locked.state().settled(&run);
        locked.release(1, now);
    }
}
