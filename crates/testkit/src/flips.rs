//! Every live byte of a store flipped, one at a time: nothing panics, nothing intact is lost, everything is reported.
//!
//! Elsewhere: flips at random, in the midst of crashes (`sim::rot`).

mod campaign;
mod judge;
mod subject;

pub use campaign::{Campaign, Verdict, Violation};
pub use subject::{Ending, Subject};
