//! A server in this process, on a free port, and clients that speak raw frames.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod bad_input;
mod channels;
mod client;
mod content;
mod dying;
mod fairness;
mod handshake;
mod lapsing;
mod lifetime;
mod pressure;
mod served;
mod tls;
