//! Index pages come and go with what they tell of.

use super::Engine;
use super::stepped::{come_to_rest, durable_queue, lease, message_for, publish_all};
use crate::disk::Disk;
use crate::disk::sim::{Rng, SimDisk};
use crate::format::memory_offset;
use crate::ids::{QueueId, Seq};
use crate::index::pages::INDEX_DIR;
use crate::limits::PAGE_BYTES;
use crate::options::Options;
use crate::shard::NewMessage;
use crate::{AckReason, Persistence};
use std::collections::BTreeSet;

/// So many messages come and go at once.
const PASSING: u64 = 150;

fn open(disk: &SimDisk) -> Engine<SimDisk> {
    Engine::open(disk.clone(), Options::tiny(), ()).unwrap().0
}

fn slabs(disk: &SimDisk) -> usize {
    disk.list(INDEX_DIR).unwrap().len()
}

fn publish(engine: &Engine<SimDisk>, queue: QueueId, messages: u64) {
    publish_as(engine, Persistence::Persistent, queue, messages);
}

fn publish_as(engine: &Engine<SimDisk>, persistence: Persistence, queue: QueueId, messages: u64) {
    let message = NewMessage {
        persistence,
        ..message_for(std::slice::from_ref(&queue), &[&[7; 8]])
    };
    let messages = std::iter::repeat_n(message, usize::try_from(messages).unwrap());
    let block = publish_all(engine, messages);
    engine.wait_durable(block).unwrap();
}

fn acknowledge(engine: &Engine<SimDisk>, disk: &SimDisk, queue: QueueId, first: u64, count: u64) {
    let acked =
        engine
            .lock()
            .shard()
            .acknowledge(queue, Seq::new(first), count, AckReason::Acked, disk.now());
    engine.wait_durable(acked.unwrap()).unwrap();
}

/// So many times some messages come and are acknowledged, then checkpoints are taken.
fn pass(engine: &Engine<SimDisk>, disk: &SimDisk, queue: QueueId, rounds: u64) {
    for _ in 0..rounds {
        publish(engine, queue, PASSING);
        let mut seqs = Vec::new();
        while seqs.len() < usize::try_from(PASSING).unwrap() {
            seqs.extend(lease(engine, queue, 150));
        }
        acknowledge(engine, disk, queue, seqs[0], PASSING);
        while engine.step() {}
    }
    for _ in 0..3 {
        publish(engine, queue, 1);
        let seqs = lease(engine, queue, 1);
        acknowledge(engine, disk, queue, seqs[0], 1);
        engine.checkpoint();
        come_to_rest(engine, disk);
    }
}

#[test]
fn the_index_does_not_grow_behind_a_message_that_nobody_acknowledges() {
    let disk = SimDisk::new(1);
    let engine = open(&disk);
    let orders = durable_queue(&engine);
    publish(&engine, orders, 1);
    assert_eq!(lease(&engine, orders, 1), [0]);
    pass(&engine, &disk, orders, 100);
    let before = slabs(&disk);
    for _ in 0..3 {
        pass(&engine, &disk, orders, 100);
    }
    assert!(
        slabs(&disk) <= before + 1,
        "{before} slabs became {}",
        slabs(&disk)
    );
    engine.close().unwrap();
    drop(engine);
    let engine = open(&disk);
    assert_eq!(lease(&engine, orders, 10), [0]);
}

#[test]
fn what_lies_between_pages_that_went_is_found_by_the_next_start() {
    let disk = SimDisk::new(1);
    let engine = open(&disk);
    let orders = durable_queue(&engine);
    for _ in 0..8 {
        publish(&engine, orders, PASSING);
    }
    while !lease(&engine, orders, 150).is_empty() {}
    // Out of order, so that first one page is dead, then another, and an entry between them lives.
    acknowledge(&engine, &disk, orders, 700, 400);
    acknowledge(&engine, &disk, orders, 10, 590);
    engine.checkpoint();
    acknowledge(&engine, &disk, orders, 601, 99);
    publish(&engine, orders, 10);
    drop(engine);
    let disk = disk.after_kill();
    let engine = open(&disk);
    let mut found = Vec::new();
    while let seqs = lease(&engine, orders, 150)
        && !seqs.is_empty()
    {
        found.extend(seqs);
    }
    let expected: Vec<u64> = (0..10).chain([600]).chain(1100..1210).collect();
    assert_eq!(found, expected);
}

