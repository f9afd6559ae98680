//! Messages in both forms: what is written is what is read, and the form is the smallest that takes them.

use super::*;
use proptest::prelude::*;

fn parts<'a>(properties: &'a [&'a [u8]], body: &'a [&'a [u8]]) -> MessageParts<'a> {
    MessageParts {
        origin: Origin::Published,
        persistence: Persistence::Transient,
        priority: crate::Priority::new(4),
        message_id: 5,
        timestamp_ms: 6,
        properties,
        body,
    }
}

fn head_of(record: &[u8]) -> usize {
    Layout::of(record).unwrap().properties_at
}

#[test]
fn a_message_that_does_not_expire_has_the_compact_form() {
    let of = |references: &[(u64, u64, u64)], body: &[u8]| record_of(1, &parts(&[], &[body]), references);
    assert_eq!(head_of(&of(&[(1, 2, 0)], b"small")), 24 + 16);
    assert_eq!(head_of(&of(&[(1, 2, 0)], &[7; 256])), 24 + 16);
    assert_eq!(head_of(&of(&[(1, 2, 0)], &[7; 257])), 24 + 16 + 4);
    assert_eq!(head_of(&of(&[(1, 2, 0); 255], b"")), 24 + 255 * 16);
}

#[test]
fn what_the_compact_form_does_not_take_has_the_full_one() {
    let long = vec![1; 65_536];
    let of = |properties: &[u8], references: &[(u64, u64, u64)]| {
        record_of(1, &parts(&[properties], &[b"body"]), references)
    };
    assert_eq!(head_of(&of(b"", &[(1, 2, 0), (2, 2, 9)])), 48 + 2 * 24);
    assert_eq!(head_of(&of(b"", &[(1, 2, 0); 256])), 48 + 256 * 24);
    assert_eq!(head_of(&of(b"", &[])), 48);
    assert_eq!(head_of(&of(&long[1..], &[(1, 2, 0)])), 40);
    assert_eq!(head_of(&of(&long, &[(1, 2, 0)])), 72);
}

#[test]
fn a_time_that_the_compact_form_cannot_name_is_the_last_that_it_can() {
    let late = MessageParts {
        timestamp_ms: u64::MAX,
        ..parts(&[], &[b"late"])
    };
    let compact = record_of(0, &late, &[(1, 2, 0)]);
    assert_eq!(decode_message(&compact).unwrap().timestamp_ms, (1 << 48) - 1);
    let full = record_of(0, &late, &[(1, 2, 3)]);
    assert_eq!(decode_message(&full).unwrap().timestamp_ms, u64::MAX);
}

#[test]
fn a_compact_head_whose_lengths_leave_no_sound_body_is_no_message() {
    let record = record_of(0, &parts(&[b"p"], &[&[7; 257]]), &[(1, 2, 0)]);
    for missing in 1..=4 {
        let mut shorter = record.clone();
        let len = u32::try_from(record.len() - missing).unwrap();
        shorter[4..8].copy_from_slice(&len.to_le_bytes());
        assert!(
            Layout::of(&shorter).is_none(),
            "a body of {} bytes",
            257 - missing
        );
    }
    let mut nobody = record_of(0, &parts(&[], &[b""]), &[(1, 2, 0)]);
    nobody[11] = 0;
    assert!(Layout::of(&nobody).is_none());
}

#[test]
fn a_full_record_that_could_be_compact_is_read_all_the_same() {
    for len in [16, 300] {
        let body = vec![7; len];
        let mut full = record_of(9, &parts(&[b"p"], &[&body]), &[(1, 2, 99)]);
        // As all were written before there were compact ones.
        full[64..72].fill(0);
        let read = decode_message(&full).unwrap();
        assert_eq!((read.form, read.message_id), (Form::Full, Some(5)));
        assert_eq!((read.properties, read.body), (&b"p"[..], &body[..]));
        assert_eq!(read.references().collect::<Vec<_>>(), [Reference::of((1, 2, 0))]);
    }
}

proptest! {
    #[test]
    fn a_message_reads_back_whatever_its_form(
        references in prop::collection::vec((1..9_u64, any::<u64>(), prop_oneof![Just(0), 1..9_u64]), 1..5),
        properties in prop::collection::vec(any::<u8>(), 0..40),
        body in prop::collection::vec(any::<u8>(), 0..600),
    ) {
        let record = record_of(9, &parts(&[&properties], &[&body]), &references);
        let read = decode_message(&record).unwrap();
        let expected: Vec<_> = references.iter().copied().map(Reference::of).collect();
        let expires = references.iter().any(|(_, _, expires_ms)| *expires_ms != 0);
        prop_assert_eq!((read.properties, read.body), (&properties[..], &body[..]));
        prop_assert_eq!((read.persistence, read.priority, read.timestamp_ms), (Persistence::Transient, crate::Priority::new(4), 6));
        prop_assert_eq!(read.message_id, expires.then_some(5));
        prop_assert_eq!(read.references().collect::<Vec<_>>(), expected);
        prop_assert_eq!(usize::from(read.sharers()) + 1, references.len());
    }

    #[test]
    fn a_message_that_is_completed_is_one_that_was_written_at_once(
        queues in prop::collection::btree_set(1..99_u64, 1..5),
        life_ms in prop_oneof![Just(None), Just(Some(0_u64))],
        body in prop::collection::vec(any::<u8>(), 0..600),
        behind in 0..9_u64,
    ) {
        let queue_ids: Vec<_> = queues.iter().map(|queue| QueueId::new(*queue)).collect();
        let seqs: Vec<_> = queues.iter().map(|queue| Seq::new(10 * queue)).collect();
        let message = UnplacedMessage {
            properties: b"props",
            body: &body,
            persistence: Persistence::Transient,
            priority: crate::Priority::new(4),
            life_ms,
        };
        let mut encoded = Vec::new();
        encode_message(&mut encoded, &queue_ids, &message);
        let stamps = Stamps { ordinal: 3, message_id: 5, timestamp_ms: 6 };
        let len = complete(&mut encoded, &stamps, &seqs, behind);
        prop_assert_eq!(len, encoded.len());
        // A life of no time stands in the record as an expiry at 1.
        let expires_ms = u64::from(life_ms.is_some());
        let references: Vec<_> = queues.iter().map(|queue| (*queue, 10 * queue + behind, expires_ms)).collect();
        let mut at_once = record_of(3, &parts(&[b"props"], &[&body]), &references);
        at_once.resize(pad8(at_once.len()), 0);
        prop_assert_eq!(encoded, at_once);
    }
}

#[test]
fn a_priority_of_0_is_told_from_none() {
    for (given, flags_and_byte) in [
        (None, [1, 0]),
        (Some(0), [3, 0]),
        (Some(1), [1, 1]),
        (Some(255), [1, 255]),
    ] {
        let priority = given.map_or(crate::Priority::NONE, crate::Priority::new);
        let parts = MessageParts {
            priority,
            ..parts(&[], &[])
        };
        for expires_ms in [0, 7] {
            let record = record_of(0, &parts, &[(1, 2, expires_ms)]);
            assert_eq!(record[9..11], flags_and_byte);
            assert_eq!(decode_message(&record).unwrap().priority.get(), given);
        }
    }
}
