//! Limits, expiry and priorities against lists, on a simulated disk that loses what was not synced.
//!
//! The model notes what each queue holds after each block. After a crash the store must hold what it held after one of
//! the blocks, and no earlier one than the last that was durable.

use super::*;
use crate::QueueDurability;
use crate::attempts::Return;
use crate::disk::sim::{Rng, SimDisk};
use crate::engine::Engine;
use crate::format::record::AckReason;
use crate::priority::Priority;
use crate::queue_limits::{QueueLimits, WhenFull};
use crate::{Persistence, RecoveryReport};
use proptest::prelude::*;
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// The second one has priorities.
const QUEUES: usize = 2;
const HIGHEST: u8 = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    seq: u64,
    bytes: u64,
    level: u8,
    expires_ms: Option<u64>,
    block: u64,
    is_leased: bool,
}

#[derive(Clone, Debug, Default)]
struct QueueModel {
    entries: Vec<Entry>,
    limits: QueueLimits,
    next_seq: u64,
    highest: u8,
}

impl QueueModel {
    fn ready(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| !entry.is_leased)
    }

    fn exceeded_by(&self, messages: u64, bytes: u64) -> bool {
        let count = u64::try_from(self.ready().count()).unwrap();
        let sum: u64 = self.ready().map(|entry| entry.bytes).sum();
        let limits = &self.limits;
        limits.messages.is_some_and(|most| count + messages > most)
            || limits.bytes.is_some_and(|most| sum + bytes > most)
    }

    fn refuses(&self, bytes: u64) -> bool {
        self.limits.when_full == WhenFull::Refuse && self.exceeded_by(1, bytes)
    }

    /// What is durable goes by level, the rest comes behind it.
    fn head(&self, durable: u64) -> Option<Entry> {
        let order = |entry: &&Entry| {
            let is_visible = entry.block <= durable;
            let level = if is_visible {
                entry.level.min(self.highest)
            } else {
                0
            };
            (!is_visible, Reverse(level), entry.seq)
        };
        self.ready().min_by_key(order).copied()
    }

    fn trim(&mut self, durable: u64) {
        while self.limits.when_full == WhenFull::DropHead && self.exceeded_by(0, 0) {
            let head = self.head(durable).unwrap();
            self.entries.retain(|entry| entry.seq != head.seq);
        }
    }
}

/// What is in each queue.
type Contents = Vec<Vec<Entry>>;

#[derive(Clone, Debug)]
enum Operation {
    Publish {
        queues: Vec<usize>,
        bytes: usize,
        ttl_ms: Option<u64>,
        priority: u8,
    },
    Transaction {
        queue: usize,
        bytes: Vec<usize>,
    },
    Lease {
        queue: usize,
        count: u32,
    },
    Ack {
        at: usize,
    },
    Requeue {
        at: usize,
    },
    Purge {
        queue: usize,
    },
    Limit {
        queue: usize,
        limits: QueueLimits,
    },
    Expire,
    Advance {
        ms: u64,
    },
    Step,
    Checkpoint,
    Crash {
        calls: u64,
        seed: u64,
    },
    Reopen,
}

fn limits() -> impl Strategy<Value = QueueLimits> {
    let when_full = prop_oneof![3 => Just(WhenFull::DropHead), 1 => Just(WhenFull::Refuse)];
    let messages = prop::option::of(0..9_u64);
    let bytes = prop::option::of(0..900_u64);
    (messages, bytes, when_full).prop_map(|(messages, bytes, when_full)| QueueLimits {
        messages,
        bytes,
        when_full,
    })
}

