//! SIGKILL under load, again and again, and a checker that knows what must be left.
//!
//! Invariants:
//! - Each message is published once and never again, so a second delivery is the broker's doing.
//! - A message is confirmed for the checker only after the client saw the confirm.
//! - What is remembered of a message is a few bits; memory does not grow with bodies.
//!
//! Elsewhere: what a crash takes from a disk that loses unsynced writes, which SIGKILL cannot show (`sim`);
//! a description for people (`docs/crash-testing.md`).

mod bits;
mod campaign;
mod consumer;
mod judgement;
mod ledger;
mod moment;
mod paths;
mod publisher;
mod roll_watch;
mod sessions;
mod tally;
mod topology;
mod traffic;
mod worker;
mod workload;

pub use campaign::{CampaignOptions, run};
pub use ledger::{Ledger, Violation, ViolationKind};
pub use workload::{BodyFault, MessageId, Workload};
