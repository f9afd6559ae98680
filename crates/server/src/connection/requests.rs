//! Requests that are answered one by one: everything but publishing and acknowledging.
//!
//! Invariants:
//! - An answer is encoded before the next request is looked at; with `no-wait` there is none.
//! - Whatever may wait for the disk goes through `blocking`.

use logpond_amqp::{ChannelId, Method, ReplyCode, ShortStr, method};
use logpond_broker::{Arguments, Binding, Consume, ExchangeDeclare, Qos, QueueDeclare, QueueDelete};

use super::arguments::arguments;
use super::channels::Slot;
use super::content::Assembly;
use super::effects::{encode_get_ok, encode_return, short};
use super::link::{Link, not_open, own};
use super::refusal::{Failure, Refusal};
use crate::blocking::blocking;
use crate::engine::ServerSession;

/// What a request comes to.
type Outcome = Result<(), Failure>;

impl Link {
    /// A method on channel 0.
    pub(super) fn connection_method(&mut self, method: &Method<'_>) -> Result<(), Refusal> {
        match method {
            Method::ConnectionClose(close) => {
                if close.reply_code != ReplyCode::REPLY_SUCCESS.get() && close.reply_code != 0 {
                    tracing::info!(client = %self.client.name, code = close.reply_code, text = %close.reply_text,
                        "the client closes with an error");
                }
                self.close_by_client();
                Ok(())
            }
            // A login here does not expire, so there is nothing that a new secret could prolong: as in RabbitMQ, whose own
            // accounts take any.
            Method::ConnectionUpdateSecret(_) => {
                method::connection::UpdateSecretOk.encode(ChannelId::CONNECTION, &mut self.out);
                Ok(())
            }
            _ => {
                let text = "unexpected method in connection state running";
                Err(Refusal::new(ReplyCode::CHANNEL_ERROR, text).by(method.id()))
            }
        }
    }

    /// A method on a channel, when nothing is in assembly there.
    pub(super) fn channel_method(&mut self, channel: ChannelId, method: &Method<'_>) -> Result<(), Refusal> {
        match self.channels.get(channel) {
            Slot::Absent => self.method_on_absent(channel, method),
            Slot::Closing => {
                self.method_on_closing(channel, method);
                Ok(())
            }
            Slot::Open | Slot::Assembling(_) => {
                if let Err(failure) = self.request(channel, method) {
                    self.fail(channel, failure.by(id_of(method)));
                }
                Ok(())
            }
        }
    }

    fn method_on_absent(&mut self, channel: ChannelId, method: &Method<'_>) -> Result<(), Refusal> {
        let (count, limit) = (self.channels.count(), self.tuning.channel_max);
        if count >= usize::from(limit) {
            let text = format_args!(
                "number of channels opened ({count}) has reached the negotiated channel_max ({limit})"
            );
            return Err(Refusal::new(ReplyCode::NOT_ALLOWED, text));
        }
        let Method::ChannelOpen(_) = method else {
            return Err(not_open());
        };
        let Some(session) = &mut self.session else {
            return Ok(());
        };
        match session.open_channel(own(channel)) {
            Ok(()) => {
                self.channels.set(channel, Slot::Open);
                method::channel::OpenOk.encode(channel, &mut self.out);
            }
            Err(error) => self.fail(channel, error.into()),
        }
        Ok(())
    }

    //= amqp-0-9-1 channel.close: discard all methods except close and close-ok
    fn method_on_closing(&mut self, channel: ChannelId, method: &Method<'_>) {
        match method {
            Method::ChannelCloseOk(_) => self.channels.set(channel, Slot::Absent),
            // Both sides closed at once; our own close is still to be answered.
            Method::ChannelClose(_) => method::channel::CloseOk.encode(channel, &mut self.out),
            _ => {}
        }
    }

    fn request(&mut self, channel: ChannelId, method: &Method<'_>) -> Outcome {
        let Some(mut session) = self.session.take() else {
            return Ok(());
        };
        let outcome = self.serve(&mut session, channel, method);
        self.session = Some(session);
        outcome
    }

