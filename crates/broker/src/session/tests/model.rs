//! Random clients against a model: a message is published once, and settled once or still there, in order. The last client is
//! transactional, and whatever a client holds may time out.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Op {
    Publish(u8),
    Consume {
        client: usize,
        prefetch: u16,
    },
    Cancel(usize),
    Poll {
        client: usize,
        bytes: usize,
    },
    Settle {
        client: usize,
        nth: usize,
        extent: Extent,
        requeue: bool,
    },
    CloseChannel(usize),
    Reconnect(usize),
    Commit,
    Rollback,
    /// Nobody answers in time.
    Lapse(usize),
    Sync,
}

/// Which client is transactional.
const TRANSACTIONAL: usize = 2;

fn operations() -> impl Strategy<Value = Vec<Op>> {
    let client = prop_oneof![1 => Just(0), 1 => Just(1), 2 => Just(TRANSACTIONAL)];
    let extent = prop_oneof![Just(Extent::One), Just(Extent::UpTo)];
    let op = prop_oneof![
        3 => (1_u8..6).prop_map(Op::Publish),
        2 => (client.clone(), 0_u16..4).prop_map(|(client, prefetch)| Op::Consume { client, prefetch }),
        1 => client.clone().prop_map(Op::Cancel),
        4 => (client.clone(), 0_usize..12).prop_map(|(client, bytes)| Op::Poll { client, bytes }),
        4 => (client.clone(), 0_usize..8, extent, any::<bool>())
            .prop_map(|(client, nth, extent, requeue)| Op::Settle { client, nth, extent, requeue }),
        1 => client.clone().prop_map(Op::CloseChannel),
        1 => client.clone().prop_map(Op::Reconnect),
        1 => Just(Op::Commit),
        1 => Just(Op::Rollback),
        2 => client.prop_map(Op::Lapse),
        4 => Just(Op::Sync),
    ];
    proptest::collection::vec(op, 0..120)
}

struct World {
    broker: Arc<Broker<SimDisk>>,
    publisher: Client,
    clients: Vec<Client>,
    /// What each client holds: tag to message.
    held: Vec<BTreeMap<u64, u64>>,
    /// What the transaction collected: tag to message, and whether it goes back.
    collected: BTreeMap<u64, (u64, bool)>,
    /// Tags for which it is too late.
    late: Vec<BTreeSet<u64>>,
    /// … of those that the transaction collected.
    late_collected: BTreeSet<u64>,
    settled: BTreeSet<u64>,
    /// Messages that were given back at least once.
    returned: BTreeSet<u64>,
    published: u64,
}

impl World {
    fn new() -> Self {
        let broker = broker();
        let mut publisher = Client::new(&broker);
        let queue = [
            ("x-queue-type", Value::str("quorum")),
            ("x-delivery-limit", Value::I32(-1)),
            ("x-consumer-timeout", Value::I32(1000)),
        ];
        publisher.declare_with("q", &queue).unwrap();
        let clients = (0..3).map(|client| Self::client(&broker, client)).collect();
        Self {
            broker,
            publisher,
            clients,
            held: vec![BTreeMap::new(); 3],
            collected: BTreeMap::new(),
            late: vec![BTreeSet::new(); 3],
            late_collected: BTreeSet::new(),
            settled: BTreeSet::new(),
            returned: BTreeSet::new(),
            published: 0,
        }
    }

    fn client(broker: &Arc<Broker<SimDisk>>, client: usize) -> Client {
        let mut new = Client::new(broker);
        if client == TRANSACTIONAL {
            new.session.tx_select(ONE, NOW).unwrap();
        }
        new
    }

    fn apply(&mut self, op: &Op) {
        match *op {
            Op::Publish(count) => {
                for _ in 0..count {
                    let body = self.published.to_string();
                    let _ = self.publisher.publish("q", &[&body]);
                    self.published += 1;
                }
            }
            Op::Consume { client, prefetch } => {
                self.clients[client].prefetch(prefetch);
                // Under a tag that is taken, the connection would end; that has a test of its own.
                if self.clients[client].session.core.tags.is_empty() {
                    self.clients[client].consume("q", "t", false).unwrap();
                }
            }
            Op::Cancel(client) => self.clients[client].session.cancel(ONE, "t", NOW).unwrap(),
            Op::Poll { client, bytes } => self.poll(client, bytes),
            Op::Settle {
                client,
                nth,
                extent,
                requeue,
            } => self.settle(client, nth, extent, requeue),
            Op::CloseChannel(client) => {
                self.clients[client].session.close_channel(ONE, NOW);
                self.clients[client].reopen();
                if client == TRANSACTIONAL {
                    self.clients[client].session.tx_select(ONE, NOW).unwrap();
                }
                self.give_back(client);
                self.forget_late(client);
            }
            Op::Reconnect(client) => {
                self.clients[client] = Self::client(&self.broker, client);
                self.give_back(client);
                self.forget_late(client);
            }
            Op::Commit => self.commit(),
            Op::Rollback => {
                let session = &mut self.clients[TRANSACTIONAL].session;
                session.tx_rollback(ONE, NOW).unwrap();
                let back = std::mem::take(&mut self.collected);
                self.held[TRANSACTIONAL].extend(back.into_iter().map(|(tag, (message, _))| (tag, message)));
                self.late[TRANSACTIONAL].append(&mut self.late_collected);
            }
            Op::Lapse(client) => self.lapse(client),
            Op::Sync => sync(&self.broker),
        }
    }