fn operation() -> impl Strategy<Value = Operation> {
    let queues = prop_oneof![Just(vec![0]), Just(vec![1]), Just(vec![0, 1])];
    let queue = || 0..QUEUES;
    prop_oneof![
        8 => (queues, 0..300_usize, prop::option::of(0..60_u64), 0..6_u8)
            .prop_map(|(queues, bytes, ttl_ms, priority)| Operation::Publish { queues, bytes, ttl_ms, priority }),
        1 => (queue(), prop::collection::vec(0..300_usize, 1..6))
            .prop_map(|(queue, bytes)| Operation::Transaction { queue, bytes }),
        4 => (queue(), 1..6_u32).prop_map(|(queue, count)| Operation::Lease { queue, count }),
        3 => any::<usize>().prop_map(|at| Operation::Ack { at }),
        2 => any::<usize>().prop_map(|at| Operation::Requeue { at }),
        1 => queue().prop_map(|queue| Operation::Purge { queue }),
        2 => (queue(), limits()).prop_map(|(queue, limits)| Operation::Limit { queue, limits }),
        1 => Just(Operation::Expire),
        2 => (0..40_u64).prop_map(|ms| Operation::Advance { ms }),
        4 => Just(Operation::Step),
        1 => Just(Operation::Checkpoint),
        1 => (1..9_u64, any::<u64>()).prop_map(|(calls, seed)| Operation::Crash { calls, seed }),
        1 => Just(Operation::Reopen),
    ]
}

/// A call failed, which it does only when the machine is off.
struct Off;

struct World {
    disk: SimDisk,
    engine: Engine<SimDisk>,
    queues: Vec<QueueId>,
    model: Vec<QueueModel>,
    leased: Vec<(usize, u64)>,
    /// What the queues hold after the last operation of each block.
    history: BTreeMap<u64, Contents>,
    crash_seed: u64,
}

impl World {
    fn new() -> Self {
        let disk = SimDisk::new(3);
        let (engine, _) = open(&disk).unwrap();
        let mut queues = Vec::new();
        for _ in 0..QUEUES {
            let queue = engine.next_queue_id();
            let durable = QueueDurability::Durable;
            let block = engine.lock().shard().create_queue(queue, durable, b"");
            engine.wait_durable(block.unwrap()).unwrap();
            queues.push(queue);
        }
        prioritise(&engine, queues[1]).unwrap();
        let mut model = vec![QueueModel::default(); QUEUES];
        model[1].highest = HIGHEST;
        let mut world = Self {
            disk,
            engine,
            queues,
            model,
            leased: Vec::new(),
            history: BTreeMap::new(),
            crash_seed: 0,
        };
        world.begin();
        world
    }

    /// What there is now is durable.
    fn begin(&mut self) {
        let durable = self.engine.lock().shard().durable().end().get();
        self.history = BTreeMap::from([(durable, self.contents())]);
    }

    fn contents(&self) -> Contents {
        self.model.iter().map(|queue| queue.entries.clone()).collect()
    }

    /// Notes what the block that is being built leaves behind.
    fn note(&mut self) {
        let contents = self.contents();
        let block = self.engine.lock().shard().building().get();
        self.history.insert(block, contents);
    }

    fn run(&mut self, operation: &Operation) -> Result<(), Off> {
        match operation {
            Operation::Publish {
                queues,
                bytes,
                ttl_ms,
                priority,
            } => self.publish(queues, *bytes, *ttl_ms, *priority)?,
            Operation::Transaction { queue, bytes } => self.transaction(*queue, bytes)?,
            Operation::Lease { queue, count } => self.lease(*queue, *count)?,
            Operation::Ack { at } => self.ack(*at)?,
            Operation::Requeue { at } => self.requeue(*at)?,
            Operation::Purge { queue } => {
                let id = self.queues[*queue];
                let purged = self.engine.lock().shard().purge(id, self.disk.now());
                let ready = self.model[*queue].ready().count();
                assert_eq!(purged.map_err(|_| Off)?.0, u64::try_from(ready).unwrap());
                self.model[*queue].entries.retain(|entry| entry.is_leased);
            }
            Operation::Limit { queue, limits } => {
                // What was accepted without a limit cannot be dropped before it is durable.
                self.settle()?;
                let (id, now) = (self.queues[*queue], self.disk.now());
                let set = self.engine.lock().shard().set_limits(id, *limits, now);
                set.map_err(|_| Off)?;
                self.model[*queue].limits = *limits;
                let durable = self.durable();
                self.model[*queue].trim(durable);
            }
            Operation::Expire => self.expire()?,
            Operation::Advance { ms } => self.disk.advance(*ms),
            Operation::Step => drop(self.step()?),
            Operation::Checkpoint => self.engine.checkpoint(),
            Operation::Crash { calls, seed } => {
                self.disk.crash_at(*calls);
                self.crash_seed = *seed;
            }
            Operation::Reopen => {
                self.engine.close().map_err(|_| Off)?;
                self.start(u64::MAX).ok_or(Off)?;
            }
        }
        self.note();
        self.check();
        Ok(())
    }

