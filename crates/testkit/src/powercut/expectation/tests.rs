//! Contents that are as they must be, and each way in which they are not.

use super::*;
use crate::powercut::mark::WINDOW;

const MESSAGES: fn() -> Messages = || Messages::new(1);

fn mark(first: u64, confirmed: u64) -> Mark {
    Mark {
        first,
        confirmed,
        ..Mark::default()
    }
}

/// Queues that hold these numbers, each where it belongs.
fn holding(numbers: impl IntoIterator<Item = u64>) -> Contents {
    let mut contents = Contents::default();
    for number in numbers {
        contents[MESSAGES().queue(number)].push(Found::Whole(number));
    }
    contents
}

fn verdict(marks: &[Mark], contents: &Contents) -> Verdict {
    Expectation::of(marks.iter().copied()).judge(MESSAGES(), contents)
}

#[test]
fn what_was_confirmed_must_be_there_and_what_was_sent_may_be() {
    let marks = [mark(0, 10)];
    assert!(verdict(&marks, &holding(0..10)).is_good());
    assert!(verdict(&marks, &holding(0..10 + WINDOW)).is_good());
    assert!(verdict(&marks, &holding((0..10).chain([30]))).is_good());
    assert_eq!(verdict(&marks, &holding(0..9)).lost, 1);
}

#[test]
fn what_cannot_have_been_sent_yet_is_invented() {
    let marks = [mark(0, 10)];
    assert_eq!(verdict(&marks, &holding(0..11 + WINDOW)).invented, 1);
}

#[test]
fn a_message_in_another_queue_is_invented_and_lost_or_twice() {
    let mut contents = holding(0..10);
    let queue = (0..QUEUES.len())
        .find(|queue| *queue != MESSAGES().queue(9))
        .unwrap();
    contents[queue].push(Found::Whole(9));
    assert_eq!(verdict(&[mark(0, 10)], &contents).invented, 1);
}

#[test]
fn damage_and_disorder_are_seen() {
    let mut contents = holding(0..100);
    contents[1].reverse();
    contents[0].push(Found::Damaged);
    let verdict = verdict(&[mark(0, 100)], &contents);
    assert_eq!(verdict.damaged, 1);
    assert!(verdict.disordered > 0 && !verdict.is_good());
}

#[test]
fn a_message_that_comes_twice_is_out_of_order() {
    let mut contents = holding(0..10);
    let last = *contents[MESSAGES().queue(9)].last().unwrap();
    contents[MESSAGES().queue(9)].push(last);
    assert_eq!(verdict(&[mark(0, 10)], &contents).disordered, 1);
}

#[test]
fn what_may_be_acknowledged_may_be_gone_or_there() {
    let number = (0..100).find(|number| MESSAGES().queue(*number) == 2).unwrap();
    let mut marks = [mark(0, 100)];
    marks[0].acked[2] = number + 1;
    let without = || holding((0..100).filter(|other| *other != number));
    assert!(verdict(&marks, &without()).is_good());
    assert!(verdict(&marks, &holding(0..100)).is_good());
    assert_eq!(verdict(&[mark(0, 100)], &without()).lost, 1);
}

#[test]
fn what_was_shown_must_be_there_although_nobody_confirmed_it() {
    let number = (10..10 + WINDOW).find(|number| MESSAGES().queue(*number) == 2);
    let mut marks = [mark(0, 10)];
    marks[0].shown[2] = number.unwrap() + 1;
    assert_eq!(verdict(&marks, &holding(0..10)).lost, 1);
    assert!(verdict(&marks, &holding((0..10).chain(number))).is_good());
}

#[test]
fn each_life_counts_by_its_newest_mark() {
    let (early, late) = (
        mark(0, 5),
        Mark {
            serial: 1,
            ..mark(0, 10)
        },
    );
    let mut next = late.next_life();
    next.confirmed = 3;
    let marks = [early, late, next];
    let all = holding((0..10).chain(next.first..next.first + 3));
    assert!(verdict(&marks, &all).is_good());
    assert_eq!(verdict(&marks, &holding(0..10)).lost, 3);
    assert_eq!(Expectation::of(marks).confirmed(), 13);
}
