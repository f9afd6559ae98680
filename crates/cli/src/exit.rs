//! What the process says when it ends: a message on stderr and a code.

use std::process::ExitCode;

use logpond_server::config::ConfigError;
use logpond_server::{RunError, StartError};
use logpond_store::OpenError;
use logpond_store::disk::LockError;

/// Anything that has no code of its own.
const FAILED: u8 = 1;
/// The command line or the configuration is wrong. The parser of the command line uses the same.
const USAGE: u8 = 2;
/// Another process uses the data directory.
const IN_USE: u8 = 3;
/// The store failed while running.
const STORE_FAILED: u8 = 4;

/// Prints what went wrong, and chooses the code.
pub fn code_of(outcome: anyhow::Result<()>) -> ExitCode {
    let Err(error) = outcome else { return ExitCode::SUCCESS };
    eprintln!("logpond: {error:#}");
    ExitCode::from(number(&error))
}

fn number(error: &anyhow::Error) -> u8 {
    if error.is::<ConfigError>() {
        return USAGE;
    }
    if matches!(error.downcast_ref::<RunError>(), Some(RunError::Poisoned { .. })) {
        return STORE_FAILED;
    }
    if error.downcast_ref::<StartError>().is_some_and(is_held) {
        return IN_USE;
    }
    FAILED
}

/// Whether this is a start that another process prevents.
fn is_held(error: &StartError) -> bool {
    let StartError::Open(logpond_server::OpenError::Store(open)) = error else { return false };
    matches!(open, OpenError::Locked(LockError::Held { .. }))
}
