//! The store as a Rust program embeds it: named queues, batches, deliveries that come back unless acknowledged.
//!
//! Invariants:
//! - A batch is durable as a whole or not at all, whatever queues it publishes to and acknowledges from.
//! - A delivery is acknowledged, put back, or dropped and thereby put back; there is no fourth way.
//! - Reading again ([`Browse`], [`History`]) changes nothing.
//! - The lock of the engine is taken once per batch and once per fetch, never for a disk access.
//!
//! Elsewhere: the journal, its index and its recovery (`engine`, `shard`, `recovery`).

mod batch;
mod browse;
mod commit;
mod definition;
mod delivery;
mod error;
mod fetch;
mod fetched;
mod history;
mod hub;
mod identity;
mod message;
mod names;
mod options;
mod park;
mod queue;
mod read_only;
mod register;
mod store;
mod ticket;

pub use batch::Batch;
pub use browse::{Browse, Entry, EntryState, From};
pub use delivery::Delivery;
pub use error::{Amount, CommitError, FetchError, QueueError, TryCommitError};
pub use fetch::Fetch;
pub use history::History;
pub use identity::QueueIdentity;
pub use message::Message;
pub use options::{Overflow, QueueOptions};
pub use queue::Queue;
pub use read_only::{ReadOnlyBrowse, ReadOnlyHistory, ReadOnlyQueue, ReadOnlyStore, ViewError};
pub use store::{Store, StoreStats};
pub use ticket::Ticket;

#[cfg(test)]
#[cfg(feature = "sim")]
mod cancellation_tests;
#[cfg(test)]
#[cfg(feature = "sim")]
mod crash_tests;
#[cfg(test)]
#[cfg(feature = "sim")]
mod fetch_tests;
#[cfg(test)]
#[cfg(feature = "sim")]
mod history_tests;
#[cfg(test)]
#[cfg(feature = "sim")]
mod model_tests;
#[cfg(test)]
#[cfg(feature = "sim")]
mod options_tests;
#[cfg(test)]
#[cfg(feature = "sim")]
mod register_tests;
#[cfg(test)]
#[cfg(feature = "sim")]
mod retention_tests;
#[cfg(test)]
#[cfg(feature = "sim")]
mod snapshot_tests;
