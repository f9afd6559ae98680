//! A durable, log-structured queue storage engine: one journal for all queues, and an index derived from it.
//!
//! What is confirmed was written and synced; what is damaged is noticed; what a queue holds is found
//! without reading the backlog. The journal is the store: everything else can be rebuilt from it.
//!
//! # In five minutes
//!
//! A [`Store`] is a directory with named queues. What is published goes into a [`Batch`]; [`Store::commit`] returns when all
//! of the batch survives a power loss. What is fetched is a [`Delivery`]: acknowledge it when the work is done. One that is
//! dropped without that, because its handler failed or panicked, goes back to its queue.
//!
//! ```
//! use logpond_store::{Batch, Message, Options, QueueOptions, Store};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! # let dir = dir.path();
//! let (store, report) = Store::open(dir, Options::default())?;
//! assert!(report.lost.is_empty(), "damage is reported, never passed over");
//! let orders = store.queue("orders", QueueOptions::default())?;
//!
//! let mut batch = Batch::new();
//! batch.publish(&[orders.id()], Message::new("two beers"));
//! batch.publish(&[orders.id()], Message::new("and a water"));
//! store.commit(batch)?; // both are synced, or neither is there
//!
//! for delivery in orders.fetch(32)? {
//!     println!("{}", String::from_utf8_lossy(delivery.body()));
//!     delivery.ack()?;
//! }
//! store.close()?;
//! # Ok(())
//! # }
//! ```
//!
//! What to reach for:
//!
//! | to | use |
//! |---|---|
//! | know that messages survive | [`Store::commit`], or [`Store::commit_async`] in a future |
//! | publish faster than the disk syncs | [`Store::commit_buffered`], which gives a [`Ticket`] to wait for |
//! | be told instead of waiting when the disk is behind | [`Store::try_commit`] |
//! | consume here and publish there, at once | [`Batch::ack`] and [`Batch::publish`] in one batch |
//! | wait for messages | [`Queue::fetch_timeout`], or [`Queue::fetch_async`] in a future |
//! | bound a queue | [`QueueOptions::at_most`], [`QueueOptions::newest`], [`QueueOptions::with_bytes_max`] |
//! | let messages expire | [`QueueOptions::with_time_to_live`], [`Message::expires_in`] |
//! | fetch some messages before others | [`QueueOptions::with_priority_max`], [`Message::with_priority`] |
//! | read without taking | [`Queue::browse`], [`Queue::replay`] |
//! | read what was acknowledged, too | [`Queue::history`] |
//! | back it up while it runs | [`Store::snapshot`] |
//!
//! `docs/embedding.md` tells more, and `examples/` holds a job queue with retries, a transactional outbox, a spool with a
//! size limit, and a replay after a crash.
//!
//! # What is promised
//!
//! - A batch whose commit returned `Ok` survives SIGKILL, kernel crash and power loss, on a disk that honours flushes.
//! - A message is delivered only when it is durable, and again until it is acknowledged; each delivery after the first is
//!   marked. After a crash, some that were never delivered are marked, too.
//! - After a failed write or sync the store takes nothing any more, and says which call failed at which file.
//! - Damaged bytes are found, and cost no more than what they hit; nothing on disk makes the store panic.
//!
//! # What lies below
//!
//! [`Engine`] is what [`Store`] and the broker stand on: queues by id, leases by number, and a [`Follower`] under the lock.
//! docs/format.md draws the bytes, docs/ARCHITECTURE.md gives the reasons.

#![deny(missing_docs)]

/// Runs what the guide shows.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/embedding.md")]
mod guide {}

mod attempts;
mod batch_memory;
mod builder;
pub mod catalog;
mod checkpoint;
mod checksum;
mod codec;
mod cold;
mod dead_letters;
pub mod disk;
mod due;
mod embed;
mod encoded;
mod engine;
mod error;
mod follower;
mod footer;
mod format;
mod frame;
mod history;
mod ids;
mod index;
pub mod inspect;
mod levels;
pub mod limits;
mod live;
mod meta;
mod options;
mod order;
pub mod planted;
mod pool;
mod priority;
mod queue;
mod queue_limits;
mod ranks;
mod reader;
mod recovery;
mod removal;
mod report;
mod retention;
mod ring;
mod segment_view;
mod segments;
mod shard;
mod snapshot;
mod spare;
mod state;
mod tail;
mod units;
mod unlogged;

pub use attempts::{Attempts, Return};
pub use catalog::Catalog;
pub use disk::{Disk, Now, RealDisk};
pub use embed::{
    Amount, Batch, Browse, CommitError, Delivery, Entry, EntryState, Fetch, FetchError, From, History,
    Message, Overflow, Queue, QueueError, QueueIdentity, QueueOptions, ReadOnlyBrowse, ReadOnlyHistory,
    ReadOnlyQueue, ReadOnlyStore, Store, StoreStats, Ticket, TryCommitError, ViewError,
};
pub use engine::{Counters, Definitions, Engine, Guard};
pub use error::{AppendError, OpenError, PoisonCause, ReadError};
pub use follower::Follower;
pub use format::message::Persistence;
pub use format::record::AckReason;
pub use ids::{BlockNumber, Durable, Epoch, Lsn, QueueId, SegmentNumber, Seq};
pub use meta::FORMAT_VERSION;
pub use options::{DamagePolicy, Options};
pub use priority::Priority;
pub use queue::{Counts, QueueDurability};
pub use queue_limits::{QueueLimits, WhenFull};
pub use reader::{Reader, StoredMessage};
pub use report::{LostEntries, Quarantined, RecoveredQueue, RecoveryReport, TornRange};
pub use retention::Retention;
pub use shard::{
    Applied, COLD, DeadLetter, DeadLetters, Lease, LeaseOutcome, NewMessage, Shard, Sources, TransactionSize,
};
pub use snapshot::{
    Difference, HowTaken, Leftovers, ManifestProblem, SnapshotError, SnapshotFile, SnapshotManifest,
};
