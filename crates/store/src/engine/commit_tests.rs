//! Who brings messages and writes them itself.

use super::stepped::{durable_queue, lease, message_for};
use super::*;
use crate::disk::sim::SimDisk;
use crate::limits::{LEADER_BYTES_ALONE_MAX, LEADER_MESSAGES_ALONE_MAX, LEADER_MESSAGES_MAX, WRITES_ALONE};
use crate::options::Options;
use crate::tail::{Next, Take, WriteJob};
use crate::{AckReason, QueueId, Seq};

struct Quiet {
    disk: SimDisk,
    engine: Engine<SimDisk>,
    queue: QueueId,
}

impl Quiet {
    /// A store into which one after the other has brought something, and nobody met a write.
    fn new() -> Self {
        let disk = SimDisk::new(1);
        let options = Options {
            segment_bytes: 8 << 20,
            block_bytes_soft: 1 << 20,
            ..Options::tiny()
        };
        let (engine, _) = Engine::open(disk.clone(), options, ()).unwrap();
        let queue = durable_queue(&engine);
        let store = Self { disk, engine, queue };
        for _ in 0..WRITES_ALONE {
            store.publish(16);
            let job = store.begin_write();
            store.engine.inner.write(job);
        }
        store
    }

    fn publish(&self, bytes: usize) {
        let (queues, body) = ([self.queue], vec![7; bytes]);
        let parts: [&[u8]; 1] = [&body];
        let message = message_for(&queues, &parts);
        self.engine.lock().shard().publish(&message).unwrap();
    }

    fn begin_write(&self) -> WriteJob<SimDisk> {
        let now = self.disk.now();
        match self.engine.lock().shard().next_write(now, Take::All) {
            Next::Write(job) => job,
            Next::NeedsSegment | Next::Nothing => panic!("something was published, and there is room"),
        }
    }

    /// Whether somebody who brought so many messages would write them.
    fn leads(&self, brought: usize) -> bool {
        let locked = self.engine.inner.lock();
        self.engine.inner.may_lead(&locked, brought)
    }
}

#[test]
fn who_is_alone_writes_some_messages_itself_but_not_many_and_not_large_ones() {
    let store = Quiet::new();
    assert!(store.leads(LEADER_MESSAGES_ALONE_MAX));
    assert!(!store.leads(LEADER_MESSAGES_ALONE_MAX + 1));
    assert!(!store.leads(0));
    store.publish(usize::try_from(LEADER_BYTES_ALONE_MAX).unwrap());
    assert!(!store.leads(LEADER_MESSAGES_MAX + 1));
    assert!(store.leads(LEADER_MESSAGES_MAX));
}

#[test]
fn who_has_met_others_leaves_more_than_a_few_messages_to_the_journal_thread_for_a_while() {
    let store = Quiet::new();
    store.publish(16);
    let job = store.begin_write();
    store.publish(16);
    store.engine.commit(1);
    store.engine.inner.write(job);
    for _ in 0..WRITES_ALONE {
        assert!(!store.leads(LEADER_MESSAGES_MAX + 1));
        assert!(store.leads(LEADER_MESSAGES_MAX));
        store.publish(16);
        let job = store.begin_write();
        store.engine.inner.write(job);
    }
    assert!(store.leads(LEADER_MESSAGES_MAX + 1));
}

#[test]
fn who_acknowledges_meanwhile_waits_for_nothing_and_is_no_company() {
    let store = Quiet::new();
    assert_eq!(lease(&store.engine, store.queue, 1).len(), 1);
    store.publish(16);
    let job = store.begin_write();
    let first = Seq::new(1);
    store
        .engine
        .lock()
        .shard()
        .acknowledge(store.queue, first, 1, AckReason::Acked, store.disk.now())
        .unwrap();
    store.engine.commit(1);
    store.engine.inner.write(job);
    assert!(store.leads(LEADER_MESSAGES_ALONE_MAX));
}
