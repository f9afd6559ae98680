//! Standard output as the place of results.
//!
//! Invariants:
//! - Nobody reading any more is no error: what follows goes nowhere, and the exit code tells the finding.
//! - Whatever else keeps a result from being written is an error that says so, never a panic.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};

/// Writes results to standard output.
#[derive(Debug, Clone, Copy)]
pub struct Results;

impl Write for Results {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        judge(io::stdout().write_all(bytes))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        judge(io::stdout().flush())
    }
}

fn judge(outcome: io::Result<()>) -> io::Result<()> {
    match outcome {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(unwritable(&error)),
        Ok(()) => Ok(()),
    }
}

/// What the user hears of a result that could not be written.
pub fn unwritable(error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot write the result: {error}"))
}

/// Says something to people on standard error. There is nobody to tell that it cannot be said.
pub fn note(text: impl Display) {
    let _ = writeln!(io::stderr().lock(), "logpond: {text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_pipe_is_no_error_and_a_full_disk_is_one_that_says_what_it_kept() {
        assert!(judge(Err(ErrorKind::BrokenPipe.into())).is_ok());
        let error = judge(Err(io::Error::from_raw_os_error(28))).unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot write the result: No space left on device (os error 28)"
        );
    }
}
