//! A client's frames against a broker on a simulated disk: whatever is asked for in whatever order, the broker answers, and what it
//! left can be opened.
//!
//! A heartbeat on channel *n* lets *n* milliseconds pass, and what is due happen. `start-ok` says what the client can do, whenever it
//! comes.
//!
//! Names and tables become the broker's as in the server, which shows that to nobody.

use logpond_amqp::{Array, ContentHeader, FrameKind, Method, ShortStr, Table, Value as Wire, parse_frame};
use logpond_broker::auth::Peer;
use logpond_broker::{
    AmqpError, Arguments, Binding, Body, Broker, BrokerOptions, ChannelId, Command, Confirm, Consume,
    Decimal, Delivery, EffectSink, ExchangeDeclare, Extent, GiveBack, Portion, Publish, Qos, QueueDeclare,
    QueueDelete, Scope, Session, StoreOptions, Value,
};
use logpond_store::disk::Disk;
use logpond_store::disk::sim::SimDisk;
use std::sync::Arc;
use std::task::Waker;

/// The largest frame that is taken.
const FRAME_BYTES_MAX: u32 = 131_072;
/// Pieces of work that the store may have at once.
const STEPS_MAX: u32 = 100_000;

/// A publish that waits for its header and body.
struct Pending {
    exchange: Vec<u8>,
    routing_key: Vec<u8>,
    mandatory: bool,
    immediate: bool,
    properties: Option<Vec<u8>>,
    left: u64,
    body: Vec<u8>,
}

/// Has a conversation.
pub fn hold(data: &[u8]) {
    let disk = SimDisk::new(1);
    let broker = open(&disk);
    let mut client = Client::new(&broker, &disk);
    let mut rest = data;
    while let Ok(Some((frame, taken))) = parse_frame(rest, FRAME_BYTES_MAX) {
        rest = &rest[taken..];
        if client.is_over {
            client = Client::new(&broker, &disk);
        }
        let channel = ChannelId::new(frame.channel.get());
        match frame.kind {
            FrameKind::Heartbeat => client.wait(u64::from(frame.channel.get())),
            FrameKind::Method => client.method(channel, frame.payload),
            FrameKind::Header => client.header(frame.payload),
            FrameKind::Body => client.body(channel, frame.payload),
        }
    }
    client.wait(1);
    drop(client);
    step(&broker);
    let left = disk.after_kill();
    drop(broker);
    let _again = open(&left);
}

fn open(disk: &SimDisk) -> Arc<Broker<SimDisk>> {
    let options = BrokerOptions {
        store: StoreOptions::tiny(),
        ..BrokerOptions::default()
    };
    Broker::open(disk.clone(), options).expect("the disk works").0
}

fn step(broker: &Broker<SimDisk>) {
    let mut steps = 0;
    while broker.step() {
        steps += 1;
        assert!(steps < STEPS_MAX, "the store never comes to rest");
    }
}

/// Takes everything, and checks that tags ascend.
#[derive(Default)]
struct Sink {
    confirmed: u64,
    hears_of_cancellations: bool,
}

impl EffectSink for Sink {
    fn confirm(&mut self, _channel: ChannelId, _tag: u64, _extent: Extent, _outcome: Confirm) {
        self.confirmed += 1;
    }

    fn deliver(&mut self, delivery: &Delivery<'_>) -> usize {
        let properties = logpond_amqp::Properties::parse(delivery.properties);
        assert!(properties.is_ok(), "what is delivered can be read");
        delivery.body.len()
    }

    fn hears_of_cancellations(&self) -> bool {
        self.hears_of_cancellations
    }

    fn cancelled(&mut self, _channel: ChannelId, _consumer_tag: &str) {}

    fn closed(&mut self, error: &AmqpError) {
        panic!("the disk works: {error}");
    }
}

struct Client {
    broker: Arc<Broker<SimDisk>>,
    disk: SimDisk,
    session: Session<SimDisk>,
    pending: Option<Pending>,
    sink: Sink,
    /// The connection was closed with an error.
    is_over: bool,
}

impl Client {
    fn new(broker: &Arc<Broker<SimDisk>>, disk: &SimDisk) -> Self {
        let login = broker.authenticate("guest", b"guest", Peer::Loopback);
        let login = login.expect("the first user is there");
        let session = broker.connect(&login, "/", Waker::noop().clone());
        Self {
            broker: Arc::clone(broker),
            disk: disk.clone(),
            session: session.expect("so is the virtual host"),
            pending: None,
            sink: Sink::default(),
            is_over: false,
        }
    }

