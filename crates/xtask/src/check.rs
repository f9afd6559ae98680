//! What can be said about the workspace without a running broker: format, lints, rules, Rust tests.

mod dependencies;
mod rules;
mod suite;

pub use suite::rust_tests;

use crate::outcome::Tally;
use crate::process;
use crate::workspace::Workspace;

/// `cargo fmt --check`.
pub fn format(workspace: &Workspace) -> anyhow::Result<Tally> {
    cargo(workspace, &["fmt", "--all", "--check"])
}

/// Clippy on everything, warnings denied.
pub fn lints(workspace: &Workspace) -> anyhow::Result<Tally> {
    cargo(
        workspace,
        &[
            "clippy",
            "--workspace",
            "--all-targets",
            "--",
            "--deny",
            "warnings",
        ],
    )
}

/// The workspaces of their own: they use our crates, and nobody else compiles them.
const APART: [&str; 2] = ["fuzz", "benches/compare"];

/// Format and lints of those, with a target folder that no build for another purpose shares.
pub fn workspaces_apart(workspace: &Workspace) -> anyhow::Result<Tally> {
    let mut all = Tally::default();
    for folder in APART {
        let manifest = format!("{folder}/Cargo.toml");
        let format = ["fmt", "--check", "--manifest-path", &manifest];
        all.add(&cargo(workspace, &format)?);
        let target = workspace.target().join("apart");
        let mut command = workspace.cargo(&[
            "clippy",
            "--locked",
            "--all-targets",
            "--manifest-path",
            &manifest,
        ]);
        command
            .arg("--target-dir")
            .arg(target)
            .args(["--", "--deny", "warnings"]);
        all.add(&told(&mut command, &["clippy", "--manifest-path", &manifest])?);
    }
    Ok(all)
}

/// The documentation of all crates, warnings denied: a link that leads nowhere is one.
pub fn documentation(workspace: &Workspace) -> anyhow::Result<Tally> {
    let arguments = ["doc", "--workspace", "--no-deps", "--all-features"];
    let mut command = workspace.cargo(&arguments);
    command.env("RUSTDOCFLAGS", "--deny warnings");
    told(&mut command, &arguments)
}

/// The table in `docs/ARCHITECTURE.md` says what cargo says.
pub fn dependency_table(workspace: &Workspace) -> anyhow::Result<Tally> {
    let document = std::fs::read_to_string(workspace.root().join("docs/ARCHITECTURE.md"))?;
    let written = dependencies::written(&document)?;
    let actual = dependencies::actual(workspace.metadata());
    Ok(findings(
        &dependencies::differences(&written, &actual),
        written.len(),
    ))
}

/// Rules that a look at the committed files can decide.
pub fn repository_rules(workspace: &Workspace) -> anyhow::Result<Tally> {
    let files = workspace.committed_files()?;
    let found = rules::violations(workspace.root(), &files)?;
    Ok(findings(&found, files.len()))
}

fn cargo(workspace: &Workspace, arguments: &[&str]) -> anyhow::Result<Tally> {
    told(&mut workspace.cargo(arguments), arguments)
}

fn told(command: &mut std::process::Command, arguments: &[&str]) -> anyhow::Result<Tally> {
    let shown = format!("cargo {}", arguments.join(" "));
    let status = process::run(command)?;
    Ok(if status.success() {
        Tally::passed(shown)
    } else {
        Tally::failed(shown)
    })
}

fn findings(found: &[String], looked_at: usize) -> Tally {
    for finding in found {
        eprintln!("{finding}");
    }
    match found.first() {
        None => Tally::passed(format!("{looked_at} looked at")),
        Some(first) => Tally {
            failed: u64::try_from(found.len()).unwrap_or(u64::MAX),
            detail: first.clone(),
            ..Tally::default()
        },
    }
}
