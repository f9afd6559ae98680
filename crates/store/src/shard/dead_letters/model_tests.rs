//! Dead letters moved to another queue, against lists, on a simulated disk that loses what was not synced.
//!
//! The model notes what both queues hold after each block. After a crash they must hold what they held after one of the
//! blocks, and no earlier one than the last that was durable: so a message that came to its end is in one queue or in the
//! other, never in both and never in none.

use super::*;
use crate::attempts::Return;
use crate::disk::sim::{Rng, SimDisk};
use crate::engine::Engine;
use crate::engine::stepped::{durable_queue, message_for};
use crate::options::Options;
use crate::queue_limits::{QueueLimits, WhenFull};
use crate::shard::{NewMessage, TransactionSize};
use proptest::prelude::*;
use std::collections::BTreeMap;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Ready,
    Leased,
    Held(AckReason),
    Taken(AckReason),
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    seq: u64,
    number: u64,
    expires_ms: Option<u64>,
    block: u64,
    state: State,
}

/// What is in the queue (seq, number), and the numbers of what was moved.
type Contents = (Vec<(u64, u64)>, Vec<u64>);

#[derive(Clone, Debug)]
enum Operation {
    Publish {
        bytes: usize,
        ttl_ms: Option<u64>,
    },
    Limit {
        messages: Option<u64>,
    },
    Lease {
        count: u32,
    },
    /// The same for whatever it picks: one leased entry.
    Settle {
        at: usize,
        how: usize,
    },
    Take {
        count: u64,
    },
    Move {
        at: usize,
    },
    GiveBack {
        at: usize,
    },
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

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        8 => (0..3000_usize, prop::option::of(0..60_u64))
            .prop_map(|(bytes, ttl_ms)| Operation::Publish { bytes, ttl_ms }),
        2 => prop::option::of(0..5_u64).prop_map(|messages| Operation::Limit { messages }),
        3 => (1..4_u32).prop_map(|count| Operation::Lease { count }),
        4 => (any::<usize>(), 0..3_usize).prop_map(|(at, how)| Operation::Settle { at, how }),
        4 => (1..4_u64).prop_map(|count| Operation::Take { count }),
        4 => any::<usize>().prop_map(|at| Operation::Move { at }),
        1 => any::<usize>().prop_map(|at| Operation::GiveBack { at }),
        2 => (0..40_u64).prop_map(|ms| Operation::Advance { ms }),
        5 => Just(Operation::Step),
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
    /// The queue, and where its dead letters go.
    queues: [QueueId; 2],
    entries: Vec<Entry>,
    moved: Vec<u64>,
    next_seq: u64,
    /// Of each message that was ever published, by number.
    expiries: Vec<Option<u64>>,
    most: Option<u64>,
    /// What the queues hold after the last operation of each block.
    history: BTreeMap<u64, Contents>,
    crash_seed: u64,
}

fn body(number: u64, bytes: usize) -> Vec<u8> {
    [number.to_le_bytes().as_slice(), &vec![7; bytes]].concat()
}

fn number(body: &[u8]) -> u64 {
    u64::from_le_bytes(body[..8].try_into().unwrap())
}

impl World {
    fn new() -> Self {
        let disk = SimDisk::new(5);
        let engine = open(&disk).unwrap();
        let queues = [durable_queue(&engine), durable_queue(&engine)];
        let mut world = Self {
            disk,
            engine,
            queues,
            entries: Vec::new(),
            moved: Vec::new(),
            next_seq: 0,
            expiries: Vec::new(),
            most: None,
            history: BTreeMap::new(),
            crash_seed: 0,
        };
        world.begin().map_err(|Off| "the machine is on").unwrap();
        world
    }

    /// What there is now is durable.
    fn begin(&mut self) -> Result<(), Off> {
        let durable = self.durable();
        self.history = BTreeMap::from([(durable, self.contents())]);
        let (id, now) = (self.queues[0], self.disk.now());
        let set = self
            .engine
            .lock()
            .shard()
            .set_dead_letters(id, DeadLetters::HandOut, now);
        set.map_err(|_| Off)?;
        self.limit(self.most)
    }

