//! Checks, tests, code generation and release chores of the workspace, in Rust instead of shell.
//!
//! Invariants:
//! - Exit code 0: everything that was asked for passed. 1: something was looked at and failed. 2: it could
//!   not be looked at (a missing tool, a build that stopped, a wrong argument).
//! - Results go to stdout, everything on the way (progress, output of what is run) to stderr, so that
//!   `--output json` can be piped.
//! - This crate depends on no crate of ours: it must build while they do not.
//!
//! Elsewhere: everything that talks to a running broker is the `blackbox` tool of `logpond-testkit`.
#![forbid(unsafe_code)]

mod artifacts;
mod blackbox;
mod check;
mod codegen;
mod command_line;
mod comparison;
mod conformance;
mod fuzzing;
mod outcome;
mod plan;
mod process;
mod simulation;
mod workspace;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = command_line::Arguments::parse();
    match plan::run(&arguments) {
        Ok(outcomes) => outcome::close(&outcomes, arguments.output),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}
