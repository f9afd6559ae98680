//! `logpond repair`: damage set aside in `quarantine/`, nothing removed.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use logpond_store::disk::{Disk, RealDisk, WriteMode};
use logpond_store::inspect::{Action, Inspector, RepairPlan, plan, repair};

use crate::offline::{Bar, Output, Place, print_json, print_table};
use crate::results::Results;
use crate::{exit, verify};

/// Set what is damaged in a data directory aside, so that the next start rebuilds what can be rebuilt. Removes nothing.
/// The broker must not run.
#[derive(Debug, Args)]
#[command(after_help = exit::OFFLINE_CODES)]
pub struct RepairArgs {
    #[command(flatten)]
    place: Place,
    /// Only tell what would be done, and why.
    #[arg(long)]
    plan: bool,
}

/// Plans or repairs, and tells what.
pub fn run(arguments: &RepairArgs) -> anyhow::Result<ExitCode> {
    // Before anything else: a directory that is not there must not come into being.
    let disk = arguments.place.disk()?;
    if arguments.plan {
        let plan = plan(&disk, &mut Bar::new())?;
        print(&plan, arguments.place.output)?;
        return Ok(verify::code(&plan.report));
    }
    // Nor may a directory without a store get a LOCK.
    Inspector::new(&disk)?;
    let data = &arguments.place.data;
    let disk = RealDisk::open(data, WriteMode::BufferedFdatasync)
        .with_context(|| format!("cannot open the data directory {}", data.display()))?;
    let lock = disk.lock()?;
    let done = repair(&disk, &lock, &mut Bar::new())?;
    print(&done, arguments.place.output)?;
    Ok(ExitCode::SUCCESS)
}

fn print(plan: &RepairPlan, output: Output) -> anyhow::Result<()> {
    if output == Output::Json {
        return print_json(plan);
    }
    verify::print(&plan.report)?;
    if plan.steps.is_empty() {
        writeln!(Results, "nothing to repair")?;
        return Ok(());
    }
    let rows = plan.steps.iter().map(|step| {
        let (action, what, to) = match &step.action {
            Action::Copy {
                file,
                offset,
                bytes,
                to,
            } => ("copy", format!("{file} from {offset}, {bytes} bytes"), to),
            Action::Move { file, to } => ("move", file.clone(), to),
            Action::List { to } => ("list", "what is damaged and lost".to_owned(), to),
        };
        [action.to_owned(), what, to.clone(), step.why.to_owned()]
    });
    print_table(["step", "what", "to", "why"], rows)?;
    Ok(())
}
