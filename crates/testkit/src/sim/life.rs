//! One life of a process: random operations on an open store, each told to the model, until it stops.
//!
//! Invariants:
//! - What the store answers is compared with the model at once: order, bytes, redelivery, counts.
//! - A store that refuses work is a violation, unless the machine is off or its disk was told to fail.

use logpond_store::disk::Disk;
use logpond_store::disk::sim::{Rng, SimDisk};
use logpond_store::{
    AckReason, AppendError, BlockNumber, Counters, Engine, Lease, LeaseOutcome, NewMessage, Persistence,
    QueueDurability, QueueId, Reader, Seq, Shard, Sources,
};

use super::message::Content;
use super::model::{Event, Model};
use super::settings::Settings;
use super::statistics::Statistics;
use super::trace;
use super::watcher::Watcher;

/// A store that has more than this to do makes work out of work.
const REST_STEPS_MAX: usize = 5000;
/// Segments that a store at rest may have beside those that are well used.
const REST_SEGMENTS_MAX: u64 = 6;

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
    pub(super) rng: &'a mut Rng,
    pub(super) settings: &'a Settings,
    pub(super) statistics: &'a mut Statistics,
    pub(super) model: &'a mut Model,
    pub(super) numbers: &'a mut Numbers,
}

/// Numbers that are used once.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    message: u64,
    queue: u64,
}

pub(super) struct Life<'a> {
    world: World<'a>,
    disk: SimDisk,
    store: Engine<SimDisk, Watcher>,
    reader: Reader<SimDisk>,
    sources: Sources,
    leased: Vec<(u64, u64)>,
    medium: Medium,
}

type Step = Result<Flow, String>;

