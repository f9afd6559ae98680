//! Looking at a store that another process holds, or nobody.

use crate::support::{PATIENCE, open, publish, queue};
use logpond_store::disk::{RealDisk, WriteMode};
use logpond_store::inspect::{InspectError, verify};
use logpond_store::{
    Batch, From, Message, Options, Queue, QueueOptions, ReadOnlyStore, Seq, Store, ViewError,
};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Instant, SystemTime};

/// Set for the second process: the directory that it looks at.
const LOOK_AT: &str = "LOGPOND_TEST_LOOK_AT";

/// Each file with the time of its last change and its contents.
fn everything(dir: &Path) -> BTreeMap<PathBuf, (SystemTime, Vec<u8>)> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let changed = entry.metadata().unwrap().modified().unwrap();
        if entry.path().is_dir() {
            found.insert(entry.path(), (changed, Vec::new()));
            found.append(&mut everything(&entry.path()));
        } else {
            found.insert(entry.path(), (changed, fs::read(entry.path()).unwrap()));
        }
    }
    found
}

/// A store of which nothing happens unless it is called: it has no threads.
fn open_still(dir: &Path) -> Store {
    let disk = RealDisk::open(dir, WriteMode::default()).unwrap();
    Store::open_on(disk, Options::tiny()).unwrap().0
}

fn shown(view: &ReadOnlyStore, name: &str) -> Vec<String> {
    let queue = view.find_queue(name).unwrap();
    let bodies = queue
        .browse()
        .map(|entry| String::from_utf8(entry.unwrap().body).unwrap());
    bodies.collect()
}

fn fill(store: &Store) -> Queue {
    let orders = queue(store, "orders");
    queue(store, "empty");
    for number in 0..300 {
        publish(store, &orders, &[&format!("order {number}")]);
    }
    for delivery in orders.fetch(100).unwrap() {
        if delivery.seq().get() != 5 {
            delivery.ack().unwrap();
        }
    }
    // What was acknowledged is durable with this.
    store.queue("late", QueueOptions::newest(7)).unwrap();
    orders
}

/// What the second process says of [`fill`].
fn look(dir: &Path) {
    let view = Store::open_read_only(dir).unwrap();
    let names: Vec<_> = view
        .queues()
        .iter()
        .map(|queue| queue.name().to_owned())
        .collect();
    assert_eq!(names, ["empty", "late", "orders"]);
    assert_eq!(
        view.find_queue("late").unwrap().options(),
        QueueOptions::newest(7)
    );
    let orders = view.find_queue("orders").unwrap();
    let left: Vec<u64> = orders.browse().map(|entry| entry.unwrap().seq.get()).collect();
    let taken = 300 - orders.len();
    assert!(taken > 5, "acknowledgements are seen");
    let expected: Vec<u64> = (0..300).filter(|seq| *seq == 5 || *seq > taken).collect();
    assert_eq!(left, expected);
    let behind: Vec<_> = orders
        .replay(From::Seq(Seq::new(298)))
        .map(Result::unwrap)
        .collect();
    assert_eq!(behind.len(), 2);
    assert_eq!(behind[1].body, b"order 299");
}

/// Nothing when it is run as a test; the second process when [`look_from_a_second_process`] runs it.
#[test]
fn the_second_process() {
    if let Some(dir) = std::env::var_os(LOOK_AT) {
        let dir = Path::new(&dir);
        look(dir);
        let sound = verify(&RealDisk::open_read_only(dir).unwrap(), &mut ()).unwrap();
        assert!(sound.is_sound(), "{sound:?}");
    }
}

fn look_from_a_second_process(dir: &Path) {
    let looked = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "views::the_second_process", "--nocapture"])
        .env(LOOK_AT, dir)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&looked.stdout);
    assert!(looked.status.success() && said.contains("1 passed"), "{looked:?}");
}

#[test]
fn a_second_process_looks_at_a_running_store_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = open_still(dir.path());
    let orders = fill(&store);
    let before = everything(dir.path());
    look_from_a_second_process(dir.path());
    assert_eq!(everything(dir.path()), before);
    publish(&store, &orders, &["goes on"]);
    assert!(store.verify().unwrap().is_sound());
    store.close().unwrap();
}

#[test]
fn a_second_process_looks_at_a_stopped_store_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    fill(&store);
    store.close().unwrap();
    let before = everything(dir.path());
    look_from_a_second_process(dir.path());
    assert_eq!(everything(dir.path()), before);
}

#[test]
fn a_look_at_a_store_without_its_index_rebuilds_it_in_memory() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    fill(&store);
    store.close().unwrap();
    fs::remove_dir_all(dir.path().join("shard-00/x")).unwrap();
    let before = everything(dir.path());
    let view = Store::open_read_only(dir.path()).unwrap();
    assert!(view.report().index_rebuilt);
    look(dir.path());
    assert_eq!(everything(dir.path()), before);
}

