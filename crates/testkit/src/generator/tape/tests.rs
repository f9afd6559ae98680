//! A tape is what the codec reads, and goes round.

use super::{Delivery, Tape, TapeOptions, Variety};
use logpond_amqp::parse_publish;

const FRAME_MAX: u32 = 131_072;

fn options(body_len: usize, keys: usize, variety: Variety) -> TapeOptions {
    TapeOptions {
        exchange: "trade".into(),
        keys: (0..keys).map(|key| format!("order.{key}.eu")).collect(),
        body_len,
        delivery: Delivery::Persistent,
        variety,
        frame_bytes_max: FRAME_MAX,
    }
}

fn publishes(tape: &Tape) -> Vec<(Vec<u8>, Vec<u8>, Vec<u8>)> {
    let (_, place) = tape.piece(0, u64::MAX);
    let mut rest = tape.frames(place);
    let mut found = Vec::new();
    while let Some((publish, taken)) = parse_publish(rest, FRAME_MAX) {
        found.push((
            publish.routing_key.as_bytes().to_vec(),
            publish.raw_properties.to_vec(),
            publish.body.to_vec(),
        ));
        rest = &rest[taken..];
    }
    assert!(rest.is_empty(), "the tape has whole publishes only");
    found
}

#[test]
fn neighbours_differ_in_key_properties_and_body() {
    let tape = Tape::new(&options(1024, 10, Variety::Varied)).unwrap();
    let found = publishes(&tape);
    assert_eq!(found.len(), tape.len());
    for pair in found.windows(2) {
        assert_ne!(pair[0].0, pair[1].0);
        assert_ne!(pair[0].1, pair[1].1);
        assert_ne!(pair[0].2, pair[1].2);
    }
    assert!(found.iter().all(|publish| publish.2.len() == 1024));
}

#[test]
fn a_tape_of_the_same_repeats_one_message() {
    let tape = Tape::new(&options(16, 1, Variety::Same)).unwrap();
    let found = publishes(&tape);
    assert!(found.iter().all(|publish| *publish == found[0]));
}

#[test]
fn each_key_has_its_turn_equally_often() {
    let tape = Tape::new(&options(64 << 10, 1000, Variety::Varied)).unwrap();
    assert_eq!(tape.len() % 1000, 0);
}

#[test]
fn a_piece_ends_with_the_tape_and_the_next_begins_at_its_front() {
    let tape = Tape::new(&options(16, 1, Variety::Varied)).unwrap();
    let len = u64::try_from(tape.len()).unwrap();
    let (taken, last) = tape.piece(len - 2, 5);
    assert_eq!(taken, 2);
    let (taken, front) = tape.piece(len, 5);
    assert_eq!((taken, front.start), (5, 0));
    assert_eq!(last.end, tape.piece(0, u64::MAX).1.end);
}

#[test]
fn a_stamp_stands_at_the_front_of_its_bodies_and_nowhere_else() {
    let mut tape = Tape::new(&options(16, 1, Variety::Varied)).unwrap();
    let before = publishes(&tape);
    tape.stamp(1, 2, 77);
    let after = publishes(&tape);
    for (number, (old, new)) in before.iter().zip(&after).enumerate() {
        if number == 1 || number == 2 {
            assert_eq!(new.2[..8], 77_u64.to_be_bytes());
            assert_eq!(new.2[8..], old.2[8..]);
        } else {
            assert_eq!(old, new);
        }
    }
}
