//! Tests of `topic`: each states one thing that it keeps.

use std::collections::BTreeSet;

use proptest::prelude::*;
use rstest::rstest;

use super::*;
use crate::QueueRef;

/// The definition, word by word.
fn naive(pattern: &[&[u8]], key: &[&[u8]]) -> bool {
    match (pattern.split_first(), key.split_first()) {
        (None, None) => true,
        (None, Some(_)) => false,
        (Some((&b"#", rest)), None) => naive(rest, key),
        (Some((&b"#", rest)), Some((_, later))) => naive(rest, key) || naive(pattern, later),
        (Some(_), None) => false,
        (Some((word, rest)), Some((have, later))) => (*word == b"*" || word == have) && naive(rest, later),
    }
}

fn queue(number: usize) -> Destination {
    Destination::Queue(QueueRef::new(number.try_into().unwrap()))
}

fn matches(trie: &Trie, key: &[u8]) -> Vec<Destination> {
    let mut found = Vec::new();
    trie.for_each_match(key, &mut TopicScratch::default(), &mut |targets| {
        targets.for_each(|destination| found.push(destination.clone()));
    });
    found
}

fn matching(patterns: &[&str], key: &str) -> bool {
    let mut trie = Trie::new(Seed(0));
    patterns
        .iter()
        .for_each(|pattern| trie.add(pattern.as_bytes(), &queue(1)));
    !matches(&trie, key.as_bytes()).is_empty()
}

/// Measured on RabbitMQ 4.3.6, for the keys "", a, a.b, a..b, a.x.y.b and ".".
#[rstest]
#[case("#", [true, true, true, true, true, true])]
#[case("*", [false, true, false, false, false, false])]
#[case("a.*", [false, false, true, false, false, false])]
#[case("a.#", [false, true, true, true, true, false])]
#[case("#.b", [false, false, true, true, true, false])]
#[case("a.#.b", [false, false, true, true, true, false])]
#[case("*.*", [false, false, true, false, false, true])]
#[case("", [true, false, false, false, false, false])]
fn patterns_match_as_rabbitmq_does(#[case] pattern: &str, #[case] expected: [bool; 6]) {
    let found = ["", "a", "a.b", "a..b", "a.x.y.b", "."].map(|key| matching(&[pattern], key));
    assert_eq!(found, expected);
}

#[rstest]
#[case("..", "a..", false)]
#[case("a..", "a..", true)]
#[case("*..b", "a..b", true)]
#[case("#.", "a.", true)]
#[case("#.", "", false)]
#[case("a*", "a*", true)]
#[case("a*", "ab", false)]
#[case("*", "#", true)]
#[case("#.a.#.a.#", "a", false)]
#[case("#.a.#.a.#", "x.a.y.a", true)]
#[case("#.#.#", "", true)]
fn empty_words_are_words_and_wildcards_are_whole_words(
    #[case] pattern: &str,
    #[case] key: &str,
    #[case] expected: bool,
) {
    assert_eq!(matching(&[pattern], key), expected);
}

fn dotted(words: &'static [&'static str], count: std::ops::Range<usize>) -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(words), count).prop_map(|words| words.join("."))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Every pattern that matches is found once, no other, while patterns come and go.
    #[test]
    fn the_trie_finds_what_the_definition_says(
        patterns in prop::collection::vec((dotted(&["a", "b", "", "*", "#"], 0..6), any::<bool>()), 1..40),
        keys in prop::collection::vec(dotted(&["a", "b", "", "c"], 0..8), 1..8),
        seed in any::<u64>(),
    ) {
        let mut trie = Trie::new(Seed(seed));
        for (number, (pattern, _)) in patterns.iter().enumerate() {
            trie.add(pattern.as_bytes(), &queue(number));
        }
        let before = trie.clone();
        for (number, (pattern, _)) in patterns.iter().enumerate().filter(|(_, (_, kept))| !kept) {
            trie.remove(pattern.as_bytes(), &queue(number));
        }
        for key in &keys {
            let key: Vec<&[u8]> = words(key.as_bytes()).collect();
            let expected = |all: bool| -> Vec<Destination> {
                let numbered = patterns.iter().enumerate().filter(|(_, (_, kept))| all || *kept);
                let matched = numbered
                    .filter(|(_, (pattern, _))| naive(&words(pattern.as_bytes()).collect::<Vec<_>>(), &key));
                matched.map(|(number, _)| queue(number)).collect()
            };
            for (trie, expected) in [(&trie, expected(false)), (&before, expected(true))] {
                let mut found = matches(trie, &key.join(&b'.'));
                found.sort();
                prop_assert_eq!(found, expected);
            }
        }
        for (number, (pattern, _)) in patterns.iter().enumerate().filter(|(_, (_, kept))| *kept) {
            trie.remove(pattern.as_bytes(), &queue(number));
        }
        prop_assert!(trie.root.is_empty(), "nothing is left behind");
        prop_assert_eq!(trie.hash_bindings, 0);
    }

    /// Keys of more than 64 words use several blocks of positions.
    #[test]
    fn long_keys_match_as_short_ones_do(
        pattern in dotted(&["a", "*", "#", "#", "b"], 0..9),
        key in dotted(&["a", "a", "b"], 0..200),
    ) {
        let expected = naive_by_table(&pattern, &key);
        prop_assert_eq!(matching(&[&pattern], &key), expected);
    }
}

/// The definition again, as a table, since the recursion above is exponential.
fn naive_by_table(pattern: &str, key: &str) -> bool {
    let key: Vec<&[u8]> = words(key.as_bytes()).collect();
    let mut reached: BTreeSet<usize> = BTreeSet::from([0]);
    for word in words(pattern.as_bytes()) {
        reached = match word {
            b"#" => reached
                .first()
                .map_or_else(BTreeSet::new, |first| (*first..=key.len()).collect()),
            _ => {
                let fits = |at: &usize| key.get(*at).is_some_and(|have| word == b"*" || *have == word);
                reached.into_iter().filter(fits).map(|at| at + 1).collect()
            }
        };
    }
    reached.contains(&key.len())
}

#[test]
fn a_pattern_of_many_hashes_is_no_bomb() {
    let mut trie = Trie::new(Seed(0));
    let bomb = vec!["#"; 127].join(".") + ".a";
    let stars = vec!["#.*"; 63].join(".") + ".a";
    trie.add(bomb.as_bytes(), &queue(1));
    trie.add(stars.as_bytes(), &queue(2));
    let key = vec!["b"; 128].join(".");
    // A walk that follows one position at a time does not come back from this.
    for _ in 0..100 {
        assert_eq!(matches(&trie, key.as_bytes()), []);
    }
}

#[test]
fn each_node_is_entered_once_however_often_the_key_repeats_a_word() {
    let mut trie = Trie::new(Seed(0));
    trie.add(b"#.a.#.a.#.a.#", &queue(1));
    let mut hits = 0;
    let key = vec!["a"; 100].join(".");
    trie.for_each_match(key.as_bytes(), &mut TopicScratch::default(), &mut |_| hits += 1);
    assert_eq!(hits, 1);
}