    fn contents(&self) -> Contents {
        let held = self.entries.iter().map(|entry| (entry.seq, entry.number));
        (held.collect(), self.moved.clone())
    }

    fn durable(&self) -> u64 {
        self.engine.lock().shard().durable().end().get()
    }

    fn note(&mut self) {
        let block = self.engine.lock().shard().building().get();
        self.history.insert(block, self.contents());
    }

    fn limit(&mut self, messages: Option<u64>) -> Result<(), Off> {
        let limits = QueueLimits {
            messages,
            bytes: None,
            when_full: WhenFull::DropHead,
        };
        // What was accepted without a limit cannot be dropped before it is durable.
        let block = self.engine.lock().shard().building();
        while !self.engine.lock().shard().durable().covers(block) {
            self.note();
            if !self.step()? {
                break;
            }
        }
        let (id, now) = (self.queues[0], self.disk.now());
        let set = self.engine.lock().shard().set_limits(id, limits, now);
        set.map_err(|_| Off)?;
        self.most = messages;
        self.trim();
        Ok(())
    }

    fn trim(&mut self) {
        let is_ready = |entry: &&mut Entry| entry.state == State::Ready;
        let mut ready: Vec<_> = self.entries.iter_mut().filter(is_ready).collect();
        let most = self
            .most
            .map_or(usize::MAX, |most| usize::try_from(most).unwrap());
        let over = ready.len().saturating_sub(most);
        for entry in ready.iter_mut().take(over) {
            entry.state = State::Held(AckReason::Dropped);
        }
    }

    /// What is expired at the head is held, and so is what leases find there.
    fn expire(&mut self) {
        let (durable, now) = (self.durable(), self.disk.now().wall_ms);
        let is_ready = |entry: &&mut Entry| entry.state == State::Ready;
        for entry in self.entries.iter_mut().filter(is_ready) {
            if entry.block > durable || entry.expires_ms.is_none_or(|at| at > now) {
                break;
            }
            entry.state = State::Held(AckReason::Expired);
        }
    }

    fn step(&mut self) -> Result<bool, Off> {
        self.expire();
        let stepped = self.engine.step();
        if self.disk.is_off() { Err(Off) } else { Ok(stepped) }
    }

    /// The nth entry in such a state.
    fn nth(&mut self, at: usize, is: impl Fn(State) -> bool) -> Option<&mut Entry> {
        let mut found: Vec<_> = self.entries.iter_mut().filter(|entry| is(entry.state)).collect();
        let len = found.len();
        (len > 0).then(|| found.swap_remove(at % len))
    }

