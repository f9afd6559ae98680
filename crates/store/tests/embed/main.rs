//! The store as a program embeds it, on a real directory.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod attempts;
mod batches;
mod commits;
mod consumers;
mod fixtures;
mod queues;
mod replays;
mod snapshots;
mod support;
mod views;
