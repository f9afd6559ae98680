//! A durable, log-structured queue storage engine: one journal for all queues, and an index derived from it.
//!
//! What is confirmed was written and synced; what is damaged is noticed; what a queue holds is found
//! without reading the backlog. The journal is the store: everything else can be rebuilt from it.
//!
//! See docs/format.md for the bytes and docs/ARCHITECTURE.md for the reasons.

mod builder;
pub mod catalog;
mod checkpoint;
mod checksum;
mod codec;
pub mod disk;
mod engine;
mod error;
mod follower;
mod format;
mod frame;
mod ids;
mod index;
pub mod limits;
mod meta;
mod options;
pub mod planted;
mod pool;
mod queue;
mod reader;
mod recovery;
mod report;
mod ring;
mod segment_view;
mod segments;
mod shard;
mod state;
mod tail;

pub use catalog::Catalog;
pub use disk::{Disk, Now, RealDisk};
pub use engine::{Counters, Engine, Guard};
pub use error::{AppendError, OpenError, PoisonCause, ReadError};
pub use follower::Follower;
pub use format::record::{AckReason, Persistence};
pub use ids::{BlockNumber, Durable, Epoch, Lsn, QueueId, SegmentNumber, Seq};
pub use options::{DamagePolicy, Options};
pub use queue::{Counts, QueueDurability};
pub use reader::{Reader, StoredMessage};
pub use report::{LostEntries, Quarantined, RecoveredQueue, RecoveryReport, TornRange};
pub use shard::{Applied, COLD, Lease, LeaseOutcome, NewMessage, Shard, Sources};
