//! The embedding API against a model, on a simulated disk that loses what was not synced.
//!
//! The model is the list of what was done, in order. After a crash the store must be what some beginning of that list
//! makes, and at least everything that was reported as durable must be in it.

use super::{Batch, Delivery, EntryState, From, Message, Queue, QueueOptions, Store};
use crate::Options;
use crate::disk::sim::{Rng, SimDisk};
use proptest::prelude::*;
use std::collections::BTreeSet;

type Held = BTreeSet<(usize, u64)>;

/// What happened as a whole or not at all: bodies published to queues, and entries acknowledged.
#[derive(Clone, Debug, Default)]
struct Event {
    published: Vec<(usize, Vec<u8>)>,
    acked: Vec<(usize, u64)>,
}

#[derive(Default)]
struct Model {
    events: Vec<Event>,
    /// So many of them are surely durable.
    synced: usize,
    leased: Held,
    seen: Held,
}

impl Model {
    /// The messages of a queue after the first `count` events.
    fn messages(&self, queue: usize, count: usize) -> Vec<(u64, &[u8])> {
        let (mut messages, mut next) = (Vec::new(), 0);
        for event in &self.events[..count] {
            for (_, body) in event.published.iter().filter(|(to, _)| *to == queue) {
                messages.push((next, body.as_slice()));
                next += 1;
            }
            messages.retain(|(seq, _)| !event.acked.contains(&(queue, *seq)));
        }
        messages
    }

    /// All that was ever published to a queue, in the order of their seqs.
    fn published(&self, queue: usize) -> Vec<&[u8]> {
        let published = self.events.iter().flat_map(|event| &event.published);
        let of_queue = published.filter(|(to, _)| *to == queue);
        of_queue.map(|(_, body)| body.as_slice()).collect()
    }

    fn is_acked(&self, queue: usize, seq: u64) -> bool {
        self.events
            .iter()
            .any(|event| event.acked.contains(&(queue, seq)))
    }

    /// Whether a beginning of the events, with all that is durable in it, makes these messages.
    fn is_moment(&self, found: &[Vec<(u64, Vec<u8>)>]) -> bool {
        let mut copy = Self {
            events: self.events.clone(),
            synced: self.synced,
            ..Self::default()
        };
        copy.recovered(found)
    }

    fn ready(&self, queue: usize) -> Vec<(u64, &[u8])> {
        let mut messages = self.messages(queue, self.events.len());
        messages.retain(|(seq, _)| !self.leased.contains(&(queue, *seq)));
        messages
    }

    /// A start found these messages: which beginning of the events is it?
    fn recovered(&mut self, found: &[Vec<(u64, Vec<u8>)>]) -> bool {
        let is = |queue: usize, count| {
            let expected = self.messages(queue, count);
            let found = found[queue].iter().map(|(seq, body)| (*seq, body.as_slice()));
            expected.into_iter().eq(found)
        };
        let mut counts = (self.synced..=self.events.len()).rev();
        let Some(count) = counts.find(|count| (0..found.len()).all(|queue| is(queue, *count))) else {
            return false;
        };
        self.events.truncate(count);
        self.synced = count;
        self.leased.clear();
        true
    }
}

#[derive(Clone, Debug)]
enum Operation {
    Publish {
        to: Vec<usize>,
        bytes: usize,
        count: usize,
        is_synced: bool,
    },
    Fetch {
        queue: usize,
        count: u32,
    },
    Ack {
        at: usize,
    },
    Requeue {
        at: usize,
    },
    DropAll,
    /// Acknowledges a delivery and publishes to the other queue, at once.
    Forward {
        at: usize,
        is_synced: bool,
    },
    Step,
    /// Reads all that the store still has of a queue.
    LookBack {
        queue: usize,
        from: u64,
    },
    Snapshot,
    Crash {
        calls: u64,
        seed: u64,
    },
    Reopen,
}

fn operation() -> impl Strategy<Value = Operation> {
    let to = prop_oneof![Just(vec![0]), Just(vec![1]), Just(vec![0, 1])];
    prop_oneof![
        5 => (to, 0..7000_usize, 1..4_usize, any::<bool>())
            .prop_map(|(to, bytes, count, is_synced)| Operation::Publish { to, bytes, count, is_synced }),
        4 => (0..2_usize, 1..9_u32).prop_map(|(queue, count)| Operation::Fetch { queue, count }),
        3 => any::<usize>().prop_map(|at| Operation::Ack { at }),
        2 => any::<usize>().prop_map(|at| Operation::Requeue { at }),
        1 => Just(Operation::DropAll),
        2 => (any::<usize>(), any::<bool>()).prop_map(|(at, is_synced)| Operation::Forward { at, is_synced }),
        3 => Just(Operation::Step),
        2 => (0..2_usize, prop_oneof![Just(0), 0..30_u64])
            .prop_map(|(queue, from)| Operation::LookBack { queue, from }),
        1 => Just(Operation::Snapshot),
        2 => (1..12_u64, any::<u64>()).prop_map(|(calls, seed)| Operation::Crash { calls, seed }),
        1 => Just(Operation::Reopen),
    ]
}