    /// The client holds nothing any more.
    fn give_back(&mut self, client: usize) {
        let held = std::mem::take(&mut self.held[client]);
        self.late[client].extend(held.keys());
        self.returned.extend(held.into_values());
        if client == TRANSACTIONAL {
            let collected = std::mem::take(&mut self.collected);
            self.late_collected.extend(collected.keys());
            self.returned
                .extend(collected.into_values().map(|(message, _)| message));
        }
    }

    /// A new channel knows nothing of what was too late on the one before.
    fn forget_late(&mut self, client: usize) {
        self.late[client].clear();
        if client == TRANSACTIONAL {
            self.late_collected.clear();
        }
    }

    fn commit(&mut self) {
        let session = &mut self.clients[TRANSACTIONAL].session;
        session.tx_commit(ONE, NOW, &mut |_| {}).unwrap();
        self.late_collected.clear();
        for (message, goes_back) in std::mem::take(&mut self.collected).into_values() {
            if goes_back {
                self.returned.insert(message);
            } else {
                self.settled.insert(message);
            }
        }
    }

    fn lapse(&mut self, client: usize) {
        let later = Now {
            wall_ms: NOW.wall_ms + 2000,
            mono_ms: NOW.mono_ms + 2000,
        };
        let Client { session, seen, .. } = &mut self.clients[client];
        session.lapse(seen, later, &mut |_, error| panic!("{error}"));
        self.give_back(client);
    }

    fn poll(&mut self, client: usize, bytes: usize) {
        let Client { session, seen, .. } = &mut self.clients[client];
        let _ = session.poll(bytes, seen, NOW);
        for got in seen.deliveries.drain(..) {
            let message: u64 = got.body.parse().unwrap();
            assert!(!self.settled.contains(&message), "a settled message came back");
            let collected = self.collected.values().map(|(message, _)| message);
            let mut held = self.held.iter().flat_map(BTreeMap::values).chain(collected);
            assert!(
                held.all(|&other| other != message),
                "two clients hold one message"
            );
            if self.returned.contains(&message) {
                assert!(got.redelivered, "what was given back says so");
            }
            self.held[client].insert(got.tag, message);
        }
    }

    fn settle(&mut self, client: usize, nth: usize, extent: Extent, requeue: bool) {
        let (held, late) = (&mut self.held[client], &mut self.late[client]);
        let Some(&tag) = held.keys().chain(late.iter()).nth(nth) else {
            return;
        };
        let taken: BTreeMap<u64, u64> = match extent {
            Extent::One => {
                late.remove(&tag);
                held.remove(&tag)
                    .map(|message| (tag, message))
                    .into_iter()
                    .collect()
            }
            Extent::UpTo => {
                *late = late.split_off(&(tag + 1));
                let rest = held.split_off(&(tag + 1));
                std::mem::replace(held, rest)
            }
        };
        if requeue {
            self.clients[client].nack(tag, extent, GiveBack::Requeue);
        } else {
            self.clients[client].ack(tag, extent);
        }
        if client == TRANSACTIONAL {
            let collected = taken.into_iter().map(|(tag, message)| (tag, (message, requeue)));
            self.collected.extend(collected);
        } else if requeue {
            self.returned.extend(taken.into_values());
        } else {
            self.settled.extend(taken.into_values());
        }
        assert_eq!(self.clients[client].failed, []);
    }

    /// Everybody leaves: what was not settled is drained, in order and once.
    fn drain(mut self) {
        self.clients.clear();
        sync(&self.broker);
        let mut drained = Vec::new();
        while let Some(got) = self.publisher.get("q", true) {
            drained.push(got.body.parse::<u64>().unwrap());
        }
        let expected: Vec<u64> = (0..self.published)
            .filter(|n| !self.settled.contains(n))
            .collect();
        assert_eq!(drained, expected);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    /// Whatever clients do, a message is held by one of them at most, and none is lost or doubled.
    #[test]
    fn every_message_is_settled_once_or_still_there(ops in operations()) {
        let mut world = World::new();
        for op in &ops {
            world.apply(op);
        }
        world.drain();
    }

    /// Consumers with the same credit differ by at most one message.
    #[test]
    fn turns_are_fair(count in 0_usize..60, consumers in 2_usize..5) {
        let broker = broker();
        let mut publisher = Client::new(&broker);
        publisher.declare("q");
        let mut clients: Vec<_> = (0..consumers).map(|_| Client::new(&broker)).collect();
        for client in &mut clients {
            client.consume("q", "t", false).unwrap();
        }
        for n in 0..count {
            let _ = publisher.publish("q", &["x"]);
            if n % 7 == 0 {
                sync(&broker);
            }
        }
        let got: Vec<usize> = clients.iter_mut().map(|client| client.bodies().len()).collect();
        prop_assert_eq!(got.iter().sum::<usize>(), count);
        prop_assert!(got.iter().max().unwrap() - got.iter().min().unwrap() <= 1, "{:?}", got);
    }
}
