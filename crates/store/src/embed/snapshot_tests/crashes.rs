//! Snapshots on a machine that goes off, or whose disk fails, at any call.

use super::{held, open, publish, with_backlog};
use crate::disk::sim::{Rng, SimDisk};
use crate::embed::ReadOnlyStore;
use crate::inspect::{InspectError, verify};
use crate::{Difference, Disk, Leftovers, OpenError, Options, SnapshotError, SnapshotManifest, Store};

/// Calls of a snapshot that are crashed or failed, at most: more than it takes.
const CALLS_MAX: u64 = 400;

/// Whether the snapshot is whole; one that is not is refused by everybody, or was never begun.
fn is_whole(copy: &SimDisk, context: &str) -> bool {
    let is_begun = copy.list("").is_ok_and(|names| !names.is_empty());
    if !is_begun {
        return false;
    }
    match Store::open_on(copy.fork(), Options::tiny()) {
        Ok((other, report)) => {
            assert!(
                report.quarantined.is_empty() && report.lost.is_empty(),
                "{context}"
            );
            let orders = other.find_queue("orders").unwrap();
            assert_eq!(held(&orders), (20..60).collect::<Vec<_>>(), "{context}");
            let manifest = SnapshotManifest::read(copy).unwrap();
            let differs = manifest.compare(copy).unwrap().into_iter();
            // A read for the manifest may be the call that failed.
            let changed: Vec<_> = differs
                .filter(|found| !matches!(found, Difference::Unreadable { .. }))
                .collect();
            assert_eq!(changed, [], "{context}");
            true
        }
        Err(OpenError::UnfinishedSnapshot { .. }) => {
            let refused = |error: &InspectError| {
                matches!(error, InspectError::Refused(OpenError::UnfinishedSnapshot { .. }))
            };
            assert!(
                verify(copy, &mut ()).is_err_and(|error| refused(&error)),
                "{context}"
            );
            let viewed = ReadOnlyStore::open_on(copy);
            assert!(viewed.is_err_and(|error| refused(&error)), "{context}");
            false
        }
        Err(error) => panic!("{context}: {error}"),
    }
}

#[test]
fn a_crash_at_any_call_leaves_the_store_whole_and_the_snapshot_refused_or_whole() {
    let mut finished = 0;
    for seed in 0..4 {
        for calls in 1..CALLS_MAX {
            let context = format!("seed {seed}, call {calls}");
            let disk = SimDisk::new(seed);
            let (store, queue) = with_backlog(&disk);
            let copy = disk.directory("copy").unwrap();
            disk.crash_at(calls);
            let taken = store.snapshot_on(&copy);
            let is_over = !disk.is_off();
            drop((queue, store));
            let disk = disk.after_crash(&mut Rng::new(seed));
            let copy = disk.directory("copy").unwrap();
            let whole = is_whole(&copy, &context);
            assert!(whole || taken.is_err(), "{context}: what was reported is there");

            let store = open(&disk);
            let orders = store.find_queue("orders").unwrap();
            assert_eq!(held(&orders), (20..60).collect::<Vec<_>>(), "{context}");
            publish(&store, &orders, 60..80);
            if is_over {
                finished += 1;
                break;
            }
        }
    }
    assert_eq!(finished, 4, "every call of a snapshot was crashed");
}

#[test]
fn a_failing_call_costs_the_snapshot_and_not_the_store() {
    for calls in 1..CALLS_MAX {
        let context = format!("call {calls}");
        let disk = SimDisk::new(1);
        let (store, queue) = with_backlog(&disk);
        let copy = disk.directory("copy").unwrap();
        disk.fail_at(calls);
        let taken = store.snapshot_on(&copy);
        if disk.failed().is_none() {
            assert!(is_whole(&copy.fork(), &context), "{context}");
            return;
        }
        match &taken {
            Ok(_) => assert!(is_whole(&copy, &context), "{context}"),
            Err(SnapshotError::Io { leftovers, .. }) => match leftovers {
                Leftovers::None => drop(store.snapshot_on(&copy).unwrap()),
                Leftovers::Marked => assert!(!is_whole(&copy, &context), "{context}"),
                // Whether the mark is gone is not known; half a snapshot it is not.
                Leftovers::Whole => {
                    is_whole(&copy, &context);
                }
            },
            Err(error) => panic!("{context}: {error}"),
        }
        publish(&store, &queue, 60..80);
        assert_eq!(held(&queue), (20..80).collect::<Vec<_>>(), "{context}");
    }
    panic!("a snapshot takes more than {CALLS_MAX} calls");
}
