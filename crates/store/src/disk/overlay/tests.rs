//! Changes stay in memory, and everything else is the directory's.

use super::*;
use crate::disk::sim::SimDisk;

const PAGE: u64 = 4096;

/// A disk with `d/a`, three pages of 7, and an overlay of it.
fn over_a_file() -> (SimDisk, Overlay<SimDisk>) {
    let base = SimDisk::new(1);
    base.create_dir("d").unwrap();
    let file = base.create("d/a", FileKind::Plain).unwrap();
    file.write_at(&[7; 3 * PAGE_BYTES], 0).unwrap();
    (base.clone(), Overlay::new(base))
}

fn contents<D: Disk>(disk: &D, path: &str) -> Vec<u8> {
    let file = disk.open(path, FileKind::Plain).unwrap();
    let mut buf = vec![1; 8 * PAGE_BYTES];
    let read = file.read_at(&mut buf, 0).unwrap();
    buf.truncate(read);
    buf
}

#[test]
fn what_is_written_hides_what_stands_below_and_does_not_reach_it() {
    let (base, over) = over_a_file();
    let file = over.open("d/a", FileKind::Plain).unwrap();
    file.write_at(&[9; 100], PAGE - 50).unwrap();
    file.allocate(5 * PAGE).unwrap();
    file.write_synced_at(&[8; 10], 4 * PAGE).unwrap();
    let mut expected = vec![7; 3 * PAGE_BYTES];
    expected[PAGE_BYTES - 50..PAGE_BYTES + 50].fill(9);
    expected.resize(5 * PAGE_BYTES, 0);
    expected[4 * PAGE_BYTES..4 * PAGE_BYTES + 10].fill(8);
    assert_eq!(contents(&over, "d/a"), expected);
    assert_eq!(contents(&base, "d/a"), [7; 3 * PAGE_BYTES]);
}

#[test]
fn names_are_made_moved_and_removed_above_only() {
    let (base, over) = over_a_file();
    over.create("d/new", FileKind::Plain)
        .unwrap()
        .write_at(b"x", 0)
        .unwrap();
    over.rename("d/a", "d/b").unwrap();
    assert_eq!(over.list("d").unwrap(), ["b", "new"]);
    assert_eq!(contents(&over, "d/b"), [7; 3 * PAGE_BYTES]);
    assert!(over.open("d/a", FileKind::Plain).is_err());
    over.rename("d/new", "d/a").unwrap();
    assert_eq!(contents(&over, "d/a"), b"x");
    over.remove("d/b").unwrap();
    let again = over.remove("d/b").unwrap_err();
    assert_eq!(again.kind(), io::ErrorKind::NotFound);
    assert_eq!(over.list("d").unwrap(), ["a"]);
    assert_eq!(base.list("d").unwrap(), ["a"]);
    assert_eq!(contents(&base, "d/a"), [7; 3 * PAGE_BYTES]);
}

#[test]
fn a_directory_stays_as_it_was_when_it_was_listed_first() {
    let (base, over) = over_a_file();
    assert_eq!(over.list("d").unwrap(), ["a"]);
    base.create("d/later", FileKind::Plain).unwrap();
    assert_eq!(over.list("d").unwrap(), ["a"]);
    over.create("d/later", FileKind::Plain).unwrap();
    let taken = over.create("d/a", FileKind::Plain).map(drop).unwrap_err();
    assert_eq!(taken.kind(), io::ErrorKind::AlreadyExists);
    assert_eq!(over.list("not there").unwrap(), [""; 0]);
}

#[test]
fn a_map_is_a_copy() {
    let (base, over) = over_a_file();
    let file = over.open("d/a", FileKind::Plain).unwrap();
    file.allocate(4 * PAGE).unwrap();
    let mut map = over.map(&file, 4 * PAGE_BYTES).unwrap();
    let below = base.open("d/a", FileKind::Plain).unwrap();
    below.write_at(&[5; PAGE_BYTES], 0).unwrap();
    assert!(map.bytes()[..3 * PAGE_BYTES].iter().all(|byte| *byte == 7));
    assert!(map.bytes()[3 * PAGE_BYTES..].iter().all(|byte| *byte == 0));
    map.bytes_mut()[PAGE_BYTES] = 3;
    assert_eq!(contents(&base, "d/a")[PAGE_BYTES], 7);
}
