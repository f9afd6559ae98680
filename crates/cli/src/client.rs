//! A small blocking AMQP client over `logpond-amqp`, for the command line alone.
//!
//! Invariants:
//! - One connection, one channel. The receiving half always reads, so neither side can wait for the other for ever.
//! - Heartbeats are sent by the receiving half, whatever the sending half waits for.
//! - It talks to any AMQP 0-9-1 broker and knows nothing of ours.

mod connection;
mod failure;
mod receiver;
mod sender;
mod url;

pub use connection::{CHANNEL, Client, connect};
pub use failure::ClientError;
pub use receiver::{Event, Receiver};
pub use sender::Sender;
pub use url::Url;
