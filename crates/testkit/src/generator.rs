//! A load generator that is not the limit: frames encoded once, written in batches, parsed in place.
//!
//! Invariants:
//! - One blocking socket and one channel per [`Connection`]; no thread and no runtime of its own.
//! - No allocation per message.
//! - Bodies are numbered, so that a drain can tell what is missing, comes again or is damaged.
//!
//! Elsewhere: what is measured with it (`backlog`, `trace`, benchmarks).

mod connection;
mod drainer;
mod numbered;
mod publisher;

pub use connection::{Connection, Target};
pub use drainer::{Drain, DrainOptions, Drained};
pub use numbered::{NUMBERED_BYTES_MIN, Numbered};
pub use publisher::{PublishOptions, Published, publish};
