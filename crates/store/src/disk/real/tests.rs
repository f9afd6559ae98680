//! Tests of `real`: each states one thing that it keeps.

use super::*;
use crate::disk::DiskMap;

fn disk(mode: WriteMode) -> (tempfile::TempDir, RealDisk) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let disk = RealDisk::open(dir.path().join("data"), mode).expect("a data directory");
    (dir, disk)
}

#[rstest::rstest]
fn what_was_written_synced_is_read_back(
    #[values(
        WriteMode::DirectDsync,
        WriteMode::BufferedDsync,
        WriteMode::BufferedFdatasync
    )]
    mode: WriteMode,
) {
    let (_dir, disk) = disk(mode);
    let file = disk.create("a.seg", FileKind::Journal).unwrap();
    file.allocate(65536).unwrap();
    let mut block = AlignedBuf::zeroed(8192);
    block.fill(7);
    file.write_synced_at(&block, 4096).unwrap();

    let file = disk.open("a.seg", FileKind::Journal).unwrap();
    assert_eq!(file.len().unwrap(), 65536);
    let mut back = AlignedBuf::zeroed(65536 + 4096);
    assert_eq!(file.read_at(&mut back, 0).unwrap(), 65536);
    assert!(back[..4096].iter().all(|byte| *byte == 0));
    assert!(back[4096..12288].iter().all(|byte| *byte == 7));
}

#[test]
fn a_lock_that_is_given_up_is_free_although_a_fork_has_its_file_open() {
    let (_dir, disk) = disk(WriteMode::default());
    let held = disk.lock().unwrap();
    // What a process that was just forked has: the same open file.
    let forked = held.file.try_clone().unwrap();
    drop(held);
    assert!(disk.lock().is_ok());
    drop(forked);
}

#[test]
fn a_lock_that_a_fork_drops_stays_with_its_owner() {
    let (_dir, disk) = disk(WriteMode::default());
    let held = disk.lock().unwrap();
    // What a process that was forked with the store in it drops when it ends.
    let forked = RealLock {
        file: held.file.try_clone().unwrap(),
        owner: held.owner + 1,
    };
    drop(forked);
    assert!(matches!(disk.lock(), Err(LockError::Held { .. })));
    drop(held);
    assert!(disk.lock().is_ok());
}

#[test]
fn a_second_owner_is_refused_with_the_first_ones_pid() {
    let (_dir, disk) = disk(WriteMode::default());
    let held = disk.lock().unwrap();
    let LockError::Held { pid, .. } = disk.lock().unwrap_err() else {
        panic!("held")
    };
    assert_eq!(pid, Some(std::process::id()));
    drop(held);
    assert!(disk.lock().is_ok());
}

#[test]
fn giving_pages_back_loses_no_change() {
    let (_dir, disk) = disk(WriteMode::default());
    let file = disk.create("0000.idx", FileKind::Plain).unwrap();
    file.allocate(1 << 20).unwrap();
    let mut map = disk.map(&file, 1 << 20).unwrap();
    map.bytes_mut().fill(3);
    map.give_back(0, 1 << 20);
    assert!(map.bytes().iter().all(|byte| *byte == 3));
    map.bytes_mut()[5] = 4;
    map.sync().unwrap();
    let mut back = vec![0; 1 << 20];
    assert_eq!(file.read_at(&mut back, 0).unwrap(), 1 << 20);
    assert_eq!(back, map.bytes());
}

#[test]
fn a_file_is_shortened_when_its_last_name_is_gone_and_not_before() {
    let (_dir, disk) = disk(WriteMode::default());
    let file = disk.create("a.seg", FileKind::Journal).unwrap();
    file.allocate(65536).unwrap();
    assert!(!file.shorten_nameless(4096).unwrap());
    disk.link("a.seg", &disk, "in a snapshot").unwrap();
    disk.remove("a.seg").unwrap();
    assert!(!file.shorten_nameless(4096).unwrap());
    assert_eq!(file.len().unwrap(), 65536);
    disk.remove("in a snapshot").unwrap();
    assert!(file.shorten_nameless(4096).unwrap());
    assert_eq!(file.len().unwrap(), 4096);
    assert!(file.shorten_nameless(65536).unwrap());
    assert_eq!(file.len().unwrap(), 4096, "it never grows");
}

