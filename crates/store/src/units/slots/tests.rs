//! Which slot is taken next, and which files go.

use super::*;

const LAYOUT: Layout = Layout {
    slot_bytes: 8192,
    slots: 4,
};

/// Takes so many slots, one by one.
fn take(slots: &mut Slots<()>, count: usize) -> Vec<Slot> {
    let mut take_one = || {
        let lent = slots.lend(8000);
        let file = lent.file.unwrap_or_default();
        slots.enter(lent.slot, &file);
        lent.slot
    };
    (0..count).map(|_| take_one()).collect()
}

fn files(taken: &[Slot]) -> Vec<u64> {
    taken.iter().map(|slot| slot.file.get()).collect()
}

#[test]
fn a_file_is_made_when_all_slots_are_taken() {
    let mut slots = Slots::new(LAYOUT);
    let taken = take(&mut slots, 5);
    assert_eq!(files(&taken), [1, 1, 1, 1, 2]);
    let offsets: Vec<u64> = taken.iter().map(Slot::offset).collect();
    assert_eq!(offsets, [0, 8192, 16384, 24576, 0]);
    assert_eq!(slots.bytes(), 2 * LAYOUT.file_bytes());
}

#[test]
fn a_free_slot_is_taken_again_in_the_fullest_file_first() {
    let mut slots = Slots::new(LAYOUT);
    let taken = take(&mut slots, 9);
    for free in [0, 1, 6] {
        slots.free(taken[free]);
    }
    assert_eq!(take(&mut slots, 3), [taken[6], taken[0], taken[1]]);
    assert_eq!(slots.bytes(), 3 * LAYOUT.file_bytes());
}

#[test]
fn a_file_in_which_a_unit_could_not_be_written_takes_no_more_and_goes_with_what_it_holds() {
    let mut slots = Slots::<()>::new(LAYOUT);
    let taken = take(&mut slots, 2);
    let refused = slots.lend(8000).slot;
    slots.refuse(refused);
    assert_eq!(files(&take(&mut slots, 1)), [2]);
    slots.free(taken[0]);
    assert_eq!(slots.dead(Slack::OneFile), 0);
    slots.free(taken[1]);
    assert_eq!(slots.dead(Slack::OneFile), 1);
}

#[test]
fn a_file_that_could_not_be_made_leaves_nothing() {
    let mut slots = Slots::<()>::new(LAYOUT);
    let lent = slots.lend(8000);
    assert!(lent.file.is_none());
    slots.refuse(lent.slot);
    assert_eq!((slots.dead(Slack::None), slots.bytes()), (0, 0));
    assert_eq!(files(&take(&mut slots, 1)), [2]);
}

#[test]
fn a_slot_that_was_not_written_takes_the_next_unit() {
    let mut slots = Slots::<()>::new(LAYOUT);
    take(&mut slots, 2);
    let lent = slots.lend(8000).slot;
    slots.give_back(lent);
    assert_eq!(take(&mut slots, 1), [lent]);
}

#[test]
fn slots_that_are_lent_at_the_same_time_are_different_ones() {
    let mut slots = Slots::<()>::new(LAYOUT);
    let unmade: Vec<Slot> = (0..2).map(|_| slots.lend(8000).slot).collect();
    assert_eq!(files(&unmade), [1, 2]);
    unmade.iter().for_each(|slot| slots.enter(*slot, &Arc::new(())));
    let lent: Vec<Slot> = (0..6).map(|_| slots.lend(8000).slot).collect();
    assert_eq!(files(&lent), [2, 2, 2, 1, 1, 1]);
    assert_eq!(lent.iter().filter(|slot| slot.offset() == 8192).count(), 2);
    assert_eq!(slots.lend(8000).slot.file.get(), 3);
}

#[test]
#[should_panic(expected = "a slot is freed once")]
fn a_slot_is_not_freed_twice() {
    let mut slots = Slots::new(LAYOUT);
    let taken = take(&mut slots, 2);
    slots.free(taken[0]);
    slots.free(taken[0]);
}

#[test]
fn what_is_larger_than_a_slot_has_a_file_that_goes_with_it() {
    let mut slots = Slots::<()>::new(LAYOUT);
    let large = slots.lend(8193).slot;
    slots.enter(large, &Arc::new(()));
    assert_eq!((large.layout.file_bytes(), slots.bytes()), (12288, 12288));
    assert_eq!(files(&take(&mut slots, 1)), [2]);
    slots.free(large);
    assert_eq!(slots.dead(Slack::OneFile), 1);
    let dead = slots.take_dead(1);
    assert_eq!((dead[0].number, dead[0].bytes), (large.file, 12288));
    slots.removed(&dead);
    assert_eq!(slots.bytes(), LAYOUT.file_bytes());
}

#[test]
fn no_more_than_one_file_is_kept_for_what_comes() {
    let mut slots = Slots::new(LAYOUT);
    let taken = take(&mut slots, 12);
    taken[..8].iter().for_each(|slot| slots.free(*slot));
    assert_eq!(slots.dead(Slack::OneFile), 1);
    slots.free(taken[8]);
    assert_eq!(slots.dead(Slack::OneFile), 2);
    taken[9..].iter().for_each(|slot| slots.free(*slot));
    assert_eq!(slots.dead(Slack::OneFile), 2);
    assert_eq!(slots.dead(Slack::None), 3);
}

#[test]
fn a_file_is_emptied_only_into_free_slots_of_others() {
    let mut slots = Slots::new(LAYOUT);
    let taken = take(&mut slots, 8);
    assert_eq!(slots.emptiest(|_| true), None);
    [0, 1, 2, 4].iter().for_each(|at| slots.free(taken[*at]));
    assert_eq!(slots.emptiest(|_| true), Some(taken[0].file));
    slots.free(taken[3]);
    assert_eq!(slots.emptiest(|_| true), None);
}

#[test]
fn a_file_of_which_nothing_can_be_moved_does_not_keep_others_from_being_emptied() {
    let mut slots = Slots::new(LAYOUT);
    let taken = take(&mut slots, 12);
    [0, 1, 2, 4, 5, 8, 9].iter().for_each(|at| slots.free(taken[*at]));
    let (stuck, other) = (taken[3].file, taken[4].file);
    assert_eq!(slots.emptiest(|_| true), Some(stuck));
    assert_eq!(slots.emptiest(|file| file != stuck), Some(other));
}
