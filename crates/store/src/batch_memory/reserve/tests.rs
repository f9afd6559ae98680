//! What is kept, for how long, and who gets it.

use super::*;
use crate::pool;

#[test]
fn the_pool_of_blocks_takes_no_memory_of_batches_for_its_own() {
    for wanted in (1..200).map(|at| at * LARGE_BATCH_BYTES + 1) {
        let made = AlignedBuf::with_capacity(size_for(wanted));
        assert!(
            made.capacity() >= wanted && !pool::is_class(made.capacity()),
            "{wanted}"
        );
    }
}

#[test]
fn a_batch_takes_the_smallest_kept_piece_that_has_room_and_none_that_is_much_too_large() {
    let mut kept = Kept::new();
    for bytes in [8 << 20, 2 << 20, 32 << 20] {
        assert!(kept.give(AlignedBuf::zeroed(bytes)).is_empty());
    }
    let taken = kept.take(5 << 20).expect("there is room");
    assert_eq!((taken.len(), taken.capacity()), (0, 8 << 20));
    assert!(kept.take(33 << 20).is_none() && kept.take(15 << 20).is_none());
    assert_eq!(kept.take(1).expect("there is room").capacity(), 2 << 20);
}

#[test]
fn no_more_memory_is_kept_than_its_bounds() {
    for (bytes, pieces) in [(90 << 20, 3), (600 << 10, BATCH_MEMORY_KEPT_MAX)] {
        let mut kept = Kept::new();
        let given = 2 * BATCH_MEMORY_KEPT_MAX;
        let freed: usize = (0..given)
            .map(|_| kept.give(AlignedBuf::with_capacity(bytes)).len())
            .sum();
        assert_eq!((kept.pieces.len(), freed), (pieces, given - pieces));
        assert!(kept.bytes <= BATCH_MEMORY_BYTES_MAX);
    }
}

#[test]
fn what_comes_back_takes_the_place_of_what_was_here_longest() {
    let mut kept = Kept::new();
    for at in 1..=BATCH_MEMORY_KEPT_MAX + 1 {
        kept.give(AlignedBuf::with_capacity(at << 20));
    }
    assert!(kept.pieces.iter().all(|piece| piece.memory.capacity() > 1 << 20));
    assert!(kept.take(BATCH_MEMORY_KEPT_MAX << 20).is_some());
}

#[test]
fn what_no_batch_takes_for_a_while_is_freed() {
    let mut kept = Kept::new();
    for bytes in [1 << 20, 4 << 20] {
        assert!(kept.give(AlignedBuf::with_capacity(bytes)).is_empty());
    }
    assert!(kept.unused().is_empty(), "it came just now");
    let used = kept.take(2 << 20).expect("it is here");
    assert!(kept.give(used).is_empty());
    let unused = kept.unused();
    assert_eq!(unused.len(), 1);
    assert_eq!(kept.bytes, kept.pieces[0].memory.memory_bytes());
    assert_eq!(kept.unused().len(), 1);
    assert_eq!((kept.bytes, kept.pieces.len()), (0, 0));
}
