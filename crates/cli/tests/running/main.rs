//! A broker that runs, and the clients that use it, run as people run them.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod broker;
mod consuming;
mod publishing;
mod serving;
