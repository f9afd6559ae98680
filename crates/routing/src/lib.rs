//! Exchanges and bindings to queue ids. Pure: no clock, no disk, no socket, no async.
//!
//! [`Routes`] is the topology of one virtual host as an immutable snapshot: cloning it costs a few
//! reference counts, and changing the clone copies only the path to what changed.
#![forbid(unsafe_code)]

mod arguments;
mod binding;
mod delay;
mod exchange;
mod headers;
pub mod limits;
mod matcher;
mod name;
mod predeclared;
mod router;
mod routes;
mod share_map;
mod spread;
mod targets;
mod term;
mod topic;
mod value;

pub use arguments::Arguments;
pub use binding::{BindError, Binding, Bound, Destination, QueueRef, Removed};
pub use delay::ExchangeArgumentError;
pub use exchange::{Exchange, ExchangeKind, ExchangeSpec};
pub use name::Name;
pub use predeclared::{LOG_EXCHANGE, log_exchange, predeclared};
pub use router::{MessageProperty, MessageSource, NoExchange, NoHeaders, Routed, Scratch};
pub use routes::{ExchangeExists, Routes};
pub use spread::HashArgumentError;
pub use term::Term;
pub use value::{Decimal, Value};