    /// Lets time pass.
    fn wait(&mut self, ms: u64) {
        self.disk.advance(ms);
        let now = self.disk.now();
        step(&self.broker);
        self.broker.tick(now);
        self.session.lapse(&mut self.sink, now, &mut |_, _| {});
        while self.session.poll(4096, &mut self.sink, now).more {}
        step(&self.broker);
    }

    fn method(&mut self, channel: ChannelId, payload: &[u8]) {
        let Ok(method) = Method::decode(payload) else {
            return;
        };
        if let Method::BasicPublish(publish) = &method {
            self.pending = Some(Pending {
                exchange: publish.exchange.as_bytes().to_vec(),
                routing_key: publish.routing_key.as_bytes().to_vec(),
                mandatory: publish.mandatory,
                immediate: publish.immediate,
                properties: None,
                left: 0,
                body: Vec::new(),
            });
            return;
        }
        if let Some(command) = hot(channel, &method) {
            return self.apply(&[command]);
        }
        if let Err(error) = self.serve(channel, &method) {
            self.is_over |= error.scope == Scope::Connection;
        }
    }

    fn header(&mut self, payload: &[u8]) {
        let (Some(pending), Ok(header)) = (&mut self.pending, ContentHeader::parse(payload)) else {
            return;
        };
        if header.properties().is_err() || header.body_size > 1 << 20 {
            self.pending = None;
            return;
        }
        pending.properties = Some(header.raw_properties.to_vec());
        pending.left = header.body_size;
    }

    fn body(&mut self, channel: ChannelId, payload: &[u8]) {
        let Some(mut pending) = self.pending.take() else {
            return;
        };
        let len = u64::try_from(payload.len()).expect("a frame is short");
        pending.body.extend_from_slice(payload);
        pending.left = pending.left.saturating_sub(len);
        let Some(properties) = pending.properties.as_deref().filter(|_| pending.left == 0) else {
            self.pending = Some(pending);
            return;
        };
        self.apply(&[Command::Publish(Publish {
            channel,
            exchange: &pending.exchange,
            routing_key: &pending.routing_key,
            mandatory: pending.mandatory,
            immediate: pending.immediate,
            properties,
            body: Body::Whole(&pending.body),
        })]);
    }

