//! Virtual hosts, queues, consumers, acknowledgements and permissions: events in, effects out.
//!
//! The caller hands in `now` and bytes that a codec has already cut into commands; this crate knows no frame,
//! no socket and no clock. Its only I/O goes through the store.

#![forbid(unsafe_code)]

mod admin;
mod arguments;
pub mod auth;
mod awaited;
mod broker;
mod census;
mod command;
mod confirms;
mod consumer;
mod dead_letter;
mod deadline;
pub mod definitions;
mod delay;
mod dispatch;
mod effect;
mod entries;
mod envelope;
mod equivalence;
mod errors;
mod exhausted;
mod expiration;
mod limits;
mod options;
mod outbox;
mod past;
pub mod policy;
mod properties;
mod queue;
mod queue_policy;
mod registry;
mod replies;
mod resource;
mod room_line;
mod rota;
mod routes;
mod session;
mod startup;
mod state;
mod stored;
mod table;
mod tick;
mod topology;
mod unacked;

pub use admin::{ImportError, Imported};
pub use broker::{Broker, ConnectError};
pub use command::{
    Binding, Body, ChannelId, Command, Consume, ExchangeDeclare, Extent, GiveBack, Portion, Publish, Qos,
    QueueDeclare, QueueDelete,
};
pub use effect::{Confirm, Delivery, EffectSink, Flow, Polled, Reading, Returned};
pub use errors::{AmqpError, Answer, ReplyCode, Scope};
pub use logpond_routing::{Arguments, Decimal, Value};
pub use logpond_store::disk::{Disk, Now, RealDisk, WriteMode};
pub use logpond_store::{DamagePolicy, Options as StoreOptions, RecoveryReport};
pub use options::{BrokerOptions, FirstContent};
pub use session::{QueueDeclared, Session};
pub use startup::{OpenError, StartReport};
pub use topology::VhostLimits;
