//! Policies: settings of queues and exchanges that an administrator gives by a pattern of names.
//!
//! - A [`Policy`] is what was set, checked; of those that fit, the one with the highest priority counts, and beside it the
//!   operator policy with the highest priority.
//! - What holds for one queue or exchange is `Applied`: policy, operator policy and the queue's own arguments together. What a queue makes
//!   of it is its `QueuePolicy`.
//!
//! Invariants:
//! - What applies is found when a queue or exchange is made and when a policy changes, never while messages flow.
//! - A key whose feature does not exist yet is stored, and has no effect until it does.

mod applied;
mod change;
mod definition;
mod policies;
mod record;

pub(crate) use applied::Applied;
pub(crate) use change::apply;
pub(crate) use policies::Policies;
pub use record::{ApplyTo, Policy, PolicyError, PolicyKind};
