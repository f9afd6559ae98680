//! Listeners and AMQP sessions: the only crate that touches sockets.
//!
//! - [`Server`] opens a data directory, listens, serves, and ends cleanly.
//! - [`config`]: what can be set, and how it is checked; [`limits`]: every bound in one place.
#![forbid(unsafe_code)]

pub mod config;
pub mod limits;
pub mod open_files;

mod blocking;
mod buffers;
mod connection;
mod definitions;
mod engine;
mod listener;
mod peer;
mod recovery_log;
mod server;
mod signal;
mod stop;
mod tls;
mod upkeep;

pub use connection::RABBITMQ_VERSION;
pub use definitions::DefinitionsError;
pub use listener::ListenError;
pub use logpond_broker::OpenError;
pub use server::{RunError, Server, StartError};
pub use tls::TlsError;