    /// A step begins with what is due.
    fn step(&mut self) -> Result<bool, Off> {
        self.expire()?;
        self.note();
        Ok(self.engine.step())
    }

    fn settle(&mut self) -> Result<(), Off> {
        let block = self.engine.lock().shard().building();
        while !self.engine.lock().shard().durable().covers(block) && self.step()? {}
        if self.disk.is_off() { Err(Off) } else { Ok(()) }
    }

    fn publish(
        &mut self,
        queues: &[usize],
        bytes: usize,
        ttl_ms: Option<u64>,
        priority: u8,
    ) -> Result<(), Off> {
        let body = vec![7; bytes];
        let ids: Vec<_> = queues.iter().map(|queue| self.queues[*queue]).collect();
        let expires_ms = ttl_ms.map(|ttl_ms| self.disk.now().wall_ms + 1 + ttl_ms);
        let published = self.engine.lock().shard().publish(&NewMessage {
            priority: Priority::new(priority),
            expires_ms,
            ..message(&ids, &[&body])
        });
        let bytes = u64::try_from(bytes).unwrap();
        let refusing = queues.iter().find(|queue| self.model[**queue].refuses(bytes));
        match published {
            Ok(block) => {
                let durable = self.durable();
                assert_eq!(refusing, None, "it was taken");
                for queue in queues {
                    self.enter(*queue, bytes, (priority, expires_ms), block);
                    self.model[*queue].trim(durable);
                }
            }
            Err(AppendError::QueueFull(id)) => {
                assert_eq!(refusing.map(|queue| self.queues[*queue]), Some(id));
            }
            Err(_) => return Err(Off),
        }
        Ok(())
    }

    fn transaction(&mut self, queue: usize, bodies: &[usize]) -> Result<(), Off> {
        let id = self.queues[queue];
        let mut size = TransactionSize::default();
        bodies.iter().for_each(|len| size.add_message(&[id], 0, *len));
        let done = self.engine.lock().shard().transaction(&size, |shard| {
            let publish = |len: &usize| shard.publish(&message(&[id], &[&vec![7; *len]]));
            bodies.iter().map(publish).collect::<Vec<_>>()
        });
        let (published, block) = done.map_err(|_| Off)?;
        for (published, len) in published.into_iter().zip(bodies) {
            let bytes = u64::try_from(*len).unwrap();
            assert_eq!(published.is_err(), self.model[queue].refuses(bytes));
            if published.is_ok() {
                self.enter(queue, bytes, (0, None), block);
            }
        }
        let durable = self.durable();
        self.model[queue].trim(durable);
        Ok(())
    }

    fn enter(
        &mut self,
        queue: usize,
        bytes: u64,
        (level, expires_ms): (u8, Option<u64>),
        block: BlockNumber,
    ) {
        let queue = &mut self.model[queue];
        queue.entries.push(Entry {
            seq: queue.next_seq,
            bytes,
            level,
            expires_ms,
            block: block.get(),
            is_leased: false,
        });
        queue.next_seq += 1;
    }

