//! Tests of `sim`: each states one thing that it keeps.

use crate::disk::{AlignedBuf, Disk, DiskFile, DiskMap, FileKind, LockError};

use super::*;

fn page(byte: u8) -> AlignedBuf {
    let mut buf = AlignedBuf::zeroed(4096);
    buf.fill(byte);
    buf
}

fn contents(disk: &SimDisk, path: &str) -> Vec<u8> {
    let file = disk.open(path, FileKind::Plain).unwrap();
    let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
    file.read_at(&mut bytes, 0).unwrap();
    bytes
}

/// A disk with a durable file `f` of 16 KiB zeros.
fn with_file(seed: u64) -> (SimDisk, SimFile) {
    let disk = SimDisk::new(seed);
    let file = disk.create("f", FileKind::Journal).unwrap();
    file.allocate(16384).unwrap();
    file.sync().unwrap();
    disk.sync_dir("").unwrap();
    (disk, file)
}

#[test]
fn what_was_synced_survives_every_crash() {
    for seed in 0..200 {
        let (disk, file) = with_file(seed);
        file.write_synced_at(&page(1), 0).unwrap();
        file.write_at(&page(2), 4096).unwrap();
        file.sync().unwrap();
        file.write_at(&page(3), 8192).unwrap();
        file.write_at(&page(9), 0).unwrap();
        file.write_synced_at(&page(4), 0).unwrap();
        let after = disk.after_crash(&mut Rng::new(seed));
        let bytes = contents(&after, "f");
        assert!(bytes[..4096].iter().all(|byte| *byte == 4));
        assert!(bytes[4096..8192].iter().all(|byte| *byte == 2));
        assert!(bytes[8192..12288].iter().all(|byte| [0, 3].contains(byte)));
    }
}

#[test]
fn what_was_not_synced_comes_out_lost_kept_and_torn() {
    let (mut lost, mut kept, mut mixed, mut inside_a_sector) = (0, 0, 0, 0);
    for seed in 0..500 {
        let (disk, file) = with_file(seed);
        file.write_at(&page(7), 4096).unwrap();
        let after = disk.after_crash(&mut Rng::new(seed));
        let bytes = contents(&after, "f");
        let news = bytes[4096..8192].iter().filter(|byte| **byte == 7).count();
        lost += u32::from(news == 0);
        kept += u32::from(news == 4096);
        mixed += u32::from(news % 4096 != 0);
        inside_a_sector += u32::from(news % 512 != 0);
    }
    assert!(
        lost > 50 && kept > 50 && mixed > 50 && inside_a_sector > 20,
        "{lost} {kept} {mixed} {inside_a_sector}"
    );
}

#[test]
fn a_crash_during_a_synced_write_may_tear_it_and_turns_the_machine_off() {
    let mut torn = 0;
    for seed in 0..200 {
        let (disk, file) = with_file(seed);
        disk.crash_at(2);
        file.write_synced_at(&page(1), 0).unwrap();
        assert!(file.write_synced_at(&page(2), 4096).is_err());
        assert!(disk.is_off());
        assert!(file.sync().is_err());
        let bytes = contents(&disk.after_crash(&mut Rng::new(seed)), "f");
        assert!(bytes[..4096].iter().all(|byte| *byte == 1));
        torn += u32::from(bytes[4096..8192].contains(&2) && bytes[4096..8192].contains(&0));
    }
    assert!(torn > 20, "{torn}");
}

#[test]
fn a_name_may_be_lost_until_its_directory_is_synced() {
    let (mut lost, mut old, mut new) = (0, 0, 0);
    for seed in 0..300 {
        let disk = SimDisk::new(seed);
        disk.create_dir("d").unwrap();
        disk.sync_dir("").unwrap();
        let file = disk.create("d/a", FileKind::Plain).unwrap();
        file.write_synced_at(b"kept", 0).unwrap();
        disk.rename("d/a", "d/b").unwrap();
        let after = disk.after_crash(&mut Rng::new(seed));
        match &after.list("d").unwrap()[..] {
            [] => lost += 1,
            [name] if name == "a" => old += 1,
            [name] if name == "b" => new += 1,
            other => panic!("{other:?}"),
        }
        disk.sync_dir("d").unwrap();
        let after = disk.after_crash(&mut Rng::new(seed));
        assert_eq!(after.list("d").unwrap(), ["b"]);
        assert_eq!(contents(&after, "d/b"), b"kept");
    }
    assert!(lost > 30 && old > 10 && new > 30, "{lost} {old} {new}");
}

