//! Random clients against a model: a message is published once, and settled once or still there, in order.

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
    Sync,
}

fn operations() -> impl Strategy<Value = Vec<Op>> {
    let client = 0_usize..3;
    let extent = prop_oneof![Just(Extent::One), Just(Extent::UpTo)];
    let op = prop_oneof![
        3 => (1_u8..6).prop_map(Op::Publish),
        1 => (client.clone(), 0_u16..4).prop_map(|(client, prefetch)| Op::Consume { client, prefetch }),
        1 => client.clone().prop_map(Op::Cancel),
        4 => (client.clone(), 0_usize..12).prop_map(|(client, bytes)| Op::Poll { client, bytes }),
        4 => (client.clone(), 0_usize..8, extent, any::<bool>())
            .prop_map(|(client, nth, extent, requeue)| Op::Settle { client, nth, extent, requeue }),
        1 => client.clone().prop_map(Op::CloseChannel),
        1 => client.prop_map(Op::Reconnect),
        4 => Just(Op::Sync),
    ];
    proptest::collection::vec(op, 0..80)
}

struct World {
    broker: Arc<Broker<SimDisk>>,
    publisher: Client,
    clients: Vec<Client>,
    /// What each client holds: tag to message.
    held: Vec<BTreeMap<u64, u64>>,
    settled: BTreeSet<u64>,
    /// Messages that were given back at least once.
    returned: BTreeSet<u64>,
    published: u64,
}

impl World {
    fn new() -> Self {
        let broker = broker();
        let mut publisher = Client::new(&broker);
        publisher.declare("q");
        let clients = (0..3).map(|_| Client::new(&broker)).collect();
        Self {
            broker,
            publisher,
            clients,
            held: vec![BTreeMap::new(); 3],
            settled: BTreeSet::new(),
            returned: BTreeSet::new(),
            published: 0,
        }
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
                self.give_back(client);
            }
            Op::Reconnect(client) => {
                self.clients[client] = Client::new(&self.broker);
                self.give_back(client);
            }
            Op::Sync => sync(&self.broker),
        }
    }

    fn give_back(&mut self, client: usize) {
        self.returned
            .extend(std::mem::take(&mut self.held[client]).into_values());
    }

    fn poll(&mut self, client: usize, bytes: usize) {
        let Client { session, seen, .. } = &mut self.clients[client];
        let _ = session.poll(bytes, seen, NOW);
        for got in seen.deliveries.drain(..) {
            let message: u64 = got.body.parse().unwrap();
            assert!(!self.settled.contains(&message), "a settled message came back");
            assert!(
                self.held
                    .iter()
                    .all(|held| held.values().all(|&other| other != message)),
                "two clients hold one message"
            );
            if self.returned.contains(&message) {
                assert!(got.redelivered, "what was given back says so");
            }
            self.held[client].insert(got.tag, message);
        }
    }

    fn settle(&mut self, client: usize, nth: usize, extent: Extent, requeue: bool) {
        let Some((&tag, _)) = self.held[client].iter().nth(nth) else {
            return;
        };
        let taken: Vec<u64> = match extent {
            Extent::One => self.held[client].remove(&tag).into_iter().collect(),
            Extent::UpTo => {
                let rest = self.held[client].split_off(&(tag + 1));
                std::mem::replace(&mut self.held[client], rest)
                    .into_values()
                    .collect()
            }
        };
        if requeue {
            self.clients[client].nack(tag, extent, GiveBack::Requeue);
            self.returned.extend(taken);
        } else {
            self.clients[client].ack(tag, extent);
            self.settled.extend(taken);
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
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

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
