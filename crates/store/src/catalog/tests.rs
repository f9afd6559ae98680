//! Tests of `catalog`: each states one thing that it keeps.

use proptest::prelude::*;

use super::*;
use crate::disk::{FileKind, RealDisk, RealFile, WriteMode};

const STORE: u128 = 42;
const OPTIONS: CatalogOptions = CatalogOptions {
    compact_bytes_min: 1 << 20,
};

struct Fixture {
    _dir: tempfile::TempDir,
    disk: RealDisk,
}

impl Fixture {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let disk = RealDisk::open(dir.path(), WriteMode::default()).unwrap();
        Self { _dir: dir, disk }
    }

    fn open(&self) -> (Catalog<RealDisk>, CatalogReport) {
        Catalog::open(self.disk.clone(), STORE, OPTIONS).unwrap()
    }

    /// A catalog with entries 0, 1, 2, each in a frame of its own; returns where each frame ends.
    fn with_three_entries(&self) -> Vec<u64> {
        let (mut catalog, _) = self.open();
        (0_u8..3)
            .map(|n| {
                catalog.put(&[n], &u64::from(n)).unwrap();
                catalog.end
            })
            .collect()
    }

    fn raw(&self) -> RealFile {
        self.disk.open(CATALOG_NAME, FileKind::Plain).unwrap()
    }
}

fn keys(catalog: &Catalog<RealDisk>) -> Vec<u8> {
    catalog.iter().map(|(key, _)| key[0]).collect()
}

#[test]
fn entries_survive_reopening() {
    let fixture = Fixture::new();
    let (mut catalog, report) = fixture.open();
    assert!(report.created && report.is_clean());
    let mut changes = Changes::new();
    changes.put(b"vhost//", &"default").unwrap();
    changes.put(b"queue/a", &(1_u64, true)).unwrap();
    changes.delete(b"queue/a");
    changes.put(b"queue/b", &(2_u64, false)).unwrap();
    catalog.commit(changes).unwrap();
    catalog.delete(b"never there").unwrap();
    drop(catalog);

    let (catalog, report) = fixture.open();
    assert!(report.is_clean() && !report.created);
    assert_eq!((report.frames, report.entries), (3, 2));
    let queues: Vec<_> = catalog.with_prefix(b"queue/").collect();
    assert_eq!(queues.len(), 1);
    assert_eq!(
        Catalog::<RealDisk>::decode::<(u64, bool)>(queues[0].1).unwrap(),
        (2, false)
    );
}

#[test]
fn a_torn_last_frame_is_cut_and_reported_once() {
    let fixture = Fixture::new();
    let ends = fixture.with_three_entries();
    fixture.raw().write_at(&[0; 3], ends[2] - 8).unwrap();
    fixture.raw().write_at(&[9; 3], ends[2] - 12).unwrap();

    let (catalog, report) = fixture.open();
    assert_eq!(report.torn.unwrap().offset, ends[1]);
    assert_eq!(keys(&catalog), [0, 1]);
    drop(catalog);
    assert!(fixture.open().1.is_clean());
}

#[test]
fn damage_in_the_middle_costs_only_what_it_hit_and_is_kept_aside() {
    let fixture = Fixture::new();
    let ends = fixture.with_three_entries();
    fixture.raw().write_at(b"rot", ends[0] + 30).unwrap();

    let (catalog, report) = fixture.open();
    assert_eq!(keys(&catalog), [0, 2]);
    let [damaged] = &report.damaged[..] else {
        panic!("one range")
    };
    assert_eq!(
        (damaged.offset, damaged.len, damaged.lost_frames),
        (ends[0], ends[1] - ends[0], 1)
    );
    let kept = fixture.disk.open(&damaged.kept_in, FileKind::Plain).unwrap();
    assert_eq!(kept.len().unwrap(), damaged.len);
    drop(catalog);
    assert!(fixture.open().1.is_clean());
}

#[test]
fn a_damaged_header_costs_no_entry() {
    let fixture = Fixture::new();
    fixture.with_three_entries();
    fixture.raw().write_at(b"rot", 5).unwrap();
    let (catalog, report) = fixture.open();
    assert_eq!(keys(&catalog), [0, 1, 2]);
    assert_eq!(report.damaged.len(), 1);
}

#[test]
fn an_empty_catalog_with_a_damaged_header_starts_with_a_report() {
    for at in [0, 5, 21, 30] {
        let fixture = Fixture::new();
        fixture.open();
        fixture.raw().write_at(b"r", at).unwrap();
        let (catalog, report) = fixture.open();
        assert_eq!((catalog.iter().count(), report.damaged.len()), (0, 1));
    }
}