#[test]
fn an_existing_directory_is_no_error_and_an_existing_file_is() {
    let (_dir, disk) = disk(WriteMode::default());
    disk.create_dir("s").unwrap();
    disk.create_dir("s").unwrap();
    disk.create("s/f", FileKind::Plain).unwrap();
    assert_eq!(
        disk.create("s/f", FileKind::Plain).unwrap_err().kind(),
        io::ErrorKind::AlreadyExists
    );
    disk.rename("s/f", "s/e").unwrap();
    disk.sync_dir("s").unwrap();
    assert_eq!(disk.list("s").unwrap(), ["e"]);
    disk.remove("s/e").unwrap();
    assert!(disk.list("s").unwrap().is_empty());
    assert!(disk.free_bytes().unwrap() > 0);
}

#[test]
fn a_probe_that_somebody_left_behind_changes_nothing() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let left = format!("probe-{}.tmp", std::process::id());
    std::fs::write(dirs[1].path().join(left), "").unwrap();
    let mode = |dir: &tempfile::TempDir| {
        let disk = RealDisk::open(dir.path(), WriteMode::BufferedDsync).unwrap();
        disk.write_mode()
    };
    assert_eq!(mode(&dirs[0]), WriteMode::BufferedDsync);
    assert_eq!(mode(&dirs[1]), WriteMode::BufferedDsync);
}

#[test]
fn a_directory_that_is_only_looked_at_cannot_be_changed() {
    let dir = tempfile::tempdir().unwrap();
    let writable = RealDisk::open(dir.path(), WriteMode::BufferedFdatasync).unwrap();
    let file = writable.create("seen", FileKind::Journal).unwrap();
    file.write_at(&AlignedBuf::zeroed(4096), 0).unwrap();
    let before = writable.list("").unwrap();

    let looked_at = RealDisk::open_read_only(dir.path()).unwrap();
    let refused = |error: io::Error| assert_eq!(error.kind(), io::ErrorKind::ReadOnlyFilesystem);
    refused(looked_at.create("new", FileKind::Plain).unwrap_err());
    refused(looked_at.create_dir("new").unwrap_err());
    refused(looked_at.remove("seen").unwrap_err());
    refused(looked_at.rename("seen", "new").unwrap_err());
    assert!(looked_at.lock().is_err());
    let file = looked_at.open("seen", FileKind::Journal).unwrap();
    assert!(file.write_at(&AlignedBuf::zeroed(4096), 0).is_err());
    let mut read = AlignedBuf::zeroed(8192);
    assert_eq!(file.read_at(&mut read, 0).unwrap(), 4096);
    assert_eq!(looked_at.list("").unwrap(), before, "not even a probe was left");
    assert!(RealDisk::open_read_only(dir.path().join("missing")).is_err());
}

#[test]
fn what_is_written_through_a_map_shows_in_it_and_in_the_file() {
    let (_dir, disk) = disk(WriteMode::default());
    let file = disk.create("slab", FileKind::Plain).unwrap();
    file.allocate(16384).unwrap();
    let mut map = disk.map(&file, 16384).unwrap();
    map.bytes_mut()[5000] = 1;
    map.write(&[7; 4096], 8192).unwrap();
    map.bytes_mut()[9000] = 2;
    map.sync().unwrap();
    let mut read = [0; 16384];
    file.read_at(&mut read, 0).unwrap();
    assert_eq!(read[..], map.bytes()[..]);
    assert_eq!(
        (read[5000], read[8192], read[9000], read[12287], read[12288]),
        (1, 7, 2, 7, 0)
    );
}

#[test]
#[should_panic(expected = "a write beyond the end of a map")]
fn nothing_is_written_beyond_the_end_of_a_map() {
    let (_dir, disk) = disk(WriteMode::default());
    let file = disk.create("slab", FileKind::Plain).unwrap();
    file.allocate(16384).unwrap();
    let mut map = disk.map(&file, 8192).unwrap();
    let _ = map.write(&[7; 4096], 8192);
}