    fn lease(&mut self, queue: usize, count: u32) -> Result<(), Off> {
        let mut leases = Vec::new();
        let mut guard = self.engine.lock();
        guard.shard().set_time(self.disk.now());
        let outcome = guard.shard().lease(
            self.queues[queue],
            count,
            u64::MAX,
            &mut leases,
            &mut Sources::default(),
        );
        drop(guard);
        let outcome = outcome.map_err(|_| Off)?;
        let given: Vec<u64> = leases.iter().map(|lease| lease.seq.get()).collect();
        let expected = self.take_heads(queue, given.len());
        assert_eq!(given, expected);
        self.leased.extend(given.iter().map(|seq| (queue, *seq)));
        if outcome == LeaseOutcome::Empty {
            assert_eq!(self.next(queue), None);
        }
        // How far a lease looks depends on the delivery mark, so that it need not have met all that is expired.
        self.expire()
    }

    fn durable(&self) -> u64 {
        self.engine.lock().shard().durable().end().get()
    }

    /// The durable entry that comes next.
    fn next(&self, queue: usize) -> Option<Entry> {
        let durable = self.durable();
        let head = self.model[queue].head(durable);
        head.filter(|entry| entry.block <= durable)
    }

    /// Leases so many entries, and drops what is expired before and directly behind them.
    fn take_heads(&mut self, queue: usize, count: usize) -> Vec<u64> {
        let now = self.disk.now().wall_ms;
        let mut taken = Vec::new();
        while let Some(Entry { seq, expires_ms, .. }) = self.next(queue) {
            if expires_ms.is_some_and(|at| at <= now) {
                self.model[queue].entries.retain(|entry| entry.seq != seq);
            } else if taken.len() < count {
                self.entry(queue, seq).is_leased = true;
                taken.push(seq);
            } else {
                break;
            }
        }
        taken
    }

    fn expire(&mut self) -> Result<(), Off> {
        let now = self.disk.now();
        let expired = self.engine.lock().shard().expire(now, u64::MAX);
        expired.map_err(|_| Off)?;
        for queue in 0..QUEUES {
            self.take_heads(queue, 0);
        }
        let next = self.engine.lock().shard().next_expiry_ms();
        let heads = (0..QUEUES).filter_map(|queue| self.next(queue)?.expires_ms);
        assert_eq!(next, heads.min());
        Ok(())
    }

    fn entry(&mut self, queue: usize, seq: u64) -> &mut Entry {
        let mut entries = self.model[queue].entries.iter_mut();
        entries.find(|entry| entry.seq == seq).unwrap()
    }

    fn take(&mut self, at: usize) -> Option<(usize, u64)> {
        let len = self.leased.len();
        (len > 0).then(|| self.leased.swap_remove(at % len))
    }

    fn ack(&mut self, at: usize) -> Result<(), Off> {
        let Some((queue, seq)) = self.take(at) else {
            return Ok(());
        };
        let (id, first, now) = (self.queues[queue], Seq::new(seq), self.disk.now());
        let mut guard = self.engine.lock();
        let acked = guard.shard().acknowledge(id, first, 1, AckReason::Acked, now);
        acked.map_err(|_| Off)?;
        drop(guard);
        self.model[queue].entries.retain(|entry| entry.seq != seq);
        Ok(())
    }

    fn requeue(&mut self, at: usize) -> Result<(), Off> {
        let Some((queue, seq)) = self.take(at) else {
            return Ok(());
        };
        let (id, first, now) = (self.queues[queue], Seq::new(seq), self.disk.now());
        let back = self
            .engine
            .lock()
            .shard()
            .requeue(id, first, 1, Return::Released, now);
        back.map_err(|_| Off)?;
        self.entry(queue, seq).is_leased = false;
        let durable = self.durable();
        self.model[queue].trim(durable);
        Ok(())
    }

