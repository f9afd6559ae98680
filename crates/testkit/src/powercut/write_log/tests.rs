//! Logs that are read as they were written, and logs that are refused.

use super::recorded::Recorded;
use super::*;

const DISK_BYTES: u64 = 64 * SECTOR_BYTES;

fn opened(recorded: &Recorded) -> anyhow::Result<WriteLog> {
    let folder = tempfile::tempdir()?;
    recorded.open(folder.path(), DISK_BYTES)
}

#[test]
fn writes_and_flushes_come_back_in_order_with_their_data() {
    let mut recorded = Recorded::default();
    recorded.write(3, &[1, 2], Lasting::UntilFlushed);
    recorded.flush();
    recorded.write(60, &[3], Lasting::AtOnce);
    let log = opened(&recorded).unwrap();
    let [Operation::Write(first), Operation::Flush, Operation::Write(last)] = log.operations() else {
        panic!("{:?}", log.operations());
    };
    assert_eq!(
        (first.sector, first.sectors, first.lasting),
        (3, 2, Lasting::UntilFlushed)
    );
    assert_eq!(
        (last.sector, last.sectors, last.lasting),
        (60, 1, Lasting::AtOnce)
    );
    let data = log.data(first).unwrap();
    assert_eq!((data.len(), data[0], data[1023]), (1024, 1, 2));
}

#[test]
fn a_write_that_flushes_first_is_a_flush_and_a_write() {
    let mut recorded = Recorded::default();
    recorded.entry([0, 1, FLUSH | FUA, 0], &[0; 512]);
    let log = opened(&recorded).unwrap();
    let durable = |operation: &Operation| matches!(operation, Operation::Write(write) if write.lasting == Lasting::AtOnce);
    assert_eq!(log.operations().len(), 2);
    assert_eq!(log.operations()[0], Operation::Flush);
    assert!(durable(&log.operations()[1]));
}

#[test]
fn a_write_past_the_end_of_the_disk_is_refused() {
    let mut recorded = Recorded::default();
    recorded.write(63, &[1, 2], Lasting::UntilFlushed);
    assert!(opened(&recorded).is_err());
}

#[test]
fn a_log_that_ends_within_an_entry_is_refused() {
    let mut recorded = Recorded::default();
    recorded.entry([0, 9, 0, 0], &[0; 512]);
    assert!(opened(&recorded).is_err());
}

#[test]
fn a_discard_is_refused() {
    let mut recorded = Recorded::default();
    recorded.entry([0, 1, DISCARD, 0], &[]);
    assert!(opened(&recorded).is_err());
}

#[test]
fn sizes_that_overflow_are_refused() {
    for numbers in [[u64::MAX, 2, 0, 0], [0, u64::MAX / 2, 0, 0]] {
        let mut recorded = Recorded::default();
        recorded.entry(numbers, &[]);
        assert!(opened(&recorded).is_err());
    }
}

#[test]
fn something_else_is_no_log() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    for bytes in [vec![], vec![7; 4096]] {
        std::fs::write(&path, bytes).unwrap();
        assert!(WriteLog::open(&path, DISK_BYTES).is_err());
    }
}
