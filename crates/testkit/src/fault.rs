//! System calls of a real broker that fail on purpose, one per run, injected with strace.
//!
//! Invariants:
//! - A run whose fault never came about has failed: it would prove nothing.
//! - What was confirmed is read from the broker's own socket writes, and what was synced from its own calls, so the
//!   verdict does not depend on when a client got to read.
//!
//! Elsewhere: how calls are put in order (`trace`); faults of a disk that loses what was written (`sim`).

mod campaign;
mod injection;
mod run;
mod witness;

pub use campaign::{CampaignOptions, run};