struct World {
    disk: SimDisk,
    store: Store<SimDisk>,
    queues: Vec<Queue<SimDisk>>,
    held: Vec<Delivery<SimDisk>>,
    model: Model,
    /// Taken so far.
    snapshots: usize,
    /// The machine goes off within some calls; the seed says what it loses.
    crash_seed: Option<u64>,
}

type Opened = (Store<SimDisk>, Vec<Queue<SimDisk>>);

/// A call failed, which it does only when the machine is off.
struct Off;

impl World {
    fn new() -> Self {
        let disk = SimDisk::new(7);
        let (store, queues) = open(&disk).unwrap();
        let (held, model) = (Vec::new(), Model::default());
        Self {
            disk,
            store,
            queues,
            held,
            model,
            snapshots: 0,
            crash_seed: None,
        }
    }

    fn run(&mut self, operation: &Operation) -> Result<(), Off> {
        match operation {
            Operation::Publish {
                to,
                bytes,
                count,
                is_synced,
            } => {
                let mut event = Event::default();
                let mut batch = Batch::new();
                let ids: Vec<_> = to.iter().map(|queue| self.queues[*queue].id()).collect();
                for _ in 0..*count {
                    let number = self.model.events.len() + event.published.len();
                    let body = [number.to_le_bytes().as_slice(), &vec![3; *bytes]].concat();
                    batch.publish(&ids, Message::new(&body));
                    event
                        .published
                        .extend(to.iter().map(|queue| (*queue, body.clone())));
                }
                self.commit(batch, event, *is_synced)
            }
            Operation::Fetch { queue, count } => self.fetch(*queue, *count),
            Operation::Ack { at } => {
                let Some(delivery) = self.take(*at) else {
                    return Ok(());
                };
                let acked = vec![self.place(&delivery)];
                self.model.events.push(Event {
                    acked,
                    ..Event::default()
                });
                delivery.ack().map_err(|_| Off)
            }
            Operation::Requeue { at } => {
                let Some(delivery) = self.take(*at) else {
                    return Ok(());
                };
                self.model.leased.remove(&self.place(&delivery));
                delivery.requeue().map_err(|_| Off)
            }
            Operation::DropAll => {
                self.held.clear();
                self.model.leased.clear();
                Ok(())
            }
            Operation::Forward { at, is_synced } => {
                let Some(delivery) = self.take(*at) else {
                    return Ok(());
                };
                let (from, seq) = self.place(&delivery);
                let (to, body) = (1 - from, delivery.body().to_vec());
                let mut batch = Batch::new();
                batch.publish(&[self.queues[to].id()], Message::new(&body));
                batch.ack(delivery);
                let (published, acked) = (vec![(to, body)], vec![(from, seq)]);
                self.commit(batch, Event { published, acked }, *is_synced)
            }
            Operation::Step => {
                self.store.engine().step();
                Ok(())
            }
            Operation::LookBack { queue, from } => self.look_back(*queue, *from),
            Operation::Snapshot => self.snapshot(),
            Operation::Crash { calls, seed } => {
                self.disk.crash_at(*calls);
                self.crash_seed = Some(*seed);
                Ok(())
            }
            Operation::Reopen => {
                self.held.clear();
                self.store.close().map_err(|_| Off)?;
                self.model.synced = self.model.events.len();
                self.start().ok_or(Off)
            }
        }
    }

    fn commit(&mut self, batch: Batch<SimDisk>, event: Event, is_synced: bool) -> Result<(), Off> {
        self.model.events.push(event);
        if is_synced {
            self.store.commit(batch).map_err(|_| Off)?;
            self.model.synced = self.model.events.len();
        } else {
            self.store.commit_buffered(batch).map(drop).map_err(|_| Off)?;
        }
        Ok(())
    }

