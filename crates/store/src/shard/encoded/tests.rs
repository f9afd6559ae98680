//! Encoded messages against the same, published one by one.

use super::*;
use crate::disk::Now;
use crate::disk::sim::SimDisk;
use crate::engine::Engine;
use crate::engine::stepped::{durable_queue, message_for};
use crate::format::message::{Persistence, UnplacedMessage};
use crate::format::pad8;
use crate::options::Options;
use crate::priority::Priority;
use crate::shard::TransactionSize;
use proptest::prelude::*;

/// What a block holds, checksums and all; and what the queues count.
fn written(
    messages: &[(Vec<usize>, Vec<u8>)],
    publish: impl Fn(&mut Shard<SimDisk>, &[(Vec<QueueId>, &[u8])]),
) -> (Vec<u8>, String) {
    let disk = SimDisk::new(1);
    let (engine, _) = Engine::open(disk, Options::tiny(), ()).unwrap();
    let ids: Vec<QueueId> = (0..3).map(|_| durable_queue(&engine)).collect();
    let named: Vec<(Vec<QueueId>, &[u8])> = messages
        .iter()
        .map(|(queues, body)| (queues.iter().map(|at| ids[*at]).collect(), body.as_slice()))
        .collect();
    let mut guard = engine.lock();
    let shard = guard.shard();
    let mut size = TransactionSize::default();
    named
        .iter()
        .for_each(|(queues, body)| size.add_message(queues, 100, body.len()));
    let (_, block) = shard.transaction(&size, |shard| publish(shard, &named)).unwrap();
    let told = |id: &QueueId| {
        let queue = shard.state.queues.get(*id).unwrap();
        format!("{:?} {} {}", queue.counts(), queue.accepted_bytes, queue.next_seq)
    };
    let counts: Vec<String> = ids.iter().map(told).collect();
    let counts = format!(
        "{counts:?} {} {}",
        shard.state.next_message_id,
        shard.tail.promised_pages()
    );
    drop(guard);
    engine.wait_durable(block).unwrap();
    let bytes = engine.lock().shard().ring.newest_payload();
    (bytes, counts)
}

fn unplaced<'a>(properties: &'a [u8], body: &'a [u8]) -> UnplacedMessage<'a> {
    UnplacedMessage {
        properties,
        body,
        persistence: Persistence::Persistent,
        priority: Priority::new(3),
        life_ms: None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn encoded_messages_make_the_block_that_single_ones_make(
        messages in prop::collection::vec(
            (prop::collection::btree_set(0..3_usize, 1..4), prop::collection::vec(any::<u8>(), 0..400)),
            1..40,
        ),
    ) {
        let messages: Vec<_> = messages
            .into_iter()
            .map(|(queues, body)| (queues.into_iter().collect::<Vec<_>>(), body))
            .collect();
        let now = Now { wall_ms: 77, mono_ms: 1 };
        let encoded = written(&messages, |shard, messages| {
            let mut encoded = EncodedMessages::new();
            for (queues, body) in messages {
                encoded.push(queues, &unplaced(b"json", body));
            }
            shard.publish_encoded(&mut encoded, now.wall_ms).unwrap();
        });
        let single = written(&messages, |shard, messages| {
            for (queues, body) in messages {
                let mut message = message_for(queues, &[]);
                let (properties, bodies): ([&[u8]; 1], [&[u8]; 1]) = ([b"json"], [body]);
                (message.properties, message.body) = (&properties, &bodies);
                (message.timestamp_ms, message.priority) = (now.wall_ms, Priority::new(3));
                shard.publish(&message).unwrap();
            }
        });
        prop_assert!(encoded.0.len() >= pad8(messages.len()));
        prop_assert_eq!(encoded, single);
    }
}

#[test]
fn a_queue_that_is_named_twice_gets_a_message_once() {
    let mut encoded = EncodedMessages::new();
    encoded.push(
        &[QueueId::new(2), QueueId::new(1), QueueId::new(2)],
        &unplaced(b"", b"order"),
    );
    let (message, _) = encoded.iter().next().unwrap();
    let queues: Vec<u64> = message.references().map(|entry| entry.queue.get()).collect();
    assert_eq!((queues, message.body), (vec![1, 2], b"order".as_slice()));
    assert_eq!((encoded.count(), encoded.references_max()), (1, 2));
}

#[test]
fn a_message_that_waits_keeps_its_priority_its_life_and_whether_it_is_persistent() {
    let plain = unplaced(b"", b"order");
    for life_ms in [None, Some(0), Some(7), Some(u64::MAX - 1)] {
        for persistence in [Persistence::Persistent, Persistence::Transient] {
            let mut encoded = EncodedMessages::new();
            encoded.push(
                &[QueueId::new(1)],
                &UnplacedMessage {
                    life_ms,
                    persistence,
                    ..plain
                },
            );
            let (message, found) = encoded.iter().next().unwrap();
            assert_eq!(
                (message.priority, message.persistence, found),
                (Priority::new(3), persistence, life_ms)
            );
            let is_plain = life_ms.is_none() && persistence == Persistence::Persistent;
            assert_eq!(encoded.are_plain(), is_plain);
        }
    }
}
