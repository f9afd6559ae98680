//! Runs against a model of one entry per message.

use std::collections::{BTreeMap, BTreeSet};

use logpond_store::disk::Now;
use logpond_store::{QueueId, Seq};
use proptest::prelude::*;

use super::{Run, Unacked};
use crate::deadline::Deadline;

type Model = BTreeMap<u64, (u64, u64)>;

#[derive(Clone, Debug)]
enum Op {
    Deliver {
        queue: u64,
        gap: u64,
        count: u64,
    },
    Take(u64),
    UpTo(u64),
    TakeAndRestore(u64),
    All,
    /// The time of all that came from queue 1 is over.
    Lapse,
}

fn operations() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        4 => (0_u64..2, 0_u64..2, 1_u64..5).prop_map(|(queue, gap, count)| Op::Deliver { queue, gap, count }),
        4 => (1_u64..60).prop_map(Op::Take),
        1 => (1_u64..60).prop_map(Op::UpTo),
        1 => (1_u64..60).prop_map(Op::TakeAndRestore),
        1 => Just(Op::All),
        1 => Just(Op::Lapse),
    ];
    proptest::collection::vec(op, 0..60)
}

fn spread(run: Run) -> impl Iterator<Item = (u64, (u64, u64))> {
    (0..run.count).map(move |n| (run.first_tag + n, (run.queue.get(), run.first_seq.plus(n).get())))
}

proptest! {
    /// Whatever is delivered and acknowledged in whatever order, tags lead to the right messages.
    #[test]
    fn runs_answer_like_one_entry_per_message(ops in operations()) {
        let mut unacked = Unacked::default();
        let mut model = Model::new();
        let mut lapsed = BTreeSet::new();
        let mut tag = 1;
        let mut seqs = [0_u64; 2];
        for op in ops {
            match op {
                Op::Deliver { queue, gap, count } => {
                    let seq = &mut seqs[usize::try_from(queue).unwrap()];
                    *seq += gap;
                    let run = Run {
                        first_tag: tag,
                        first_seq: Seq::new(*seq),
                        count,
                        queue: QueueId::new(queue),
                        consumer: None,
                        deadline: Deadline::after((queue == 1).then_some(1), Now::default()),
                    };
                    model.extend(spread(run));
                    unacked.push(run);
                    tag += count;
                    *seq += count;
                }
                Op::Take(tag) => {
                    let taken = unacked.take(tag).map(|run| spread(run).collect::<Vec<_>>());
                    prop_assert_eq!(taken, model.remove(&tag).map(|at| vec![(tag, at)]));
                }
                Op::Lapse => {
                    let mut taken = Vec::new();
                    let now = Now { wall_ms: 0, mono_ms: 1 };
                    let count = unacked.lapse(now, |run| taken.extend(spread(run)));
                    let held = model.iter().filter(|(tag, at)| at.0 == 1 && !lapsed.contains(*tag));
                    prop_assert_eq!(&taken, &held.map(|(tag, at)| (*tag, *at)).collect::<Vec<_>>());
                    lapsed.extend(taken.iter().map(|(tag, _)| *tag));
                    prop_assert_eq!(count, u64::try_from(lapsed.len()).unwrap());
                    prop_assert_eq!(unacked.first_deadline_ms(), None);
                }
                Op::TakeAndRestore(tag) => {
                    let taken = unacked.take(tag);
                    prop_assert_eq!(taken.is_some(), model.contains_key(&tag));
                    if let Some(run) = taken {
                        unacked.restore(run);
                    }
                }
                Op::UpTo(tag) => {
                    let mut taken = Vec::new();
                    let known = unacked.take_up_to(tag, |run| taken.extend(spread(run)));
                    prop_assert_eq!(known, model.contains_key(&tag));
                    if known {
                        let rest = model.split_off(&(tag + 1));
                        model.retain(|tag, _| !lapsed.contains(tag));
                        prop_assert_eq!(taken, std::mem::replace(&mut model, rest).into_iter().collect::<Vec<_>>());
                    }
                }
                Op::All => {
                    let mut taken = Vec::new();
                    unacked.take_all(|run| taken.extend(spread(run)));
                    model.retain(|tag, _| !lapsed.contains(tag));
                    prop_assert_eq!(taken, std::mem::take(&mut model).into_iter().collect::<Vec<_>>());
                }
            }
            prop_assert_eq!(unacked.is_empty(), model.is_empty());
        }
    }
}

#[test]
fn consecutive_deliveries_cost_one_run() {
    let mut unacked = Unacked::default();
    for n in 0..1000 {
        unacked.push(Run {
            first_tag: n + 1,
            first_seq: Seq::new(n),
            count: 1,
            queue: QueueId::new(1),
            consumer: None,
            deadline: Deadline::NONE,
        });
    }
    assert!(unacked.runs.is_empty());
    assert_eq!(unacked.tail.unwrap().count, 1000);
}
