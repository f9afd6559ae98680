//! Tests of `record`: each states one thing that it keeps.

use super::*;
use crate::format::message::{MessageParts, Origin, Persistence, record_of};
use crate::priority::Priority;

fn message(properties: &[&[u8]], body: &[&[u8]]) -> Vec<u8> {
    expiring(properties, body, 99)
}

/// A message that expires in the second of its queues, and therefore has the full form; or, at 0, in none.
fn expiring(properties: &[&[u8]], body: &[&[u8]], expires_ms: u64) -> Vec<u8> {
    let parts = MessageParts {
        origin: Origin::Published,
        persistence: Persistence::Persistent,
        priority: Priority::new(4),
        message_id: 5,
        timestamp_ms: 6,
        properties,
        body,
    };
    record_of(3, &parts, &[(1, 10, 0), (2, 20, expires_ms)])
}

fn sealed(mut record: Vec<u8>) -> Vec<u8> {
    let len = record.len();
    record.resize(pad8(len), 0);
    seal(&mut record, Salt::of(1), SegmentNumber::new(1), 4096);
    record.truncate(len);
    record
}

fn intact(record: &[u8]) -> bool {
    is_intact(record, Salt::of(1), SegmentNumber::new(1), 4096)
}

#[test]
fn a_message_reads_back_with_its_references_and_parts_joined() {
    let bytes = sealed(message(&[b"pro", b"ps"], &[b"bo", b"", b"dy"]));
    assert!(intact(&bytes));
    let Some(Record::Message(read)) = decode(&bytes) else {
        panic!("a message was written")
    };
    assert_eq!(
        (read.properties, read.body, read.priority, read.message_id),
        (&b"props"[..], &b"body"[..], Priority::new(4), Some(5))
    );
    let references: Vec<_> = read
        .references()
        .map(|r| (r.queue.get(), r.seq.get(), r.expires_ms))
        .collect();
    assert_eq!(references, [(1, 10, 0), (2, 20, 99)]);
    assert_eq!(peek(&bytes), Some((bytes.len(), 3)));
}

#[test]
fn each_flipped_bit_of_a_small_and_of_a_large_message_is_noticed() {
    for (body, expires_ms) in [(16, 0), (1000, 0), (16, 99), (1000, 99)] {
        let mut bytes = sealed(expiring(&[b"p"], &[&vec![7_u8; body]], expires_ms));
        for at in 0..bytes.len() {
            bytes[at] ^= 0x10;
            let noticed = peek(&bytes).is_none_or(|(len, _)| len != bytes.len()) || !intact(&bytes);
            assert!(noticed, "byte {at} of {}", bytes.len());
            bytes[at] ^= 0x10;
        }
    }
}

#[test]
fn a_record_does_not_validate_at_another_place() {
    let bytes = sealed(message(&[], &[b"x"]));
    assert!(!is_intact(&bytes, Salt::of(1), SegmentNumber::new(1), 8192));
    assert!(!is_intact(&bytes, Salt::of(1), SegmentNumber::new(2), 4096));
    assert!(!is_intact(&bytes, Salt::of(2), SegmentNumber::new(1), 4096));
}

#[test]
fn ranges_read_back_with_their_reason() {
    let ranges = [Range {
        queue: QueueId::new(3),
        first: Seq::new(4),
        count: 5,
    }];
    let mut bytes = vec![0; ranges_len(1)];
    put_ranges(&mut bytes, 0, RangesKind::Ack(AckReason::Purged), &ranges);
    let Some(Record::Ranges { kind, ranges: read }) = decode(&bytes) else {
        panic!("ranges were written")
    };
    assert_eq!(kind, RangesKind::Ack(AckReason::Purged));
    assert_eq!(read.iter().collect::<Vec<_>>(), ranges);
}

#[test]
fn a_queue_record_reads_back_with_its_three_parts() {
    let record = QueueRecord {
        action: QueueAction::State,
        transient: true,
        id: QueueId::new(1),
        next_seq: Seq::new(9),
        floor: Seq::new(3),
        delivery_mark: Seq::new(5),
        acked: b"aa",
        redelivered: b"rrr",
        attempts: b"",
        meta: b"m",
    };
    let mut bytes = vec![0xff; record.len()];
    put_queue(&mut bytes, 0, &record);
    assert_eq!(decode(&bytes), Some(Record::Queue(record)));
}

#[test]
fn no_bytes_make_a_decoder_panic() {
    let mut state = 1_u64;
    for _ in 0..20_000 {
        let mut bytes = sealed(expiring(&[b"props"], &[b"body"], state & 1));
        for _ in 0..3 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let [.., a, b] = state.to_be_bytes();
            let at = usize::from(a) % bytes.len();
            bytes[at] = b;
        }
        let _ = decode(&bytes);
        let _ = peek(&bytes);
        let _ = is_intact(&bytes, Salt::of(1), SegmentNumber::new(1), 0);
    }
}

#[test]
fn records_that_come_in_pieces_are_sealed_as_if_they_came_at_once() {
    let body = [7; 300];
    let mut payload = Vec::new();
    for len in [1, 30, 300, 5, 300, 2] {
        let mut record = expiring(&[], &[&body[..len]], u64::from(len == 30 || payload.len() > 700));
        record.resize(pad8(record.len()), 0);
        payload.extend_from_slice(&record);
    }
    let (salt, segment) = (Salt::of(1), SegmentNumber::new(1));
    let mut at_once = payload.clone();
    seal(&mut at_once, salt, segment, 0);
    for bytes in [1, 7, 200, 400, payload.len()] {
        let (mut in_pieces, mut sealed) = (Vec::new(), 0);
        for piece in payload.chunks(bytes) {
            in_pieces.extend_from_slice(piece);
            let place = crate::format::byte_count(sealed);
            sealed += seal_whole(&mut in_pieces[sealed..], salt, segment, place);
        }
        assert_eq!((sealed, &in_pieces), (payload.len(), &at_once));
    }
}
