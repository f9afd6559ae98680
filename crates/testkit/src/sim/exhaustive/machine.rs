//! A machine on which a workload runs: its disk, one process after the other on it, and the call at which its power goes.

use logpond_store::disk::sim::SimDisk;

use crate::sim::model::Candidate;
use crate::sim::policy::Policies;
use crate::sim::recovery::{check_report, compare, open};
use crate::sim::session::{Flow, Medium, Session, Step, World};

pub(super) struct Machine<'a> {
    pub(super) disk: SimDisk,
    /// While no process runs.
    world: Option<World<'a>>,
    session: Option<Session<'a>>,
    /// On the scale of all calls that this disk and those it came from ever had.
    power_ends_at: Option<u64>,
    /// While no process runs: what the disk may hold.
    candidates: Vec<Candidate>,
    has_checkpoint: bool,
}

/// What is there when a machine was turned off.
pub(super) struct Remains {
    pub(super) disk: SimDisk,
    pub(super) candidates: Vec<Candidate>,
    /// What the owners of queues had decided.
    pub(super) policies: Policies,
    /// Whether no start may need the whole log any more.
    pub(super) has_checkpoint: bool,
}

impl<'a> Machine<'a> {
    pub(super) fn new(world: World<'a>, remains: Remains, power_ends_at: Option<u64>) -> Self {
        Self {
            disk: remains.disk,
            world: Some(world),
            session: None,
            power_ends_at,
            candidates: remains.candidates,
            has_checkpoint: remains.has_checkpoint,
        }
    }

    /// The process.
    pub(super) const fn session(&mut self) -> &mut Session<'a> {
        self.session
            .as_mut()
            .expect("an operation is done on a machine that is on")
    }

    /// Live queues, the oldest first.
    pub(super) fn queues(&mut self) -> Vec<u64> {
        self.session().world.model.accepted.keys().copied().collect()
    }

    /// Starts a process, and compares what it finds with what it may find.
    pub(super) fn start(&mut self) -> Step {
        if let Some(at) = self.power_ends_at {
            self.disk.crash_at(at - self.disk.calls().changes());
        }
        let world = self
            .world
            .take()
            .expect("one process runs after the other on this machine");
        let opened = open(&self.disk, world.settings);
        if self.disk.is_off() {
            self.world = Some(world);
            return Ok(Flow::Stopped);
        }
        let (store, report) = opened?;
        check_report(&report)?;
        let (_, contents) = compare(
            &store,
            &mut self.candidates,
            world.settings,
            &world.model.policies,
        )?;
        let end = store.lock().shard().durable().end().get();
        world.model.restart(contents, end);
        let session = Session::new(world, self.disk.clone(), store, Medium::Sound);
        self.session.insert(session).decide_again()
    }

    pub(super) fn close_and_open(&mut self) -> Step {
        if self.session().close()? == Flow::Stopped {
            return Ok(Flow::Stopped);
        }
        self.end_process(|session| vec![session.world.model.complete()]);
        self.disk = self.disk.after_kill();
        self.start()
    }

    pub(super) fn kill_and_open(&mut self) -> Step {
        self.end_process(|session| session.world.model.candidates().into());
        self.disk = self.disk.after_kill();
        self.start()
    }

    fn end_process(&mut self, candidates: impl FnOnce(&Session<'_>) -> Vec<Candidate>) {
        let Some(mut session) = self.session.take() else {
            return;
        };
        self.has_checkpoint |= session.tally().checkpoints > 0;
        self.candidates = candidates(&session);
        self.world = Some(session.into_world());
    }

    /// Turns it off, if it is not.
    pub(super) fn off(mut self) -> Remains {
        self.disk.turn_off();
        // Its maps hand over what they hold when it goes.
        self.end_process(|session| session.world.model.candidates().into());
        let policies = self.world.map(|world| world.model.policies.clone());
        Remains {
            disk: self.disk,
            candidates: self.candidates,
            policies: policies.unwrap_or_default(),
            has_checkpoint: self.has_checkpoint,
        }
    }
}
