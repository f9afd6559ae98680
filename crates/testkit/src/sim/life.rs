//! One life of a process: random operations on an open store, until it stops.
//!
//! Invariants:
//! - Every choice is drawn from the seed.
//!
//! Elsewhere: how an operation is done and compared with the model (`session`).

use logpond_store::disk::sim::{Rng, SimDisk};
use logpond_store::{AckReason, Engine, Persistence, QueueDurability, Return};

use super::policy::Policy;
use super::session::{Entries, Flow, Medium, Publication, Session, Step, World};
use super::watcher::Watcher;

pub(super) struct Life<'a> {
    rng: &'a mut Rng,
    pub(super) session: Session<'a>,
}

impl<'a> Life<'a> {
    pub(super) fn new(
        rng: &'a mut Rng,
        world: World<'a>,
        disk: SimDisk,
        store: Engine<SimDisk, Watcher>,
        medium: Medium,
    ) -> Self {
        Self {
            rng,
            session: Session::new(world, disk, store, medium),
        }
    }

    /// Works with the journal running along.
    pub(super) fn work(&mut self, operations: u64) -> Step {
        for _ in 0..operations {
            if self.operation()? == Flow::Stopped {
                return Ok(Flow::Stopped);
            }
            if self.rng.chance(16384) && self.session.step()? == Flow::Stopped {
                return Ok(Flow::Stopped);
            }
        }
        self.session.check_counts()?;
        Ok(Flow::On)
    }

    /// Piles up operations that are not durable, then lets the journal write until the machine stops.
    pub(super) fn burst_until_off(&mut self) -> Result<(), String> {
        for _ in 0..40 {
            let burst = self.rng.between(10, 30);
            // On a full disk nothing may come to be pending.
            for _ in 0..10 * burst {
                if self.pending_count() >= usize::try_from(burst).unwrap_or(usize::MAX) {
                    break;
                }
                if self.operation()? == Flow::Stopped {
                    return Ok(());
                }
            }
            let most = 1 << self.rng.below(5);
            let calls = self.rng.between(1, most);
            self.session.disk.crash_at(calls);
            for _ in 0..40 {
                if self.rng.chance(8192) && self.operation()? == Flow::Stopped {
                    return Ok(());
                }
                let chore = self.rng.chance(16384);
                if self.step_or_checkpoint(chore)? == Flow::Stopped || self.pending_count() == 0 {
                    break;
                }
            }
            if self.session.disk.is_off() {
                return Ok(());
            }
        }
        self.session.disk.turn_off();
        Ok(())
    }

    fn pending_count(&self) -> usize {
        self.session.world.model.pending_count()
    }

    fn step_or_checkpoint(&mut self, checkpoint: bool) -> Step {
        if checkpoint {
            self.session.checkpoint()
        } else {
            self.session.step()
        }
    }

    fn operation(&mut self) -> Step {
        self.session.world.statistics.operations += 1;
        self.session.disk.advance(self.rng.below(4));
        let world = &self.session.world;
        let backlog: usize = world
            .model
            .accepted
            .values()
            .map(|queue| queue.entries.len())
            .sum();
        let publish_weight = if backlog > world.settings.backlog_max {
            20
        } else {
            45
        };
        let queues = world.model.accepted.len();
        match self.rng.below(100) {
            _ if queues == 0 => self.create_queue(),
            0 if queues < world.settings.queues_max => self.create_queue(),
            1 if self.rng.chance(24576) => self.delete_queue(),
            2 => self.purge(),
            3 => {
                self.session.disk.advance(self.rng.below(1200));
                Ok(Flow::On)
            }
            4 if self.rng.chance(32768) => self.settle(),
            4 => self.session.expire(),
            5..8 => self.transaction(),
            8..11 => self.requeue(),
            11 => self.reject(),
            12 => {
                let most = self.rng.between(1, 64);
                self.session.take_held(most)
            }
            choice if choice < 13 + publish_weight => self.publish(),
            choice if choice < 13 + publish_weight + (87 - publish_weight) / 2 => self.lease(),
            _ => self.acknowledge(),
        }
    }

    /// Lets the journal and the housekeeping run until there is nothing to do.
    fn settle(&mut self) -> Step {
        for _ in 0..self.rng.between(5, 40) {
            let chore = self.rng.chance(8192);
            let flow = self.step_or_checkpoint(chore)?;
            if flow == Flow::Stopped {
                return Ok(flow);
            }
        }
        Ok(Flow::On)
    }

