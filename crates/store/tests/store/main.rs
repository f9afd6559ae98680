//! What a store promises, on a real directory: one binary, one file for each side of the promise.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod damage;
mod delivery;
mod evacuation;
mod footers;
mod lifecycle;
mod restart;
mod space;
mod support;
mod verify;
