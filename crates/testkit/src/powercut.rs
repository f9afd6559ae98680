//! A power cut: a virtual machine runs the broker under load, and what its disk could hold afterwards is recovered and judged.
//!
//! Invariants:
//! - What clients knew stands as marks in the same log as the disk's writes, so that for each moment of the
//!   log it is known what a disk that lost power then must hold.
//! - Nothing of the guest outlives the tool, nor does a mount: all runs in namespaces of its own.
//!
//! Elsewhere: a simulated disk (`sim`), kills of the broker alone (`crash`).

mod archive;
mod campaign;
mod deliveries;
mod expectation;
mod history;
mod image;
mod initial;
mod isolation;
mod jury;
mod load;
mod machine;
mod mark;
mod marker;
mod message;
mod mount;
mod packages;
mod recovery;
mod session;
mod settings;
mod sparse;
mod tally;
mod trials;
mod write_log;

pub use campaign::{CampaignOptions, run};
pub use isolation::isolate;

/// What runs within the virtual machine.
pub mod guest {
    pub use super::load::run;
    pub use super::marker::Marker;
    pub use super::settings::{DATA, GuestSettings};
}
