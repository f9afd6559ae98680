//! All measurements, interleaved.

use crate::command_line::Arguments;
use crate::device::Device;
use crate::machine::Machine;
use crate::measure::{Bounds, measure};
use crate::peer::{Description, Peer};
use crate::peers;
use crate::record::{Contender, Line, Record};
use crate::workload::{self, Warmth, Work, Workload};
use anyhow::{Context, ensure};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long the device is measured in each round.
const DEVICE_TIME: Duration = Duration::from_millis(100);

/// What an engine writes at most before it is measured, and in how many rounds.
const WARM_UP_BYTES: usize = 256 << 20;
const WARM_UP_ROUNDS: usize = 4;

struct Running {
    description: Description,
    peer: Box<dyn Peer>,
    dir: PathBuf,
}

/// Measures what the arguments ask for.
pub fn run(arguments: &Arguments) -> anyhow::Result<Record> {
    let dir = tempfile::tempdir_in(&arguments.dir)?;
    let mut running = open(dir.path(), &arguments.peers)?;
    let mut device = Device::open(&dir.path().join("device"))?;
    let bounds = Bounds {
        time: Duration::from_millis(arguments.millis),
        bytes: arguments.bytes_max,
        batches: arguments.batches,
    };
    let is_wanted = |workload: &Workload| {
        arguments.only.is_empty() || arguments.only.iter().any(|only| workload.name.contains(only))
    };
    let workloads: Vec<_> = workload::all().into_iter().filter(is_wanted).collect();
    ensure!(!workloads.is_empty(), "no workload has such a name");
    if arguments.batches.is_none() {
        warm_up(&mut running, bounds)?;
    }
    let mut lines = Vec::new();
    for workload in workloads {
        eprintln!("{}", workload.name);
        let mut line = Line::of(workload, running.iter().map(|one| one.description.name));
        for round in 0..arguments.rounds {
            let speed = match line.workload.work {
                Work::Append(_) => Some(device.measure_writes(DEVICE_TIME)?),
                Work::FetchAndAck {
                    warmth: Warmth::Cold, ..
                } => Some(device.measure_reads(DEVICE_TIME)?),
                Work::FetchAndAck { .. } => None,
            };
            line.device_bytes_per_second.extend(speed);
            for step in 0..running.len() {
                let at = (round + step) % running.len();
                let rate = one(&mut running[at], &line.workload, bounds)?;
                settle_file_system(dir.path())?;
                line.rates[at].push(rate);
            }
        }
        lines.push(line);
    }
    Ok(Record {
        machine: Machine::here(dir.path()),
        rounds: arguments.rounds,
        millis: arguments.millis,
        bytes_max: arguments.bytes_max,
        peers: running
            .iter()
            .map(|one| Contender::describe(&one.description))
            .collect(),
        lines,
    })
}

fn open(dir: &Path, wanted: &[String]) -> anyhow::Result<Vec<Running>> {
    let mut running = Vec::new();
    for (description, open) in peers::ALL {
        if wanted.is_empty() || wanted.iter().any(|name| name == description.name) {
            let dir = dir.join(description.name);
            std::fs::create_dir(&dir)?;
            let peer = open(&dir).with_context(|| format!("opening {}", description.name))?;
            running.push(Running {
                description,
                peer,
                dir,
            });
        }
    }
    ensure!(!running.is_empty(), "no engine has such a name");
    Ok(running)
}

/// Each engine writes and empties its queues until it has files to use again, if it is one that does so.
fn warm_up(running: &mut [Running], bounds: Bounds) -> anyhow::Result<()> {
    let bounds = Bounds {
        bytes: WARM_UP_BYTES,
        ..bounds
    };
    let workload = workload::warm_up();
    for each in running {
        eprintln!("{} warms up", each.description.name);
        for _ in 0..WARM_UP_ROUNDS {
            one(each, &workload, bounds)?;
        }
    }
    Ok(())
}

fn one(running: &mut Running, workload: &Workload, bounds: Bounds) -> anyhow::Result<f64> {
    let name = running.description.name;
    let rate = measure(running.peer.as_mut(), &running.dir, workload, bounds)
        .with_context(|| format!("{name}: {}", workload.name))?;
    running
        .peer
        .clear()
        .with_context(|| format!("{name}: clearing"))?;
    Ok(rate)
}

/// What one engine left in the page cache is not written at the cost of the next.
fn settle_file_system(dir: &Path) -> anyhow::Result<()> {
    rustix::fs::syncfs(File::open(dir)?)?;
    Ok(())
}