    fn serve(&mut self, session: &mut ServerSession, channel: ChannelId, method: &Method<'_>) -> Outcome {
        let now = self.shared.now();
        let id = own(channel);
        let out = &mut self.out;
        let frame_max = self.tuning.frame_max;
        match method {
            Method::ChannelOpen(_) => {
                return Err(Refusal::new(ReplyCode::CHANNEL_ERROR, "second 'channel.open' seen").into());
            }
            Method::ChannelClose(_) => {
                blocking(|| session.close_channel(id, now));
                self.channels.set(channel, Slot::Absent);
                method::channel::CloseOk.encode(channel, out);
            }
            Method::ChannelFlow(flow) if !flow.active => {
                return Err(Refusal::new(ReplyCode::NOT_IMPLEMENTED, "active=false").into());
            }
            Method::ChannelFlow(_) => method::channel::FlowOk { active: true }.encode(channel, out),
            // Answers to what we asked.
            Method::ChannelFlowOk(_) | Method::ChannelCloseOk(_) | Method::BasicCancelOk(_) => {}
            Method::AccessRequest(_) => method::access::RequestOk { ticket: 1 }.encode(channel, out),
            Method::BasicPublish(fields) => {
                self.channels
                    .set(channel, Slot::Assembling(Box::new(Assembly::new(fields))));
            }
            Method::BasicQos(qos) => {
                let qos = Qos {
                    prefetch_size: qos.prefetch_size,
                    prefetch_count: qos.prefetch_count,
                    global: qos.global,
                };
                session.qos(id, qos, now)?;
                method::basic::QosOk.encode(channel, out);
            }
            Method::BasicConsume(consume) => {
                let arguments = arguments(consume.arguments);
                let request = Consume {
                    queue: text(consume.queue)?,
                    tag: text(consume.consumer_tag)?,
                    no_ack: consume.no_ack,
                    exclusive: consume.exclusive,
                    arguments: &arguments,
                };
                let tag = session.consume(id, &request, now)?;
                if !consume.no_wait {
                    method::basic::ConsumeOk {
                        consumer_tag: short(tag.as_bytes()),
                    }
                    .encode(channel, out);
                }
            }
            Method::BasicCancel(cancel) => {
                let tag = text(cancel.consumer_tag)?;
                blocking(|| session.cancel(id, tag, now))?;
                if !cancel.no_wait {
                    method::basic::CancelOk {
                        consumer_tag: cancel.consumer_tag,
                    }
                    .encode(channel, out);
                }
            }
            Method::BasicGet(get) => {
                let queue = text(get.queue)?;
                let found = blocking(|| {
                    session.get(id, queue, get.no_ack, now, &mut |delivery, left| {
                        encode_get_ok(out, delivery, left, frame_max);
                    })
                })?;
                if !found {
                    method::basic::GetEmpty.encode(channel, out);
                }
            }
            Method::BasicRecover(recover) => {
                session.recover(id, recover.requeue, now)?;
                method::basic::RecoverOk.encode(channel, out);
            }
            Method::BasicRecoverAsync(recover) => session.recover(id, recover.requeue, now)?,
            Method::ConfirmSelect(select) => {
                session.confirm_select(id, now)?;
                if !select.no_wait {
                    method::confirm::SelectOk.encode(channel, out);
                }
            }
            Method::TxSelect(_) => {
                session.tx_select(id, now)?;
                method::tx::SelectOk.encode(channel, out);
            }
            Method::TxCommit(_) => {
                blocking(|| {
                    session.tx_commit(id, now, &mut |returned| {
                        encode_return(out, returned, &[], frame_max);
                    })
                })?;
                method::tx::CommitOk.encode(channel, out);
            }
            Method::TxRollback(_) => {
                session.tx_rollback(id, now)?;
                method::tx::RollbackOk.encode(channel, out);
            }
            _ => return self.define(session, channel, method),
        }
        Ok(())
    }

