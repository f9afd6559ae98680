//! The release binaries that tests from outside need, each built once per run.
//!
//! Invariant: broker and test tools are built by separate cargo calls. In one call cargo would unite their
//! features, and the broker under test would carry the store's simulation.

use crate::workspace::Workspace;
use crate::{command_line::Arguments, process};
use std::path::PathBuf;

/// Path of the broker to test: the one asked for, or a fresh release build.
pub fn broker(workspace: &Workspace, arguments: &Arguments) -> anyhow::Result<PathBuf> {
    if let Some(given) = &arguments.broker {
        anyhow::ensure!(given.is_file(), "there is no broker at {}", given.display());
        return Ok(std::path::absolute(given)?);
    }
    Ok(build(workspace, &["--package", "logpond"])?.join("logpond"))
}

/// Folder of the testkit's tools. Known bugs can be planted in what they simulate.
pub fn testkit(workspace: &Workspace) -> anyhow::Result<PathBuf> {
    build(workspace, &["--package", "logpond-testkit"])
}

fn build(workspace: &Workspace, what: &[&str]) -> anyhow::Result<PathBuf> {
    let arguments = [&["build", "--release", "--bins"], what].concat();
    let built = process::run(&mut workspace.cargo(&arguments))?;
    anyhow::ensure!(built.success(), "cargo {} failed", arguments.join(" "));
    Ok(workspace.target().join("release"))
}
