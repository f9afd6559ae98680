//! Tests of `builder`: each states one thing that it keeps.

use super::*;
use crate::format::message::{Origin, Persistence};
use crate::format::record::{QueueAction, Record};
use crate::ids::Epoch;
use crate::priority::Priority;

const STORE: u128 = 0x0011_2233_4455_6677_8899_aabb_ccdd_eeff;
const NOW: Now = Now {
    wall_ms: 1_700_000_000_000,
    mono_ms: 5,
};

fn message<'a>(properties: &'a [&'a [u8]], body: &'a [&'a [u8]]) -> MessageParts<'a> {
    MessageParts {
        origin: Origin::Published,
        persistence: Persistence::Persistent,
        priority: Priority::new(7),
        message_id: 11,
        timestamp_ms: NOW.wall_ms,
        properties,
        body,
    }
}

fn append(builder: &mut BlockBuilder, pool: &mut BufferPool, queues: &[u64], body: &[u8]) {
    append_expiring(builder, pool, queues, body, 0);
}

fn append_expiring(
    builder: &mut BlockBuilder,
    pool: &mut BufferPool,
    queues: &[u64],
    body: &[u8],
    expires_ms: u64,
) {
    let parts = [body];
    let properties: [&[u8]; 2] = [b"ex", b"key"];
    let references: Vec<_> = queues
        .iter()
        .map(|queue| Reference::of((*queue, 40, expires_ms)))
        .collect();
    let message = message(&properties, &parts);
    builder.message(&message.shape(&references), &message, &references, pool);
}

/// A block with a record of each type.
fn one_of_each() -> SealedBlock {
    let mut pool = BufferPool::new(0);
    let mut stale = AlignedBuf::zeroed(8192);
    stale.fill(0xee);
    let mut builder = BlockBuilder::new(BlockNumber::new(3), stale);
    let queue = QueueRecord {
        action: QueueAction::State,
        transient: false,
        id: QueueId::new(2),
        next_seq: Seq::new(50),
        floor: Seq::new(30),
        delivery_mark: Seq::new(60),
        acked: b"",
        redelivered: b"",
        attempts: b"",
        meta: b"orders",
    };
    builder.queue(&queue, &mut pool);
    append(&mut builder, &mut pool, &[1, 2], b"small");
    append(&mut builder, &mut pool, &[1], &[0x5a; 300]);
    append_expiring(&mut builder, &mut pool, &[1, 2], b"expires", NOW.wall_ms + 1000);
    append_expiring(&mut builder, &mut pool, &[1], &[0x5a; 300], NOW.wall_ms + 1000);
    let range = |first, count| Range {
        queue: QueueId::new(2),
        first: Seq::new(first),
        count,
    };
    builder.ack(AckReason::Acked, range(30, 2), NOW);
    builder.ack(AckReason::Acked, range(32, 1), NOW);
    builder.ack(AckReason::Purged, range(35, 5), NOW);
    let attempts = Attempts {
        returned: 3,
        failed: 1,
    };
    builder.requeue(range(33, 1), attempts, NOW);
    builder.delivered(QueueId::new(1), Seq::new(100));
    builder.mark(NOW, &mut pool);
    builder.close(&mut pool);
    let place = Place {
        segment: SegmentNumber::new(9),
        offset: 8192,
        lsn: Lsn::new(65536 + 8192),
        durable_lsn: Lsn::new(65536 + 8192),
        previous_crc: 0xdead_beef,
        epoch: Epoch::new(4),
        max_timestamp_ms: 1,
    };
    builder.place(place).seal(Salt::of(STORE))
}

#[test]
fn the_bytes_are_those_of_the_golden_file() {
    let golden = include_bytes!("../../tests/golden/block.bin");
    assert_eq!(one_of_each().bytes(), golden);
}

/// A block of a cold segment: a message to three queues, of which two still hold it.
fn of_copies() -> SealedBlock {
    let mut pool = BufferPool::new(0);
    let mut published = BlockBuilder::new(BlockNumber::new(1), AlignedBuf::zeroed(0));
    append(&mut published, &mut pool, &[1, 2, 3], b"survivor");
    let (len, _) = record::peek(&published.buf[HEADER_LEN..]).unwrap();
    let original = message::decode_message(&published.buf[HEADER_LEN..][..len]).unwrap();
    let kept: Vec<Reference> = original.references().skip(1).collect();
    let mut builder = BlockBuilder::new(BlockNumber::new(1), AlignedBuf::zeroed(0));
    builder.copy(&original, &kept, &mut pool);
    builder.close(&mut pool);
    let segment = SegmentNumber::cold(3);
    let lsn = segment.cold_first_lsn().plus(4096);
    let place = Place {
        segment,
        offset: 4096,
        lsn,
        durable_lsn: lsn,
        previous_crc: 0,
        epoch: Epoch::new(4),
        max_timestamp_ms: 0,
    };
    builder.place(place).seal(Salt::of(STORE))
}

#[test]
fn the_bytes_of_a_cold_block_are_those_of_the_golden_file() {
    let golden = include_bytes!("../../tests/golden/cold-block.bin");
    assert_eq!(of_copies().bytes(), golden);
}

#[test]
fn a_copy_is_its_message_with_fewer_references() {
    let block = of_copies();
    let (len, _) = record::peek(block.payload()).unwrap();
    let copy = message::decode_message(&block.payload()[..len]).unwrap();
    assert_eq!(copy.origin, Origin::Evacuated);
    assert_eq!((copy.properties, copy.body), (&b"exkey"[..], &b"survivor"[..]));
    assert_eq!(
        (copy.message_id, copy.timestamp_ms, copy.priority),
        (None, NOW.wall_ms, Priority::new(7))
    );
    let queues: Vec<u64> = copy.references().map(|kept| kept.queue.get()).collect();
    assert_eq!(queues, [2, 3]);
}

#[test]
fn every_record_of_a_block_reads_back_and_touching_ranges_are_one() {
    let block = one_of_each();
    let mut types = Vec::new();
    let mut at = 0;
    while at < block.payload().len() {
        let (len, ordinal) = record::peek(&block.payload()[at..]).unwrap();
        let bytes = &block.payload()[at..at + len];
        let place = 8192 + byte_count(HEADER_LEN + at);
        assert!(
            record::is_intact(bytes, Salt::of(STORE), SegmentNumber::new(9), place),
            "record {ordinal}"
        );
        types.push(match record::decode(bytes).unwrap() {
            Record::Message(message) => format!("message of {}", message.body.len()),
            Record::Ranges { kind, ranges } => format!("{kind:?} of {}", ranges.iter().count()),
            Record::Queue(queue) => format!("{:?} of {}", queue.action, queue.id),
            Record::Mark { .. } => "mark".to_owned(),
        });
        at += pad8(len);
    }
    let expected = [
        "State of 2",
        "message of 5",
        "message of 300",
        "message of 7",
        "message of 300",
        "mark",
        "Ack(Acked) of 1",
        "Ack(Purged) of 1",
        "Requeue of 1",
        "Delivered of 1",
    ];
    assert_eq!(types, expected);
}

#[test]
fn a_closed_block_is_as_large_as_it_said_or_smaller() {
    let mut pool = BufferPool::new(0);
    let mut builder = BlockBuilder::new(BlockNumber::new(1), AlignedBuf::zeroed(0));
    for seq in 0..1000 {
        builder.ack(
            AckReason::Acked,
            Range {
                queue: QueueId::new(1),
                first: Seq::new(seq * 2),
                count: 1,
            },
            NOW,
        );
    }
    let said = builder.disk_len();
    builder.close(&mut pool);
    assert!(builder.disk_len() <= said);
}

fn transient(builder: &mut BlockBuilder, pool: &mut BufferPool, seq: u64) {
    let parts = MessageParts {
        persistence: Persistence::Transient,
        ..message(&[], &[b"fleeting"])
    };
    let references = [Reference::of((1, seq, 0))];
    builder.message(&parts.shape(&references), &parts, &references, pool);
}

/// A block that says which entries the log skipped before it.
fn behind_skipped_ones() -> SealedBlock {
    let mut pool = BufferPool::new(0);
    let mut builder = BlockBuilder::new(BlockNumber::new(7), AlignedBuf::zeroed(0));
    builder.skip(Range {
        queue: QueueId::new(1),
        first: Seq::new(36),
        count: 4,
    });
    append(&mut builder, &mut pool, &[1], b"kept");
    transient(&mut builder, &mut pool, 41);
    builder.close(&mut pool);
    let place = Place {
        segment: SegmentNumber::new(9),
        offset: 4096,
        lsn: Lsn::new(65536 + 4096),
        durable_lsn: Lsn::new(65536 + 4096),
        previous_crc: 0xdead_beef,
        epoch: Epoch::new(4),
        max_timestamp_ms: 1,
    };
    builder.place(place).seal(Salt::of(STORE))
}

#[test]
fn the_bytes_of_a_block_behind_skipped_entries_are_those_of_the_golden_file() {
    let golden = include_bytes!("../../tests/golden/skip-block.bin");
    assert_eq!(behind_skipped_ones().bytes(), golden);
}

#[test]
fn a_block_is_written_as_soon_as_anything_in_it_outlives_the_process() {
    let mut pool = BufferPool::new(0);
    let mut builder = BlockBuilder::new(BlockNumber::new(1), AlignedBuf::zeroed(0));
    builder.skip(Range {
        queue: QueueId::new(1),
        first: Seq::new(0),
        count: 4,
    });
    assert!(builder.is_empty(), "what is skipped is said of something");
    transient(&mut builder, &mut pool, 4);
    assert_eq!(builder.fate(), Fate::Unlogged);
    append(&mut builder, &mut pool, &[1], b"kept");
    assert_eq!(builder.fate(), Fate::Logged);
}

#[test]
fn a_block_with_lists_of_every_kind_is_no_larger_than_was_said() {
    let mut pool = BufferPool::new(0);
    let mut builder = BlockBuilder::new(BlockNumber::new(3), AlignedBuf::zeroed(8192));
    let range = Range {
        queue: QueueId::new(2),
        first: Seq::new(7),
        count: 1,
    };
    for reason in ACK_REASONS {
        builder.ack(reason, range, NOW);
    }
    builder.requeue(range, Attempts::default(), NOW);
    builder.delivered(range.queue, range.first);
    builder.skip(range);
    let said = builder.buf.len() + builder.lists_len();
    builder.close(&mut pool);
    assert_eq!(builder.buf.len(), said);
}
