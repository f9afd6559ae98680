//! The destinations of one key, pattern or fanout exchange: a set that counts how many bindings lead to each.
//!
//! Invariant: every count is at least 1. Two bindings that differ only in their arguments are one target.

use crate::Destination;
use crate::share_map::{Seed, ShareMap};

/// So many stand in a plain list, which is what nearly every key needs.
const FEW_MAX: usize = 32;

/// See the module.
#[derive(Clone, Debug)]
pub(crate) enum Targets {
    /// What a direct exchange has for nearly every key: nothing more to load.
    One(Destination, u32),
    Few(Vec<(Destination, u32)>),
    /// So many that copying a list for each change would be felt.
    Many(Box<ShareMap<Destination, u32>>),
}

impl Targets {
    pub(crate) const fn new() -> Self {
        Self::Few(Vec::new())
    }

    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Self::One(..) => false,
            Self::Few(few) => few.is_empty(),
            Self::Many(many) => many.is_empty(),
        }
    }

    pub(crate) fn add(&mut self, destination: &Destination, seed: Seed) {
        match self {
            Self::One(have, count) if have == destination => *count += 1,
            Self::One(have, count) => {
                let first = (have.clone(), *count);
                *self = Self::Few(vec![first, (destination.clone(), 1)]);
            }
            Self::Few(few) if few.is_empty() => *self = Self::One(destination.clone(), 1),
            Self::Few(few) => {
                if let Some((_, count)) = few.iter_mut().find(|(have, _)| have == destination) {
                    *count += 1;
                } else if few.len() < FEW_MAX {
                    few.push((destination.clone(), 1));
                } else {
                    let mut many = ShareMap::new(seed);
                    for (have, count) in few.drain(..) {
                        many.insert(have, count);
                    }
                    many.insert(destination.clone(), 1);
                    *self = Self::Many(Box::new(many));
                }
            }
            Self::Many(many) => *many.get_or_insert_with(destination, || 0) += 1,
        }
    }

    /// Takes one binding away. It must have been added.
    pub(crate) fn remove(&mut self, destination: &Destination) {
        const KNOWN: &str = "only bindings that exist are removed";
        match self {
            Self::One(have, count) => {
                assert!(have == destination, "{KNOWN}");
                *count -= 1;
                if *count == 0 {
                    *self = Self::new();
                }
            }
            Self::Few(few) => {
                let at = few.iter().position(|(have, _)| have == destination).expect(KNOWN);
                few[at].1 -= 1;
                if few[at].1 == 0 {
                    few.remove(at);
                }
            }
            Self::Many(many) => {
                let count = many.get_mut(destination).expect(KNOWN);
                *count -= 1;
                if *count == 0 {
                    many.remove(destination);
                }
            }
        }
    }

    #[inline]
    pub(crate) fn for_each<'a>(&'a self, mut visit: impl FnMut(&'a Destination)) {
        match self {
            Self::One(destination, _) => visit(destination),
            Self::Few(few) => few.iter().for_each(|(destination, _)| visit(destination)),
            Self::Many(many) => many.for_each(|destination, _| visit(destination)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::QueueRef;

    proptest! {
        /// A destination is there as long as one of its bindings is.
        #[test]
        fn targets_count_bindings_per_destination(steps in prop::collection::vec((0_u64..80, any::<bool>()), 0..400)) {
            let mut targets = Targets::new();
            let mut model: BTreeMap<u64, u32> = BTreeMap::new();
            for (queue, add) in steps {
                let destination = Destination::Queue(QueueRef::new(queue));
                if add {
                    targets.add(&destination, Seed(3));
                    *model.entry(queue).or_default() += 1;
                } else if let Some(count) = model.get_mut(&queue) {
                    targets.remove(&destination);
                    *count -= 1;
                    if *count == 0 {
                        model.remove(&queue);
                    }
                }
                prop_assert_eq!(targets.is_empty(), model.is_empty());
            }
            let mut seen = Vec::new();
            targets.for_each(|destination| match destination {
                Destination::Queue(queue) => seen.push(queue.get()),
                Destination::Exchange(_) => unreachable!(),
            });
            seen.sort_unstable();
            prop_assert_eq!(seen, model.into_keys().collect::<Vec<_>>());
        }
    }
}
