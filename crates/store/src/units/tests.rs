//! What memory units take while they grow, and how it is used again.

use super::{Layout, Units};
use crate::disk::sim::SimDisk;
use crate::limits::SPARE_UNITS_MAX;
use crate::live::Live;

const UNIT_BYTES: usize = 1 << 20;
const LAYOUT: Layout = Layout {
    slot_bytes: 1 << 20,
    slots: 16,
};

fn living(bytes: usize) -> Live {
    Live {
        entries: 1,
        bytes: crate::format::byte_count(bytes),
    }
}

#[test]
fn a_unit_takes_no_more_memory_than_it_may_hold() {
    let units = Units::<SimDisk>::new();
    units.set_sizes(1 << 20, LAYOUT);
    let records = vec![7; UNIT_BYTES / 8 + 8];
    let (_, first) = units.append(&records);
    units.enter(first, living(records.len()));
    while units.append(&records).1 == first {
        assert!(units.bytes().memory <= 1 << 20, "{}", units.bytes().memory);
    }
}

#[test]
fn the_memory_of_a_unit_that_died_holds_a_whole_one_without_growing() {
    let units = Units::<SimDisk>::new();
    units.set_sizes(1 << 20, LAYOUT);
    // The first unit ends a little short of its size, as most do, and the last one does not.
    let fill = |len: usize| {
        let records = vec![7; len];
        let (_, number) = units.append(&records);
        units.enter(number, living(len));
        for _ in 1..UNIT_BYTES / len {
            assert_eq!(units.append(&records).1, number);
        }
        number
    };
    let first = fill(UNIT_BYTES / 16 + 40);
    let second = fill(UNIT_BYTES / 2);
    let (_, third) = units.append(&vec![7; UNIT_BYTES]);
    units.enter(third, living(UNIT_BYTES));
    units.leave(first, living(UNIT_BYTES / 16 + 40));
    let before = units.bytes().memory;
    let fourth = fill(UNIT_BYTES / 2);
    assert!(first < second && second < third && third < fourth);
    assert_eq!(units.bytes().memory - before, 1 << 20);
}

#[test]
fn memory_of_units_that_died_is_kept_for_a_few_and_freed_when_it_is_not_wanted() {
    let units = Units::<SimDisk>::new();
    units.set_sizes(1 << 20, LAYOUT);
    let fill = || {
        let (_, number) = units.append(&vec![7; UNIT_BYTES]);
        units.enter(number, living(UNIT_BYTES));
        number
    };
    let first: Vec<_> = (0..SPARE_UNITS_MAX + 2).map(|_| fill()).collect();
    let kept = || units.read().spares.len();
    first
        .iter()
        .for_each(|number| units.leave(*number, living(UNIT_BYTES)));
    assert_eq!(kept(), SPARE_UNITS_MAX);
    fill();
    assert_eq!(kept(), SPARE_UNITS_MAX);
    fill();
    assert_eq!(kept(), SPARE_UNITS_MAX - 1);
    units.free_spares();
    assert_eq!(kept(), 1);
}

#[test]
fn a_unit_that_follows_a_full_one_has_all_its_memory_at_once() {
    let units = Units::<SimDisk>::new();
    units.set_sizes(1 << 20, LAYOUT);
    let records = [7; 40];
    let (_, first) = units.append(&records);
    units.enter(first, living(records.len()));
    assert_eq!(units.bytes().memory, 4096);
    let (_, second) = units.append(&vec![7; UNIT_BYTES]);
    units.enter(second, living(UNIT_BYTES));
    let before = units.bytes().memory;
    let (_, third) = units.append(&records);
    assert_ne!(second, third);
    assert_eq!(units.bytes().memory - before, 1 << 20);
}

#[test]
fn what_follows_while_somebody_reads_takes_what_it_needs() {
    let units = Units::<SimDisk>::new();
    units.set_sizes(1 << 20, LAYOUT);
    let records = [7; 112];
    let (first, number) = units.append(&records);
    units.enter(number, living(records.len()));
    let mut read: Vec<_> = units.piece(first).into_iter().collect();
    for _ in 0..100 {
        let (at, _) = units.append(&records);
        read.extend(units.piece(at));
    }
    assert!(read.iter().all(|piece| piece.bytes() == records) && read.len() == 101);
    assert_eq!(units.bytes().memory, 4096 + 100 * 112);
}

#[test]
fn a_closed_unit_is_moved_only_to_less_memory() {
    let units = Units::<SimDisk>::new();
    units.set_sizes(4 << 20, LAYOUT);
    // Memory of more than a cell is given in steps of 2 MiB: the second takes as much either way.
    for (len, is_moved) in [(1 << 20, true), (5 << 19, false)] {
        let (_, full) = units.append(&vec![7; 4 << 20]);
        units.enter(full, living(1));
        let (at, number) = units.append(&vec![7; len]);
        units.enter(number, living(1));
        let address = || units.piece(at).unwrap().bytes().as_ptr().addr();
        let before = address();
        units.append(&vec![7; 4 << 20]);
        assert_eq!(address() != before, is_moved, "{len}");
    }
}
