//! Tests of `share_map`: each states one thing that it keeps.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Insert(u16, u8),
    Remove(u16),
    Change(u16),
    Snapshot,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let key = 0_u16..600;
    let step = prop_oneof![
        6 => (key.clone(), any::<u8>()).prop_map(|(k, v)| Step::Insert(k, v)),
        3 => key.clone().prop_map(Step::Remove),
        1 => key.prop_map(Step::Change),
        1 => Just(Step::Snapshot),
    ];
    prop::collection::vec(step, 0..1500)
}

fn content(map: &ShareMap<u16, u8>) -> HashMap<u16, u8> {
    let all: HashMap<u16, u8> = map.iter().map(|(k, v)| (*k, *v)).collect();
    assert_eq!(all.len(), map.len());
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// It is a map, and a clone stays as it was whatever happens to the original.
    #[test]
    fn it_behaves_like_a_hash_map_and_snapshots_never_change(steps in steps(), seed in any::<u64>()) {
        let mut map = ShareMap::new(Seed(seed));
        let mut model = HashMap::new();
        let mut snapshots = Vec::new();
        for step in steps {
            match step {
                Step::Insert(k, v) => prop_assert_eq!(map.insert(k, v), model.insert(k, v)),
                Step::Remove(k) => prop_assert_eq!(map.remove(&k), model.remove(&k)),
                Step::Change(k) => {
                    prop_assert_eq!(map.get(&k), model.get(&k));
                    let changed = map.get_mut(&k).map(|v| { *v ^= 1; *v });
                    prop_assert_eq!(changed, model.get_mut(&k).map(|v| { *v ^= 1; *v }));
                }
                Step::Snapshot => snapshots.push((map.clone(), model.clone())),
            }
        }
        prop_assert_eq!(content(&map), model);
        for (snapshot, model) in snapshots {
            prop_assert_eq!(content(&snapshot), model);
        }
    }
}

/// A key of which we choose the hash: all equal, so that every level must split in vain.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Colliding(u32);

impl Hash for Colliding {
    fn hash<H: std::hash::Hasher>(&self, _: &mut H) {}
}

#[test]
fn keys_with_one_hash_are_slow_but_right() {
    let mut map = ShareMap::new(Seed(7));
    for n in 0..300 {
        assert_eq!(map.insert(Colliding(n), n), None);
    }
    assert!((0..300).all(|n| map.get(&Colliding(n)) == Some(&n)));
    assert!((0..300).all(|n| map.remove(&Colliding(n)) == Some(n)));
    assert!(map.is_empty());
}

#[test]
fn a_change_after_a_clone_copies_a_path_and_not_the_map() {
    let mut map = ShareMap::new(Seed(1));
    for n in 0_u32..100_000 {
        map.insert(n, Arc::new(n));
    }
    let before = map.clone();
    map.insert(5, Arc::new(0));
    // An entry that was copied has a second reference to its value; all others are shared by their leaf.
    let copied = before
        .iter()
        .filter(|(_, value)| Arc::strong_count(value) > 1)
        .count();
    assert!(copied <= LEAF_ENTRIES_MAX, "{copied} entries were copied");
    assert_eq!(before.get(&5).map(|n| **n), Some(5));
}
