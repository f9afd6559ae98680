//! Each promise broken once, and caught; and runs that keep them all.

use super::*;
use crate::crash::workload::{DELAYED_QUEUE, RANKED_QUEUE, RELAYED_QUEUE, URGENT_QUEUE, WORKED_QUEUE};

struct Run {
    workload: Workload,
    ledger: Ledger,
}

impl Run {
    fn new() -> Self {
        let workload = Workload::new(11);
        Self {
            workload,
            ledger: Ledger::new(workload),
        }
    }

    /// Publishes and confirms `count` messages of publisher 0.
    fn with_confirmed(count: usize) -> (Self, Vec<MessageId>) {
        let mut run = Self::new();
        let ids: Vec<_> = (0..count).map(|_| run.ledger.publish(0)).collect();
        ids.iter().for_each(|&id| run.ledger.confirm(id));
        (run, ids)
    }

    fn deliver(&mut self, queue: usize, id: MessageId, redelivered: bool) {
        let mut body = Vec::new();
        self.workload.fill(id, &mut body);
        self.ledger.deliver(queue, id, redelivered, &body);
    }

    fn deliver_everywhere(&mut self, id: MessageId) {
        for queue in self.workload.queues_of(id) {
            self.deliver(queue, id, false);
        }
    }

    /// The messages among `ids` that go to a queue, in order.
    fn of_queue(&self, queue: usize, ids: &[MessageId]) -> Vec<MessageId> {
        let ids = ids.iter().copied();
        ids.filter(|&id| self.workload.queues_of(id).contains(&queue))
            .collect()
    }

    fn found(self) -> Vec<Violation> {
        self.ledger.finish().violations().first().to_vec()
    }
}

#[test]
fn a_run_that_keeps_every_promise_has_no_violations() {
    let (mut run, ids) = Run::with_confirmed(500);
    ids.iter().for_each(|&id| run.deliver_everywhere(id));
    assert_eq!(run.found(), []);
}

#[test]
fn a_duplicate_with_the_flag_is_allowed() {
    let (mut run, ids) = Run::with_confirmed(1);
    run.deliver_everywhere(ids[0]);
    for queue in run.workload.queues_of(ids[0]) {
        run.deliver(queue, ids[0], true);
    }
    assert_eq!(run.found(), []);
}

#[test]
fn what_was_not_confirmed_may_be_missing_and_may_be_there() {
    let mut run = Run::new();
    let (missing, there) = (run.ledger.publish(2), run.ledger.publish(2));
    run.deliver_everywhere(there);
    assert_ne!(missing, there);
    assert_eq!(run.found(), []);
}

#[test]
fn a_confirmed_message_that_never_comes_is_lost() {
    let (mut run, ids) = Run::with_confirmed(100);
    let lost = ids[41];
    ids.iter()
        .filter(|&&id| id != lost)
        .for_each(|&id| run.deliver_everywhere(id));
    let expected: Vec<_> = run
        .workload
        .queues_of(lost)
        .map(|queue| Violation::Lost { queue, id: lost })
        .collect();
    assert_eq!(run.found(), expected);
}

#[test]
fn a_confirmed_message_that_one_queue_of_the_fan_out_forgot_is_lost() {
    let (mut run, ids) = Run::with_confirmed(100);
    let fan_out = *ids.iter().find(|&&id| run.workload.is_fan_out(id)).unwrap();
    let forgetful = run.workload.queues_of(fan_out).start;
    for &id in &ids {
        for queue in run.workload.queues_of(id) {
            if (id, queue) != (fan_out, forgetful) {
                run.deliver(queue, id, false);
            }
        }
    }
    assert_eq!(
        run.found(),
        [Violation::Lost {
            queue: forgetful,
            id: fan_out
        }]
    );
}

#[test]
fn an_unconfirmed_fan_out_is_in_all_of_its_queues_or_in_none() {
    let mut run = Run::new();
    let id = (0..)
        .map(|_| run.ledger.publish(0))
        .find(|&id| run.workload.is_fan_out(id))
        .unwrap();
    let queues = run.workload.queues_of(id);
    run.deliver(queues.start, id, false);
    let expected: Vec<_> = queues
        .skip(1)
        .map(|queue| Violation::Partial { queue, id })
        .collect();
    assert_eq!(run.found(), expected);
}

#[test]
fn a_duplicate_without_the_flag_is_caught() {
    let (mut run, ids) = Run::with_confirmed(1);
    run.deliver_everywhere(ids[0]);
    let queue = run.workload.queues_of(ids[0]).start;
    run.deliver(queue, ids[0], false);
    assert_eq!(run.found(), [Violation::Unflagged { queue, id: ids[0] }]);
}

