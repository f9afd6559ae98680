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
    build(workspace, "logpond", "logpond")
}

/// Path of one of the testkit's tools.
pub fn tool(workspace: &Workspace, name: &str) -> anyhow::Result<PathBuf> {
    build(workspace, "logpond-testkit", name)
}

fn build(workspace: &Workspace, package: &str, binary: &str) -> anyhow::Result<PathBuf> {
    let mut cargo = workspace.cargo(&["build", "--release", "--package", package, "--bins"]);
    anyhow::ensure!(process::run(&mut cargo)?.success(), "{package} does not build");
    let path = workspace.target().join("release").join(binary);
    anyhow::ensure!(path.is_file(), "{package} has no binary {binary}");
    Ok(path)
}
