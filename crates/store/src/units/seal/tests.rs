//! A unit on its way to a file: what is written, who may read it, and what is left when it dies.

use super::*;
use crate::Persistence;
use crate::disk::sim::SimDisk;
use crate::format::message::{MessageParts, Origin, record_of as message_of};
use crate::format::{byte_count, pad8};
use crate::ids::Lsn;
use crate::live::Live;
use crate::priority::Priority;
use crate::units::{Layout, Which};

const LAYOUT: Layout = Layout {
    slot_bytes: 64 << 10,
    slots: 4,
};

fn salt() -> Salt {
    Salt::of(3)
}

/// A message with a body of this length, without checksums.
fn record_of(body: usize) -> Vec<u8> {
    let parts = MessageParts {
        origin: Origin::Published,
        persistence: Persistence::Transient,
        priority: Priority::NONE,
        message_id: 1,
        timestamp_ms: 2,
        properties: &[],
        body: &[&vec![7; body]],
    };
    let mut bytes = message_of(0, &parts, &[(1, 1, 0)]);
    bytes.resize(pad8(bytes.len()), 0);
    bytes
}

fn living(bytes: usize) -> Live {
    Live {
        entries: 1,
        bytes: byte_count(bytes),
    }
}

/// Units of which the first is closed, with its number, its address and its records.
fn closed() -> (Units<SimDisk>, SegmentNumber, Lsn, Vec<u8>) {
    let units = Units::<SimDisk>::new();
    units.set_sizes(LAYOUT.slot_bytes, LAYOUT);
    let mut records = Vec::new();
    // With and without a checksum of their own for the body; the last sector is not full.
    for body in [16, 1000, 200, 30_000] {
        records.extend_from_slice(&record_of(body));
    }
    let (at, number) = units.append(&records);
    units.enter(number, living(records.len()));
    let (_, open) = units.append(&record_of(65_000));
    units.enter(open, living(65_000));
    assert_ne!(number, open);
    (units, number, at, records)
}

fn sealed(records: &[u8], number: SegmentNumber) -> Vec<u8> {
    let mut bytes = records.to_vec();
    record::seal(&mut bytes, salt(), number, 0);
    bytes
}

#[test]
fn what_is_written_has_checksums_and_ends_with_zeros() {
    let (units, number, _, records) = closed();
    let Sealed::InPlace(piece) = units.seal(number, salt()) else {
        panic!("nobody reads it")
    };
    let mut sectors = sealed(&records, number);
    sectors.resize(sectors.len().next_multiple_of(DIRECT_IO_ALIGNMENT), 0);
    assert!(piece.sectors() == sectors, "{} bytes", piece.sectors().len());
    assert_eq!(piece.bytes().len(), records.len());
}

#[test]
fn memory_that_was_used_before_leaves_nothing_behind_the_last_record() {
    let units = Units::<SimDisk>::new();
    units.set_sizes(LAYOUT.slot_bytes, LAYOUT);
    let fill = |body| {
        let (_, number) = units.append(&record_of(body));
        units.enter(number, living(1));
        number
    };
    let (_open, full) = (fill(65_000), fill(65_000));
    let _next = fill(65_000);
    units.leave(full, living(1));
    let shorter = fill(50_001);
    let _last = fill(65_000);
    assert!(units.read().spares.is_empty(), "it was used again");
    let Sealed::InPlace(piece) = units.seal(shorter, salt()) else {
        panic!("nobody reads it")
    };
    let behind = &piece.sectors()[piece.bytes().len()..];
    assert!(!behind.is_empty() && behind.iter().all(|byte| *byte == 0));
}

#[test]
fn a_unit_that_somebody_reads_is_left_as_it_is() {
    let (units, number, at, records) = closed();
    let read = units.piece(at).unwrap();
    let Sealed::ToCopy(piece) = units.seal(number, salt()) else {
        panic!("somebody reads it")
    };
    assert!(piece.bytes() == records && Arc::ptr_eq(&piece, &read));
    drop((piece, read));
    assert!(matches!(units.seal(number, salt()), Sealed::InPlace(_)));
}

#[test]
fn to_seal_a_unit_again_changes_nothing() {
    let (units, number, _, records) = closed();
    for _ in 0..2 {
        let Sealed::InPlace(piece) = units.seal(number, salt()) else {
            panic!("nobody reads it")
        };
        assert!(piece.bytes() == sealed(&records, number));
    }
}

#[test]
fn who_asks_for_a_piece_that_is_taken_out_gets_it_when_it_is_back() {
    let (units, number, at, records) = closed();
    let memory = units.bytes().memory;
    let gate = Gate(Arc::new(Mutex::new(())));
    let held = gate.0.lock().unwrap();
    let taken = units.0.write().unwrap().take_out(number, &gate);
    let Ok(piece) = taken else {
        panic!("nobody reads it")
    };
    assert_eq!(units.bytes().memory, memory, "it is in memory all the same");
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| units.piece(at).map(|piece| piece.bytes().to_vec()));
        // The table has one handle of the gate, and so have we.
        while Arc::strong_count(&gate.0) == 2 && !reader.is_finished() {
            std::thread::yield_now();
        }
        units.0.write().unwrap().put_back(number, piece);
        drop(held);
        assert!(reader.join().unwrap().is_some_and(|read| read == records));
    });
}

#[test]
fn a_unit_that_dies_while_it_is_taken_out_leaves_its_memory_to_the_next() {
    let (units, number, at, records) = closed();
    let gate = Gate(Arc::new(Mutex::new(())));
    let taken = units.0.write().unwrap().take_out(number, &gate);
    let Ok(piece) = taken else {
        panic!("nobody reads it")
    };
    units.leave(number, living(records.len()));
    let back = units.0.write().unwrap().put_back(number, piece);
    assert!(matches!(back, Sealed::Gone) && units.piece(at).is_none());
    assert_eq!(units.read().spares.len(), 1);
    assert!(matches!(units.seal(number, salt()), Sealed::Gone));
}

#[test]
fn a_unit_on_its_way_is_not_chosen_again_until_it_was_refused() {
    let (units, number, at, records) = closed();
    let lent = units.lend_slot(number, byte_count(records.len()));
    assert_eq!(units.bytes().leaving, 32 << 10);
    // The open one is closed instead.
    let other = units.in_memory(Which::Oldest).unwrap();
    assert_ne!(other.number, number);
    drop(other);
    units.refused(number, lent.slot);
    assert_eq!(units.bytes().leaving, 0);
    assert_eq!(units.in_memory(Which::Oldest).unwrap().number, number);
    units.lend_slot(number, byte_count(records.len()));
    units.leave(number, living(records.len()));
    assert!(units.piece(at).is_none());
    assert_eq!((units.bytes().leaving, units.bytes().memory), (0, 64 << 10));
}