    fn run(&mut self, operation: &Operation) -> Result<(), Off> {
        match operation {
            Operation::Publish { bytes, ttl_ms } => self.publish(*bytes, *ttl_ms)?,
            Operation::Limit { messages } => self.limit(*messages)?,
            Operation::Lease { count } => self.lease(*count)?,
            Operation::Settle { at, how } => self.settle(*at, *how)?,
            Operation::Take { count } => self.take(*count)?,
            Operation::Move { at } => self.move_one(*at)?,
            Operation::GiveBack { at } => {
                let (id, now) = (self.queues[0], self.disk.now());
                if let Some(entry) = self.nth(*at, |state| matches!(state, State::Taken(_))) {
                    entry.state = State::Ready;
                    let first = Seq::new(entry.seq);
                    let back = self
                        .engine
                        .lock()
                        .shard()
                        .requeue(id, first, 1, Return::Released, now);
                    back.map_err(|_| Off)?;
                    self.trim();
                }
            }
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

    fn publish(&mut self, bytes: usize, ttl_ms: Option<u64>) -> Result<(), Off> {
        let expires_ms = ttl_ms.map(|ttl_ms| self.disk.now().wall_ms + 1 + ttl_ms);
        let (id, number) = (self.queues[0], u64::try_from(self.expiries.len()).unwrap());
        self.expiries.push(expires_ms);
        let published = self.engine.lock().shard().publish(&NewMessage {
            expires_ms,
            ..message_for(&[id], &[&body(number, bytes)])
        });
        self.entries.push(Entry {
            seq: self.next_seq,
            number,
            expires_ms,
            block: published.map_err(|_| Off)?.get(),
            state: State::Ready,
        });
        self.next_seq += 1;
        self.trim();
        Ok(())
    }

    fn lease(&mut self, count: u32) -> Result<(), Off> {
        let now = self.disk.now();
        let mut leases = Vec::new();
        let mut guard = self.engine.lock();
        let shard = guard.shard();
        shard.set_time(now);
        let leased = shard.lease(
            self.queues[0],
            count,
            u64::MAX,
            &mut leases,
            &mut Sources::default(),
        );
        leased.map_err(|_| Off)?;
        // How far a lease looks depends on the delivery mark, so that it need not have met all that is expired.
        shard.expire(now, u64::MAX).map_err(|_| Off)?;
        drop(guard);
        for lease in leases {
            self.expire();
            let durable = self.durable();
            let next = self.entries.iter_mut().find(|entry| entry.state == State::Ready);
            let next = next.expect("what is leased was ready");
            assert!(next.block <= durable);
            assert_eq!(next.seq, lease.seq.get());
            next.state = State::Leased;
        }
        self.expire();
        Ok(())
    }

    fn settle(&mut self, at: usize, how: usize) -> Result<(), Off> {
        let (id, now) = (self.queues[0], self.disk.now());
        let Some(entry) = self.nth(at, |state| state == State::Leased) else {
            return Ok(());
        };
        let (seq, first) = (entry.seq, Seq::new(entry.seq));
        let how = [State::Ready, State::Held(AckReason::Rejected), State::Leased][how];
        entry.state = how;
        let mut guard = self.engine.lock();
        let shard = guard.shard();
        match how {
            State::Ready => shard
                .requeue(id, first, 1, Return::Released, now)
                .map_err(|_| Off)?,
            State::Held(_) => drop(shard.reject(id, first, 1, now).map_err(|_| Off)?),
            State::Leased | State::Taken(_) => {
                let acked = shard.acknowledge(id, first, 1, AckReason::Acked, now);
                acked.map_err(|_| Off)?;
            }
        }
        drop(guard);
        if how == State::Leased {
            self.entries.retain(|entry| entry.seq != seq);
        }
        self.trim();
        Ok(())
    }

    fn take(&mut self, count: u64) -> Result<(), Off> {
        let (mut letters, mut sources) = (Vec::new(), Sources::default());
        let taken = self
            .engine
            .lock()
            .shard()
            .take_dead_letters(count, &mut letters, &mut sources);
        taken.map_err(|_| Off)?;
        let durable = self.durable();
        // The oldest first, whatever the reason.
        let expected: Vec<_> = self
            .entries
            .iter_mut()
            .filter(|entry| matches!(entry.state, State::Held(_)) && entry.block <= durable)
            .collect();
        let most = usize::try_from(count).unwrap().min(expected.len());
        assert_eq!(letters.len(), most);
        let mut reader = self.engine.reader();
        for (letter, entry) in letters.iter().zip(expected) {
            assert_eq!(letter.lease.seq.get(), entry.seq);
            assert_eq!(State::Held(letter.reason), entry.state);
            let read = reader.message(letter.queue, &letter.lease, &sources);
            assert_eq!(number(read.map_err(|_| Off)?.body), entry.number);
            entry.state = State::Taken(letter.reason);
        }
        Ok(())
    }

    /// Publishes the message to the other queue and ends it here, in one block.
    fn move_one(&mut self, at: usize) -> Result<(), Off> {
        let ([from, to], now) = (self.queues, self.disk.now());
        let Some(&mut Entry {
            seq, number, state, ..
        }) = self.nth(at, |state| matches!(state, State::Taken(_)))
        else {
            return Ok(());
        };
        let State::Taken(reason) = state else {
            return Ok(());
        };
        let copy = body(number, 0);
        let mut size = TransactionSize::default();
        size.add_message(&[to], 0, copy.len());
        size.add_ranges(1);
        let done = self.engine.lock().shard().transaction(&size, |shard| {
            shard.publish(&message_for(&[to], &[&copy]))?;
            shard.acknowledge(from, Seq::new(seq), 1, reason, now)
        });
        let (moved, block) = done.map_err(|_| Off)?;
        moved.map_err(|_| Off)?;
        self.entries.retain(|entry| entry.seq != seq);
        self.moved.push(number);
        // Perhaps it filled the block, and another one is being built.
        let contents = self.contents();
        self.history.insert(block.get(), contents);
        Ok(())
    }

    fn check(&mut self) {
        let ready = |entry: &&Entry| entry.state == State::Ready;
        let ready = u64::try_from(self.entries.iter().filter(ready).count()).unwrap();
        let durable = self.durable();
        let mut guard = self.engine.lock();
        let shard = guard.shard();
        assert_eq!(shard.counts(self.queues[0]).unwrap().ready, ready);
        let is_held = |entry: &Entry| matches!(entry.state, State::Held(_)) && entry.block <= durable;
        assert_eq!(shard.has_dead_letters(), self.entries.iter().any(is_held));
    }

    /// The power comes back.
    fn recover(&mut self) {
        let durable = self.durable();
        self.disk = self.disk.after_crash(&mut Rng::new(self.crash_seed));
        self.start(durable).expect("the machine stays on");
        self.note();
        self.check();
    }

    /// Opens the store again, unless the machine goes off meanwhile. It holds what it held after block `durable` or a
    /// later one.
    fn start(&mut self, durable: u64) -> Option<()> {
        match open(&self.disk) {
            Err(error) => assert!(self.disk.is_off(), "{error}"),
            Ok(engine) => {
                self.engine = engine;
                let found = self.found();
                let last = self.history.range(..=durable).next_back();
                let mut later = self.history.range(durable.saturating_add(1)..);
                assert!(
                    last.is_some_and(|(_, held)| *held == found) || later.any(|(_, held)| *held == found),
                    "{found:?} after block {durable} of {:?}",
                    self.history
                );
                self.adopt(found);
                self.begin().ok()?;
            }
        }
        (!self.disk.is_off()).then_some(())
    }

    fn found(&self) -> Contents {
        let read = |id: QueueId| {
            let mut leases = Vec::new();
            let mut guard = self.engine.lock();
            guard
                .shard()
                .peek(id, Seq::new(0), u32::MAX, &mut leases)
                .unwrap();
            drop(guard);
            let (mut reader, sources) = (self.engine.reader(), Sources::default());
            let mut numbered = Vec::new();
            for lease in leases {
                let message = reader.message(id, &lease, &sources).unwrap();
                numbered.push((lease.seq.get(), number(message.body)));
            }
            numbered
        };
        let moved = read(self.queues[1]).into_iter().map(|(_, number)| number);
        (read(self.queues[0]), moved.collect())
    }

    fn adopt(&mut self, (entries, moved): Contents) {
        self.entries = entries
            .into_iter()
            .map(|(seq, number)| Entry {
                seq,
                number,
                expires_ms: self.expiries[usize::try_from(number).unwrap()],
                block: 0,
                state: State::Ready,
            })
            .collect();
        self.moved = moved;
        let mut guard = self.engine.lock();
        let queue = guard.shard().state.queues.get(self.queues[0]);
        self.next_seq = queue.unwrap().next_seq;
    }
}

fn open(disk: &SimDisk) -> Result<Engine<SimDisk>, crate::OpenError> {
    Engine::open(disk.clone(), Options::tiny(), ()).map(|(engine, _)| engine)
}

proptest! {
    #[test]
    fn a_dead_letter_is_in_its_queue_or_where_it_was_moved_and_no_crash_makes_it_both_or_none(
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
