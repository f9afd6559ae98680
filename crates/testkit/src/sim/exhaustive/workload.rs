//! One workload: some operations after the other and a commit, run as often as there are calls to crash at.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::exhausted::Exhausted;
use super::ground::Ground;
use super::images::Images;
use super::machine::{Machine, Remains};
use super::operation::{Done, Operation};
use crate::sim::run::panic_text;
use crate::sim::session::{Flow, Step, World};
use crate::sim::statistics::Statistics;

pub(super) struct Workload<'a> {
    ground: &'a Ground,
    operations: Vec<Operation>,
}

/// What a run of a workload left, and where the calls lie at which it is crashed.
struct Played {
    before: u64,
    last: u64,
    remains: Remains,
    statistics: Statistics,
}

impl<'a> Workload<'a> {
    /// How many workloads there are of up to `length` operations.
    pub(super) fn count(length: u32, grounds: &[Ground]) -> u64 {
        let grounds = u64::try_from(grounds.len()).expect("few grounds");
        (0..=length)
            .map(|length| grounds * vocabulary().pow(length))
            .sum()
    }

    /// The workload of a number: the shortest come first, and of one length all that begin in the same place.
    pub(super) fn numbered(mut number: u64, length: u32, grounds: &'a [Ground]) -> Option<Self> {
        for length in 0..=length {
            for ground in grounds {
                let count = vocabulary().pow(length);
                if number < count {
                    let operations = (0..length)
                        .map(|place| number / vocabulary().pow(length - 1 - place) % vocabulary())
                        .map(|nth| Operation::ALL[usize::try_from(nth).expect("an index below the length")])
                        .collect();
                    return Some(Self { ground, operations });
                }
                number -= count;
            }
        }
        None
    }

    /// Crashes it everywhere, and judges what that leaves.
    pub(super) fn run(&self, images: &Images) -> Exhausted {
        let mut done = Exhausted::default();
        let ended = catch_unwind(AssertUnwindSafe(|| self.crash_everywhere(images, &mut done)));
        let violation = match ended {
            Ok(Ok(())) => return done,
            Ok(Err(violation)) => violation,
            Err(panic) => format!("panic: {}", panic_text(panic.as_ref())),
        };
        done.violations.push(format!("{}: {violation}", self.name()));
        done
    }

    fn name(&self) -> String {
        format!("on {}, {:?}", self.ground.name, self.operations)
    }

    fn crash_everywhere(&self, images: &Images, done: &mut Exhausted) -> Result<(), String> {
        let Some(whole) = self.play(None)? else {
            return Ok(());
        };
        done.workloads += 1;
        done.reached += whole.statistics;
        images.judge(&whole.remains, &self.ground.settings, done, &|| {
            format!("{}, then a crash", self.name())
        });
        for call in whole.before + 1..=whole.last {
            let nth = call - whole.before;
            let played = self
                .play(Some(call))
                .map_err(|violation| format!("crashed at call {nth}: {violation}"))?;
            let Some(crashed) = played else {
                return Err(format!("crashed at call {nth}: the workload went another way"));
            };
            done.crash_points += 1;
            images.judge(&crashed.remains, &self.ground.settings, done, &|| {
                format!("{}, crashed at call {nth}", self.name())
            });
        }
        Ok(())
    }

    /// Runs it until it is done or the power goes; `None` when an operation had nothing to do.
    fn play(&self, power_ends_at: Option<u64>) -> Result<Option<Played>, String> {
        let (mut model, mut numbers) = (self.ground.model.clone(), self.ground.numbers);
        let mut statistics = Statistics::default();
        let world = World {
            settings: &self.ground.settings,
            statistics: &mut statistics,
            model: &mut model,
            numbers: &mut numbers,
        };
        let mut machine = Machine::new(world, self.ground.remains(), power_ends_at);
        let mut before = machine.disk.calls().changes();
        let mut flow = machine.start()?;
        for operation in &self.operations {
            if flow == Flow::Stopped {
                break;
            }
            before = machine.disk.calls().changes();
            match operation.perform(&mut machine)? {
                Done::Yes(went) => flow = went,
                Done::Inapplicable if machine.disk.is_off() => flow = Flow::Stopped,
                Done::Inapplicable => return Ok(None),
            }
        }
        commit_behind(&mut machine, flow)?;
        let last = machine.disk.calls().changes();
        if power_ends_at.is_some() && !machine.disk.is_off() {
            return Ok(None);
        }
        let remains = machine.off();
        Ok(Some(Played {
            before,
            last,
            remains,
            statistics,
        }))
    }
}

fn commit_behind(machine: &mut Machine<'_>, flow: Flow) -> Step {
    if flow == Flow::On && !machine.disk.is_off() {
        Operation::Commit.perform(machine)?;
    }
    Ok(flow)
}

fn vocabulary() -> u64 {
    u64::try_from(Operation::ALL.len()).expect("few operations")
}
