//! Whoever is told that there is no room hears when there is.

use super::stepped::{durable_queue, message_for};
use super::*;
use crate::disk::sim::{Rng, SimDisk};
use crate::options::Options;
use crate::shard::{CheckpointWish, Done, Failed};
use crate::tail::{Next, Take};
use crate::{AckReason, Durable, Persistence, QueueId, Sources};
use std::io;

/// A store whose blocks are written, and whose chores begin and end, when the test says so.
struct Paused {
    disk: SimDisk,
    engine: Engine<SimDisk>,
    queues: Vec<QueueId>,
    chore: Option<(Failed, io::Result<Done<SimDisk>>)>,
    /// What was durable when somebody was refused last.
    refused_at: Option<Durable>,
    rng: Rng,
}

impl Paused {
    fn new(seed: u64) -> Self {
        let disk = SimDisk::new(seed);
        let options = Options {
            checkpoint_ms: 20,
            ..Options::tiny()
        };
        let (engine, _) = Engine::open(disk.clone(), options, ()).unwrap();
        let queues = (0..30).map(|_| durable_queue(&engine)).collect();
        Self {
            disk,
            engine,
            queues,
            chore: None,
            refused_at: None,
            rng: Rng::new(seed),
        }
    }

    fn any_queue(&mut self) -> QueueId {
        self.queues[usize::try_from(self.rng.below(30)).unwrap()]
    }

    fn publish(&mut self) {
        for _ in 0..self.rng.below(60) {
            if !self.engine.lock().shard().has_room() {
                self.refused_at = Some(self.engine.lock().shard().durable());
                return;
            }
            let queues = [self.any_queue(), self.any_queue()];
            let mut message = message_for(&queues, &[&[7; 100]]);
            if self.rng.below(2) == 0 {
                message.persistence = Persistence::Transient;
            }
            self.engine.lock().shard().publish(&message).unwrap();
        }
    }

    fn consume(&mut self) {
        let (queue, now) = (self.any_queue(), self.disk.now());
        let count = u32::try_from(self.rng.below(60)).unwrap();
        let (mut leases, mut sources) = (Vec::new(), Sources::default());
        let mut guard = self.engine.lock();
        let shard = guard.shard();
        let _ = shard.lease(queue, count, u64::MAX, &mut leases, &mut sources);
        for lease in leases {
            let _ = shard.acknowledge(queue, lease.seq, 1, AckReason::Acked, now);
        }
    }

    fn write(&mut self) {
        let next = self
            .engine
            .inner
            .lock()
            .shard
            .next_write(self.disk.now(), Take::All);
        if let Next::Write(job) = next {
            self.engine.inner.write(job);
        }
    }

    fn begin_chore(&mut self) {
        if self.chore.is_none() {
            let now = self.disk.now();
            let job = self
                .engine
                .inner
                .lock()
                .shard
                .next_job(now, CheckpointWish::WhenDue);
            self.chore = job.map(|job| self.engine.inner.perform(job));
        }
    }

    fn end_chore(&mut self) {
        if let Some((failed, result)) = self.chore.take() {
            self.engine.inner.finish(failed, result, self.disk.now());
        }
    }
}

#[test]
fn whoever_was_refused_is_told_by_a_block_whatever_made_the_room() {
    for seed in 0..100 {
        let mut paused = Paused::new(seed);
        for step in 0..1500 {
            match paused.rng.below(12) {
                0..=3 => paused.publish(),
                4..=5 => paused.write(),
                6 => paused.begin_chore(),
                7 => paused.end_chore(),
                8 => paused.disk.advance(5),
                _ => paused.consume(),
            }
            let locked = paused.engine.inner.lock();
            let is_waiting = paused.refused_at == Some(locked.shard.durable());
            assert!(
                !is_waiting || !locked.shard.has_room() || !locked.shard.tail.is_idle(),
                "seed {seed}, step {step}: there is room, and nobody is told"
            );
        }
    }
}
