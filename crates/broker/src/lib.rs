//! Virtual hosts, queues, consumers, acknowledgements and permissions: events in, effects out.
//!
//! The caller hands in `now` and bytes that a codec has already cut into commands; this crate knows no frame,
//! no socket and no clock. Its only I/O goes through the store.

#![forbid(unsafe_code)]

pub mod auth;
mod broker;
mod command;
mod effect;
mod errors;
mod session;

pub use broker::{Broker, BrokerOptions, ConnectError, OpenError, StartReport};
pub use command::{
    Binding, Body, ChannelId, Command, Consume, ExchangeDeclare, Extent, GiveBack, Publish, Qos,
    QueueDeclare, QueueDelete,
};
pub use effect::{Confirm, Delivery, EffectSink, Flow, Polled, Returned};
pub use errors::{AmqpError, ReplyCode, Scope};
pub use logpond_routing::{Arguments, Value};
pub use logpond_store::disk::{Disk, Now};
pub use session::{QueueDeclared, Session};
