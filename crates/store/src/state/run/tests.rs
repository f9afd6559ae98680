//! Runs against the same records, applied one by one.

use super::*;
use crate::builder::{BlockBuilder, Place};
use crate::checksum::Salt;
use crate::disk::sim::SimDisk;
use crate::disk::{FileKind, Now};
use crate::format::message::{MessageParts, Origin, Persistence, Reference};
use crate::format::pad8;
use crate::format::record::{self, AckReason, Range};
use crate::ids::QueueId;
use crate::ids::{BlockNumber, Epoch};
use crate::index::pages::INDEX_DIR;
use crate::levels::Levels;
use crate::limits::{BLOCK_HEADER_BYTES, SEGMENT_HEADER_BYTES};
use crate::order::Order;
use crate::pool::BufferPool;
use crate::priority::Priority;
use crate::queue::QueueDurability;
use crate::ranks::Scale;
use crate::segments::{Segment, SegmentFile};
use proptest::prelude::*;
use std::sync::Arc;

const QUEUES: u64 = 3;
const SEGMENT: SegmentNumber = SegmentNumber::new(1);
const START: Lsn = Lsn::new(SEGMENT_HEADER_BYTES);

#[derive(Clone, Debug)]
enum Operation {
    /// So many messages for these queues, one behind the other.
    Messages {
        queues: Vec<u64>,
        count: u64,
        is_transient: bool,
        expires_ms: u64,
    },
    /// The log skips a sequence number.
    Gap(u64),
    /// Entries of a queue are acknowledged, visible ones or not.
    Ack { queue: u64, first: u64, count: u64 },
    /// Entries are taken ahead of their durability.
    Take { queue: u64, count: u64 },
    /// From here on the queue has levels.
    Prioritise(u64),
}

fn operations() -> impl Strategy<Value = Vec<Operation>> {
    let queue = 0..QUEUES;
    let messages = (
        prop::collection::btree_set(queue.clone(), 1..3),
        1..400_u64,
        any::<bool>(),
        0..2_u64,
    );
    let operation = prop_oneof![
        6 => messages.prop_map(|(queues, count, is_transient, expires_ms)| Operation::Messages {
            queues: queues.into_iter().collect(),
            count,
            is_transient,
            expires_ms,
        }),
        1 => queue.clone().prop_map(Operation::Gap),
        2 => (queue.clone(), 0..500_u64, 1..90_u64)
            .prop_map(|(queue, first, count)| Operation::Ack { queue, first, count }),
        1 => (queue.clone(), 1..20_u64).prop_map(|(queue, count)| Operation::Take { queue, count }),
        1 => queue.prop_map(Operation::Prioritise),
    ];
    prop::collection::vec(operation, 1..12)
}

fn state() -> State<SimDisk> {
    let disk = SimDisk::new(1);
    disk.create_dir("shard-00").unwrap();
    disk.create_dir(INDEX_DIR).unwrap();
    let file = disk.create("segment", FileKind::Journal).unwrap();
    let mut state = State::new(Pages::new(disk, 256 << 10));
    for id in 0..QUEUES {
        let queue = Queue::new(QueueId::new(id), QueueDurability::Durable, b"");
        state.queues.insert(queue);
    }
    let file = SegmentFile::new(SEGMENT, Lsn::new(0), Epoch::new(1), 64 << 20, file);
    state.segments.push(Segment::new(Arc::new(file), START));
    state
}

