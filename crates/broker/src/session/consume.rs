//! `basic.consume`, `basic.cancel`, `basic.qos`.

use std::sync::Arc;

use logpond_store::disk::{Disk, Now};

use super::locked::Locked;
use super::{Session, Told};
use crate::arguments;
use crate::auth::Action;
use crate::command::{ChannelId, Consume, Qos};
use crate::consumer::{AckMode, Consumer};
use crate::errors::{AmqpError, Answer, ReplyCode, access_refused, precondition_failed, storage_failed};
use crate::limits::QUORUM_PREFETCH_DEFAULT;
use crate::queue::QueueKind;
use crate::replies::{REPLY_TO, is_reply_name};
use crate::resource::Resource;
use crate::rota::Sharing;

impl<D: Disk> Session<D> {
    /// `basic.consume`: the consumer's tag. Deliveries come through [`Session::poll`] only.
    ///
    /// # Errors
    /// Those of RabbitMQ.
    pub fn consume(&mut self, channel: ChannelId, request: &Consume<'_>, now: Now) -> Answer<Arc<str>> {
        self.on_channel(channel, now, |session| {
            session.start_consumer(channel, request, now)
        })
    }

    fn start_consumer(&mut self, channel: ChannelId, request: &Consume<'_>, now: Now) -> Answer<Arc<str>> {
        let queue = self.named_queue(channel, request.queue)?;
        if &*queue == REPLY_TO {
            return self.start_reply_consumer(channel, request, now);
        }
        if is_reply_name(queue.as_bytes()) {
            let resource = Resource::queue(&queue, &self.core.vhost.name);
            return Err(precondition_failed(format_args!(
                "only creator channel may consume from {resource}"
            )));
        }
        self.authorise(Action::Consume(&queue))?;
        let tag: Arc<str> = match request.tag {
            "" => self.broker.unique_name("amq.ctag-").into(),
            tag => tag.into(),
        };
        let open = self.core.channel(channel)?;
        if open.has_consumer(&tag) {
            let text = format_args!("attempt to reuse consumer tag '{tag}'");
            return Err(AmqpError::connection(ReplyCode::NotAllowed, text));
        }
        let prefetch = open.prefetch;
        let mut locked = Locked::new(&self.broker, &mut self.core, now);
        let outcome = locked.add_consumer(channel, &queue, request, prefetch, Arc::clone(&tag));
        // The first lease may ask for a delivery mark, which somebody has to write.
        locked.release(1, now);
        outcome.map(|()| tag)
    }

    /// `basic.cancel`; an unknown tag is no error.
    ///
    /// # Errors
    /// 504 when the channel is not open.
    pub fn cancel(&mut self, channel: ChannelId, tag: &str, now: Now) -> Answer<()> {
        self.on_channel(channel, now, |session| {
            let open = session.core.channel(channel)?;
            if let Some(reply_to) = open.reply_to.take_if(|reply_to| *reply_to.tag == *tag) {
                let mut locked = Locked::new(&session.broker, &mut session.core, now);
                locked.end_reply_consumer(&reply_to);
                locked.release(0, now);
                return Ok(());
            }
            let Some(key) = open.consumers.remove(tag) else {
                return Ok(());
            };
            let mut locked = Locked::new(&session.broker, &mut session.core, now);
            locked.end_consumer(key);
            locked.release(0, now);
            Ok(())
        })
    }

    /// `basic.qos`: applies to later consumers of the channel.
    ///
    /// # Errors
    /// 540 for a prefetch size.
    pub fn qos(&mut self, channel: ChannelId, qos: Qos, now: Now) -> Answer<()> {
        self.on_channel(channel, now, |session| {
            if qos.prefetch_size != 0 {
                let text = format_args!("prefetch_size!=0 ({})", qos.prefetch_size);
                return Err(AmqpError::not_implemented(text));
            }
            // Zero means any number. `global` is served like its opposite, as RabbitMQ 4.3 does.
            let prefetch = Some(u32::from(qos.prefetch_count)).filter(|&count| count > 0);
            session.core.channel(channel)?.prefetch = prefetch;
            Ok(())
        })
    }
}

impl<D: Disk> Locked<'_, D> {
    fn add_consumer(
        &mut self,
        channel: ChannelId,
        queue: &str,
        request: &Consume<'_>,
        prefetch: Option<u32>,
        tag: Arc<str>,
    ) -> Answer<()> {
        let (session, vhost) = (self.core.key, Arc::clone(&self.core.vhost));
        let (shard, state) = self.guard.parts();
        let spec = self.broker.find_queue(&vhost, state, queue, session)?;
        let wishes = arguments::check_consumer(&spec, spec.kind, request.arguments)?;
        let taken = state.queues.get(&spec.id).is_some_and(|queue| {
            let is_single = queue.rota.sharing() == Sharing::Single;
            let exclusive = |key| {
                state
                    .consumers
                    .get(key)
                    .is_some_and(|consumer| consumer.exclusive)
            };
            // Those of a quorum queue may say that they are, and nothing comes of it.
            spec.kind != QueueKind::Quorum
                && ((request.exclusive && (is_single || !queue.rota.is_empty()))
                    || queue.rota.iter().any(exclusive))
        });
        if taken {
            return Err(access_refused(format_args!("{spec} in exclusive use")));
        }
        let key = state.consumers.insert(Consumer {
            session,
            channel,
            tag: Arc::clone(&tag),
            queue: spec.id,
            ack_mode: if request.no_ack {
                AckMode::Automatic
            } else {
                AckMode::Manual
            },
            exclusive: request.exclusive,
            prefetch: match spec.kind {
                QueueKind::Quorum => prefetch.or(Some(QUORUM_PREFETCH_DEFAULT)),
                _ => prefetch,
            },
            held: 0,
            yields: false,
            stalled: false,
        });
        if let Some(queue) = state.queues.get_mut(&spec.id) {
            queue.rota.add(key, wishes.priority);
        }
        shard.expect_leases(spec.id).map_err(storage_failed)?;
        state.touch(spec.id);
        let timeout_ms = wishes.timeout_ms.or_else(|| self.timeout_ms(&spec));
        let told = Told {
            tag: Arc::clone(&tag),
            kind: spec.kind,
            timeout_ms,
        };
        self.core.tags.insert(key, told);
        self.core.channel(channel)?.consumers.insert(tag, key);
        Ok(())
    }
}
