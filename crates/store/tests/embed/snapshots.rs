//! Snapshots in directories of this machine, taken while the store works.

use crate::support::{held, open, publish, queue};
use logpond_store::disk::RealDisk;
use logpond_store::{Batch, HowTaken, Options, SnapshotError, SnapshotManifest, Store};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

fn assert_unchanged(dir: &Path, manifest: &SnapshotManifest) {
    let disk = RealDisk::open_read_only(dir).unwrap();
    assert_eq!(SnapshotManifest::read(&disk).unwrap(), *manifest);
    assert_eq!(manifest.compare(&disk).unwrap(), []);
}

#[test]
fn a_snapshot_is_a_data_directory_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let (data, copy) = (dir.path().join("data"), dir.path().join("new/copy"));
    let (store, _) = open(&data);
    let orders = queue(&store, "orders");
    publish(&store, &orders, &["one", "two"]);
    let manifest = store.snapshot(&copy).unwrap();
    publish(&store, &orders, &["three"]);

    let view = Store::open_read_only(&copy).unwrap();
    assert_eq!(view.find_queue("orders").unwrap().len(), 2);
    assert_unchanged(&copy, &manifest);
    let (other, _) = open(&copy);
    let others = other.find_queue("orders").unwrap();
    assert_eq!(held(&others), ["one", "two"]);
    publish(&other, &others, &["drei"]);
    assert_eq!(held(&orders), ["one", "two", "three"]);
    assert_eq!(held(&others), ["one", "two", "drei"]);
}

#[test]
fn a_snapshot_into_a_directory_that_is_used_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("notes.txt"), "mine").unwrap();
    let data = tempfile::tempdir().unwrap();
    let (store, _) = open(data.path());
    let refused = store.snapshot(dir.path()).unwrap_err();
    assert!(
        matches!(&refused, SnapshotError::NotEmpty { found } if found == "notes.txt"),
        "{refused}"
    );
}

/// Consumers keep at most this many messages waiting, so that segments die and are written again all the time.
const BACKLOG: u64 = 40;

#[test]
fn snapshots_of_a_store_under_load_hold_all_that_was_confirmed_and_stay_as_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let options = Options {
        spare_segments_max: 6,
        reserve_segments: 1,
        checkpoint_ms: 20,
        ..Options::tiny()
    };
    let (store, _) = Store::open(&data, options).unwrap();
    let orders = queue(&store, "orders");
    let (is_over, confirmed, consumed) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    let mut taken = Vec::new();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::SeqCst) {
                let number = confirmed.load(Ordering::SeqCst);
                let filler = "-".repeat(3000);
                publish(&store, &orders, &[&format!("{number} {filler}")]);
                confirmed.store(number + 1, Ordering::SeqCst);
                if orders.len() > BACKLOG {
                    let mut batch = Batch::new();
                    for delivery in orders.fetch(8).unwrap() {
                        consumed.store(delivery.seq().get() + 1, Ordering::SeqCst);
                        batch.ack(delivery);
                    }
                    store.commit(batch).unwrap();
                }
            }
        });
        for nth in 0..20 {
            // The load goes on for a while between two snapshots.
            let wanted = confirmed.load(Ordering::SeqCst) + 60;
            while confirmed.load(Ordering::SeqCst) < wanted {
                std::thread::yield_now();
            }
            let (before, target) = (
                confirmed.load(Ordering::SeqCst),
                dir.path().join(format!("{nth}")),
            );
            let manifest = store.snapshot(&target).unwrap();
            let begun = consumed.load(Ordering::SeqCst);
            taken.push((target, manifest, before, begun));
        }
        is_over.store(true, Ordering::SeqCst);
    });
    assert!(store.stats().counters.segments_recycled > 10);
    for (dir, manifest, confirmed, consumed) in taken {
        assert!(manifest.count(HowTaken::Linked) > 0, "{manifest:?}");
        assert_unchanged(&dir, &manifest);
        let (copy, report) = open(&dir);
        assert!(
            report.quarantined.is_empty() && report.lost.is_empty(),
            "{report:?}"
        );
        let found = held(&copy.find_queue("orders").unwrap());
        let number = |body: &String| body.split(' ').next().unwrap().parse::<u64>().unwrap();
        let numbers: Vec<u64> = found.iter().map(number).collect();
        let (first, last) = (numbers[0], *numbers.last().unwrap());
        assert!(numbers.iter().copied().eq(first..=last), "{numbers:?}");
        assert!(
            last + 1 >= confirmed,
            "{last} is the last of {confirmed} confirmed"
        );
        assert!(
            first <= consumed,
            "{first} is the first after {consumed} were consumed"
        );
    }
}