/// A queue of as many messages as need an index of so many slabs.
fn backlog(engine: &Engine<SimDisk>, disk: &SimDisk, queue: QueueId, wanted: usize) -> u64 {
    backlog_of(engine, disk, Persistence::Persistent, queue, wanted)
}

fn backlog_of(
    engine: &Engine<SimDisk>,
    disk: &SimDisk,
    persistence: Persistence,
    queue: QueueId,
    wanted: usize,
) -> u64 {
    let mut published = 0;
    while slabs(disk) < wanted {
        publish_as(engine, persistence, queue, PASSING);
        published += PASSING;
        while engine.step() {}
    }
    published
}

fn drain(engine: &Engine<SimDisk>, disk: &SimDisk, queue: QueueId, messages: u64) {
    while !lease(engine, queue, 1000).is_empty() {}
    acknowledge(engine, disk, queue, 0, messages);
}

/// Checkpoints are taken while a message comes and goes now and then.
fn go_on(engine: &Engine<SimDisk>, disk: &SimDisk, checkpoints: usize) {
    let news = durable_queue(engine);
    for _ in 0..checkpoints {
        publish(engine, news, 1);
        engine.checkpoint();
        come_to_rest(engine, disk);
    }
}

#[test]
fn the_index_of_a_backlog_that_has_gone_is_given_back() {
    let disk = SimDisk::new(1);
    let engine = open(&disk);
    let orders = durable_queue(&engine);
    let published = backlog(&engine, &disk, orders, 12);
    drain(&engine, &disk, orders, published);
    go_on(&engine, &disk, 10);
    assert!(slabs(&disk) <= 3, "{} slabs", slabs(&disk));
    let published = backlog(&engine, &disk, orders, 5);
    assert!(published > 0, "it grows again");
    drop(engine);
    let disk = disk.after_kill();
    let engine = open(&disk);
    let mut held = 0;
    while let seqs @ 1.. = lease(&engine, orders, 1000).len() {
        held += seqs;
    }
    assert_eq!(u64::try_from(held).unwrap(), published);
}

#[test]
fn messages_that_stay_do_not_keep_the_index_of_those_that_have_gone() {
    let disk = SimDisk::new(1);
    let engine = open(&disk);
    let orders = durable_queue(&engine);
    let published = backlog(&engine, &disk, orders, 12);
    let quiet: Vec<_> = (0..100).map(|_| durable_queue(&engine)).collect();
    for queue in &quiet {
        publish(&engine, *queue, 2);
    }
    come_to_rest(&engine, &disk);
    drain(&engine, &disk, orders, published);
    go_on(&engine, &disk, 40);
    assert!(slabs(&disk) <= 5, "{} slabs", slabs(&disk));
    drop(engine);
    let disk = disk.after_kill();
    let engine = open(&disk);
    for queue in quiet {
        assert_eq!(lease(&engine, queue, 10), [0, 1]);
    }
}

/// Lets time pass, in which nobody asks for anything.
fn stand_still(engine: &Engine<SimDisk>, disk: &SimDisk, checkpoints: u64) {
    for _ in 0..checkpoints {
        disk.advance(Options::tiny().checkpoint_ms);
        while engine.step() {}
    }
}

