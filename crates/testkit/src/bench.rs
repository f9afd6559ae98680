//! Logpond and its peers, measured by the same rows in turn.
//!
//! Invariants:
//! - Every turn starts its broker anew on an empty folder, and no other broker runs meanwhile.
//! - Rounds are interleaved: a machine that drifts drifts for all.
//! - A peer that is not there, a row that does not fit it and a turn that failed are reported, never left out.
//!
//! Elsewhere: the traffic (`generator`); what the figures mean (`docs/performance.md`).

mod amqp;
mod campaign;
mod disk_probe;
mod echo_probe;
mod figures;
mod limits;
mod machine;
mod meter;
mod peer;
mod peers;
mod processes;
mod record;
mod server;
mod stage;
mod tool;
mod turn;
mod workload;

pub use campaign::{CampaignOptions, run};
pub use peers::Places;
pub use workload::Workload;
