//! The numbers of a store, each with a type of its own, so that no two can be confused.
//!
//! Invariants:
//! - A [`QueueId`] is never reused, a [`Seq`] is never reused within its queue.
//! - [`Durable`] is made in one place only: where a synced write returned success, or nothing was to be written behind one.

use serde::Serialize;
use std::fmt;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize)]
        #[serde(transparent)]
        pub struct $name(u64);

        impl $name {
            /// The number itself, as a value of this type.
            #[must_use]
            pub const fn new(value: u64) -> Self {
                Self(value)
            }

            /// The bare number, for printing and for the disk.
            #[must_use]
            pub const fn get(self) -> u64 {
                self.0
            }

            /// The number that follows.
            #[must_use]
            pub const fn next(self) -> Self {
                Self(self.0 + 1)
            }

            /// The number `count` further on.
            #[must_use]
            pub const fn plus(self, count: u64) -> Self {
                Self(self.0 + count)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number!(
    /// A queue of this store. Chosen by the caller, never reused, not even after a delete.
    QueueId
);
number!(
    /// The place of a message in its queue, counted from 0 in the order of acceptance.
    Seq
);
number!(
    /// A byte address in the log of a shard: a segment's first lsn plus the offset in its file.
    Lsn
);
number!(
    /// The number of a block, counted from 1 over the life of a shard. What rides in a block is
    /// durable when the block is.
    BlockNumber
);
number!(
    /// The number of a segment, counted from 1 over the life of a shard; also its file's name.
    SegmentNumber
);
number!(
    /// Raised and synced at each open of a store, before any write.
    Epoch
);

/// Set in the numbers and addresses of cold segments, which are a space of their own behind the journal's.
const COLD_BIT: u64 = 1 << 63;
/// Each cold segment begins this many bits of address behind the one before: no segment is larger.
const COLD_STRIDE_BITS: u32 = 30;
const _: () = assert!(crate::limits::SEGMENT_BYTES_MAX == 1 << COLD_STRIDE_BITS);

/// Set in the numbers of units and in the addresses in them: what the log never holds has a space of its own, between those
/// of the journal and of cold segments.
const UNLOGGED_BIT: u64 = 1 << 62;

impl SegmentNumber {
    /// The cold segment that is the `index`-th ever made.
    pub(crate) const fn cold(index: u64) -> Self {
        Self(index | COLD_BIT)
    }

    /// Which cold segment it is; `None` for one of the journal.
    pub(crate) const fn cold_index(self) -> Option<u64> {
        if self.is_cold() {
            Some(self.0 ^ COLD_BIT)
        } else {
            None
        }
    }

    /// Whether it is a cold segment: one with what was evacuated.
    #[must_use]
    pub const fn is_cold(self) -> bool {
        self.0 & COLD_BIT != 0
    }

    /// The unit that is the `index`-th of this process.
    pub(crate) const fn unlogged(index: u64) -> Self {
        Self(index | UNLOGGED_BIT)
    }

    /// Whether it is a unit: messages that no segment holds, for their blocks were not written.
    #[must_use]
    pub const fn is_unlogged(self) -> bool {
        self.0 & (COLD_BIT | UNLOGGED_BIT) == UNLOGGED_BIT
    }

    /// Which unit it is, counted in this process.
    pub(crate) const fn unlogged_index(self) -> u64 {
        self.0 & !UNLOGGED_BIT
    }

    /// Where this cold segment begins. Numbers are used once, so no address ever means two things.
    pub(crate) const fn cold_first_lsn(self) -> Lsn {
        assert!(self.is_cold(), "a segment of the journal begins where the log is");
        Lsn(((self.0 ^ COLD_BIT) << COLD_STRIDE_BITS) | COLD_BIT)
    }
}

impl Lsn {
    /// Where the space of what is not logged begins.
    pub(crate) const UNLOGGED: Self = Self(UNLOGGED_BIT);

    /// Whether it is an address of this process alone: what lies there is in memory or in the spill, and in no segment.
    #[must_use]
    pub const fn is_unlogged(self) -> bool {
        self.0 & (COLD_BIT | UNLOGGED_BIT) == UNLOGGED_BIT
    }

    /// Whether it is an address in a cold segment.
    #[must_use]
    pub const fn is_cold(self) -> bool {
        self.0 & COLD_BIT != 0
    }
}

/// Proof that a block and all before it were written and synced. Only a completed sync makes one, or, for a block that holds
/// nothing but transient messages and is never written, the sync of all before it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Durable {
    end: BlockNumber,
}

impl Durable {
    /// To be called where a synced write has just returned success, where nothing was to be written behind one, or by recovery.
    pub(crate) const fn up_to(end: BlockNumber) -> Self {
        Self { end }
    }

    /// Whether what rides in `block` survives a power loss.
    #[must_use]
    pub fn covers(&self, block: BlockNumber) -> bool {
        block <= self.end
    }

    /// The last block that is covered.
    #[must_use]
    pub const fn end(&self) -> BlockNumber {
        self.end
    }
}
