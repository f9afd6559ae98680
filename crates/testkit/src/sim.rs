//! The simulation of the store: random work on a simulated disk, a crash at any call, recovery, and a comparison in full
//! with a model.
//!
//! Invariants:
//! - Everything follows from one seed: a violation is repeated by giving its seed.
//! - Apart from publishers' confirms (the durable watermark as the follower saw it), the checker believes nothing that the
//!   store says about itself.
//!
//! Elsewhere: the simulated disk (`logpond_store::disk::sim`), the planted bugs (`logpond_store::planted`).

mod campaign;
mod checker;
mod derived;
mod exhaustive;
mod life;
mod message;
mod model;
mod observer;
mod policy;
mod recovery;
mod rot;
mod run;
mod session;
mod settings;
mod statistics;
mod trace;
mod verified;
mod watcher;

pub use campaign::{Campaign, Verdict, Violation};
pub use exhaustive::{Exhausted, Exhaustive, RecoveryCrashes, fail_each_call_of_a_start};
pub use run::run_seed;
pub use settings::Settings;
pub use statistics::Statistics;
pub use trace::tell;
