//! An engine with threads on the simulated disk.

use super::stepped::{come_to_rest, durable_queue, lease, message_for, publish_all};
use super::*;
use crate::disk::sim::{FaultPlan, SimDisk};
use crate::disk::{DiskFile, FileKind};
use crate::format::byte_count;
use crate::ids::Seq;
use crate::index::page::{self, ENTRIES};
use crate::index::pages::INDEX_DIR;
use crate::limits::PAGE_BYTES;
use crate::options::Options;
use crate::shard::{Applied, Done, Job, NewMessage};
use crate::{Persistence, QueueId};
use std::sync::{OnceLock, mpsc};
use std::task::Wake;
use std::time::Duration;

/// Far more than anything here takes: a test that waits longer hangs.
const PATIENCE: Duration = Duration::from_secs(30);

fn publish(engine: &Engine<SimDisk>, queue: QueueId, count: usize) -> BlockNumber {
    let message = message_for(std::slice::from_ref(&queue), &[&[7; 6000]]);
    let block = publish_all(engine, std::iter::repeat_n(message, count));
    engine.commit(count);
    block
}

#[test]
fn a_stop_that_has_begun_does_not_wait_for_those_who_go_on() {
    let disk = SimDisk::new(1);
    let (engine, _) = Engine::open(disk, Options::tiny(), ()).unwrap();
    let queue = durable_queue(&engine);
    let accepted = publish(&engine, queue, 1);
    engine.inner.stop_threads();
    let refused = engine.lock().shard().publish(&message_for(&[queue], &[b"late"]));
    assert!(refused.unwrap_err().to_string().contains("closed"));
    engine.close().unwrap();
    assert!(engine.lock().shard().durable().covers(accepted));
}

#[test]
fn a_stop_does_not_wait_for_room_on_a_full_disk() {
    let disk = SimDisk::new(1);
    let (engine, _) = Engine::open(disk.clone(), Options::tiny(), ()).unwrap();
    let queue = durable_queue(&engine);
    let first = publish(&engine, queue, 1);
    engine.wait_durable(first).unwrap();
    disk.set_capacity(Some(0));
    engine.start().unwrap();
    publish(&engine, queue, 100);
    let (stopped, has_stopped) = mpsc::channel();
    std::thread::spawn(move || {
        let result = engine.close();
        stopped.send(result.is_err())
    });
    let is_told = has_stopped
        .recv_timeout(PATIENCE)
        .expect("a stop comes to an end");
    assert!(is_told, "what was not written is not passed over in silence");
    disk.set_capacity(None);
    let (again, _) = Engine::open(disk, Options::tiny(), ()).unwrap();
    assert!(
        again
            .lock()
            .shard()
            .counts(queue)
            .is_some_and(|held| held.ready > 0)
    );
}

/// A follower that hands out one waker, once the store is poisoned.
struct Bell {
    wakers: Vec<Waker>,
    is_poisoned: bool,
}

