//! Runs the test suites of published clients, and has a row for each.

use crate::blackbox::Call;
use crate::command_line::Arguments;
use crate::outcome::Outcome;
use crate::workspace::Workspace;
use serde::Deserialize;

/// What the tool says of all of them.
#[derive(Deserialize)]
struct Summary {
    suites: Vec<Suite>,
}

#[derive(Deserialize)]
struct Suite {
    version: String,
    #[serde(flatten)]
    outcome: Outcome,
}

/// Runs those that `only` names, or all.
pub fn run(workspace: &Workspace, arguments: &Arguments, only: &[String]) -> anyhow::Result<Vec<Outcome>> {
    let flags: Vec<_> = only.iter().map(|suite| format!("--only={suite}")).collect();
    let (_, summary): (_, Summary) = Call::of(&["conformance"])
        .with(&flags)
        .found(workspace, arguments)?;
    let outcomes = summary.suites.into_iter().map(|Suite { version, outcome }| {
        let name = format!("{} {version}", outcome.name());
        outcome.named(name)
    });
    Ok(outcomes.collect())
}
