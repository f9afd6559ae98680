//! A catalog that is gone is told, refused where damage is, and never taken for one that was not made yet.

use super::Engine;
use super::stepped::{durable_queue, lease, message_for, publish_all};
use crate::catalog::CATALOG_NAME;
use crate::disk::sim::{Rng, SimDisk};
use crate::disk::{Disk, DiskFile, FileKind};
use crate::error::OpenError;
use crate::inspect::{InspectError, Inspector, Part, plan, verify};
use crate::meta::META_NAME;
use crate::{DamagePolicy, Options, QueueId, QueueOptions, RecoveryReport, Store};

fn open(disk: &SimDisk) -> (Engine<SimDisk>, RecoveryReport) {
    Engine::open(disk.clone(), Options::tiny(), ()).unwrap()
}

fn strict() -> Options {
    Options {
        damage: DamagePolicy::Refuse,
        ..Options::tiny()
    }
}

/// A store that was stopped in order, with a message in a queue, and no catalog any more.
fn without_catalog() -> (SimDisk, QueueId) {
    let disk = SimDisk::new(1);
    let (engine, report) = open(&disk);
    assert!(report.catalog.created && !report.catalog.missing);
    let queue = durable_queue(&engine);
    let block = publish_all(&engine, [message_for(&[queue], &[b"body"])]);
    engine.wait_durable(block).unwrap();
    engine.close().unwrap();
    disk.remove(CATALOG_NAME).unwrap();
    (disk, queue)
}

#[test]
fn an_open_tells_that_the_catalog_was_missing_and_keeps_the_messages() {
    let (disk, queue) = without_catalog();
    let (engine, report) = open(&disk);
    assert!(report.catalog.missing && !report.catalog.is_clean(), "{report:?}");
    assert_eq!(report.queues.len(), 1);
    assert_eq!(lease(&engine, queue, 9), [0]);
    engine.close().unwrap();
    let (_engine, report) = open(&disk);
    assert!(!report.catalog.missing, "it has one again");
}

#[test]
fn it_is_missing_also_when_meta_is_gone() {
    let (disk, _) = without_catalog();
    disk.remove(META_NAME).unwrap();
    let (_engine, report) = open(&disk);
    assert!(report.catalog.missing && !report.created);
}

#[test]
fn a_start_that_refuses_damage_refuses_a_missing_catalog_and_changes_nothing() {
    let (disk, _) = without_catalog();
    for _ in 0..2 {
        let refused = Engine::open(disk.clone(), strict(), ()).err();
        let Some(OpenError::Damaged(why)) = refused else {
            panic!("{refused:?}");
        };
        assert!(why.contains(CATALOG_NAME), "{why}");
    }
    let (_engine, report) = open(&disk);
    assert!(report.catalog.missing && report.clean, "{report:?}");
}

#[test]
fn a_start_that_refuses_damage_refuses_a_damaged_catalog_and_changes_nothing() {
    let disk = SimDisk::new(1);
    let (store, _) = Store::open_on(disk.clone(), Options::tiny()).unwrap();
    store.queue("orders", QueueOptions::default()).unwrap();
    store.queue("bills", QueueOptions::default()).unwrap();
    store.close().unwrap();
    drop(store);
    let file = disk.open(CATALOG_NAME, FileKind::Plain).unwrap();
    file.write_at(b"rot", 60).unwrap();
    let refused = Engine::open(disk.clone(), strict(), ()).err();
    assert!(matches!(refused, Some(OpenError::Damaged(_))), "{refused:?}");
    let (_engine, report) = open(&disk);
    assert_eq!(report.catalog.damaged.len(), 1);
    assert!(report.clean, "{report:?}");
}

#[test]
fn verify_names_it_a_repair_has_nothing_to_set_aside_and_who_looks_for_its_entries_is_told() {
    let (disk, _) = without_catalog();
    let report = verify(&disk, &mut ()).unwrap();
    let found: Vec<_> = report
        .findings
        .iter()
        .map(|found| (&*found.file, found.part))
        .collect();
    assert_eq!(found, [(CATALOG_NAME, Part::MissingCatalog)]);
    assert!(!report.is_sound());
    assert_eq!(plan(&disk, &mut ()).unwrap().steps, []);
    let looked = Inspector::new(&disk).unwrap().catalog();
    assert!(matches!(looked, Err(InspectError::Missing { .. })), "{looked:?}");
    open(&disk).0.close().unwrap();
    assert!(verify(&disk, &mut ()).unwrap().is_sound());
}

#[test]
fn a_crash_at_any_call_of_the_first_start_is_no_missing_catalog() {
    let (mut without, mut looked) = (0, 0);
    for call in 1_u64.. {
        let disk = SimDisk::new(call);
        disk.crash_at(call);
        let opened = Engine::open(disk.clone(), strict(), ());
        let has_begun = opened.is_ok();
        drop(opened);
        if has_begun && !disk.is_off() {
            assert!(without > 0 && looked > without, "{without} of {looked} had none");
            return;
        }
        for seed in 0..20 {
            let disk = disk.after_crash(&mut Rng::new(seed));
            looked += 1;
            if disk.open(CATALOG_NAME, FileKind::Plain).is_err() {
                without += 1;
            }
            match verify(&disk, &mut ()) {
                // META is torn then, which its other slot stands for.
                Ok(report) => assert!(
                    report.findings.iter().all(|found| found.part == Part::MetaSlot),
                    "call {call}, seed {seed}: {report:?}"
                ),
                Err(InspectError::NoStore) => {}
                Err(error) => panic!("call {call}, seed {seed}: {error}"),
            }
            let (engine, report) = Engine::open(disk, strict(), ()).unwrap();
            assert!(!report.catalog.missing, "call {call}, seed {seed}");
            drop(engine);
        }
    }
}
