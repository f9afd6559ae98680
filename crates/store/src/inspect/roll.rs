//! Which segments the log has, in a few words: for who asked for another.

use crate::ids::SegmentNumber;
use crate::recovery::{Directory, Found};

/// So many runs of numbers are told.
const RUNS_MAX: usize = 8;

/// The numbers of the segments, in decimal; those of cold ones with a `c` before them.
pub(super) fn told(directory: &Directory) -> String {
    let Directory { segments, cold, .. } = directory;
    let mut runs = runs("", numbers(segments, SegmentNumber::get));
    let index = |number: SegmentNumber| number.cold_index().unwrap_or_default();
    runs.extend(self::runs("c", numbers(cold, index)));
    let more = runs.len().saturating_sub(RUNS_MAX);
    runs.truncate(RUNS_MAX);
    match (&runs[..], more) {
        ([], _) => "no segment".to_owned(),
        (runs, 0) => runs.join(", "),
        (runs, _) => format!("{} and more", runs.join(", ")),
    }
}

fn numbers(found: &[Found], number: impl Fn(SegmentNumber) -> u64) -> Vec<u64> {
    let mut numbers: Vec<u64> = found.iter().map(|found| number(found.number)).collect();
    numbers.sort_unstable();
    numbers
}

/// Numbers that follow each other, as one.
fn runs(mark: &str, numbers: Vec<u64>) -> Vec<String> {
    let mut runs: Vec<(u64, u64)> = Vec::new();
    for number in numbers {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => runs.push((number, number)),
        }
    }
    let text = |(first, last): (u64, u64)| {
        if first == last {
            format!("{mark}{first}")
        } else {
            format!("{mark}{first} to {mark}{last}")
        }
    };
    runs.into_iter().map(text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_follow_each_other_are_told_as_one() {
        assert_eq!(runs("", vec![1, 2, 3, 7]), ["1 to 3", "7"]);
        assert_eq!(runs("c", vec![4, 6, 7]), ["c4", "c6 to c7"]);
        assert!(runs("", Vec::new()).is_empty());
    }
}
