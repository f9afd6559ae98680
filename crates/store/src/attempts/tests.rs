//! Runs of counts against one count for each message.

use super::*;
use crate::ids::QueueId;
use crate::ids::Seq;
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Operation {
    GiveBack(u64, u64, Return),
    Raise(u64, u64, Attempts),
    Forget(u64, u64),
    SayAgain,
}

fn operations() -> impl Strategy<Value = Vec<Operation>> {
    let range = || (0..40_u64, 0..12_u64).prop_map(|(first, count)| (first, first + count));
    let how = prop_oneof![Just(Return::Unseen), Just(Return::Released), Just(Return::Failed)];
    let attempts = (0..4_u16, 0..4_u16).prop_map(|(returned, failed)| Attempts { returned, failed });
    let operation = prop_oneof![
        6 => (range(), how).prop_map(|((first, end), how)| Operation::GiveBack(first, end, how)),
        3 => (range(), attempts).prop_map(|((first, end), said)| Operation::Raise(first, end, said)),
        2 => range().prop_map(|(first, end)| Operation::Forget(first, end)),
        1 => Just(Operation::SayAgain),
    ];
    proptest::collection::vec(operation, 0..40)
}

proptest! {
    #[test]
    fn runs_count_like_one_count_for_each_message(operations in operations()) {
        let mut counts = AttemptCounts::default();
        let mut model = [Attempts::default(); 60];
        for operation in operations {
            match operation {
                Operation::GiveBack(first, end, how) => {
                    counts.give_back(first, end, how);
                    (first..end).for_each(|seq| model[usize::try_from(seq).unwrap()] = model[usize::try_from(seq).unwrap()].and(how));
                }
                Operation::Raise(first, end, said) => {
                    counts.raise(first, end, said);
                    (first..end).for_each(|seq| model[usize::try_from(seq).unwrap()] = model[usize::try_from(seq).unwrap()].max(said));
                }
                Operation::Forget(first, end) => {
                    counts.forget(first, end);
                    (first..end).for_each(|seq| model[usize::try_from(seq).unwrap()] = Attempts::default());
                }
                Operation::SayAgain => {
                    let bytes = counts.to_bytes(&RoaringTreemap::new());
                    let mut again = AttemptCounts::default();
                    for (first, end, said) in runs_in(&bytes) {
                        counts.raise(first, end, said);
                        again.raise(first, end, said);
                    }
                    prop_assert_eq!(&again.runs, &counts.runs);
                }
            }
            for (seq, expected) in model.iter().enumerate() {
                prop_assert_eq!(counts.of(u64::try_from(seq).unwrap()), *expected);
            }
            let runs: Vec<_> = counts.within(0, 99).collect();
            for pair in runs.windows(2) {
                prop_assert!(pair[0].1 < pair[1].0 || (pair[0].1 == pair[1].0 && pair[0].2 != pair[1].2));
            }
        }
    }
}

#[test]
fn what_is_dead_is_not_said_again() {
    let mut counts = AttemptCounts::default();
    counts.give_back(0, 10, Return::Failed);
    let dead: RoaringTreemap = [0, 1, 5].into_iter().collect();
    let mut again = AttemptCounts::default();
    for (first, end, said) in runs_in(&counts.to_bytes(&dead)) {
        again.raise(first, end, said);
    }
    let known: Vec<_> = again.within(0, 99).map(|(first, end, _)| (first, end)).collect();
    assert_eq!(known, [(2, 5), (6, 10)]);
    again.forget_all_but(4, 9, &[7].into_iter().collect());
    let known: Vec<_> = again.within(0, 99).map(|(first, end, _)| (first, end)).collect();
    assert_eq!(known, [(4, 5), (6, 7), (8, 9)]);
}

#[test]
fn the_newest_are_forgotten_at_the_bound_so_that_the_head_of_the_queue_comes_to_its_limit() {
    let mut counts = AttemptCounts::default();
    let many = u64::try_from(ATTEMPT_RUNS_MAX).unwrap();
    for at in 0..=many {
        counts.give_back(2 * at, 2 * at + 1, Return::Released);
    }
    assert_eq!(counts.of(2 * many), Attempts::default());
    assert_eq!(counts.of(2).returned, 1);
    counts.give_back(0, 1, Return::Released);
    assert_eq!(counts.of(0).returned, 2);
    assert_eq!(counts.runs.len(), ATTEMPT_RUNS_MAX);
}

#[test]
fn what_dies_inside_of_a_run_makes_no_more_runs_than_are_kept() {
    let mut counts = AttemptCounts::default();
    let many = 2 * u64::try_from(ATTEMPT_RUNS_MAX).unwrap();
    counts.give_back(0, 4 * many, Return::Failed);
    let mut dead = RoaringTreemap::new();
    for at in 0..many {
        dead.insert(4 * at + 1);
    }
    let runs_said = counts.to_bytes(&dead).len() / ATTEMPT_RUN_BYTES;
    for seq in &dead {
        counts.forget(seq, seq + 1);
    }
    assert_eq!(
        (counts.runs.len(), runs_said),
        (ATTEMPT_RUNS_MAX, ATTEMPT_RUNS_MAX)
    );
    assert_eq!(counts.of(0).failed, 1);
}

#[test]
fn a_range_carries_its_counts_and_its_length() {
    let range = Range {
        queue: QueueId::new(3),
        first: Seq::new(7),
        count: 4_000_000_000,
    };
    let attempts = Attempts {
        returned: 65_535,
        failed: 2,
    };
    assert_eq!(Attempts::unpack(attempts.pack(range)), (range, attempts));
}