#[test]
fn a_first_delivery_behind_a_later_message_is_caught() {
    let mut run = Run::new();
    let ids: Vec<_> = (0..100).map(|_| run.ledger.publish(1)).collect();
    let queue = RELAYED_QUEUE;
    let same = run.of_queue(queue, &ids);
    run.deliver(queue, same[1], false);
    run.deliver(queue, same[0], true);
    let found = run.found();
    assert!(
        found.contains(&Violation::Reordered {
            queue,
            id: same[0],
            after: same[1].number
        }),
        "{found:?}"
    );
}

#[test]
fn among_messages_of_one_priority_order_is_judged_and_among_others_it_is_not() {
    for queue in [URGENT_QUEUE, RANKED_QUEUE] {
        let mut run = Run::new();
        let ids: Vec<_> = (0..1000).map(|_| run.ledger.publish(1)).collect();
        let mut urgent = run.of_queue(queue, &ids);
        urgent.sort_by_key(|&id| std::cmp::Reverse(run.workload.priority(id)));
        urgent.iter().for_each(|&id| run.deliver(queue, id, false));
        assert_eq!(run.ledger.violations().count(ViolationKind::Reordered), 0);
        let mut run = Run::new();
        for _ in &ids {
            run.ledger.publish(1);
        }
        urgent.swap(0, 1);
        urgent.iter().for_each(|&id| run.deliver(queue, id, false));
        assert_eq!(run.ledger.violations().count(ViolationKind::Reordered), 1);
    }
}

#[test]
fn what_is_put_off_or_refused_may_come_in_any_order() {
    let mut run = Run::new();
    let ids: Vec<_> = (0..1000).map(|_| run.ledger.publish(1)).collect();
    for queue in [WORKED_QUEUE, DELAYED_QUEUE] {
        for id in run.of_queue(queue, &ids).into_iter().rev() {
            run.deliver(queue, id, false);
        }
    }
    assert_eq!(run.ledger.violations().count(ViolationKind::Reordered), 0);
}

#[test]
fn order_is_judged_by_first_occurrence_only() {
    let mut run = Run::new();
    let ids: Vec<_> = (0..100).map(|_| run.ledger.publish(1)).collect();
    let queue = RELAYED_QUEUE;
    let same = run.of_queue(queue, &ids);
    for (id, redelivered) in [
        (same[0], false),
        (same[1], false),
        (same[0], true),
        (same[2], false),
    ] {
        run.deliver(queue, id, redelivered);
    }
    assert_eq!(run.ledger.violations().count(ViolationKind::Reordered), 0);
}

#[test]
fn a_damaged_body_is_caught() {
    let (mut run, ids) = Run::with_confirmed(1);
    let queue = run.workload.queues_of(ids[0]).start;
    let mut body = Vec::new();
    run.workload.fill(ids[0], &mut body);
    body.push(0);
    run.ledger.deliver(queue, ids[0], false, &body);
    assert_eq!(run.ledger.violations().count(ViolationKind::Damaged), 1);
}

#[test]
fn a_message_that_nobody_published_is_caught() {
    let mut run = Run::new();
    run.ledger.publish(0);
    let invented = [
        MessageId {
            publisher: 0,
            number: 1,
        },
        MessageId {
            publisher: 999,
            number: 0,
        },
    ];
    invented.iter().for_each(|&id| run.deliver(0, id, false));
    let expected = invented.map(|id| Violation::NeverPublished { queue: 0, id });
    assert_eq!(run.found(), expected);
}

#[test]
fn a_message_in_a_queue_that_it_was_not_routed_to_is_caught() {
    let mut run = Run::new();
    let id = run.ledger.publish(0);
    let wrong = (0..QUEUE_COUNT)
        .find(|queue| !run.workload.queues_of(id).contains(queue))
        .unwrap();
    run.deliver(wrong, id, false);
    assert_eq!(run.found(), [Violation::WrongQueue { queue: wrong, id }]);
}

#[test]
fn acks_and_queues_that_a_restart_undoes_are_caught() {
    let mut run = Run::new();
    run.ledger.acks_undone(3, 12);
    run.ledger.queue_missing(4);
    assert_eq!(run.ledger.violations().count(ViolationKind::Undone), 2);
}

#[test]
fn all_violations_are_counted_though_few_are_kept() {
    let (run, _) = Run::with_confirmed(10_000);
    let finished = run.ledger.finish();
    assert!(finished.violations().count(ViolationKind::Lost) >= 10_000);
    assert!(finished.violations().first().len() < 1_000);
}
