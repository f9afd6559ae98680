//! Runs the comparison of the store with other embedded engines, which stands in a workspace of its own so that nobody else
//! compiles those engines.

use crate::outcome::Tally;
use crate::process;
use crate::workspace::Workspace;
use anyhow::Context;

const MANIFEST: &str = "benches/compare/Cargo.toml";

/// Builds and runs it; its data lies beside what cargo builds.
pub fn run(workspace: &Workspace, rest: &[String]) -> anyhow::Result<Tally> {
    let target = workspace.target().join("compare");
    std::fs::create_dir_all(&target).with_context(|| target.display().to_string())?;
    let mut command = workspace.cargo(&["run", "--release", "--locked", "--manifest-path", MANIFEST]);
    command.arg("--target-dir").arg(&target).arg("--");
    let status = process::run(command.arg("--dir").arg(&target).args(rest))?;
    let shown = format!("{MANIFEST} {}", rest.join(" "));
    Ok(if status.success() {
        Tally::passed(shown)
    } else {
        Tally::failed(shown)
    })
}