#[test]
fn a_look_shows_one_moment_whatever_the_store_does_later() {
    let dir = tempfile::tempdir().unwrap();
    let store = open_still(dir.path());
    let orders = queue(&store, "orders");
    publish(&store, &orders, &["one", "two"]);
    let view = Store::open_read_only(dir.path()).unwrap();
    publish(&store, &orders, &["three"]);
    orders.purge().unwrap();
    assert_eq!(shown(&view, "orders"), ["one", "two"]);
    assert_eq!(
        shown(&Store::open_read_only(dir.path()).unwrap(), "orders"),
        [""; 0]
    );
}

#[test]
fn a_directory_without_a_store_is_refused_and_stays_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let refused = Store::open_read_only(dir.path()).unwrap_err();
    assert!(matches!(refused, InspectError::NoStore), "{refused:?}");
    assert!(everything(dir.path()).is_empty());
    let missing = Store::open_read_only(dir.path().join("missing")).unwrap_err();
    assert!(matches!(missing, InspectError::Io { .. }), "{missing:?}");
}

/// A body that says which message it is, and is long enough to fill segments.
fn numbered(seq: u64) -> String {
    format!("{seq:08}").repeat(100)
}

/// Publishes `count` messages behind `first`.
fn publish_numbered(store: &Store, queue: &Queue, first: u64, count: u64) {
    let mut batch = Batch::new();
    for seq in first..first + count {
        batch.publish(&[queue.id()], Message::new(&numbered(seq)));
    }
    store.commit(batch).unwrap();
}

fn acknowledge(queue: &Queue, count: u32) {
    let mut left = count;
    while left > 0 {
        for delivery in queue.fetch(left).unwrap() {
            delivery.ack().unwrap();
            left -= 1;
        }
    }
}

/// How many entries are shown and how many were overtaken; whatever is shown is what was published.
fn judge(view: &ReadOnlyStore, name: &str) -> (u64, u64) {
    let (mut shown, mut overtaken) = (0, 0);
    for entry in view.find_queue(name).unwrap().browse() {
        match entry {
            Ok(entry) => {
                assert_eq!(entry.body, numbered(entry.seq.get()).as_bytes());
                shown += 1;
            }
            Err(ViewError::Overtaken { .. }) => overtaken += 1,
            Err(error) => panic!("{error}"),
        }
    }
    (shown, overtaken)
}

#[test]
fn what_was_recycled_under_a_look_is_called_overtaken_and_never_shown_as_something_else() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options {
        checkpoint_ms: 5,
        spare_segments_max: 100,
        reserve_segments: 0,
        ..Options::tiny()
    };
    let (store, _) = Store::open(dir.path(), options).unwrap();
    let orders = queue(&store, "orders");
    for tens in 0..30 {
        publish_numbered(&store, &orders, 10 * tens, 10);
    }
    let view = Store::open_read_only(dir.path()).unwrap();
    assert_eq!(judge(&view, "orders"), (300, 0));
    let (mut next, begun) = (300, Instant::now());
    while store.stats().counters.segments_recycled < 10 {
        acknowledge(&orders, 10);
        publish_numbered(&store, &orders, next, 10);
        next += 10;
        assert!(begun.elapsed() < PATIENCE, "{:?}", store.stats());
    }
    // Nothing more becomes free, so that each spare file is used again.
    let spares = store.stats().counters.segments_spare;
    for _ in 0..10 * (spares + 5) {
        publish_numbered(&store, &orders, next, 10);
        next += 10;
    }
    let (shown, overtaken) = judge(&view, "orders");
    assert!(overtaken > 100, "{shown} shown, {overtaken} overtaken");
    store.close().unwrap();
    let anew = Store::open_read_only(dir.path()).unwrap();
    assert_eq!(
        judge(&anew, "orders"),
        (anew.find_queue("orders").unwrap().len(), 0)
    );
}

/// Also when a look panics.
struct EndsIt<'a>(&'a AtomicBool);

impl Drop for EndsIt<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn looks_at_a_store_under_load_show_what_was_published_and_find_no_damage() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let orders = queue(&store, "orders");
    publish_numbered(&store, &orders, 0, 25);
    publish_numbered(&store, &orders, 25, 25);
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _ends = EndsIt(&is_done);
        scope.spawn(|| {
            let mut next = 50;
            while !is_done.load(Ordering::Relaxed) {
                publish_numbered(&store, &orders, next, 5);
                acknowledge(&orders, 5);
                next += 5;
            }
        });
        let mut complete = 0;
        for _ in 0..40 {
            match Store::open_read_only(dir.path()) {
                Ok(view) => {
                    assert_eq!(
                        (&view.report().quarantined, &view.report().lost),
                        (&vec![], &vec![])
                    );
                    let (shown, overtaken) = judge(&view, "orders");
                    assert!(shown + overtaken <= 60, "{shown} shown, {overtaken} overtaken");
                    complete += 1;
                }
                // A tiny store takes a checkpoint for each segment.
                Err(InspectError::KeepsChanging { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
        assert!(complete > 10, "{complete} of 40 looks were complete");
    });
    store.close().unwrap();
}