impl<'a> Life<'a> {
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
            medium,
        }
    }

    /// Works with the journal running along.
    pub(super) fn work(&mut self, operations: u64) -> Step {
        for _ in 0..operations {
            if self.operation()? == Flow::Stopped {
                return Ok(Flow::Stopped);
            }
            if self.world.rng.chance(16384) && self.step()? == Flow::Stopped {
                return Ok(Flow::Stopped);
            }
        }
        self.check_counts()?;
        Ok(Flow::On)
    }

    /// Piles up operations that are not durable, then lets the journal write until the machine stops.
    pub(super) fn burst_until_off(&mut self) -> Result<(), String> {
        for _ in 0..40 {
            let burst = self.world.rng.between(10, 30);
            // On a full disk nothing may come to be pending.
            for _ in 0..10 * burst {
                if self.world.model.pending_count() >= usize::try_from(burst).unwrap_or(usize::MAX) {
                    break;
                }
                if self.operation()? == Flow::Stopped {
                    return Ok(());
                }
            }
            let most = 1 << self.world.rng.below(5);
            let calls = self.world.rng.between(1, most);
            self.disk.crash_at(calls);
            for _ in 0..40 {
                if self.world.rng.chance(8192) && self.operation()? == Flow::Stopped {
                    return Ok(());
                }
                let chore = self.world.rng.chance(16384);
                let stopped = if chore { self.chore()? } else { self.step()? } == Flow::Stopped;
                if stopped || self.world.model.pending_count() == 0 {
                    break;
                }
            }
            if self.disk.is_off() {
                return Ok(());
            }
        }
        self.disk.turn_off();
        Ok(())
    }

    /// Writes everything out; whether that worked.
    pub(super) fn write_out(&mut self) -> Result<bool, String> {
        for _ in 0..1000 {
            if self.world.model.pending_count() == 0 {
                return Ok(true);
            }
            if self.step()? == Flow::Stopped {
                break;
            }
        }
        Ok(false)
    }

    /// Lets everything that is due happen, however long it waits, and sees that the disk is well used then.
    pub(super) fn come_to_rest(&mut self) -> Step {
        self.sources.clear();
        let mut idle = 0;
        for _ in 0..REST_STEPS_MAX {
            if self.store.step() {
                idle = 0;
            } else if idle < 3 {
                idle += 1;
                self.disk.advance(self.world.settings.options.checkpoint_ms);
            } else {
                return self.check_space();
            }
            if self.confirm()? == Flow::Stopped {
                return Ok(Flow::Stopped);
            }
        }
        Err(format!(
            "no rest after {REST_STEPS_MAX} steps: {:?}",
            self.store.counters()
        ))
    }

    /// Twice what lives, and a few segments: those in use, and those that cut another.
    fn check_space(&mut self) -> Step {
        let counters = self.store.counters();
        let options = &self.world.settings.options;
        // In a segment this small its header counts.
        let usable = options.segment_bytes - 2 * 4096;
        let well_used = counters.live_bytes * 2 * options.segment_bytes / usable;
        let most = well_used + options.evacuation_slack_bytes + REST_SEGMENTS_MAX * options.segment_bytes;
        if counters.segment_bytes <= most {
            self.world.statistics.rests += 1;
            return Ok(Flow::On);
        }
        Err(format!("segments take more than {most} bytes: {counters:?}"))
    }

    /// Adds what the store did to the statistics.
    pub(super) fn tally(&mut self) -> Counters {
        let counters = self.store.counters();
        let statistics = &mut *self.world.statistics;
        statistics.rolls += counters.rolls;
        statistics.recycles += counters.segments_recycled;
        statistics.checkpoints += counters.checkpoints;
        statistics.evacuations += counters.evacuations;
        statistics.copies += counters.copies;
        statistics.cold_recycles += counters.cold_segments_recycled;
        statistics.full_disks += u64::from(counters.is_disk_full);
        counters
    }

    /// Stops in good order.
    pub(super) fn close(&mut self) -> Step {
        let closed = self.store.close();
        let flow = self.confirm()?;
        match closed {
            Ok(()) if flow == Flow::On => Ok(Flow::On),
            Err(error) if flow == Flow::On && self.medium == Medium::Sound => {
                Err(format!("closing: {error}"))
            }
            Ok(()) | Err(_) => Ok(Flow::Stopped),
        }
    }

    fn operation(&mut self) -> Step {
        self.world.statistics.operations += 1;
        self.disk.advance(self.world.rng.below(4));
        let backlog: usize = self
            .world
            .model
            .accepted
            .values()
            .map(|queue| queue.entries.len())
            .sum();
        let publish_weight = if backlog > self.world.settings.backlog_max {
            20
        } else {
            45
        };
        let queues = self.world.model.accepted.len();
        match self.world.rng.below(100) {
            _ if queues == 0 => self.create_queue(),
            0 if queues < self.world.settings.queues_max => self.create_queue(),
            1 if self.world.rng.chance(24576) => self.delete_queue(),
            2 => self.purge(),
            3 => {
                self.disk.advance(self.world.rng.below(1200));
                Ok(Flow::On)
            }
            4 if self.world.rng.chance(32768) => self.settle(),
            4..8 => self.transaction(),
            8..13 => self.requeue(),
            choice if choice < 13 + publish_weight => self.publish(),
            choice if choice < 13 + publish_weight + (87 - publish_weight) / 2 => self.lease(),
            _ => self.acknowledge(),
        }
    }

    fn step(&mut self) -> Step {
        self.store.step();
        self.confirm()
    }

    /// A checkpoint, or what is due before it, while operations wait.
    fn chore(&mut self) -> Step {
        self.store.checkpoint();
        self.confirm()
    }

    /// Lets the journal and the housekeeping run until there is nothing to do.
    fn settle(&mut self) -> Step {
        for _ in 0..self.world.rng.between(5, 40) {
            let flow = if self.world.rng.chance(8192) {
                self.chore()?
            } else {
                self.step()?
            };
            if flow == Flow::Stopped {
                return Ok(flow);
            }
        }
        Ok(Flow::On)
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

    fn some_queue(&mut self) -> u64 {
        let queues = &self.world.model.accepted;
        let nth = self.world.rng.index(queues.len());
        *queues.keys().nth(nth).expect("an index below the length")
    }

    fn create_queue(&mut self) -> Step {
        self.world.numbers.queue += 1;
        let queue = self.world.numbers.queue;
        let durable = !self.world.rng.chance(6000);
        let durability = if durable {
            QueueDurability::Durable
        } else {
            QueueDurability::Transient
        };
        let created = self
            .store
            .lock()
            .shard()
            .create_queue(QueueId::new(queue), durability, b"a queue");
        match created {
            Ok(block) => self.record(block, Event::Create { queue, durable }),
            Err(error) => return self.refused(&error),
        }
        Ok(Flow::On)
    }

    fn delete_queue(&mut self) -> Step {
        let queue = self.some_queue();
        let deleted = self.store.lock().shard().delete_queue(QueueId::new(queue));
        match deleted {
            Ok(block) => self.record(block, Event::Delete { queue }),
            Err(error) => return self.refused(&error),
        }
        self.leased.retain(|(id, _)| *id != queue);
        Ok(Flow::On)
    }

    fn record(&mut self, block: BlockNumber, event: Event) {
        self.world.model.record(block.get(), block.get(), event);
    }

    fn some_queues(&mut self) -> Vec<u64> {
        let fan_out = self.world.rng.chance(12000);
        if !fan_out {
            return vec![self.some_queue()];
        }
        let keep = 16384 + u32::try_from(self.world.rng.below(49152)).expect("below 2^16");
        let rng = &mut *self.world.rng;
        let picked: Vec<u64> = self
            .world
            .model
            .accepted
            .keys()
            .copied()
            .filter(|_| rng.chance(keep))
            .collect();
        if picked.is_empty() {
            vec![self.some_queue()]
        } else {
            picked
        }
    }

    fn publish(&mut self) -> Step {
        let queues = self.some_queues();
        let message = self.new_message();
        let persistent = !self.world.rng.chance(8000);
        let published = {
            let mut guard = self.store.lock();
            let shard = guard.shard();
            if shard.has_room() {
                Some(publish_to(shard, &queues, message, persistent))
            } else {
                None
            }
        };
        match published {
            Some(Ok(block)) => {
                self.world.statistics.publishes += 1;
                self.record(
                    block,
                    Event::Publish {
                        queues,
                        message,
                        persistent,
                    },
                );
                Ok(Flow::On)
            }
            Some(Err(error)) => self.refused(&error),
            None => self.step(),
        }
    }

    fn new_message(&mut self) -> u64 {
        self.world.numbers.message += 1;
        self.world.numbers.message
    }

    /// Some publishes and an acknowledgement that a crash must not part.
    fn transaction(&mut self) -> Step {
        let count = self.world.rng.between(1, 5);
        let persistent = !self.world.rng.chance(8000);
        let plan: Vec<(Vec<u64>, u64)> = (0..count)
            .map(|_| (self.some_queues(), self.new_message()))
            .collect();
        let run = self.some_run();
        let now = self.disk.now();
        let bytes: u64 = plan
            .iter()
            .map(|(queues, message)| {
                let content = Content::of(*message);
                Shard::<SimDisk>::message_bytes(queues.len(), content.properties.len(), content.body.len())
            })
            .sum();
        let done = {
            let mut guard = self.store.lock();
            let shard = guard.shard();
            if bytes + 24 > shard.transaction_bytes_max() || !shard.has_room() {
                return Ok(Flow::On);
            }
            shard.transaction(bytes + 24, |shard| {
                for (queues, message) in &plan {
                    publish_to(shard, queues, *message, persistent)?;
                }
                if let Some((queue, first, count)) = run {
                    shard.acknowledge(QueueId::new(queue), Seq::new(first), count, AckReason::Acked, now)?;
                }
                Ok(())
            })
        };
        match done {
            Ok((Ok(()), block)) => {
                for (queues, message) in plan {
                    self.world.statistics.publishes += 1;
                    self.record(
                        block,
                        Event::Publish {
                            queues,
                            message,
                            persistent,
                        },
                    );
                }
                if let Some((queue, first, count)) = run {
                    self.gone(block, queue, first, count);
                }
                Ok(Flow::On)
            }
            Ok((Err(error), _)) | Err(error) => self.refused(&error),
        }
    }

    /// Leased entries that follow each other: (queue, first, count).
    fn some_run(&mut self) -> Option<(u64, u64, u64)> {
        if self.leased.is_empty() {
            return None;
        }
        let (queue, seq) = self.leased[self.world.rng.index(self.leased.len())];
        let entries = self.world.model.accepted.get(&queue)?.entries.len();
        if self.world.settings.is_hoarded(queue, entries) {
            return None;
        }
        let most = if self.world.rng.chance(32768) {
            1
        } else {
            1 + self.world.rng.below(20)
        };
        let holds = |seq| self.leased.contains(&(queue, seq));
        let first = (0..most)
            .map_while(|back| seq.checked_sub(back))
            .take_while(|seq| holds(*seq))
            .last()?;
        let count = (0..most).take_while(|more| holds(first + more)).count();
        Some((queue, first, u64::try_from(count).expect("a short run")))
    }

    fn gone(&mut self, block: BlockNumber, queue: u64, first: u64, count: u64) {
        let range = first..first + count;
        self.leased
            .retain(|(id, seq)| *id != queue || !range.contains(seq));
        self.record(
            block,
            Event::Gone {
                queue,
                entries: range.collect(),
            },
        );
    }

    fn acknowledge(&mut self) -> Step {
        let Some((queue, first, count)) = self.some_run() else {
            return Ok(Flow::On);
        };
        let reason = [AckReason::Acked, AckReason::Expired, AckReason::Dropped][self.world.rng.index(3)];
        let now = self.disk.now();
        let acked =
            self.store
                .lock()
                .shard()
                .acknowledge(QueueId::new(queue), Seq::new(first), count, reason, now);
        match acked {
            Ok(block) => self.gone(block, queue, first, count),
            Err(error) => return self.refused(&error),
        }
        Ok(Flow::On)
    }

    fn requeue(&mut self) -> Step {
        let Some((queue, first, count)) = self.some_run() else {
            return Ok(Flow::On);
        };
        let now = self.disk.now();
        let requeued = self
            .store
            .lock()
            .shard()
            .requeue(QueueId::new(queue), Seq::new(first), count, now);
        if let Err(error) = requeued {
            return self.refused(&error);
        }
        trace::note(|| format!("  requeued to {queue}: {first}+{count}"));
        self.leased
            .retain(|(id, seq)| *id != queue || !(first..first + count).contains(seq));
        Ok(Flow::On)
    }

    /// Entries of the queue that nobody holds.
    fn ready(&self, queue: u64) -> impl Iterator<Item = u64> {
        let entries = self.world.model.accepted.get(&queue).map(|queue| &queue.entries);
        entries
            .into_iter()
            .flatten()
            .map(|(seq, _)| *seq)
            .filter(move |seq| !self.leased.contains(&(queue, *seq)))
    }

    fn purge(&mut self) -> Step {
        let queue = self.some_queue();
        let ready: Vec<u64> = self.ready(queue).collect();
        let now = self.disk.now();
        let (first, purged) = {
            let mut guard = self.store.lock();
            let shard = guard.shard();
            (shard.building(), shard.purge(QueueId::new(queue), now))
        };
        match purged {
            Ok((count, _)) if count != u64::try_from(ready.len()).expect("a short queue") => Err(format!(
                "purging queue {queue} took {count} entries instead of {}",
                ready.len()
            )),
            // A purge of nothing writes nothing.
            Ok(_) if ready.is_empty() => Ok(Flow::On),
            Ok((_, last)) => {
                self.world.model.record(
                    first.get(),
                    last.get(),
                    Event::Gone {
                        queue,
                        entries: ready,
                    },
                );
                Ok(Flow::On)
            }
            Err(error) => self.refused(&error),
        }
    }

    fn lease(&mut self) -> Step {
        let queue = self.some_queue();
        let most = u32::try_from(self.world.rng.between(1, 12)).expect("a small number");
        let mut leases = Vec::new();
        self.sources.clear();
        let outcome = {
            let mut guard = self.store.lock();
            let shard = guard.shard();
            shard.lease(QueueId::new(queue), most, 1 << 20, &mut leases, &mut self.sources)
        };
        match outcome {
            Ok(LeaseOutcome::Some(count)) if count != u64::try_from(leases.len()).expect("few leases") => {
                Err(format!(
                    "queue {queue}: {count} leases announced, {} given",
                    leases.len()
                ))
            }
            Ok(LeaseOutcome::Some(_)) => self.check_leases(queue, &leases).map(|()| Flow::On),
            Ok(LeaseOutcome::Pending(_)) => self.step(),
            Ok(LeaseOutcome::Empty) => match self.ready(queue).next() {
                Some(seq) => Err(format!(
                    "queue {queue} says that it is empty, but entry {seq} is ready"
                )),
                None => Ok(Flow::On),
            },
            Err(error) => self.refused(&error),
        }
    }

    fn check_leases(&mut self, queue: u64, leases: &[Lease]) -> Result<(), String> {
        let expected: Vec<u64> = self.ready(queue).take(leases.len()).collect();
        let given: Vec<u64> = leases.iter().map(|lease| lease.seq.get()).collect();
        if given != expected {
            return Err(format!(
                "queue {queue}: entries {given:?} were leased instead of {expected:?}"
            ));
        }
        trace::note(|| format!("  leased from {queue}: {given:?}"));
        for lease in leases {
            self.world.statistics.deliveries += 1;
            self.check_lease(queue, lease)?;
            self.leased.push((queue, lease.seq.get()));
            self.world.model.deliver(queue, lease.seq.get());
        }
        Ok(())
    }

    fn check_lease(&mut self, queue: u64, lease: &Lease) -> Result<(), String> {
        let seq = lease.seq.get();
        let entry = self
            .world
            .model
            .durable
            .get(&queue)
            .and_then(|queue| queue.entries.get(&seq));
        let entry =
            entry.ok_or_else(|| format!("queue {queue} entry {seq} was leased before it was durable"))?;
        if lease.redelivered != entry.delivered {
            let claim = lease.redelivered;
            return Err(format!(
                "queue {queue} entry {seq}: redelivered is {claim}, delivered is {}",
                entry.delivered
            ));
        }
        let stored = self.reader.message(QueueId::new(queue), lease, &self.sources);
        match stored {
            Ok(stored) if Content::number(stored.properties, stored.body) == Some(entry.message) => Ok(()),
            Ok(_) => Err(format!(
                "queue {queue} entry {seq} has other bytes than were published"
            )),
            Err(_) if self.disk.is_off() || self.medium == Medium::Failing => Ok(()),
            Err(error) => Err(format!("queue {queue} entry {seq}: {error}")),
        }
    }

    /// Ready entries are counted at once; a leased one counts until its acknowledgement is durable.
    fn check_counts(&self) -> Result<(), String> {
        let mut guard = self.store.lock();
        for (id, queue) in &self.world.model.accepted {
            let held = self.leased.iter().filter(|(queue, _)| queue == id).count();
            let going = self.world.model.durable.get(id).map_or(0, |durable| {
                durable
                    .entries
                    .keys()
                    .filter(|seq| !queue.entries.contains_key(seq))
                    .count()
            });
            let counts = guard.shard().counts(QueueId::new(*id));
            let counts = counts.ok_or_else(|| format!("queue {id} is missing"))?;
            let (ready, leased) = (queue.entries.len() - held, held + going);
            let is_settled = !self.world.model.is_purged_in_parts(*id);
            let leased_differs = is_settled && usize::try_from(counts.leased) != Ok(leased);
            if usize::try_from(counts.ready) != Ok(ready) || leased_differs {
                return Err(format!(
                    "queue {id} counts {counts:?} instead of {ready} ready and {leased} leased"
                ));
            }
        }
        Ok(())
    }
}

fn publish_to(
    shard: &mut Shard<SimDisk>,
    queues: &[u64],
    message: u64,
    persistent: bool,
) -> Result<BlockNumber, AppendError> {
    let content = Content::of(message);
    let queues: Vec<QueueId> = queues.iter().map(|queue| QueueId::new(*queue)).collect();
    let (head, tail) = content.body.split_at(content.body.len() / 3);
    shard.publish(&NewMessage {
        queues: &queues,
        properties: &[&content.properties],
        body: &[head, tail],
        persistence: if persistent {
            Persistence::Persistent
        } else {
            Persistence::Transient
        },
        priority: 0,
        timestamp_ms: message,
        expires_ms: None,
    })
}
