//! Pairs against a model of one entry per publish.

use logpond_store::BlockNumber;
use proptest::prelude::*;

use super::Confirms;
use crate::command::Extent;
use crate::effect::Confirm;

#[test]
fn many_publishes_into_one_block_cost_one_pair() {
    let mut confirms = Confirms::default();
    for _ in 0..1000 {
        confirms.expect(Some(BlockNumber::new(3)), Confirm::Ack);
        confirms.expect(None, Confirm::Ack);
    }
    assert_eq!(confirms.waiting.len(), 1);
    assert_eq!(
        confirms.waiting.back(),
        Some(&(Some(BlockNumber::new(3)), 2000, Confirm::Ack))
    );
}

#[test]
fn a_publish_without_a_queue_is_confirmed_at_once_when_nothing_is_before_it() {
    let mut confirms = Confirms::default();
    confirms.expect(None, Confirm::Ack);
    assert_eq!(confirms.release(|_| false), Some((1, Extent::One, Confirm::Ack)));
    assert!(confirms.is_empty());
}

#[test]
fn a_refused_publish_is_answered_in_its_turn_and_alone() {
    let mut confirms = Confirms::default();
    let block = Some(BlockNumber::new(3));
    for (block, answer) in [
        (block, Confirm::Ack),
        (block, Confirm::Ack),
        (None, Confirm::Nack),
        (block, Confirm::Nack),
        (None, Confirm::Ack),
        (block, Confirm::Ack),
    ] {
        confirms.expect(block, answer);
    }
    assert_eq!(
        confirms.release(|_| false),
        None,
        "what is before it is not durable"
    );
    let mut answers = Vec::new();
    while let Some(answer) = confirms.release(|_| true) {
        answers.push(answer);
    }
    assert_eq!(
        answers,
        [
            (2, Extent::UpTo, Confirm::Ack),
            (4, Extent::UpTo, Confirm::Nack),
            (6, Extent::UpTo, Confirm::Ack)
        ]
    );
}

#[derive(Clone, Debug)]
enum Op {
    Publish { new_block: bool },
    Unroutable,
    Sync,
}

proptest! {
    /// No tag is confirmed before its block and the blocks of all earlier tags are durable; then all are.
    #[test]
    fn a_tag_is_confirmed_exactly_when_all_up_to_it_are_durable(
        ops in proptest::collection::vec(prop_oneof![
            any::<bool>().prop_map(|new_block| Op::Publish { new_block }), Just(Op::Unroutable), Just(Op::Sync)
        ], 0..60)
    ) {
        let mut confirms = Confirms::default();
        let mut model: Vec<u64> = Vec::new(); // block of each tag, zero for none
        let (mut block, mut durable, mut confirmed) = (1_u64, 0_u64, 0_usize);
        for op in ops {
            match op {
                Op::Publish { new_block } => {
                    block += u64::from(new_block);
                    confirms.expect(Some(BlockNumber::new(block)), Confirm::Ack);
                    model.push(block);
                }
                Op::Unroutable => {
                    confirms.expect(None, Confirm::Ack);
                    model.push(0);
                }
                Op::Sync => {
                    durable = block;
                    block += 1;
                }
            }
            let expected = model.iter().take_while(|&&at| at <= durable).count();
            match confirms.release(|block| block.get() <= durable) {
                Some((last, extent, Confirm::Nack)) => prop_assert!(false, "{last} {extent:?} was not refused"),
                Some((last, extent, Confirm::Ack)) => {
                    prop_assert_eq!(usize::try_from(last).unwrap(), expected);
                    prop_assert_eq!(extent == Extent::One, expected == confirmed + 1);
                }
                // An unroutable one may ride along with a pair that waits.
                None => prop_assert_eq!(expected, confirmed),
            }
            confirmed = expected;
        }
    }
}
