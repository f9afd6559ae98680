//! Tests of `meta`: each states one thing that it keeps.

use super::*;
use crate::disk::{RealDisk, RealFile, WriteMode};

const META: Meta = Meta {
    store: 0x0123_4567_89ab_cdef_0011_2233_4455_6677,
    epoch: 5,
    begun: 4,
    shutdown: Shutdown::Unclean,
};

fn new() -> (tempfile::TempDir, RealDisk, MetaFile<RealDisk>) {
    let dir = tempfile::tempdir().unwrap();
    let disk = RealDisk::open(dir.path(), WriteMode::default()).unwrap();
    let file = MetaFile::create(&disk, META).unwrap();
    (dir, disk, file)
}

fn raw(disk: &RealDisk) -> RealFile {
    disk.open(META_NAME, FileKind::Plain).unwrap()
}

#[test]
fn the_latest_of_several_writes_is_read_back() {
    let (_dir, disk, mut file) = new();
    for epoch in 6..20 {
        file.write(Meta {
            epoch,
            shutdown: Shutdown::Clean,
            ..META
        })
        .unwrap();
        let read = MetaFile::open(&disk).unwrap();
        assert_eq!(
            read.meta(),
            Meta {
                epoch,
                shutdown: Shutdown::Clean,
                ..META
            }
        );
        assert_eq!(read.damaged_slot(), None);
    }
}

#[test]
fn a_torn_write_leaves_the_state_before_it() {
    let (_dir, disk, mut file) = new();
    file.write(Meta { epoch: 6, ..META }).unwrap();
    file.write(Meta { epoch: 7, ..META }).unwrap();
    raw(&disk).write_at(b"torn", 20).unwrap();
    let read = MetaFile::open(&disk).unwrap();
    assert_eq!((read.meta().epoch, read.damaged_slot()), (6, Some(0)));
}

#[test]
fn two_bad_slots_and_a_missing_file_are_told_apart() {
    let (_dir, disk, mut file) = new();
    file.write(META).unwrap();
    raw(&disk).write_at(b"bad", 30).unwrap();
    raw(&disk).write_at(b"bad", 4096 + 30).unwrap();
    assert!(matches!(MetaFile::open(&disk), Err(MetaError::Damaged)));
    disk.remove(META_NAME).unwrap();
    assert!(matches!(MetaFile::open(&disk), Err(MetaError::Missing)));
}

#[test]
fn another_format_is_named_with_what_to_do() {
    let (_dir, disk, _file) = new();
    let mut slot = encode(&META, 1);
    slot[8] = 9;
    let crc = crc32fast::hash(&slot[..CHECKED_BYTES]);
    LittleEndian::write_u32(&mut slot[CHECKED_BYTES..CHECKED_BYTES + 4], crc);
    raw(&disk).write_at(&slot, 0).unwrap();
    let error = MetaFile::open(&disk).unwrap_err();
    assert!(matches!(error, MetaError::OtherVersion { found: 9 }));
    assert!(
        error
            .to_string()
            .contains("start it with the version that wrote it")
    );
}

#[test]
fn the_bytes_are_those_of_the_golden_file() {
    let golden = include_bytes!("../../tests/golden/meta-slot.bin");
    assert_eq!(encode(&META, 3)[..64], golden[..]);
    assert!(matches!(
        decode(&encode(&META, 3)),
        Slot::Valid((3, FORMAT_VERSION, META))
    ));
}