    fn fetch(&mut self, queue: usize, count: u32) -> Result<(), Off> {
        let fetched = self.queues[queue].fetch(count).map_err(|_| Off)?;
        let ready = self.model.ready(queue);
        assert_eq!(fetched.is_empty(), ready.is_empty());
        for (delivery, (seq, body)) in fetched.iter().zip(&ready) {
            assert_eq!((delivery.seq().get(), delivery.body()), (*seq, *body));
            let was_seen = self.model.seen.contains(&(queue, *seq));
            assert!(
                delivery.is_redelivered() || !was_seen,
                "{seq} of {queue} was seen before"
            );
        }
        let places: Vec<_> = fetched
            .iter()
            .map(|delivery| (queue, delivery.seq().get()))
            .collect();
        self.model.leased.extend(&places);
        self.model.seen.extend(&places);
        self.held.extend(fetched);
        Ok(())
    }

    /// The history of a queue holds each message that lives, and dead ones as they were published.
    fn look_back(&self, queue: usize, from: u64) -> Result<(), Off> {
        let from = From::Seq(crate::Seq::new(from));
        let read = |entries: Vec<_>| entries.into_iter().collect::<Result<Vec<super::Entry>, _>>();
        let living = read(self.queues[queue].replay(from).collect()).map_err(|_| Off)?;
        let all = read(self.queues[queue].history(from).collect()).map_err(|_| Off)?;
        assert!(
            all.windows(2).all(|pair| pair[0].seq < pair[1].seq),
            "in the order of the queue, each once"
        );
        let published = self.model.published(queue);
        for entry in &all {
            let seq = entry.seq.get();
            assert_eq!(entry.body, published[usize::try_from(seq).unwrap()]);
            let is_dead = entry.state == EntryState::Acknowledged;
            assert!(!is_dead || self.model.is_acked(queue, seq), "{seq} of {queue}");
        }
        let still_living: Vec<_> = all
            .into_iter()
            .filter(|entry| entry.state != EntryState::Acknowledged)
            .collect();
        assert_eq!(still_living, living);
        Ok(())
    }

    /// A snapshot opens as the store at a moment.
    fn snapshot(&mut self) -> Result<(), Off> {
        self.snapshots += 1;
        let target = self.disk.directory(&format!("snapshot-{}", self.snapshots));
        let target = target.map_err(|_| Off)?;
        self.store.snapshot_on(&target).map_err(|_| Off)?;
        let opened = open(&target.fork());
        let (_store, queues) = opened
            .map_err(|error| assert!(self.disk.is_off(), "{error}"))
            .map_err(|()| Off)?;
        let found: Vec<_> = queues.iter().map(all).collect();
        assert!(self.model.is_moment(&found), "{found:?}");
        Ok(())
    }

    fn take(&mut self, at: usize) -> Option<Delivery<SimDisk>> {
        let len = self.held.len();
        (len > 0).then(|| self.held.swap_remove(at % len))
    }

    fn place(&self, delivery: &Delivery<SimDisk>) -> (usize, u64) {
        let is_its = |queue: &Queue<SimDisk>| queue.id() == delivery.queue();
        let queue = self.queues.iter().position(is_its).unwrap();
        (queue, delivery.seq().get())
    }

    /// The power comes back.
    fn recover(&mut self) {
        let mut rng = Rng::new(self.crash_seed.take().unwrap_or_default());
        self.held.clear();
        self.disk = self.disk.after_crash(&mut rng);
        self.start().expect("the machine stays on");
    }

    /// Opens the store again, unless the machine goes off meanwhile.
    fn start(&mut self) -> Option<()> {
        match open(&self.disk) {
            Err(error) => assert!(self.disk.is_off(), "{error}"),
            Ok((store, queues)) => {
                let found: Vec<_> = queues.iter().map(all).collect();
                assert!(self.model.recovered(&found), "{found:?}");
                (self.store, self.queues) = (store, queues);
            }
        }
        (!self.disk.is_off()).then_some(())
    }
}

fn open(disk: &SimDisk) -> Result<Opened, Box<dyn std::error::Error>> {
    let (store, _) = Store::open_on(disk.clone(), Options::tiny())?;
    let a = store.queue("a", QueueOptions::default())?;
    let b = store.queue("b", QueueOptions::default())?;
    Ok((store, vec![a, b]))
}

fn all(queue: &Queue<SimDisk>) -> Vec<(u64, Vec<u8>)> {
    let entries = queue.browse().map(Result::unwrap);
    entries.map(|entry| (entry.seq.get(), entry.body)).collect()
}

proptest! {
    #[test]
    fn a_store_is_what_a_beginning_of_its_history_makes_and_all_that_was_synced_is_in_it(
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
