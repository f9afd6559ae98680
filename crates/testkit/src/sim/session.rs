//! An open store and its model: what is done to the one is told to the other, and what the store answers is compared at
//! once: order, bytes, redelivery, counts.
//!
//! Invariants:
//! - Nothing here is random: who decides what to do hands it in.
//! - A store that refuses work is a violation, unless the machine is off or its disk was told to fail.
//!
//! Elsewhere: what is done (`life` draws it from a seed).

mod ended;
mod held;
mod lease;
mod publish;
mod queues;
mod rest;
mod settlement;

use std::collections::{BTreeMap, BTreeSet};

use logpond_store::disk::sim::SimDisk;
use logpond_store::{AckReason, AppendError, BlockNumber, Engine, QueueId, Reader, Sources};

use super::model::{Event, Model};
use super::settings::Settings;
use super::statistics::Statistics;
use super::watcher::Watcher;
use ended::amount;
pub(super) use publish::Publication;

/// Whether the life goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    On,
    Stopped,
}

/// What the disk is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Medium {
    /// It works.
    Sound,
    /// It has little room: what needs more waits, and nothing fails.
    Cramped,
    /// Its calls fail.
    Failing,
}

/// What outlives a process.
pub(super) struct World<'a> {
    pub(super) settings: &'a Settings,
    pub(super) statistics: &'a mut Statistics,
    pub(super) model: &'a mut Model,
    pub(super) numbers: &'a mut Numbers,
}

/// Numbers that are used once.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Numbers {
    message: u64,
    queue: u64,
}

/// Leased entries that follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entries {
    pub(super) queue: u64,
    pub(super) first: u64,
    pub(super) count: u64,
}

pub(super) type Step = Result<Flow, String>;

pub(super) struct Session<'a> {
    pub(super) world: World<'a>,
    pub(super) disk: SimDisk,
    store: Engine<SimDisk, Watcher>,
    reader: Reader<SimDisk>,
    sources: Sources,
    /// (queue, seq), in the order of their leasing.
    pub(super) leased: Vec<(u64, u64)>,
    /// What came to its end and waits for the owner of its queue, and of what: a crash forgets it.
    held: BTreeMap<(u64, u64), AckReason>,
    /// Which of the leased ones were held.
    letters: BTreeSet<(u64, u64)>,
    /// What was ever given back in this life.
    returned: BTreeSet<(u64, u64)>,
    medium: Medium,
}

impl<'a> Session<'a> {
    pub(super) fn new(
        world: World<'a>,
        disk: SimDisk,
        store: Engine<SimDisk, Watcher>,
        medium: Medium,
    ) -> Self {
        let reader = store.reader();
        Self {
            world,
            disk,
            store,
            reader,
            sources: Sources::default(),
            leased: Vec::new(),
            held: BTreeMap::new(),
            letters: BTreeSet::new(),
            returned: BTreeSet::new(),
            medium,
        }
    }

    /// Ends the process.
    pub(super) fn into_world(self) -> World<'a> {
        self.world
    }

    /// How often the log went on to another segment.
    pub(super) fn rolls(&self) -> u64 {
        self.store.counters().rolls
    }

    /// One write, or one chore.
    pub(super) fn step(&mut self) -> Step {
        if self.expire_due()? == Flow::Stopped {
            return Ok(Flow::Stopped);
        }
        self.store.step();
        self.confirm()
    }

    /// A checkpoint, or what is due before it, while operations wait.
    pub(super) fn checkpoint(&mut self) -> Step {
        self.store.checkpoint();
        self.confirm()
    }

    /// Takes note of what was confirmed, and of whether the store is still alive.
    fn confirm(&mut self) -> Step {
        let (confirmed, poisoned) = {
            let mut guard = self.store.lock();
            let (_, watcher) = guard.parts();
            (watcher.confirmed, watcher.poisoned.clone())
        };
        self.world.model.confirm(confirmed);
        match poisoned {
            _ if self.disk.is_off() => Ok(Flow::Stopped),
            Some(_) if self.medium == Medium::Failing => Ok(Flow::Stopped),
            Some(cause) => Err(format!("the store gave up on a disk that works: {cause}")),
            None => Ok(Flow::On),
        }
    }

    /// A refused append: fine on a broken machine.
    fn refused(&self, error: &AppendError) -> Step {
        match error {
            AppendError::Poisoned(_) if self.disk.is_off() || self.medium == Medium::Failing => {
                Ok(Flow::Stopped)
            }
            error => Err(format!("refused: {error}")),
        }
    }

    fn record(&mut self, block: BlockNumber, event: Event) {
        self.world.model.record(block.get(), block.get(), event);
    }

    /// Ready entries are counted at once; a leased one counts until its acknowledgement is durable, if the log holds it.
    pub(super) fn check_counts(&self) -> Result<(), String> {
        let mut guard = self.store.lock();
        for (id, queue) in &self.world.model.accepted {
            let leased = self.leased.iter().filter(|(queue, _)| queue == id).count();
            let (held, held_ahead) = self.held_of(*id);
            let going = self.world.model.durable.get(id).map_or(0, |durable| {
                durable
                    .entries
                    .keys()
                    .filter(|seq| !queue.entries.contains_key(seq))
                    .count()
            });
            let counts = guard.shard().counts(QueueId::new(*id));
            let counts = counts.ok_or_else(|| format!("queue {id} is missing"))?;
            let ready = queue.entries.len() - leased - held - held_ahead;
            let leased = leased + held + going;
            let is_settled = !self.world.model.ends_in_parts(*id);
            let may_be_leased = leased..=leased + self.world.model.unsaid(*id);
            let leased_differs = is_settled
                && !usize::try_from(counts.leased).is_ok_and(|counted| may_be_leased.contains(&counted));
            if usize::try_from(counts.ready) != Ok(ready) || leased_differs {
                return Err(format!(
                    "queue {id} counts {counts:?} instead of {ready} ready and {leased} leased"
                ));
            }
            let bytes = amount(self.ready(*id)).1;
            let counted = guard.shard().ready_bytes(QueueId::new(*id));
            if counted != Some(bytes) {
                return Err(format!("queue {id} counts {counted:?} bytes instead of {bytes}"));
            }
        }
        Ok(())
    }
}