impl Follower<SimDisk> for Bell {
    fn applied(&mut self, _shard: &mut Shard<SimDisk>, _applied: &Applied<'_>) {}

    fn poisoned(&mut self, _cause: &PoisonCause) {
        self.is_poisoned = true;
    }

    fn take_wakers(&mut self) -> Vec<Waker> {
        if self.is_poisoned {
            std::mem::take(&mut self.wakers)
        } else {
            Vec::new()
        }
    }

    fn return_wakers(&mut self, _empty: Vec<Waker>) {}
}

/// Takes the lock when it is woken.
struct Curious {
    engine: OnceLock<Engine<SimDisk, Bell>>,
    saw: mpsc::Sender<bool>,
}

impl Wake for Curious {
    fn wake(self: Arc<Self>) {
        let mut guard = self.engine.get().unwrap().lock();
        let is_poisoned = guard.shard().poisoned().is_some();
        self.saw.send(is_poisoned).unwrap();
    }
}

/// Somebody curious, a bell that wakes it, and what it saw.
fn curious() -> (Arc<Curious>, Bell, mpsc::Receiver<bool>) {
    let (saw, seen) = mpsc::channel();
    let curious = Arc::new(Curious {
        engine: OnceLock::new(),
        saw,
    });
    let bell = Bell {
        wakers: vec![Arc::clone(&curious).into()],
        is_poisoned: false,
    };
    (curious, bell, seen)
}

#[test]
fn who_is_woken_by_the_end_of_a_store_can_look_at_it() {
    let (curious, bell, seen) = curious();
    let (engine, _) = Engine::open(SimDisk::new(1), Options::tiny(), bell).unwrap();
    assert!(curious.engine.set(engine.clone()).is_ok());
    std::thread::spawn(move || {
        let cause = PoisonCause::new("reading the index", "x", std::io::Error::other("damaged"));
        let mut guard = engine.lock();
        guard.shard().poison(&cause);
        drop(guard);
    });
    assert!(seen.recv_timeout(PATIENCE).expect("a wake-up takes no lock"));
}

#[test]
fn the_end_of_a_store_that_no_call_reports_is_told_by_the_housekeeper() {
    let (curious, bell, seen) = curious();
    let (engine, _) = Engine::open(SimDisk::new(1), Options::tiny(), bell).unwrap();
    assert!(curious.engine.set(engine.clone()).is_ok());
    engine.start().unwrap();
    let cause = PoisonCause::new("reading the index", "x", std::io::Error::other("damaged"));
    engine.inner.lock().shard.poison(&cause);
    assert!(seen.recv_timeout(PATIENCE).expect("it is told"));
}

/// Flips a bit in the index page of a queue that begins with this seq.
fn damage_page(disk: &SimDisk, queue: QueueId, first: Seq) {
    for slab in disk.list(INDEX_DIR).unwrap() {
        let path = format!("{INDEX_DIR}/{slab}");
        let file = disk.open(&path, FileKind::Plain).unwrap();
        let mut bytes = [0; PAGE_BYTES];
        let mut offset = 0;
        while file.read_at(&mut bytes, offset).unwrap() == PAGE_BYTES {
            if page::owner(&bytes) == (queue, first) {
                disk.flip_bit(&path, offset * 8 + 2_000).unwrap();
                return;
            }
            offset += byte_count(PAGE_BYTES);
        }
    }
    panic!("no page begins with {first:?}");
}

#[test]
fn damage_that_is_found_while_messages_expire_is_told_though_nobody_asks() {
    let disk = SimDisk::new(1);
    let (engine, _) = Engine::open(disk.clone(), Options::tiny(), ()).unwrap();
    let queue = durable_queue(&engine);
    let queues = [queue];
    let mut message = message_for(&queues, &[b"soon over"]);
    message.expires_ms = Some(disk.now().wall_ms + 1_000);
    let count = usize::try_from(2 * ENTRIES).unwrap();
    let last = publish_all(&engine, std::iter::repeat_n(message, count));
    engine.wait_durable(last).unwrap();
    engine.close().unwrap();
    drop(engine);
    // The head lies in the page before it, which a start may look at.
    damage_page(&disk, queue, Seq::new(ENTRIES));
    let (curious, bell, seen) = curious();
    let (engine, _) = Engine::open(disk.clone(), Options::tiny(), bell).unwrap();
    assert!(curious.engine.set(engine.clone()).is_ok());
    disk.advance(2_000);
    engine.start().unwrap();
    assert!(seen.recv_timeout(PATIENCE).expect("it is told"));
}

#[test]
fn a_start_that_cannot_read_a_file_names_it_and_is_no_matter_of_versions() {
    let disk = SimDisk::new(1);
    let (engine, _) = Engine::open(disk.clone(), Options::tiny(), ()).unwrap();
    engine.checkpoint();
    engine.close().unwrap();
    drop(engine);
    let mut named = Vec::new();
    for call in 1.. {
        let disk = disk.fork();
        disk.fail_at(call);
        let opened = Engine::open(disk.clone(), Options::tiny(), ());
        if disk.failed().is_none() {
            break;
        }
        match opened {
            Ok(_) => {}
            Err(crate::OpenError::Io { file, .. }) => named.push(file),
            Err(other) => panic!("call {call}: {other:?}"),
        }
    }
    let is_named = |name: &str| named.iter().any(|file| file.starts_with(name));
    for name in [
        "META",
        "catalog.log",
        "shard-00/ckpt-",
        "shard-00/j/0",
        "shard-00/x/0",
    ] {
        assert!(is_named(name), "{name} is not among {named:?}");
    }
}

#[test]
fn a_segment_that_cannot_be_read_stays_and_does_not_stop_the_store() {
    let disk = SimDisk::new(1);
    let options = Options {
        evacuation_slack_bytes: 0,
        ..Options::tiny()
    };
    let (engine, _) = Engine::open(disk.clone(), options.clone(), ()).unwrap();
    let (kept, passing) = (durable_queue(&engine), durable_queue(&engine));
    publish(&engine, kept, 1);
    publish(&engine, passing, 40);
    let purged = engine.lock().shard().purge(passing, disk.now());
    engine.wait_durable(purged.unwrap().1).unwrap();

    disk.set_faults(FaultPlan {
        read_error: 1 << 16,
        ..FaultPlan::default()
    });
    let counters = come_to_rest(&engine, &disk);
    disk.set_faults(FaultPlan::default());
    assert!(engine.lock().shard().poisoned().is_none());
    assert!(counters.evacuations > 0 && counters.copies == 0, "{counters:?}");
    assert_eq!(engine.lock().shard().counts(kept).unwrap().ready, 1);

    // The next process tries again.
    drop(engine);
    let (engine, _) = Engine::open(disk.clone(), options, ()).unwrap();
    assert_eq!(come_to_rest(&engine, &disk).copies, 1);
}

#[test]
fn nothing_is_copied_that_the_index_has_no_page_to_point_at() {
    let disk = SimDisk::new(1);
    let options = Options {
        slab_bytes: 64 << 10,
        evacuation_slack_bytes: 0,
        checkpoint_ms: 10,
        ..Options::tiny()
    };
    let (engine, _) = Engine::open(disk.clone(), options, ()).unwrap();
    let passing = durable_queue(&engine);
    let kept: Vec<QueueId> = (0..60).map(|_| durable_queue(&engine)).collect();
    for _ in 0..2 {
        for queue in &kept {
            publish_all(&engine, [message_for(std::slice::from_ref(queue), &[b"kept"])]);
        }
        publish(&engine, passing, 40);
        come_to_rest(&engine, &disk);
        let purged = engine.lock().shard().purge(passing, disk.now());
        engine.wait_durable(purged.unwrap().1).unwrap();
    }
    assert_eq!(come_to_rest(&engine, &disk).copies, 120);
}

#[test]
fn the_log_says_nothing_of_a_queue_behind_its_end() {
    let disk = SimDisk::new(1);
    let (engine, _) = Engine::open(disk.clone(), Options::tiny(), ()).unwrap();
    let queue = durable_queue(&engine);
    let queues = [queue];
    let fleeting = NewMessage {
        persistence: Persistence::Transient,
        ..message_for(&queues, &[b"fleeting"])
    };
    let block = publish_all(&engine, [fleeting, message_for(&queues, &[b"kept"])]);
    engine.wait_durable(block).unwrap();
    drop(engine);

    let (engine, _) = Engine::open(disk, Options::tiny(), ()).unwrap();
    assert_eq!(lease(&engine, queue, 10), [1]);
    assert!(engine.lock().shard().state.forgotten.contains_key(&queue));
    let deleted = engine.lock().shard().delete_queue(queue).unwrap();
    engine.wait_durable(deleted).unwrap();
    while engine.step() {}
    let mut guard = engine.lock();
    assert!(guard.shard().state.forgotten.is_empty());
    assert_eq!(guard.shard().building(), deleted.next(), "nothing came behind it");
}

#[test]
fn a_purge_of_an_empty_queue_waits_for_nothing() {
    let disk = SimDisk::new(1);
    let (engine, _) = Engine::open(disk.clone(), Options::tiny(), ()).unwrap();
    let queue = durable_queue(&engine);
    let (purged, block) = engine.lock().shard().purge(queue, disk.now()).unwrap();
    assert_eq!(purged, 0);
    let is_durable = engine.lock().shard().durable().covers(block);
    assert!(
        is_durable,
        "on a store that has nothing to write, this block may never be written"
    );
}

#[test]
fn a_log_that_needs_a_segment_waits_for_the_removal_of_one_at_most() {
    let disk = SimDisk::new(1);
    let (engine, _) = Engine::open(disk.clone(), Options::tiny(), ()).unwrap();
    let (queue, other) = (durable_queue(&engine), durable_queue(&engine));
    for _ in 0..20 {
        let block = publish(&engine, queue, 100);
        engine.wait_durable(block).unwrap();
        come_to_rest(&engine, &disk);
    }
    let deleted = engine.lock().shard().delete_queue(queue).unwrap();
    engine.wait_durable(deleted).unwrap();
    let before = engine.counters().segments;
    let recycle = loop {
        let now = disk.now();
        let job = engine.lock().shard().next_job(now, CheckpointWish::WhenDue);
        match job {
            Some(Job::Recycle(job)) if job.removed.len() > 1 => break job,
            Some(job) => {
                let (_, done) = engine.inner.perform(job);
                engine.lock().shard().finish_job(done.unwrap(), now);
            }
            None => {
                let block = publish(&engine, other, 1);
                engine.wait_durable(block).unwrap();
                disk.advance(Options::tiny().checkpoint_ms);
            }
        }
    };
    let spares = recycle.spares.len();
    let recycled = recycle.perform(&disk, || true).unwrap();
    assert_eq!((recycled.spares.len(), recycled.removed.len()), (spares, 1));
    let leftover = engine
        .lock()
        .shard()
        .finish_job(Done::Recycled(recycled), disk.now());
    assert_eq!(leftover.closed.len(), spares + 1, "to be closed without the lock");
    assert_eq!(disk.calls().shortenings, 0);
    come_to_rest(&engine, &disk);
    let after = engine.counters().segments;
    assert!(before > 200 && after < 8, "{before} segments, then {after}");
    let shortenings = disk.calls().shortenings;
    assert!(shortenings > 2 * 200, "in pieces: {shortenings}");
}

#[test]
fn what_a_purge_took_that_never_became_durable_was_seen_by_nobody() {
    let disk = SimDisk::new(1);
    let (engine, _) = Engine::open(disk.clone(), Options::tiny(), ()).unwrap();
    let queue = durable_queue(&engine);
    let block = publish(&engine, queue, 100);
    engine.wait_durable(block).unwrap();
    assert_eq!(lease(&engine, queue, 3), [0, 1, 2]);
    let mut guard = engine.lock();
    let (purged, _) = guard.shard().purge(queue, disk.now()).unwrap();
    assert_eq!(purged, 97);
    guard.shard().give_back_leases();
    let redelivered = &guard.shard().state.queues.get(queue).unwrap().redelivered;
    assert_eq!(redelivered.iter().collect::<Vec<_>>(), [0, 1, 2]);
}

#[test]
fn what_a_purge_took_is_forgotten_when_it_is_durable() {
    let disk = SimDisk::new(1);
    let (engine, _) = Engine::open(disk.clone(), Options::tiny(), ()).unwrap();
    let queue = durable_queue(&engine);
    let block = publish(&engine, queue, 10);
    engine.wait_durable(block).unwrap();
    // The oldest is leased, so that the floor stays.
    assert_eq!(lease(&engine, queue, 1), [0]);
    let (_, purged) = engine.lock().shard().purge(queue, disk.now()).unwrap();
    engine.wait_durable(purged).unwrap();
    let mut guard = engine.lock();
    assert!(guard.shard().state.queues.get(queue).unwrap().purged.is_empty());
}
