//! Messages that an exchange of the type `x-delayed-message` puts off.
//!
//! Such an exchange has a queue of its own that nobody can name. A message with a delay goes there instead of being routed, and expires
//! there when its time has come; what comes to its end in such a queue is routed from the exchange then, and its copies and the end of
//! the original stand in one block, as with dead letters (`dead_letter`, which does it).
//!
//! Invariants:
//! - A confirm means as much as everywhere: a persistent message that waits survives, and its time with it.
//! - What waits takes the memory of the store's order of expiry, some 25 bytes for each message; bodies and properties are in the log.
//! - A message is put off once by each exchange: its delay is negative from then on.
//!
//! Elsewhere: which exchanges are on its way (routing), the order in which they come (the store).

mod queue;
mod wish;

pub(crate) use queue::{DelayEntry, DelayQueue};
pub(crate) use wish::{delay_ms, without_delay};