    fn apply(&mut self, commands: &[Command<'_>]) {
        let now = self.disk.now();
        let is_over = &mut self.is_over;
        let mut failed = |_: &Command<'_>, error: AmqpError| *is_over |= error.scope == Scope::Connection;
        let _flow = self
            .session
            .apply(commands, &[], Portion::Last, now, &mut |_| {}, &mut failed);
    }

    fn serve(&mut self, id: ChannelId, method: &Method<'_>) -> Result<(), AmqpError> {
        let now = self.disk.now();
        let session = &mut self.session;
        match method {
            Method::ConnectionStartOk(start) => {
                self.sink.hears_of_cancellations = hears_of_cancellations(start.client_properties);
            }
            Method::ChannelOpen(_) if id.get() < 16 => session.open_channel(id)?,
            Method::ChannelClose(_) => session.close_channel(id, now),
            Method::BasicQos(qos) => {
                let qos = Qos {
                    prefetch_size: qos.prefetch_size,
                    prefetch_count: qos.prefetch_count,
                    global: qos.global,
                };
                session.qos(id, qos, now)?;
            }
            Method::BasicConsume(consume) => {
                let request = Consume {
                    queue: text(consume.queue),
                    tag: text(consume.consumer_tag),
                    no_ack: consume.no_ack,
                    exclusive: consume.exclusive,
                    arguments: &arguments(consume.arguments),
                };
                session.consume(id, &request, now)?;
            }
            Method::BasicCancel(cancel) => session.cancel(id, text(cancel.consumer_tag), now)?,
            Method::BasicGet(get) => {
                session.get(id, text(get.queue), get.no_ack, now, &mut |_, _| {})?;
            }
            Method::BasicRecover(recover) => session.recover(id, recover.requeue, now)?,
            Method::ConfirmSelect(_) => session.confirm_select(id, now)?,
            Method::TxSelect(_) => session.tx_select(id, now)?,
            Method::TxCommit(_) => session.tx_commit(id, now, &mut |_| {})?,
            Method::TxRollback(_) => session.tx_rollback(id, now)?,
            Method::ExchangeDeclare(declare) => {
                let request = ExchangeDeclare {
                    name: text(declare.exchange),
                    kind: text(declare.kind),
                    passive: declare.passive,
                    durable: declare.durable,
                    auto_delete: declare.auto_delete,
                    internal: declare.internal,
                    arguments: &arguments(declare.arguments),
                };
                session.exchange_declare(id, &request, now)?;
            }
            Method::ExchangeDelete(delete) => {
                session.exchange_delete(id, text(delete.exchange), delete.if_unused, now)?;
            }
            Method::ExchangeBind(bind) => {
                let table = arguments(bind.arguments);
                let binding = binding(bind.source, bind.destination, bind.routing_key, &table);
                session.exchange_bind(id, &binding, now)?;
            }
            Method::ExchangeUnbind(bind) => {
                let table = arguments(bind.arguments);
                let binding = binding(bind.source, bind.destination, bind.routing_key, &table);
                session.exchange_unbind(id, &binding, now)?;
            }
            Method::QueueDeclare(declare) => {
                let request = QueueDeclare {
                    name: text(declare.queue),
                    passive: declare.passive,
                    durable: declare.durable,
                    exclusive: declare.exclusive,
                    auto_delete: declare.auto_delete,
                    arguments: &arguments(declare.arguments),
                };
                session.queue_declare(id, &request, now)?;
            }
            Method::QueueBind(bind) => {
                let table = arguments(bind.arguments);
                let binding = binding(bind.exchange, bind.queue, bind.routing_key, &table);
                session.queue_bind(id, &binding, now)?;
            }
            Method::QueueUnbind(bind) => {
                let table = arguments(bind.arguments);
                let binding = binding(bind.exchange, bind.queue, bind.routing_key, &table);
                session.queue_unbind(id, &binding, now)?;
            }
            Method::QueuePurge(purge) => {
                session.queue_purge(id, text(purge.queue), now)?;
            }
            Method::QueueDelete(delete) => {
                let request = QueueDelete {
                    name: text(delete.queue),
                    if_unused: delete.if_unused,
                    if_empty: delete.if_empty,
                };
                session.queue_delete(id, &request, now)?;
            }
            _ => {}
        }
        Ok(())
    }
}

/// Whether a client with these properties does.
fn hears_of_cancellations(properties: Table<'_>) -> bool {
    match properties.get(b"capabilities") {
        Some(Wire::Table(capabilities)) => {
            capabilities.get(b"consumer_cancel_notify") == Some(Wire::Bool(true))
        }
        _ => false,
    }
}

/// The commands that travel in batches, but for publishes.
fn hot<'b>(channel: ChannelId, method: &Method<'b>) -> Option<Command<'b>> {
    Some(match method {
        Method::BasicAck(ack) => Command::Ack {
            channel,
            tag: ack.delivery_tag,
            extent: Extent::from_multiple(ack.multiple),
        },
        Method::BasicNack(nack) => Command::Nack {
            channel,
            tag: nack.delivery_tag,
            extent: Extent::from_multiple(nack.multiple),
            give_back: GiveBack::from_nack(nack.requeue),
        },
        Method::BasicReject(reject) => Command::Reject {
            channel,
            tag: reject.delivery_tag,
            give_back: GiveBack::from_reject(reject.requeue),
        },
        _ => return None,
    })
}

fn binding<'a>(
    source: ShortStr<'a>,
    destination: ShortStr<'a>,
    routing_key: ShortStr<'a>,
    arguments: &'a Arguments,
) -> Binding<'a> {
    Binding {
        source: text(source),
        destination: text(destination),
        routing_key: routing_key.as_bytes(),
        arguments,
    }
}

/// Names that are no text are refused before the broker sees them.
fn text(name: ShortStr<'_>) -> &str {
    name.to_str().unwrap_or("no text")
}

fn arguments(table: Table<'_>) -> Arguments {
    table
        .iter()
        .map(|(key, value)| (key.as_bytes(), owned(value)))
        .collect()
}

fn owned(value: Wire<'_>) -> Value {
    match value {
        Wire::Bool(value) => Value::Bool(value),
        Wire::I8(value) => Value::I8(value),
        Wire::U8(value) => Value::U8(value),
        Wire::I16(value) => Value::I16(value),
        Wire::U16(value) => Value::U16(value),
        Wire::I32(value) => Value::I32(value),
        Wire::U32(value) => Value::U32(value),
        Wire::I64(value) => Value::I64(value),
        Wire::F32(value) => Value::F32(value),
        Wire::F64(value) => Value::F64(value),
        Wire::Decimal(decimal) => Value::Decimal(Decimal {
            scale: decimal.scale,
            unscaled: decimal.value,
        }),
        Wire::LongString(bytes) => Value::Str(bytes.into()),
        Wire::Bytes(bytes) => Value::Bytes(bytes.into()),
        Wire::Timestamp(seconds) => Value::Timestamp(seconds),
        Wire::Array(array) => Value::Array(items(array)),
        Wire::Table(table) => Value::Table(arguments(table)),
        _ => Value::Void,
    }
}

fn items(array: Array<'_>) -> Vec<Value> {
    array.iter().map(owned).collect()
}
