//! Pairs against a model of one entry per publish.

use logpond_store::BlockNumber;
use proptest::prelude::*;

use super::Confirms;
use crate::command::Extent;

#[test]
fn many_publishes_into_one_block_cost_one_pair() {
    let mut confirms = Confirms::default();
    for _ in 0..1000 {
        confirms.expect(Some(BlockNumber::new(3)));
        confirms.expect(None);
    }
    assert_eq!(confirms.waiting.len(), 1);
    assert_eq!(confirms.waiting.back(), Some(&(Some(BlockNumber::new(3)), 2000)));
}

#[test]
fn a_publish_without_a_queue_is_confirmed_at_once_when_nothing_is_before_it() {
    let mut confirms = Confirms::default();
    confirms.expect(None);
    assert_eq!(confirms.release(|_| false), Some((1, Extent::One)));
    assert!(confirms.is_empty());
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
                    confirms.expect(Some(BlockNumber::new(block)));
                    model.push(block);
                }
                Op::Unroutable => {
                    confirms.expect(None);
                    model.push(0);
                }
                Op::Sync => {
                    durable = block;
                    block += 1;
                }
            }
            let expected = model.iter().take_while(|&&at| at <= durable).count();
            match confirms.release(|block| block.get() <= durable) {
                Some((last, extent)) => {
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
