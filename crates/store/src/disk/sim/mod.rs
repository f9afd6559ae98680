//! A simulated disk that loses, tears and reorders what was not synced, and fails calls, all from a seed.
//!
//! What it promises is what a disk that honours flushes promises, and nothing more: synced bytes stay, synced names
//! stay, everything else may be old, new, torn or gone after a crash.
//!
//! Elsewhere: what the engine asks of a disk (`super::traits`).

mod calls;
mod crash;
mod device;
mod faults;
mod file;
mod image;
mod inode;
mod loss;
mod map;
mod names;
mod rng;
mod state;
mod successor;

pub use calls::Calls;
pub use device::{SimDisk, SimLock};
pub use faults::FaultPlan;
pub use file::SimFile;
pub use loss::Loss;
pub use map::SimMap;
pub use rng::Rng;

#[cfg(test)]
mod tests;
