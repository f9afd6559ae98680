//! The binaries that tests from outside need, each built once per run: the broker as users get it, the tools with a profile that builds in
//! less time.
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
    Ok(build(workspace, "logpond", "release")?.join("logpond"))
}

/// Folder of the testkit's tools. Known bugs can be planted in what they simulate.
pub fn testkit(workspace: &Workspace) -> anyhow::Result<PathBuf> {
    build(workspace, "logpond-testkit", "tools")
}

/// Builds all binaries of a package; the folder that they are in.
fn build(workspace: &Workspace, package: &str, profile: &str) -> anyhow::Result<PathBuf> {
    let arguments = ["build", "--profile", profile, "--bins", "--package", package];
    let built = process::run(&mut workspace.cargo(&arguments))?;
    anyhow::ensure!(built.success(), "cargo {} failed", arguments.join(" "));
    Ok(workspace.target().join(profile))
}
