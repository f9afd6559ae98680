//! What the process says when it ends: a message on stderr and a code.

use std::process::ExitCode;

use logpond_server::config::ConfigError;
use logpond_server::{DefinitionsError, RunError, StartError};
use logpond_store::OpenError;
use logpond_store::disk::LockError;

use crate::client::ClientError;
use crate::results;

/// Anything that has no code of its own.
const FAILED: u8 = 1;
/// The command line or the configuration is wrong. The parser of the command line uses the same.
const USAGE: u8 = 2;
/// Another process uses the data directory.
const IN_USE: u8 = 3;
/// The store failed while running.
const STORE_FAILED: u8 = 4;
/// No connection to a broker, or no login.
const NO_CONNECTION: u8 = 5;
/// The broker closed the channel or the connection, or the connection broke.
const ENDED: u8 = 6;
/// Messages were refused by the broker, or no queue took them.
const NOT_TAKEN: u8 = 7;
/// Something in the data directory is damaged.
const DAMAGED: u8 = 7;
/// No damage was found in the data directory, but not all of it could be judged.
const NOT_JUDGED: u8 = 9;
/// Fewer messages than asked for.
const TOO_FEW: u8 = 8;

/// The codes of the clients, for their help.
pub const CLIENT_CODES: &str = "Exit codes: 0 done, 1 failed, 2 wrong usage, 5 no connection or no login, 6 the broker closed \
or the connection broke, 7 a message was refused or came back, 8 fewer messages than asked for.";

/// The codes of the tools that look at a data directory, for their help.
pub const OFFLINE_CODES: &str = "Exit codes: 0 sound, 1 failed, 2 wrong usage, 3 another process uses the data directory \
(repair only), 7 something is damaged, 9 no damage was found but not all could be judged.";

/// The command line asks for what cannot be, and nothing was done.
#[derive(Debug)]
pub struct WrongUsage(anyhow::Error);

/// Calls an error one of the command line.
pub fn wrong_usage(error: anyhow::Error) -> WrongUsage {
    WrongUsage(error)
}

impl std::fmt::Display for WrongUsage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for WrongUsage {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}

/// Prints what went wrong, and chooses the code.
pub fn code_of(outcome: anyhow::Result<ExitCode>) -> ExitCode {
    outcome.unwrap_or_else(|error| {
        results::note(told(&error));
        ExitCode::from(number(&error))
    })
}

/// An error and its causes. Most of ours name their cause themselves, since logs print no more than that; others leave it to
/// whoever prints them.
fn told(error: &anyhow::Error) -> String {
    error
        .chain()
        .map(ToString::to_string)
        .fold(String::new(), |told, cause| match told.as_str() {
            "" => cause,
            said if said.contains(&cause) => told,
            said => format!("{said}: {cause}"),
        })
}

/// The code of a publisher whose broker did not take every message.
pub fn not_taken() -> ExitCode {
    ExitCode::from(NOT_TAKEN)
}

/// The code of a look that found damage.
pub fn damaged() -> ExitCode {
    ExitCode::from(DAMAGED)
}

/// The code of a look that found no damage and could not judge everything.
pub fn not_judged() -> ExitCode {
    ExitCode::from(NOT_JUDGED)
}

/// The code of a consumer that got fewer messages than it was asked for.
pub fn too_few() -> ExitCode {
    ExitCode::from(TOO_FEW)
}

fn number(error: &anyhow::Error) -> u8 {
    let is_configuration =
        error.is::<ConfigError>() || error.downcast_ref::<StartError>().is_some_and(is_named);
    if is_configuration || error.is::<WrongUsage>() {
        return USAGE;
    }
    if let Some(error) = error.downcast_ref::<ClientError>() {
        return if error.is_connecting() {
            NO_CONNECTION
        } else {
            ENDED
        };
    }
    if matches!(error.downcast_ref::<RunError>(), Some(RunError::Poisoned { .. })) {
        return STORE_FAILED;
    }
    let is_held_now = matches!(error.downcast_ref::<LockError>(), Some(LockError::Held { .. }));
    if is_held_now || error.downcast_ref::<StartError>().is_some_and(is_held) {
        return IN_USE;
    }
    FAILED
}

/// Whether this start wants a file that the configuration names and nobody can use.
fn is_named(error: &StartError) -> bool {
    matches!(
        error,
        StartError::Tls(_) | StartError::Definitions(DefinitionsError::Unreadable { .. })
    )
}

/// Whether this is a start that another process prevents.
fn is_held(error: &StartError) -> bool {
    let StartError::Open(logpond_server::OpenError::Store(open)) = error else {
        return false;
    };
    matches!(open, OpenError::Locked(LockError::Held { .. }))
}

#[cfg(test)]
mod tests {
    use std::io;

    use anyhow::Context;
    use logpond_server::StartError;
    use logpond_store::OpenError;

    use super::*;

    fn no_space() -> io::Error {
        io::Error::from_raw_os_error(28)
    }

    #[test]
    fn a_cause_that_an_error_names_is_told_once() {
        let open = OpenError::Io {
            what: "writing",
            file: "META".to_owned(),
            source: no_space(),
        };
        let error = StartError::Open(logpond_server::OpenError::Store(open));
        assert_eq!(
            told(&error.into()),
            "writing META: No space left on device (os error 28)"
        );
    }

    #[test]
    fn a_cause_that_an_error_leaves_out_is_told_behind_it() {
        let error = ClientError::Broken(no_space());
        assert_eq!(
            told(&error.into()),
            "the connection broke: No space left on device (os error 28)"
        );
        let error = Err::<(), _>(no_space()).context("cannot read it").unwrap_err();
        assert_eq!(
            told(&error),
            "cannot read it: No space left on device (os error 28)"
        );
    }
}
