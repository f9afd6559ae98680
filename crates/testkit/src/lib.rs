//! Models, crash loops, fault plans and runners of foreign clients.
#![forbid(unsafe_code)]

pub mod backlog;
pub mod bench;
pub mod broker_process;
pub mod command;
pub mod conformance;
pub mod crash;
pub mod debian;
pub mod fault;
pub mod flips;
pub mod footprint;
pub mod generator;
pub mod interop;
pub mod interrupt;
pub mod powercut;
pub mod random;
pub mod report;
pub mod sim;
pub mod trace;