    /// What is ready is counted at once.
    fn check(&self) {
        let mut guard = self.engine.lock();
        let shard = guard.shard();
        for (queue, id) in self.model.iter().zip(&self.queues) {
            let ready = u64::try_from(queue.ready().count()).unwrap();
            let bytes: u64 = queue.ready().map(|entry| entry.bytes).sum();
            assert_eq!(shard.counts(*id).unwrap().ready, ready);
            assert_eq!(shard.ready_bytes(*id), Some(bytes));
        }
    }

    /// The power comes back.
    fn recover(&mut self) {
        let durable = self.engine.lock().shard().durable().end().get();
        self.disk = self.disk.after_crash(&mut Rng::new(self.crash_seed));
        self.start(durable).expect("the machine stays on");
        self.note();
        self.check();
    }

    /// Opens the store again, unless the machine goes off meanwhile. It holds what it held after block `durable` or a
    /// later one.
    fn start(&mut self, durable: u64) -> Option<()> {
        self.leased.clear();
        match open(&self.disk) {
            Err(error) => assert!(self.disk.is_off(), "{error}"),
            Ok((engine, _)) => {
                self.engine = engine;
                prioritise(&self.engine, self.queues[1]).ok()?;
                let found: Vec<_> = self.queues.iter().map(|id| self.found(*id)).collect();
                let last = self.history.range(..=durable).next_back();
                let later = self.history.range(durable.saturating_add(1)..);
                let mut candidates = last.into_iter().chain(later).map(|(_, contents)| contents);
                let held = candidates.find(|contents| seqs(contents) == found);
                let held =
                    held.unwrap_or_else(|| panic!("{found:?} after block {durable} of {:?}", self.history));
                self.adopt(held.clone());
            }
        }
        (!self.disk.is_off()).then_some(())
    }

    fn found(&self, id: QueueId) -> Vec<u64> {
        let mut leases = Vec::new();
        let mut guard = self.engine.lock();
        guard
            .shard()
            .peek(id, Seq::new(0), u32::MAX, &mut leases)
            .unwrap();
        leases.iter().map(|lease| lease.seq.get()).collect()
    }

    fn adopt(&mut self, held: Contents) {
        let mut guard = self.engine.lock();
        for ((queue, entries), id) in self.model.iter_mut().zip(held).zip(&self.queues) {
            queue.entries = entries;
            queue.entries.iter_mut().for_each(|entry| {
                entry.is_leased = false;
                entry.block = 0;
            });
            queue.next_seq = guard.shard().state.queues.get(*id).unwrap().next_seq;
            queue.limits = QueueLimits::default();
        }
        drop(guard);
        self.begin();
    }
}

fn seqs(contents: &Contents) -> Vec<Vec<u64>> {
    let of_queue = |queue: &Vec<Entry>| queue.iter().map(|entry| entry.seq).collect();
    contents.iter().map(of_queue).collect()
}

fn message<'a>(queues: &'a [QueueId], body: &'a [&'a [u8]]) -> NewMessage<'a> {
    NewMessage {
        queues,
        properties: &[],
        body,
        persistence: Persistence::Persistent,
        priority: Priority::NONE,
        timestamp_ms: 1,
        expires_ms: None,
    }
}

fn prioritise(engine: &Engine<SimDisk>, queue: QueueId) -> Result<(), AppendError> {
    engine.lock().shard().set_priorities(queue, HIGHEST)
}

fn open(disk: &SimDisk) -> Result<(Engine<SimDisk>, RecoveryReport), crate::OpenError> {
    Engine::open(disk.clone(), Options::tiny(), ())
}

proptest! {
    #[test]
    fn queues_hold_what_their_limits_allow_and_no_crash_tears_a_drop_from_its_cause(
        operations in prop::collection::vec(operation(), 1..80)
    ) {
        let mut world = World::new();
        for operation in &operations {
            if world.run(operation).is_err() {
                prop_assert!(world.disk.is_off(), "a store refuses work only when the machine is off");
                world.recover();
            }
        }
        world.disk.turn_off();
        world.recover();
    }
}
