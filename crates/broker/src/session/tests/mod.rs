//! Sessions against the store on a simulated disk, stepped by hand: each test is a sentence.

mod consuming;
mod copies;
mod declaring;
mod delaying;
mod dying;
mod expiring;
mod failing;
mod governing;
mod importing;
mod keeping;
mod lapsing;
mod limiting;
mod limits;
mod model;
mod moving;
mod owning;
mod passing;
mod precedence;
mod publishing;
mod ranking;
mod replying;
mod restart;
mod ruling;
mod settling;
mod spreading;
mod transactions;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};

use logpond_store::disk::sim::SimDisk;

use crate::auth::Peer;
use crate::*;

/// The channel that tests use when one is enough.
const ONE: ChannelId = ChannelId::new(1);
const TWO: ChannelId = ChannelId::new(2);

const NOW: Now = Now {
    wall_ms: 1_700_000_000_000,
    mono_ms: 1,
};

/// Property flags and list for delivery mode 2.
const PERSISTENT: &[u8] = &[0x10, 0, 2];
const PLAIN: &[u8] = &[0, 0];

fn open(disk: &SimDisk) -> Arc<Broker<SimDisk>> {
    let store = logpond_store::Options::tiny();
    Broker::open(
        disk.clone(),
        BrokerOptions {
            store,
            ..BrokerOptions::default()
        },
    )
    .unwrap()
    .0
}

/// What a server does when it is woken at `now`.
fn keep_up(broker: &Broker<SimDisk>, now: Now) {
    if broker.next_tick_ms(now).is_some_and(|at| at <= now.mono_ms) {
        broker.tick(now);
    }
}

fn broker() -> Arc<Broker<SimDisk>> {
    open(&SimDisk::new(7))
}

