//! Transactions at the end of a block, in the smallest of segments.

use super::*;
use crate::disk::sim::{Rng, SimDisk};
use crate::engine::Engine;
use crate::engine::stepped::{durable_queue, lease, message_for, publish_all};
use crate::format::record::AckReason;
use crate::index::page;
use crate::options::Options;
use crate::queue_limits::{QueueLimits, WhenFull};
use crate::{NewMessage, Now, Persistence, Return, Seq};

/// What a block keeps for lists takes no more ranges than this.
const GAPS: usize = 160;

struct Opened {
    disk: SimDisk,
    engine: Engine<SimDisk>,
    /// Holds what is to be acknowledged.
    from: QueueId,
    /// Of each of them the log skipped a message.
    gaps: Vec<QueueId>,
}

impl Opened {
    fn new(gaps: usize) -> Self {
        let disk = SimDisk::new(1);
        let (engine, _) = Engine::open(disk.clone(), Options::tiny(), ()).unwrap();
        let from = durable_queue(&engine);
        let gaps: Vec<_> = (0..gaps).map(|_| durable_queue(&engine)).collect();
        let opened = Self {
            disk,
            engine,
            from,
            gaps,
        };
        let transient = NewMessage {
            persistence: Persistence::Transient,
            ..message_for(&opened.gaps, &[b"skipped"])
        };
        if !opened.gaps.is_empty() {
            opened.settle(publish_all(&opened.engine, [transient]));
        }
        opened
    }

    fn settle(&self, block: BlockNumber) {
        self.engine.wait_durable(block).unwrap();
    }

    /// So many messages, in somebody's hands.
    fn lease(&self, count: u32) {
        let message = message_for(std::slice::from_ref(&self.from), &[b"m"]);
        for _ in 0..count {
            self.settle(publish_all(&self.engine, [message]));
        }
        while !lease(&self.engine, self.from, count).is_empty() {}
    }

    fn counts(&self, queue: QueueId) -> (u64, u64) {
        let counts = self.engine.lock().shard().counts(queue).unwrap();
        (counts.ready, counts.leased)
    }

    /// One body for all of `gaps` so that all that a transaction says, with so many ranges, takes `bytes`.
    fn body_for(&self, bytes: u64, ranges: usize) -> Vec<u8> {
        let mut empty = TransactionSize::default();
        empty.add_message(&self.gaps, 0, 0);
        empty.add_ranges(ranges + self.gaps.len());
        vec![7; memory_offset(bytes - empty.bytes)]
    }

    fn limit(&self) -> u64 {
        self.engine.lock().shard().transaction_bytes_max()
    }

    /// Publishes a body to all of `gaps` and acknowledges every other one of the first entries of `from`, in a transaction that says so.
    fn commit(&self, body: &[u8], acks: usize) -> Result<BlockNumber, AppendError> {
        let mut size = TransactionSize::default();
        size.add_message(&self.gaps, 0, body.len());
        size.add_ranges(acks);
        let done = self.engine.lock().shard().transaction(&size, |shard| {
            shard.publish(&message_for(&self.gaps, &[body])).unwrap();
            for seq in (0..).step_by(2).map(Seq::new).take(acks) {
                let acked = shard.acknowledge(self.from, seq, 1, AckReason::Acked, Now::default());
                acked.unwrap();
            }
        });
        done.map(|(_, block)| block)
    }
}

#[test]
fn what_a_transaction_said_it_would_bring_fits_to_the_last_byte() {
    for gaps in [1, 3, 70, GAPS, 3 * GAPS] {
        let opened = Opened::new(gaps);
        opened.lease(20);
        let body = opened.body_for(opened.limit() / 8 * 8, 10);
        let block = opened.commit(&body, 10).unwrap();
        opened.settle(block);
        assert_eq!(opened.counts(opened.from), (0, 10));
        assert_eq!(opened.counts(opened.gaps[0]), (2, 0));
    }
}

#[test]
fn a_transaction_that_leaves_no_room_for_what_the_log_skipped_changes_nothing() {
    let opened = Opened::new(GAPS);
    opened.lease(20);
    let body = opened.body_for(opened.limit() / 8 * 8 + 8, 10);
    let refused = opened.commit(&body, 10);
    assert!(
        matches!(refused, Err(AppendError::TooLarge { bytes, limit }) if bytes > limit),
        "{refused:?}"
    );
    assert_eq!(opened.counts(opened.from), (0, 20));
    assert_eq!(opened.counts(opened.gaps[0]), (1, 0));
}

