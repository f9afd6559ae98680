//! A load generator that is not the limit: frames encoded once, written in batches, parsed in place.
//!
//! Invariants:
//! - One blocking socket and one channel per [`Connection`]; no thread and no runtime of its own.
//! - No allocation per message.
//! - Two kinds of traffic: numbered bodies ([`publish`], [`Drain`]), so that a drain can tell what is missing, comes again or
//!   is damaged; and a [`Tape`] ([`blast`], [`sail`], [`count`]) for speed, of which only the time in the bodies is looked at.
//!
//! Elsewhere: what is measured with it (`backlog`, `trace`, `bench`).

mod blast;
mod clock;
mod connection;
mod counter;
mod drainer;
mod fleet;
mod histogram;
mod numbered;
mod publisher;
mod tape;
mod topology;
mod window;

pub use blast::{BlastOptions, Blasted, Stamps, blast};
pub use clock::{Clock, nanoseconds};
pub use connection::{CHANNEL, Connection, Target, refuse_close, short};
pub use counter::{CountOptions, Counted, Goal, count};
pub use drainer::{Drain, DrainOptions, Drained};
pub use fleet::{Voyage, sail};
pub use histogram::Histogram;
pub use numbered::{NUMBERED_BYTES_MIN, Numbered};
pub use publisher::{PublishOptions, Published, publish};
pub use tape::{Delivery, Tape, TapeOptions, Variety};
