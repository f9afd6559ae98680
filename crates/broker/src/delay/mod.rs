//! Messages that an exchange of the type `x-delayed-message` puts off.
//!
//! Such an exchange has a queue of its own that nobody can name. A message with a delay goes there instead of being routed, and expires
//! there when its time has come; what comes to its end in such a queue is routed from the exchange then, and its copies and the end of
//! the original stand in one block, as with dead letters (`dead_letter`, which does it).
//!
//! Invariants:
//! - A confirm means as much as with queues: a persistent message that waits for a durable exchange survives, and its time with it.
//! - What waits takes the memory of the store's order of expiry, some 25 bytes for each message; bodies, properties and index are on
//!   disk, and the disk is what bounds them, as in a queue without limits.
//! - Each exchange that a message is published to, directly or through other exchanges, puts it off. When its time has come the
//!   delay of that copy is negative, and no exchange behind puts it off again.
//! - What is due comes in batches, for which no publisher waits.
//!
//! Elsewhere: which exchanges are on its way (routing), the order in which they come (the store).

mod queue;
mod wish;

pub(crate) use queue::{DelayEntry, DelayQueue};
pub(crate) use wish::{delay_ms, without_delay};
