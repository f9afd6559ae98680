//! Exchanges and bindings to queue ids. Pure: no clock, no disk, no socket, no async.
//!
//! [`Routes`] is the topology of one virtual host as an immutable snapshot: cloning it costs a few
//! reference counts, and changing the clone copies only the path to what changed.
#![forbid(unsafe_code)]

mod arguments;
mod binding;
mod exchange;
pub mod limits;
mod name;
mod routes;
mod value;

pub use arguments::Arguments;
pub use binding::{BindError, Binding, Bound, Destination, QueueRef, Removed};
pub use exchange::{Exchange, ExchangeKind, ExchangeSpec};
pub use name::Name;
pub use routes::{DeclareError, HeaderSource, NoExchange, NoHeaders, Routed, Routes, Scratch};
pub use value::{Decimal, Value};