    /// Exchanges, queues and bindings.
    fn define(&mut self, session: &mut ServerSession, channel: ChannelId, method: &Method<'_>) -> Outcome {
        let now = self.shared.now();
        let id = own(channel);
        let out = &mut self.out;
        match method {
            Method::ExchangeDeclare(declare) => {
                let arguments = arguments(declare.arguments);
                let request = ExchangeDeclare {
                    name: text(declare.exchange)?,
                    kind: text(declare.kind)?,
                    passive: declare.passive,
                    durable: declare.durable,
                    auto_delete: declare.auto_delete,
                    internal: declare.internal,
                    arguments: &arguments,
                };
                blocking(|| session.exchange_declare(id, &request, now))?;
                if !declare.no_wait {
                    method::exchange::DeclareOk.encode(channel, out);
                }
            }
            Method::ExchangeDelete(delete) => {
                let name = text(delete.exchange)?;
                blocking(|| session.exchange_delete(id, name, delete.if_unused, now))?;
                if !delete.no_wait {
                    method::exchange::DeleteOk.encode(channel, out);
                }
            }
            Method::ExchangeBind(bind) => {
                let table = arguments(bind.arguments);
                let binding = binding(bind.source, bind.destination, bind.routing_key, &table)?;
                blocking(|| session.exchange_bind(id, &binding, now))?;
                if !bind.no_wait {
                    method::exchange::BindOk.encode(channel, out);
                }
            }
            Method::ExchangeUnbind(unbind) => {
                let table = arguments(unbind.arguments);
                let binding = binding(unbind.source, unbind.destination, unbind.routing_key, &table)?;
                blocking(|| session.exchange_unbind(id, &binding, now))?;
                if !unbind.no_wait {
                    method::exchange::UnbindOk.encode(channel, out);
                }
            }
            Method::QueueDeclare(declare) => {
                let arguments = arguments(declare.arguments);
                let request = QueueDeclare {
                    name: text(declare.queue)?,
                    passive: declare.passive,
                    durable: declare.durable,
                    exclusive: declare.exclusive,
                    auto_delete: declare.auto_delete,
                    arguments: &arguments,
                };
                let declared = blocking(|| session.queue_declare(id, &request, now))?;
                if !declare.no_wait {
                    method::queue::DeclareOk {
                        queue: short(declared.name.as_bytes()),
                        message_count: declared.message_count,
                        consumer_count: declared.consumer_count,
                    }
                    .encode(channel, out);
                }
            }
            Method::QueueBind(bind) => {
                let table = arguments(bind.arguments);
                let binding = binding(bind.exchange, bind.queue, bind.routing_key, &table)?;
                blocking(|| session.queue_bind(id, &binding, now))?;
                if !bind.no_wait {
                    method::queue::BindOk.encode(channel, out);
                }
            }
            Method::QueueUnbind(unbind) => {
                let table = arguments(unbind.arguments);
                let binding = binding(unbind.exchange, unbind.queue, unbind.routing_key, &table)?;
                blocking(|| session.queue_unbind(id, &binding, now))?;
                method::queue::UnbindOk.encode(channel, out);
            }
            Method::QueuePurge(purge) => {
                let queue = text(purge.queue)?;
                let message_count = blocking(|| session.queue_purge(id, queue, now))?;
                if !purge.no_wait {
                    method::queue::PurgeOk { message_count }.encode(channel, out);
                }
            }
            Method::QueueDelete(delete) => {
                let request = QueueDelete {
                    name: text(delete.queue)?,
                    if_unused: delete.if_unused,
                    if_empty: delete.if_empty,
                };
                let message_count = blocking(|| session.queue_delete(id, &request, now))?;
                if !delete.no_wait {
                    method::queue::DeleteOk { message_count }.encode(channel, out);
                }
            }
            // What only servers send, or what belongs on channel 0.
            _ => return Err(Refusal::new(ReplyCode::COMMAND_INVALID, "unexpected method").into()),
        }
        Ok(())
    }
}

fn binding<'a>(
    source: ShortStr<'a>,
    destination: ShortStr<'a>,
    routing_key: ShortStr<'a>,
    arguments: &'a Arguments,
) -> Result<Binding<'a>, Failure> {
    Ok(Binding {
        source: text(source)?,
        destination: text(destination)?,
        routing_key: text(routing_key)?.as_bytes(),
        arguments,
    })
}

/// Names are text. In anything else RabbitMQ sees a broken frame.
fn text(name: ShortStr<'_>) -> Result<&str, Failure> {
    name.to_str()
        .map_err(|_| Refusal::new(ReplyCode::FRAME_ERROR, "Malformed UTF-8 in shortstr").into())
}

/// The numbers of a method, for `close`.
fn id_of(method: &Method<'_>) -> logpond_amqp::MethodId {
    method.id()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_not_utf_8_breaks_the_frame_and_is_no_methods_fault() {
        let names = [b"\xff", b"k"].map(|name| ShortStr::new(name).unwrap());
        let [broken, fine] = names;
        let arguments = Arguments::new();
        let told = Refusal::new(ReplyCode::FRAME_ERROR, "Malformed UTF-8 in shortstr");
        for [source, destination, key] in [[broken, fine, fine], [fine, broken, fine], [fine, fine, broken]] {
            let Err(failure) = binding(source, destination, key, &arguments) else {
                panic!("one of the names is no text")
            };
            assert_eq!(
                failure.by(method::queue::Bind::ID),
                Failure::Connection(told.clone())
            );
        }
    }
}