    fn some_queue(&mut self) -> u64 {
        let queues = &self.session.world.model.accepted;
        let nth = self.rng.index(queues.len());
        *queues.keys().nth(nth).expect("an index below the length")
    }

    fn create_queue(&mut self) -> Step {
        let queue = self.session.next_queue();
        let durability = if self.rng.chance(6000) {
            QueueDurability::Transient
        } else {
            QueueDurability::Durable
        };
        let policy = Policy::pick(self.rng);
        if self.session.create_queue(queue, durability)? == Flow::Stopped {
            return Ok(Flow::Stopped);
        }
        self.session.decide(queue, policy)
    }

    fn delete_queue(&mut self) -> Step {
        let queue = self.some_queue();
        self.session.delete_queue(queue)
    }

    fn purge(&mut self) -> Step {
        let queue = self.some_queue();
        self.session.purge(queue)
    }

    fn some_queues(&mut self) -> Vec<u64> {
        let fan_out = self.rng.chance(12000);
        if !fan_out {
            return vec![self.some_queue()];
        }
        let keep = 16384 + u32::try_from(self.rng.below(49152)).expect("below 2^16");
        let queues = self.session.world.model.accepted.keys().copied();
        let picked: Vec<u64> = queues.filter(|_| self.rng.chance(keep)).collect();
        if picked.is_empty() {
            vec![self.some_queue()]
        } else {
            picked
        }
    }

    fn some_persistence(&mut self) -> Persistence {
        if self.rng.chance(self.session.world.settings.transient) {
            Persistence::Transient
        } else {
            Persistence::Persistent
        }
    }

    fn some_publication(&mut self, persistence: Persistence) -> Publication {
        let life_ms = self.rng.chance(8192).then(|| self.rng.below(1 << 9));
        Publication {
            queues: self.some_queues(),
            message: self.session.next_message(),
            persistence,
            priority: self
                .rng
                .chance(49152)
                .then(|| u8::try_from(self.rng.below(6)).expect("below 256")),
            life_ms,
        }
    }

    fn publish(&mut self) -> Step {
        let persistence = self.some_persistence();
        let publication = self.some_publication(persistence);
        self.session.publish(&publication)
    }

    /// Some publishes and an acknowledgement that a crash must not part.
    fn transaction(&mut self) -> Step {
        let count = self.rng.between(1, 5);
        let persistence = self.some_persistence();
        let publications: Vec<_> = (0..count).map(|_| self.some_publication(persistence)).collect();
        let acked = self.some_run();
        self.session.transaction(&publications, acked)
    }

    fn some_run(&mut self) -> Option<Entries> {
        let (world, leased) = (&self.session.world, &self.session.leased);
        if leased.is_empty() {
            return None;
        }
        let (queue, seq) = leased[self.rng.index(leased.len())];
        let entries = world.model.accepted.get(&queue)?.entries.len();
        if world.settings.is_hoarded(queue, entries) {
            return None;
        }
        let most = if self.rng.chance(32768) {
            1
        } else {
            1 + self.rng.below(20)
        };
        let holds = |seq| leased.contains(&(queue, seq));
        let first = (0..most)
            .map_while(|back| seq.checked_sub(back))
            .take_while(|seq| holds(*seq))
            .last()?;
        let count = (0..most).take_while(|more| holds(first + more)).count();
        Some(Entries {
            queue,
            first,
            count: u64::try_from(count).expect("a short run"),
        })
    }

    fn acknowledge(&mut self) -> Step {
        let Some(entries) = self.some_run() else {
            return Ok(Flow::On);
        };
        let reason = [AckReason::Acked, AckReason::Rejected, AckReason::Dropped][self.rng.index(3)];
        self.session.acknowledge(entries, reason)
    }

    fn reject(&mut self) -> Step {
        match self.some_run() {
            Some(entries) => self.session.reject(entries),
            None => Ok(Flow::On),
        }
    }

    fn requeue(&mut self) -> Step {
        match self.some_run() {
            Some(entries) if self.session.are_letters(entries) => self.session.reject(entries),
            Some(entries) => {
                let how = [Return::Unseen, Return::Released, Return::Failed][self.rng.index(3)];
                let how = self.session.may_give_back(entries, how);
                self.session.requeue(entries, how)
            }
            None => Ok(Flow::On),
        }
    }

    fn lease(&mut self) -> Step {
        let queue = self.some_queue();
        let most = u32::try_from(self.rng.between(1, 12)).expect("a small number");
        self.session.lease(queue, most)
    }
}