#[test]
fn the_index_of_transient_messages_goes_while_nothing_is_logged_and_then_nothing_is_written() {
    let disk = SimDisk::new(1);
    let engine = open(&disk);
    let orders = durable_queue(&engine);
    let published = backlog_of(&engine, &disk, Persistence::Transient, orders, 8);
    let quiet: Vec<_> = (0..100).map(|_| durable_queue(&engine)).collect();
    for queue in &quiet {
        publish(&engine, *queue, 2);
    }
    come_to_rest(&engine, &disk);
    drain(&engine, &disk, orders, published);
    stand_still(&engine, &disk, 60);
    assert!(slabs(&disk) <= 5, "{} slabs", slabs(&disk));
    let before = engine.counters();
    stand_still(&engine, &disk, 20);
    let after = engine.counters();
    assert_eq!(after.blocks, before.blocks, "a store at rest writes");
    assert_eq!(after.checkpoints, before.checkpoints);
}

#[test]
fn an_index_that_was_too_large_at_a_start_is_given_back_while_nobody_asks_for_anything() {
    let disk = SimDisk::new(1);
    let engine = open(&disk);
    let orders = durable_queue(&engine);
    let published = backlog(&engine, &disk, orders, 8);
    drain(&engine, &disk, orders, published);
    drop(engine);
    let disk = disk.after_kill();
    let engine = open(&disk);
    assert!(slabs(&disk) >= 8);
    stand_still(&engine, &disk, 60);
    assert!(slabs(&disk) <= 4, "{} slabs", slabs(&disk));
}

#[test]
fn a_damaged_page_in_the_way_is_not_waited_for() {
    let disk = SimDisk::new(1);
    let engine = open(&disk);
    let orders = durable_queue(&engine);
    let published = backlog(&engine, &disk, orders, 8);
    let quiet: Vec<_> = (0..20).map(|_| durable_queue(&engine)).collect();
    for queue in &quiet {
        publish(&engine, *queue, 2);
    }
    engine.checkpoint();
    come_to_rest(&engine, &disk);
    drain(&engine, &disk, orders, published);
    engine.checkpoint();
    come_to_rest(&engine, &disk);
    drop(engine);
    let disk = disk.after_kill();
    for slab in disk.list(INDEX_DIR).unwrap() {
        let pages = memory_offset(Options::tiny().slab_bytes) / PAGE_BYTES;
        for bit in (0..pages).map(|page| (page * PAGE_BYTES + 100) * 8) {
            let bit = u64::try_from(bit).unwrap();
            disk.flip_bit(&format!("{INDEX_DIR}/{slab}"), bit).unwrap();
        }
    }
    let engine = open(&disk);
    stand_still(&engine, &disk, 20);
    let before = engine.counters();
    stand_still(&engine, &disk, 20);
    assert_eq!(engine.counters().blocks, before.blocks, "a store at rest writes");
}

#[test]
fn a_crash_at_any_step_while_the_index_shrinks_loses_nothing() {
    let disk = SimDisk::new(1);
    let engine = open(&disk);
    let orders = durable_queue(&engine);
    let published = backlog(&engine, &disk, orders, 6);
    let quiet: Vec<_> = (0..20).map(|_| durable_queue(&engine)).collect();
    for queue in &quiet {
        publish(&engine, *queue, 2);
    }
    come_to_rest(&engine, &disk);
    drain(&engine, &disk, orders, published);
    let news = durable_queue(&engine);
    let mut rng = Rng::new(7);
    let (mut crashes, mut sizes) = (0, BTreeSet::new());
    for _ in 0..12 {
        publish(&engine, news, 1);
        disk.advance(Options::tiny().checkpoint_ms);
        while engine.step() {
            crashes += 1;
            sizes.insert(slabs(&disk));
            let disk = disk.after_crash(&mut rng);
            let (engine, report) = Engine::open(disk, Options::tiny(), ()).unwrap();
            assert!(!report.index_rebuilt && report.lost.is_empty(), "{report:?}");
            for queue in &quiet {
                assert_eq!(lease(&engine, *queue, 10), [0, 1]);
            }
            assert_eq!(lease(&engine, orders, 1), [0; 0]);
        }
    }
    assert!(
        crashes > 20 && sizes.len() > 2,
        "{crashes} crashes, slabs {sizes:?}"
    );
}
