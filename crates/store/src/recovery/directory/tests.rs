//! Where segments end, by their headers, their files and the epochs behind them.

use super::*;

#[test]
fn a_file_that_lost_its_size_is_cut_where_a_later_epoch_begins() {
    let found = |epoch, first_lsn, end, limit| Found {
        number: SegmentNumber::new(epoch),
        first_lsn: Lsn::new(first_lsn),
        epoch: Epoch::new(epoch),
        bytes: limit - first_lsn,
        end: Lsn::new(end),
        limit: Lsn::new(limit),
        is_cut: false,
        known_end: Lsn::new(0),
        header_damaged: false,
    };
    let is_cut = |end, limit| {
        let mut directory = Directory {
            segments: vec![found(1, 0, end, limit), found(2, 0x8000, 0x1_8000, 0x1_8000)],
            ..Directory::empty()
        };
        directory.cut();
        assert_eq!(directory.segments[0].limit, Lsn::new(0x8000));
        directory.segments[0].is_cut
    };
    assert!(is_cut(0x1_0000, 0x1_0000), "inside of it");
    assert!(is_cut(0x1_0000, 0x8000), "at the end of what is left of the file");
    assert!(!is_cut(0x8000, 0x8000), "at its end");
}