#[test]
fn a_foreign_file_and_another_stores_are_refused_by_name() {
    let fixture = Fixture::new();
    fixture.with_three_entries();
    let error = Catalog::open(fixture.disk.clone(), STORE + 1, OPTIONS).unwrap_err();
    assert!(
        matches!(error, CatalogOpenError::OtherStore { found: STORE, .. }),
        "{error}"
    );
    assert_eq!(store_of(&fixture.disk).unwrap(), Some(STORE));

    let fixture = Fixture::new();
    fixture
        .disk
        .create(CATALOG_NAME, FileKind::Plain)
        .unwrap()
        .write_at(b"#!/bin/sh\n", 0)
        .unwrap();
    let error = Catalog::open(fixture.disk, STORE, OPTIONS).unwrap_err();
    assert!(matches!(error, CatalogOpenError::Foreign { .. }), "{error}");
    assert!(error.to_string().contains("catalog.log"));
}

#[test]
fn another_versions_frame_is_refused_by_name() {
    let fixture = Fixture::new();
    let ends = fixture.with_three_entries();
    let mut frame = Vec::new();
    let entry = Entry::Changes(Vec::new());
    frame::write_into(
        &mut frame,
        &entry,
        CATALOG_SCHEMA + 1,
        99,
        Seal::at(STORE, ends[2]),
    )
    .unwrap();
    fixture.raw().write_at(&frame, ends[2]).unwrap();
    let error = Catalog::open(fixture.disk, STORE, OPTIONS).unwrap_err();
    assert!(
        matches!(error, CatalogOpenError::OtherVersion { offset, .. } if offset == ends[2]),
        "{error}"
    );
    assert!(error.to_string().contains("catalog.log"));
}

#[test]
fn a_frame_that_a_value_carries_is_never_taken_for_one() {
    let fixture = Fixture::new();
    let (mut catalog, _) = fixture.open();
    let entry = Entry::Changes(vec![Change::Put {
        key: b"admin".to_vec(),
        value: Vec::new(),
    }]);
    let forged = frame::write(&entry, CATALOG_SCHEMA, 50).unwrap();
    let before = catalog.end;
    catalog.put(b"a", &forged).unwrap();
    catalog.put(b"b", &0_u8).unwrap();
    fixture.raw().write_at(b"rot", before).unwrap();
    drop(catalog);
    let (catalog, _) = fixture.open();
    assert_eq!(catalog.iter().map(|(key, _)| key).collect::<Vec<_>>(), [b"b"]);
}

#[test]
fn the_file_stays_small_while_one_entry_changes_for_ever() {
    let fixture = Fixture::new();
    let options = CatalogOptions {
        compact_bytes_min: 4 << 10,
    };
    let (mut catalog, _) = Catalog::open(fixture.disk.clone(), STORE, options).unwrap();
    catalog.put(b"kept", &7_u8).unwrap();
    for n in 0_u64..3000 {
        catalog.put(b"changing", &n).unwrap();
    }
    assert!(catalog.end < 128 << 10, "{}", catalog.end);
    drop(catalog);
    let (catalog, report) = fixture.open();
    assert!(report.is_clean());
    assert_eq!(
        Catalog::<RealDisk>::decode::<u64>(catalog.get(b"changing").unwrap()).unwrap(),
        2999
    );
    assert!(catalog.get(b"kept").is_some());
}

#[test]
fn the_bytes_are_those_of_the_golden_file() {
    let golden = include_bytes!("../../tests/golden/catalog.log");
    let fixture = Fixture::new();
    fixture.with_three_entries();
    let mut bytes = vec![0; golden.len()];
    fixture.raw().read_at(&mut bytes, 0).unwrap();
    assert_eq!(bytes, golden);
    let mut live = BTreeMap::new();
    let scan = Scan::run(golden, STORE, |changes| apply(&mut live, changes)).unwrap();
    assert!(scan.report.is_clean());
    assert_eq!(live.len(), 3);
}

proptest! {
    /// Whatever happens to the bytes, opening succeeds or names the file, and invents no entry.
    #[test]
    fn damage_never_invents_entries(
        changes in prop::collection::vec((0_u16..4000, any::<u8>()), 1..40),
    ) {
        let mut bytes = include_bytes!("../../tests/golden/catalog.log").to_vec();
        for (at, byte) in changes {
            let at = usize::from(at) % bytes.len();
            bytes[at] = byte;
        }
        let mut live = BTreeMap::new();
        if Scan::run(&bytes, STORE, |changes| apply(&mut live, changes)).is_ok() {
            for (key, value) in live {
                prop_assert_eq!(&value[..], &u64::from(key[0]).to_le_bytes()[..]);
            }
        }
    }
}
