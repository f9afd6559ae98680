//! Where workloads begin: an empty disk, and a store that has something to recycle, to evacuate and to forget.

use logpond_store::Options;
use logpond_store::disk::sim::{FaultPlan, SimDisk};

use super::machine::{Machine, Remains};
use super::operation::{Done, Operation};
use crate::sim::model::{Candidate, Model};
use crate::sim::policy::Policies;
use crate::sim::session::{Flow, Numbers, World};
use crate::sim::settings::Settings;
use crate::sim::statistics::Statistics;

pub(super) struct Ground {
    pub(super) name: &'static str,
    pub(super) settings: Settings,
    pub(super) model: Model,
    pub(super) numbers: Numbers,
    disk: SimDisk,
    candidates: Vec<Candidate>,
    has_checkpoint: bool,
}

/// Two queues; segments of which most is dead, all, or little; two checkpoints and something behind them.
const PAST: [Operation; 16] = [
    Operation::CreateDurable,
    Operation::CreateDurable,
    Operation::FanOut,
    Operation::Publish,
    Operation::Roll,
    Operation::Checkpoint,
    Operation::FanOut,
    Operation::Acknowledge,
    Operation::Roll,
    Operation::Checkpoint,
    Operation::Requeue,
    Operation::Purge,
    Operation::FanOut,
    Operation::Commit,
    Operation::Publish,
    Operation::Commit,
];

impl Ground {
    pub(super) fn all() -> Result<Vec<Self>, String> {
        Ok(vec![
            Self::after("an empty disk", &[])?,
            Self::after("a store with a past", &PAST)?,
        ])
    }

    fn after(name: &'static str, past: &[Operation]) -> Result<Self, String> {
        let settings = settings();
        let (mut model, mut numbers) = (Model::default(), Numbers::default());
        let mut statistics = Statistics::default();
        let mut remains = Remains {
            disk: SimDisk::new(1),
            candidates: model.candidates().into(),
            policies: Policies::new(),
            has_checkpoint: false,
        };
        if !past.is_empty() {
            let world = World {
                settings: &settings,
                statistics: &mut statistics,
                model: &mut model,
                numbers: &mut numbers,
            };
            let mut machine = Machine::new(world, remains, None);
            machine.start()?;
            for operation in past {
                let done = operation.perform(&mut machine)?;
                assert_eq!(done, Done::Yes(Flow::On), "{operation:?} is part of the past");
            }
            remains = machine.off();
            remains.disk = remains.disk.after_kill();
        }
        Ok(Self {
            name,
            settings,
            model,
            numbers,
            disk: remains.disk,
            candidates: remains.candidates,
            has_checkpoint: remains.has_checkpoint,
        })
    }

    pub(super) fn remains(&self) -> Remains {
        Remains {
            disk: self.disk.fork(),
            candidates: self.candidates.clone(),
            policies: self.model.policies.clone(),
            has_checkpoint: self.has_checkpoint,
        }
    }
}

/// Everything small and nothing to spare, so that three operations reach far.
fn settings() -> Settings {
    Settings {
        options: Options {
            checkpoint_bytes: 32 << 10,
            checkpoint_ms: 100,
            spare_segments_max: 1,
            reserve_segments: 1,
            evacuation_slack_bytes: 0,
            delivery_mark_step: 4,
            ..Options::tiny()
        },
        lives: 0,
        queues_max: 0,
        backlog_max: 0,
        transient: 0,
        hoards: false,
        failing_life: 0,
        cramped_life: 0,
        faults: FaultPlan::default(),
        failing_start: 0,
        start_faults: FaultPlan::default(),
    }
}