/// Lets the store write and apply everything that it was given.
fn sync(broker: &Broker<SimDisk>) {
    for _ in 0..10_000 {
        if !broker.step() {
            return;
        }
    }
    panic!("the store never comes to rest");
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Got {
    consumer: String,
    tag: u64,
    redelivered: bool,
    body: String,
}

/// What a client has seen.
#[derive(Default)]
struct Seen {
    confirms: Vec<(u64, Extent)>,
    nacks: Vec<(u64, Extent)>,
    deliveries: Vec<Got>,
    cancelled: Vec<String>,
    /// The client does not want to hear of cancellations.
    is_deaf: bool,
    closed: Vec<AmqpError>,
    /// What each delivery says of how often it was taken before.
    acquired: Vec<Option<Value>>,
    /// Where the sender of each delivery expects replies.
    reply_to: Vec<Option<String>>,
}

impl EffectSink for Seen {
    fn confirm(&mut self, _channel: ChannelId, tag: u64, extent: Extent, outcome: Confirm) {
        match outcome {
            Confirm::Ack => self.confirms.push((tag, extent)),
            Confirm::Nack => self.nacks.push((tag, extent)),
        }
    }

    fn deliver(&mut self, delivery: &Delivery<'_>) -> usize {
        let properties = crate::properties::Properties::parse(delivery.properties).unwrap();
        let reply_to = properties
            .reply_to
            .map(|name| String::from_utf8(name.to_vec()).unwrap());
        self.reply_to.push(reply_to);
        let headers = properties
            .headers
            .map(crate::table::arguments)
            .unwrap_or_default();
        self.acquired.push(headers.get("x-acquired-count").cloned());
        self.deliveries.push(Got {
            consumer: delivery.consumer_tag.to_owned(),
            tag: delivery.delivery_tag,
            redelivered: delivery.redelivered,
            body: String::from_utf8(delivery.body.to_vec()).unwrap(),
        });
        delivery.body.len()
    }

    fn hears_of_cancellations(&self) -> bool {
        !self.is_deaf
    }

    fn cancelled(&mut self, _channel: ChannelId, consumer_tag: &str) {
        self.cancelled.push(consumer_tag.to_owned());
    }

    fn closed(&mut self, error: &AmqpError) {
        self.closed.push(error.clone());
    }
}

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A connection with channel one open.
struct Client {
    broker: Arc<Broker<SimDisk>>,
    session: Session<SimDisk>,
    wakes: Arc<Wakes>,
    seen: Seen,
    returned: Vec<String>,
    failed: Vec<(ChannelId, AmqpError)>,
}

impl Client {
    fn new(broker: &Arc<Broker<SimDisk>>) -> Self {
        Self::in_vhost(broker, "/")
    }

    /// One whose wakes nobody counts.
    fn with_waker(broker: &Arc<Broker<SimDisk>>, waker: Waker) -> Self {
        Self::log_in(broker, "/", waker, Arc::default())
    }

    fn in_vhost(broker: &Arc<Broker<SimDisk>>, vhost: &str) -> Self {
        let wakes = Arc::new(Wakes::default());
        let waker = Waker::from(Arc::clone(&wakes));
        Self::log_in(broker, vhost, waker, wakes)
    }

    fn log_in(broker: &Arc<Broker<SimDisk>>, vhost: &str, waker: Waker, wakes: Arc<Wakes>) -> Self {
        let login = broker.authenticate("guest", b"guest", Peer::Loopback).unwrap();
        let mut session = broker.connect(&login, vhost, waker).unwrap();
        session.open_channel(ONE).unwrap();
        Self {
            broker: Arc::clone(broker),
            session,
            wakes,
            seen: Seen::default(),
            returned: Vec::new(),
            failed: Vec::new(),
        }
    }

    fn apply(&mut self, commands: &[Command<'_>]) -> Flow {
        let (returned, failed) = (&mut self.returned, &mut self.failed);
        self.session.apply(
            commands,
            &[],
            Portion::Last,
            NOW,
            &mut |message| {
                let Body::Whole(body) = message.body else {
                    panic!("bodies are whole here")
                };
                returned.push(String::from_utf8(body.to_vec()).unwrap());
            },
            &mut |command, error| failed.push((command.channel(), error)),
        )
    }

    fn publish_with(&mut self, exchange: &str, key: &str, properties: &[u8], bodies: &[&str]) -> Flow {
        let commands: Vec<_> = bodies
            .iter()
            .map(|body| {
                Command::Publish(Publish {
                    channel: ONE,
                    exchange: exchange.as_bytes(),
                    routing_key: key.as_bytes(),
                    mandatory: true,
                    immediate: false,
                    properties,
                    body: Body::Whole(body.as_bytes()),
                })
            })
            .collect();
        self.apply(&commands)
    }

    fn publish(&mut self, queue: &str, bodies: &[&str]) -> Flow {
        self.publish_with("", queue, PERSISTENT, bodies)
    }

    fn ack(&mut self, tag: u64, extent: Extent) {
        let _ = self.apply(&[Command::Ack {
            channel: ONE,
            tag,
            extent,
        }]);
    }

    fn nack(&mut self, tag: u64, extent: Extent, give_back: GiveBack) {
        let _ = self.apply(&[Command::Nack {
            channel: ONE,
            tag,
            extent,
            give_back,
        }]);
    }

    /// Lets everything settle, and looks.
    fn poll(&mut self) {
        loop {
            sync(&self.broker);
            let Polled { more, .. } = self.session.poll(usize::MAX, &mut self.seen, NOW);
            sync(&self.broker);
            if !more {
                return;
            }
        }
    }

    /// The bodies that were delivered since the last look.
    fn bodies(&mut self) -> Vec<String> {
        self.poll();
        self.seen.deliveries.drain(..).map(|got| got.body).collect()
    }

    fn declare(&mut self, name: &str) -> Arc<str> {
        self.declare_as(name, true, false, false).unwrap().name
    }

    fn declare_as(
        &mut self,
        name: &str,
        durable: bool,
        exclusive: bool,
        auto_delete: bool,
    ) -> Answer<QueueDeclared> {
        let arguments = &Arguments::new();
        self.declare_request(&QueueDeclare {
            name,
            passive: false,
            durable,
            exclusive,
            auto_delete,
            arguments,
        })
    }

    /// A durable queue with arguments.
    fn declare_with(&mut self, name: &str, arguments: &[(&str, Value)]) -> Answer<QueueDeclared> {
        let arguments = &arguments.iter().cloned().collect();
        self.declare_request(&QueueDeclare {
            name,
            passive: false,
            durable: true,
            exclusive: false,
            auto_delete: false,
            arguments,
        })
    }

    fn declare_request(&mut self, request: &QueueDeclare<'_>) -> Answer<QueueDeclared> {
        self.session.queue_declare(ONE, request, NOW)
    }

    fn declare_passively(&mut self, name: &str) -> Answer<QueueDeclared> {
        let arguments = &Arguments::new();
        let request = QueueDeclare {
            name,
            passive: true,
            durable: false,
            exclusive: false,
            auto_delete: false,
            arguments,
        };
        self.session.queue_declare(ONE, &request, NOW)
    }

    /// Ready messages of a queue.
    fn ready(&mut self, name: &str) -> u32 {
        self.declare_passively(name).unwrap().message_count
    }

    fn exchange(&mut self, name: &str, kind: &str, durable: bool) -> Answer<()> {
        self.exchange_with(name, kind, durable, &Arguments::new())
    }

    fn exchange_with(&mut self, name: &str, kind: &str, durable: bool, arguments: &Arguments) -> Answer<()> {
        let request = ExchangeDeclare {
            name,
            kind,
            passive: false,
            durable,
            auto_delete: false,
            internal: false,
            arguments,
        };
        self.session.exchange_declare(ONE, &request, NOW)
    }

    fn bind(&mut self, source: &str, queue: &str, key: &str) -> Answer<()> {
        let arguments = &Arguments::new();
        let binding = Binding {
            source,
            destination: queue,
            routing_key: key.as_bytes(),
            arguments,
        };
        self.session.queue_bind(ONE, &binding, NOW)
    }

    fn consume(&mut self, queue: &str, tag: &str, no_ack: bool) -> Answer<Arc<str>> {
        self.consume_as(queue, tag, no_ack, false)
    }

    fn consume_as(&mut self, queue: &str, tag: &str, no_ack: bool, exclusive: bool) -> Answer<Arc<str>> {
        self.consume_with(queue, tag, no_ack, exclusive, &Arguments::new())
    }

    fn consume_with(
        &mut self,
        queue: &str,
        tag: &str,
        no_ack: bool,
        exclusive: bool,
        arguments: &Arguments,
    ) -> Answer<Arc<str>> {
        self.session.consume(
            ONE,
            &Consume {
                queue,
                tag,
                no_ack,
                exclusive,
                arguments,
            },
            NOW,
        )
    }

    fn prefetch(&mut self, prefetch_count: u16) {
        self.session
            .qos(
                ONE,
                Qos {
                    prefetch_size: 0,
                    prefetch_count,
                    global: false,
                },
                NOW,
            )
            .unwrap();
    }

    fn get(&mut self, queue: &str, no_ack: bool) -> Option<Got> {
        let mut got = None;
        let found = self
            .session
            .get(ONE, queue, no_ack, NOW, &mut |delivery, _remaining| {
                got = Some(Got {
                    consumer: String::new(),
                    tag: delivery.delivery_tag,
                    redelivered: delivery.redelivered,
                    body: String::from_utf8(delivery.body.to_vec()).unwrap(),
                });
            })
            .unwrap();
        assert_eq!(found, got.is_some());
        got
    }

    fn delete(&mut self, name: &str) -> Answer<u32> {
        self.session.queue_delete(
            ONE,
            &QueueDelete {
                name,
                if_unused: false,
                if_empty: false,
            },
            NOW,
        )
    }

    fn reopen(&mut self) {
        self.session.open_channel(ONE).unwrap();
    }
}

/// The code and text of a refusal.
fn refusal<T: std::fmt::Debug>(answer: Answer<T>) -> (Scope, String) {
    let error = answer.unwrap_err();
    (error.scope, format!("{} {}", error.code.number(), error.text))
}