#[test]
fn messages_to_the_same_queues_find_room_for_one_gap_each() {
    let opened = Opened::new(GAPS);
    // The last of them finds its block full but for what is kept for lists.
    let body = [7; 1000];
    let mut size = TransactionSize::default();
    let gaps = byte_count(RANGE_LEN * GAPS);
    let mut messages = 0;
    loop {
        let mut more = size.clone();
        more.add_message(&opened.gaps, 0, body.len());
        if more.bytes + gaps > opened.limit() {
            break;
        }
        (size, messages) = (more, messages + 1);
    }
    let rest = memory_offset((opened.limit() - gaps - size.bytes) / 8 * 8) - 72;
    size.add_message(&opened.gaps[..1], 0, rest);
    let done = opened.engine.lock().shard().transaction(&size, |shard| {
        shard
            .publish(&message_for(&opened.gaps[..1], &[&vec![7; rest]]))
            .unwrap();
        for _ in 0..messages {
            shard.publish(&message_for(&opened.gaps, &[&body])).unwrap();
        }
    });
    opened.settle(done.unwrap().1);
    assert_eq!(opened.counts(opened.gaps[GAPS - 1]).0, messages + 1);
}

#[test]
fn a_message_for_too_many_queues_is_found_before_its_transaction_begins() {
    let options = Options {
        segment_bytes: 4 << 20,
        ..Options::tiny()
    };
    let (engine, _) = Engine::open(SimDisk::new(1), options, ()).unwrap();
    let queues: Vec<_> = (0..).map(QueueId::new).take(REFERENCES_MAX + 1).collect();
    let mut size = TransactionSize::default();
    size.add_message(&queues, 0, 0);
    let refused = engine
        .lock()
        .shard()
        .transaction(&size, |_| panic!("nothing is begun"));
    assert!(matches!(refused, Err(AppendError::TooLarge { .. })));
}

#[test]
fn a_transaction_that_the_block_at_hand_has_no_room_for_goes_into_the_next_as_a_whole() {
    let opened = Opened::new(1);
    opened.lease(3);
    let half = [7; 5000];
    let before = publish_all(&opened.engine, [message_for(&opened.gaps, &[&half])]);
    let block = opened.commit(&half, 2).unwrap();
    assert_eq!(block, before.next());
    opened.settle(before);
    let disk = opened.disk.after_crash(&mut Rng::new(1));
    let (engine, _) = Engine::open(disk, Options::tiny(), ()).unwrap();
    let counts = |queue| engine.lock().shard().counts(queue).unwrap().ready;
    assert_eq!(
        (counts(opened.gaps[0]), counts(opened.from)),
        (1, 3),
        "nothing of it"
    );
    opened.settle(block);
    assert_eq!(opened.counts(opened.from), (0, 1));
}

#[test]
fn what_limits_drop_and_the_block_of_a_transaction_has_no_room_for_goes_with_the_next_message() {
    let opened = Opened::new(0);
    let (queue, now) = (opened.from, Now::default());
    opened.lease(600);
    // Every other one, so that no two of them are a range.
    for seq in (0..600).step_by(2).map(Seq::new) {
        let back = opened
            .engine
            .lock()
            .shard()
            .requeue(queue, seq, 1, Return::Unseen, now);
        back.unwrap();
    }
    let limits = QueueLimits {
        messages: Some(300),
        bytes: None,
        when_full: WhenFull::DropHead,
    };
    opened
        .engine
        .lock()
        .shard()
        .set_limits(queue, limits, now)
        .unwrap();
    let queues = [queue];
    let body = vec![7; memory_offset(opened.limit() / 300 / 8 * 8) - 72];
    let parts = [body.as_slice()];
    // What expires takes all the room that a transaction reserves for it.
    let message = NewMessage {
        expires_ms: Some(page::EXPIRES_MS_MAX),
        ..message_for(&queues, &parts)
    };
    let mut size = TransactionSize::default();
    (0..300).for_each(|_| size.add_message(&queues, 0, body.len()));
    let done = opened.engine.lock().shard().transaction(&size, |shard| {
        (0..300).try_for_each(|_| shard.publish(&message).map(drop))
    });
    let (published, block) = done.unwrap();
    published.unwrap();
    opened.settle(block);
    let ready = opened.counts(queue).0;
    assert!(ready > 300 && ready < 600, "{ready}");
    opened.settle(publish_all(&opened.engine, [message_for(&queues, &[b"next"])]));
    assert_eq!(opened.counts(queue).0, 300);
}
