//! Runs as they are read, against the records that they are made of.

use super::*;
use crate::format::message::{MessageParts, MessageRecord, decode_message, record_of};
use crate::priority::Priority;
use proptest::prelude::*;

/// Queue, seq, and expiry.
type Entry = (u64, u64, u64);

fn message(entries: &[Entry], message_id: u64, body: &[u8]) -> Vec<u8> {
    let parts = MessageParts {
        origin: Origin::Published,
        persistence: Persistence::Transient,
        priority: Priority::new(4),
        message_id,
        timestamp_ms: 6,
        properties: &[b"json"],
        body: &[body],
    };
    record_of(0, &parts, entries)
}

fn payload(messages: &[Vec<u8>]) -> Vec<u8> {
    let mut payload = Vec::new();
    for message in messages {
        payload.extend_from_slice(message);
        payload.resize(pad8(payload.len()), 0);
    }
    payload
}

fn read(payload: &[u8]) -> usize {
    Run::begin(payload).map_or(0, Iterator::count)
}

proptest! {
    #[test]
    fn what_is_read_of_a_run_is_what_its_records_say(
        queues in prop::collection::btree_set(0..9_u64, 1..5),
        bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 1..9),
        expires_ms in 0..3_u64,
    ) {
        let messages: Vec<_> = (0..)
            .zip(&bodies)
            .map(|(at, body)| {
                let entries: Vec<Entry> = queues.iter().map(|queue| (*queue, 10 * queue + at, expires_ms)).collect();
                message(&entries, 100 + at, body)
            })
            .collect();
        let payload = payload(&messages);
        let mut run = Run::begin(&payload).unwrap();
        let first: Vec<_> = run.references().collect();
        for bytes in &messages {
            let read = run.next().unwrap();
            let whole: MessageRecord<'_> = decode_message(&payload[read.offset..][..read.len]).unwrap();
            prop_assert_eq!(decode_message(bytes).unwrap(), whole);
            prop_assert_eq!(
                (read.len, read.form, read.message_id, read.properties_len, read.priority, read.expires_ms),
                (bytes.len(), whole.form, whole.message_id, 4, Priority::new(4), expires_ms)
            );
            prop_assert!(read.is_transient);
        }
        prop_assert_eq!(run.next(), None);
        prop_assert_eq!(run.read_len(), payload.len());
        prop_assert_eq!(run.width(), queues.len());
        prop_assert_eq!(first, decode_message(&messages[0]).unwrap().references().collect::<Vec<_>>());
    }

    #[test]
    fn whatever_is_cut_or_changed_a_run_does_not_reach_behind_its_bytes(
        cut in 0..200_usize,
        at in 0..160_usize,
        value in any::<u8>(),
    ) {
        let mut payload = payload(&[message(&[(1, 5, 0)], 1, b"one"), message(&[(1, 6, 0)], 2, b"two")]);
        let at = at.min(payload.len() - 1);
        payload[at] = value;
        let cut = cut.min(payload.len());
        if let Some(mut run) = Run::begin(&payload[..cut]) {
            let end = run.by_ref().map(|message| message.offset + message.len).max();
            prop_assert!(end.unwrap_or_default() <= cut);
        }
    }
}

#[test]
fn a_run_ends_where_a_queue_or_the_order_changes() {
    let first = message(&[(1, 5, 0), (2, 7, 0)], 1, b"first");
    let behind = |entries: &[Entry]| read(&payload(&[first.clone(), message(entries, 2, b"next")]));
    assert_eq!(behind(&[(1, 6, 0), (2, 8, 0)]), 2);
    assert_eq!(behind(&[(1, 6, 9), (2, 8, 9)]), 2);
    assert_eq!(behind(&[(1, 6, 0)]), 1);
    assert_eq!(behind(&[(1, 6, 0), (3, 8, 0)]), 1);
    assert_eq!(behind(&[(1, 6, 0), (2, 9, 0)]), 1);
    assert_eq!(behind(&[(1, 6, 0), (2, 8, 4)]), 1);
}

#[test]
fn a_message_whose_entries_expire_at_different_times_is_no_run() {
    assert_eq!(read(&message(&[(1, 5, 0), (2, 7, 3)], 1, b"first")), 0);
}
