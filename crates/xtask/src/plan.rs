//! Which steps a command consists of, in which order.
//!
//! Invariant: a failed step does not hide the later ones; all are run and told.

use crate::blackbox::Call;
use crate::command_line::{Arguments, Command};
use crate::outcome::{Outcome, Tally};
use crate::workspace::Workspace;
use crate::{artifacts, check, codegen, comparison, conformance, fuzzing, simulation};

/// Runs what was asked for.
pub fn run(arguments: &Arguments) -> anyhow::Result<Vec<Outcome>> {
    let workspace = Workspace::open()?;
    let call = |name: &str, call: Call| Outcome::of(name, || call.run(&workspace, arguments));
    Ok(match &arguments.command {
        Command::Check => checks(&workspace, arguments),
        Command::Test { kills, sim_seconds } => {
            let mut outcomes = checks(&workspace, arguments);
            outcomes.push(call("interop", Call::of(&["interop"])));
            outcomes.push(call(
                "crash loop",
                Call::of(&["crash", "--kills", &kills.to_string()]),
            ));
            // The same seeds for every change, so that a failure is the change's own; longer runs draw theirs.
            let seed = ["--seed".to_owned(), "1".to_owned()];
            outcomes.push(simulated_disk(&workspace, *sim_seconds, &seed));
            outcomes
        }
        Command::Interop { url, only } => {
            let mut rest = Vec::new();
            for (flag, value) in [("--url", url), ("--only", only)] {
                rest.extend(value.iter().flat_map(|v| [flag.to_owned(), v.clone()]));
            }
            vec![call("interop", Call::of(&["interop"]).with(&rest))]
        }
        Command::Conformance { only } => conformance::run(&workspace, arguments, only)?,
        Command::Crash { kills, seed, rest } => {
            let mut crash = Call::of(&["crash", "--kills", &kills.to_string()]);
            if let Some(seed) = seed {
                crash = crash.with(&["--seed".to_owned(), seed.to_string()]);
            }
            vec![call("crash loop", crash.with(rest))]
        }
        Command::Sim {
            planted: true, rest, ..
        } => {
            vec![Outcome::of("planted bugs", || {
                simulation::planted(&workspace, rest)
            })]
        }
        Command::Sim {
            hours: Some(hours),
            rest,
            ..
        } => {
            // It takes the place of this process: Ctrl-C is for it alone, and its exit code counts.
            match simulation::overnight(&workspace, *hours, rest)? {}
        }
        Command::Sim {
            exhaustive: true,
            rest,
            ..
        } => {
            vec![Outcome::of("every workload, every crash", || {
                simulation::exhaustive(&workspace, rest)
            })]
        }
        Command::Sim { seconds, rest, .. } => vec![simulated_disk(&workspace, *seconds, rest)],
        Command::Flips { step, rest } => {
            vec![Outcome::of("flipped bytes", || {
                simulation::flips(&workspace, *step, rest)
            })]
        }
        Command::Fuzz { seconds, only } => fuzzing::targets(only.as_deref())?
            .into_iter()
            .map(|target| {
                let name = format!("fuzz {target}");
                Outcome::of(&name, || fuzzing::run(&workspace, target, *seconds))
            })
            .collect(),
        Command::StraceOrder { rest } => {
            vec![call(
                "confirms after syncs",
                Call::of(&["strace-order"]).with(rest),
            )]
        }
        Command::Faults { nth_max, rest } => {
            let faults = Call::of(&["faults", "--nth-max", &nth_max.to_string()]);
            vec![call("failing calls", faults.with(rest))]
        }
        Command::Powercut {
            runs,
            images,
            kills,
            seed,
            rest,
        } => {
            let numbers = [("--runs", runs), ("--images", images), ("--kills", kills)];
            let mut own: Vec<String> = numbers
                .into_iter()
                .flat_map(|(flag, number)| [flag.to_owned(), number.to_string()])
                .collect();
            own.extend(
                seed.iter()
                    .flat_map(|seed| ["--seed".to_owned(), seed.to_string()]),
            );
            vec![call("power cuts", Call::of(&["powercut"]).with(&own).with(rest))]
        }
        Command::Backlog { messages, rest } => {
            let backlog = Call::of(&["backlog", "--messages", &messages.to_string()]);
            vec![call("backlog", backlog.with(rest))]
        }
        Command::BenchBroker {
            rounds,
            seconds,
            only,
            peers,
            rest,
        } => {
            let mut flags = vec![format!("--rounds={rounds}"), format!("--seconds={seconds}")];
            flags.extend(only.iter().map(|row| format!("--only={row}")));
            flags.extend(peers.iter().map(|peer| format!("--peers={peer}")));
            vec![call("brokers measured", Call::of_bench().with(&flags).with(rest))]
        }
        Command::BenchStore { rest } => {
            vec![Outcome::of("other engines", || comparison::run(&workspace, rest))]
        }
        Command::Codegen { check } => vec![generated_code(*check)],
    })
}

fn checks(workspace: &Workspace, arguments: &Arguments) -> Vec<Outcome> {
    let mut outcomes = vec![
        Outcome::of("format", || check::format(workspace)),
        generated_code(true),
        Outcome::of("dependency table", || check::dependency_table(workspace)),
        Outcome::of("repository rules", || check::repository_rules(workspace)),
        Outcome::of("lints", || check::lints(workspace)),
        Outcome::of("workspaces apart", || check::workspaces_apart(workspace)),
        Outcome::of("documentation", || check::documentation(workspace)),
    ];
    let mut broker = None;
    outcomes.push(Outcome::of("broker builds", || {
        let path = artifacts::broker(workspace, arguments)?;
        let detail = path.display().to_string();
        broker = Some(path);
        Ok(Tally::passed(detail))
    }));
    outcomes.push(Outcome::of("rust tests", || {
        check::rust_tests(workspace, broker.as_deref())
    }));
    outcomes
}

fn simulated_disk(workspace: &Workspace, seconds: u64, rest: &[String]) -> Outcome {
    Outcome::of("simulated disk", || simulation::run(workspace, seconds, rest))
}

fn generated_code(check: bool) -> Outcome {
    Outcome::of("generated code", || {
        codegen::run(check).map(|()| Tally::passed("methods.toml"))
    })
}