#[test]
fn a_failed_sync_marks_lost_data_clean_and_only_the_cache_still_shows_it() {
    let mut lost = 0;
    for seed in 0..100 {
        let (disk, file) = with_file(seed);
        file.write_at(&page(5), 0).unwrap();
        disk.set_faults(FaultPlan {
            sync_error: 65536,
            ..FaultPlan::default()
        });
        assert!(file.sync().is_err());
        disk.set_faults(FaultPlan::default());
        file.sync().unwrap();
        let cached = disk.after_kill();
        assert!(contents(&cached, "f")[..4096].iter().all(|byte| *byte == 5));
        let mut direct = page(0);
        cached
            .open("f", FileKind::Journal)
            .unwrap()
            .read_at(&mut direct, 0)
            .unwrap();
        let after = contents(&disk.after_crash(&mut Rng::new(seed)), "f");
        assert_eq!(&after[..4096], &direct[..]);
        lost += u32::from(after[..4096].contains(&0));
    }
    assert!(lost > 90, "{lost}");
}

#[test]
fn a_map_is_durable_after_its_sync_and_torn_before() {
    let mut partly = 0;
    for seed in 0..100 {
        let (disk, file) = with_file(seed);
        let mut map = disk.map(&file, 16384).unwrap();
        map.bytes_mut()[..8192].fill(1);
        map.sync().unwrap();
        map.bytes_mut()[4096..].fill(2);
        drop(map);
        let bytes = contents(&disk.after_crash(&mut Rng::new(seed)), "f");
        assert!(bytes[..4096].iter().all(|byte| *byte == 1));
        let news = bytes[4096..].iter().filter(|byte| **byte == 2).count();
        partly += u32::from(news != 0 && news != 12288);
    }
    assert!(partly > 20, "{partly}");
}

#[test]
fn a_full_disk_refuses_to_grow_and_still_overwrites() {
    let (disk, file) = with_file(1);
    disk.set_capacity(Some(20000));
    assert_eq!(disk.free_bytes().unwrap(), 20000 - 16384);
    assert_eq!(
        file.allocate(32768).unwrap_err().kind(),
        std::io::ErrorKind::StorageFull
    );
    file.write_synced_at(&page(1), 0).unwrap();
}

#[test]
#[should_panic(expected = "not aligned")]
fn direct_io_that_is_not_aligned_panics() {
    let (_disk, file) = with_file(1);
    let _ = file.write_at(&page(1), 512);
}

#[test]
fn one_process_owns_the_disk_at_a_time() {
    let disk = SimDisk::new(1);
    let held = disk.lock().unwrap();
    assert!(matches!(disk.lock(), Err(LockError::Held { .. })));
    drop(held);
    assert!(disk.lock().is_ok());
}

#[test]
fn the_same_seed_gives_the_same_image() {
    let image = |seed| {
        let (disk, file) = with_file(seed);
        file.write_at(&page(7), 4096).unwrap();
        contents(&disk.after_crash(&mut Rng::new(seed)), "f")
    };
    assert!((0..20).all(|seed| image(seed) == image(seed)));
}

#[test]
fn an_exact_crash_keeps_and_loses_what_it_says() {
    let (disk, file) = with_file(1);
    disk.rename("f", "g").unwrap();
    file.write_at(&page(1), 0).unwrap();
    file.write_at(&page(2), 4096).unwrap();
    let left = |loss| {
        let after = disk.after_loss(loss);
        let name = after.list("").unwrap().remove(0);
        let bytes = contents(&after, &name);
        (name, bytes[0], bytes[4096], bytes[4096 + 2304])
    };
    let [f, g] = ["f".to_owned(), "g".to_owned()];
    assert_eq!(disk.unsynced_operations(), 3);
    assert_eq!(left(Loss::All), (f.clone(), 0, 0, 0));
    assert_eq!(left(Loss::Nothing), (g.clone(), 1, 2, 2));
    assert_eq!(left(Loss::Just(0)), (f.clone(), 1, 2, 2));
    assert_eq!(left(Loss::AllBut(1)), (f.clone(), 1, 0, 0));
    assert_eq!(left(Loss::TornAt(2)), (g, 1, 2, 0));
    assert_eq!(left(Loss::TornAt(0)), (f, 0, 0, 0));
    assert_eq!(Loss::each(0).count(), 1);
    assert_eq!(Loss::each(1).count(), 3);
    assert_eq!(Loss::each(3).count(), 2 + 3 * 3);
}

#[test]
fn disks_with_other_bytes_or_names_have_other_fingerprints() {
    let (disk, file) = with_file(1);
    let print = disk.fork().fingerprint();
    assert_eq!(print, disk.fingerprint());
    file.write_synced_at(&page(1), 4096).unwrap();
    let written = disk.fingerprint();
    disk.rename("f", "g").unwrap();
    assert!(print != written && written != disk.fingerprint());
}

#[test]
fn the_call_that_is_to_fail_fails_alone_and_says_where() {
    let (disk, file) = with_file(1);
    disk.fail_at(2);
    file.len().unwrap();
    assert!(disk.open("f", FileKind::Plain).is_err());
    assert_eq!(disk.failed().unwrap(), "f");
    disk.open("f", FileKind::Plain).unwrap();
    disk.fail_at(1);
    assert!(disk.rename("f", "g").is_err());
    assert_eq!(disk.list("").unwrap(), ["f"]);
}
