//! Where fetched messages lie, and when acknowledgements are written.

use super::{Batch, Delivery, Message, Queue, QueueOptions, Store};
use crate::Options;
use crate::disk::sim::SimDisk;
use crate::engine::stepped::wakes_journal;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

const LARGE: usize = 6000;

fn open() -> (Store<SimDisk>, Queue<SimDisk>) {
    let (store, _) = Store::open_on(SimDisk::new(1), Options::tiny()).unwrap();
    let queue = store.queue("orders", QueueOptions::default()).unwrap();
    (store, queue)
}

fn publish(store: &Store<SimDisk>, queue: &Queue<SimDisk>, message: Message<'_>) {
    let mut batch = Batch::new();
    batch.publish(&[queue.id()], message);
    store.commit(batch).unwrap();
}

fn fetch_one(queue: &Queue<SimDisk>) -> Delivery<SimDisk> {
    queue.fetch(1).unwrap().pop().unwrap()
}

#[test]
fn a_large_message_keeps_the_block_that_it_lies_in_and_a_small_one_is_copied() {
    let (store, queue) = open();
    publish(&store, &queue, Message::new(&[1; LARGE]).with_properties("json"));
    publish(&store, &queue, Message::new("small").with_properties("text"));

    let large = fetch_one(&queue);
    let kept = store.shared_bytes().get();
    assert!(kept >= LARGE, "{kept} bytes");
    let small = fetch_one(&queue);
    assert_eq!(store.shared_bytes().get(), kept);
    assert_eq!(
        (large.body(), large.properties()),
        (&[1; LARGE][..], &b"json"[..])
    );
    assert_eq!((small.body(), small.properties()), (&b"small"[..], &b"text"[..]));

    large.ack().unwrap();
    assert_eq!(store.shared_bytes().get(), 0);
}

#[test]
fn deliveries_stay_as_they_are_while_their_blocks_leave_memory_and_the_reader_reads_on() {
    let (store, queue) = open();
    for number in 0..40_u8 {
        publish(&store, &queue, Message::new(&[number; LARGE]));
        publish(&store, &queue, Message::new(&[number; 9]));
    }
    // Of the first ones the blocks are in memory no more, of the last ones they are.
    let one_by_one: Vec<_> = (0..30).map(|_| fetch_one(&queue)).collect();
    let together = queue.fetch(50).unwrap();
    for _ in 0..40 {
        publish(&store, &queue, Message::new(&[77; LARGE]));
    }
    let all = one_by_one.iter().chain(&together);
    for (delivery, place) in all.zip(0..) {
        let len = if place % 2 == 0 { LARGE } else { 9 };
        assert_eq!(delivery.body(), vec![place / 2; len], "message {place}");
    }
    drop((one_by_one, together));
    assert_eq!(store.shared_bytes().get(), 0);
}

#[test]
fn a_message_that_comes_again_is_marked_and_has_its_place_before_those_that_were_never_fetched() {
    let (store, queue) = open();
    for number in 0..6_u8 {
        publish(&store, &queue, Message::new(&[number]));
    }
    let mut first = queue.fetch(3).unwrap();
    drop(first.remove(1));
    let seen: Vec<_> = queue.fetch(9).unwrap();
    let seen = seen
        .iter()
        .map(|delivery| (delivery.body()[0], delivery.is_redelivered()));
    assert!(seen.eq([(1, true), (3, false), (4, false), (5, false)]));
}

#[test]
fn acknowledgements_wait_for_company_unless_their_ticket_is_awaited() {
    let (store, queue) = open();
    publish(&store, &queue, Message::new("done"));
    let mut done = Batch::new();
    done.ack(fetch_one(&queue));
    while store.engine().step() {}
    let ticket = store.commit_buffered(done).unwrap();
    let is_due = || store.engine().lock().shard().has_due(store.now());
    assert!(!is_due() && !ticket.is_durable());

    let mut ticket = pin!(ticket);
    let mut context = Context::from_waker(Waker::noop());
    assert!(ticket.as_mut().poll(&mut context).is_pending());
    assert!(is_due());
    while store.engine().step() {}
    assert!(matches!(ticket.poll(&mut context), Poll::Ready(Ok(_))));
}

#[test]
fn a_fetch_that_passes_over_what_expired_tells_the_journal() {
    let disk = SimDisk::new(1);
    let (store, _) = Store::open_on(disk.clone(), Options::tiny()).unwrap();
    let options = QueueOptions {
        time_to_live_ms: Some(10),
        ..QueueOptions::default()
    };
    let queue = store.queue("orders", options).unwrap();
    publish(&store, &queue, Message::new("early"));
    fetch_one(&queue).ack().unwrap();
    publish(&store, &queue, Message::new("late"));
    while store.engine().step() {}
    disk.advance(20);
    let told = wakes_journal(store.engine(), || assert!(queue.fetch(1).unwrap().is_empty()));
    assert!(told, "acknowledgements that come now ride with that block");
}

#[test]
fn acknowledgements_in_any_order_end_the_same_messages() {
    let (store, queue) = open();
    for number in 0..20_u8 {
        publish(&store, &queue, Message::new(&[number]));
    }
    let mut open: Vec<_> = (0..20).map(|_| fetch_one(&queue)).collect();
    for places in [&[4, 5, 6][..], &[9, 8, 7], &[0, 16, 1]] {
        let mut done = Batch::new();
        for place in places {
            let at = open.iter().position(|delivery| delivery.seq().get() == *place);
            done.ack(open.remove(at.unwrap()));
        }
        store.commit(done).unwrap();
    }
    drop(open);
    let left: Vec<_> = (0..11).map(|_| fetch_one(&queue)).collect();
    let left: Vec<_> = left.iter().map(|delivery| delivery.seq().get()).collect();
    assert!(queue.fetch(1).unwrap().is_empty());
    assert_eq!(left, [2, 3, 10, 11, 12, 13, 14, 15, 17, 18, 19]);
}
