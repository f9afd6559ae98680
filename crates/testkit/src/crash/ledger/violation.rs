//! What a broker must not do, each with the message it did it to.

use crate::crash::workload::{BodyFault, MessageId};

/// A broken promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Violation {
    /// Confirmed, and never delivered.
    Lost {
        /// The queue that should have it.
        queue: usize,
        /// The message.
        id: MessageId,
    },
    /// Delivered, and never published.
    NeverPublished {
        /// The queue it came from.
        queue: usize,
        /// What it claims to be.
        id: MessageId,
    },
    /// Delivered from a queue to which it was not routed.
    WrongQueue {
        /// The queue it came from.
        queue: usize,
        /// The message.
        id: MessageId,
    },
    /// Delivered again without `redelivered=true`.
    Unflagged {
        /// The queue.
        queue: usize,
        /// The message.
        id: MessageId,
    },
    /// Delivered for the first time after a later one of the same publisher.
    Reordered {
        /// The queue.
        queue: usize,
        /// The message.
        id: MessageId,
        /// The later one.
        after: u64,
    },
    /// The body is not what was published.
    Damaged {
        /// The queue.
        queue: usize,
        /// The message.
        id: MessageId,
        /// What is wrong with it.
        fault: BodyFault,
    },
    /// A delivery that is no message of ours.
    Nameless {
        /// The queue.
        queue: usize,
        /// What is wrong with it.
        fault: BodyFault,
    },
    /// A message of the fan-out is in some of its queues and not in this one.
    Partial {
        /// The queue without it.
        queue: usize,
        /// The message.
        id: MessageId,
    },
    /// Messages whose acks were durable are there again.
    AckUndone {
        /// The queue.
        queue: usize,
        /// How many.
        count: u64,
    },
    /// A durable queue did not survive.
    QueueMissing {
        /// The queue.
        queue: usize,
    },
}

/// A violation without its message, to count by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ViolationKind {
    /// Confirmed messages lost.
    Lost,
    /// Messages that nobody published, or not there.
    Invented,
    /// Duplicates without the flag.
    Unflagged,
    /// Order broken.
    Reordered,
    /// Bodies damaged.
    Damaged,
    /// Fan-outs in some queues only.
    Partial,
    /// Durable acks or queues undone.
    Undone,
}

impl Violation {
    /// What kind it is.
    pub fn kind(&self) -> ViolationKind {
        match self {
            Self::Lost { .. } => ViolationKind::Lost,
            Self::NeverPublished { .. } | Self::WrongQueue { .. } => ViolationKind::Invented,
            Self::Unflagged { .. } => ViolationKind::Unflagged,
            Self::Reordered { .. } => ViolationKind::Reordered,
            Self::Damaged { .. } | Self::Nameless { .. } => ViolationKind::Damaged,
            Self::Partial { .. } => ViolationKind::Partial,
            Self::AckUndone { .. } | Self::QueueMissing { .. } => ViolationKind::Undone,
        }
    }
}