/// The payload of a block with what `operation` writes to the log.
fn payload(operation: &Operation, next: &mut [u64]) -> Vec<u8> {
    let mut pool = BufferPool::new(0);
    let mut builder = BlockBuilder::new(BlockNumber::new(1), pool.take(0));
    let place = |queue: u64| usize::try_from(queue).unwrap();
    match operation {
        Operation::Messages {
            queues,
            count,
            is_transient,
            expires_ms,
        } => {
            for at in 0..*count {
                let references: Vec<_> = queues
                    .iter()
                    .map(|queue| {
                        let seq = next[place(*queue)];
                        next[place(*queue)] += 1;
                        Reference::of((*queue, seq, *expires_ms))
                    })
                    .collect();
                let parts = MessageParts {
                    origin: Origin::Published,
                    persistence: if *is_transient {
                        Persistence::Transient
                    } else {
                        Persistence::Persistent
                    },
                    priority: Priority::new(3),
                    message_id: at,
                    timestamp_ms: 1,
                    properties: &[b"json"],
                    body: &[b"an order"],
                };
                builder.message(&parts.shape(&references), &parts, &references, &mut pool);
            }
        }
        Operation::Gap(queue) => next[place(*queue)] += 1,
        Operation::Ack { queue, first, count } => {
            let end = (first + count).min(next[place(*queue)]);
            if *first < end {
                let range = Range {
                    queue: QueueId::new(*queue),
                    first: Seq::new(*first),
                    count: end - first,
                };
                builder.ack(AckReason::Acked, range, Now::default());
            }
        }
        Operation::Take { .. } | Operation::Prioritise(_) => {}
    }
    builder.close(&mut pool);
    let place = Place {
        segment: SEGMENT,
        offset: SEGMENT_HEADER_BYTES,
        lsn: START,
        durable_lsn: START,
        previous_crc: 0,
        epoch: Epoch::new(1),
        max_timestamp_ms: 0,
    };
    builder.place(place).seal(Salt::of(1)).payload().to_vec()
}

/// What users do to the queue, beside the log.
fn use_queue(state: &mut State<SimDisk>, operation: &Operation) {
    match operation {
        Operation::Take { queue, count } => {
            let queue = state.queues.get_mut(QueueId::new(*queue)).unwrap();
            // As a purge does: what is visible counts as leased from then on.
            if queue.order.is_none() && queue.cursor <= queue.visible_end {
                let visible = queue.live - queue.leased;
                queue.leased += visible;
                queue.leased_bytes = queue.live_bytes;
                queue.cursor = queue.visible_end + count;
            }
        }
        Operation::Prioritise(queue) => {
            let queue = state.queues.get_mut(QueueId::new(*queue)).unwrap();
            if queue.live == 0 && queue.cursor <= queue.visible_end {
                queue.cursor = queue.visible_end;
                queue.order = Some(Box::new(Order::Levels(Levels::new(Scale::up_to(4)))));
            }
        }
        _ => {}
    }
}

fn apply_one_by_one(state: &mut State<SimDisk>, payload: &[u8], lsn: Lsn) {
    let mut at = 0;
    while at < payload.len() {
        let (len, _) = record::peek(&payload[at..]).unwrap();
        let here = lsn.plus(byte_count(at));
        state.apply_record(&payload[at..at + len], here, SEGMENT).unwrap();
        at += pad8(len);
    }
}

/// All that a user or a checkpoint can see of it.
fn told(state: &mut State<SimDisk>) -> String {
    let mut out = String::new();
    let segment = state.segments.get_mut(SEGMENT).unwrap();
    out += &format!("{:?} {:?} {}\n", segment.live, state.gaps, state.next_message_id);
    for id in 0..QUEUES {
        let queue = state.queues.get(QueueId::new(id)).unwrap();
        out += &format!(
            "{:?} {} {} {} {} {:?} {} {} {} {:?} {} {} {} {}\n",
            queue.counts(),
            queue.next_seq,
            queue.visible_end,
            queue.floor,
            queue.cursor,
            queue.acked,
            queue.transient_live,
            queue.transient_bytes,
            queue.expiring,
            queue.segments,
            queue.live_bytes,
            queue.leased_bytes,
            queue.accepted_bytes,
            queue.has_ready(),
        );
        let entries = (queue.floor..queue.next_seq).map(|seq| {
            let entry = State::entry(&mut state.pages, queue, seq).unwrap();
            format!("{entry:?}\n")
        });
        out.extend(entries);
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn messages_applied_as_runs_leave_what_they_leave_one_by_one(operations in operations()) {
        let (mut by_runs, mut by_ones) = (state(), state());
        let mut next = vec![0; usize::try_from(QUEUES).unwrap()];
        let mut lsn = START.plus(BLOCK_HEADER_BYTES);
        for operation in &operations {
            use_queue(&mut by_runs, operation);
            use_queue(&mut by_ones, operation);
            let payload = payload(operation, &mut next);
            by_runs.apply_payload(&payload, lsn, SEGMENT).unwrap();
            apply_one_by_one(&mut by_ones, &payload, lsn);
            lsn = lsn.plus(byte_count(payload.len()));
            prop_assert_eq!(told(&mut by_runs), told(&mut by_ones), "{:?}", operation);
        }
    }
}
