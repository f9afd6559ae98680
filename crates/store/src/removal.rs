//! Large files, given back to the file system a piece at a time.
//!
//! A file that is removed gives all of its blocks back at once, when the last who has it open closes it. Where the file system tells the
//! device of them (`discard`), whoever syncs something else waits for that: 13 to 20 ms for 64 MiB where we measured, 1 ms for 1 MiB.
//!
//! Invariants:
//! - Only a file without a name is shortened. One that has another, in a snapshot, keeps its contents.
//! - Nobody in this process reads it: whoever shortens it is the only one who has it open. (Files of the spill may be read without a
//!   pin, so they go at once.)
//! - That it has no name is durable before: a crash shows no name with contents that are gone.
//! - It changes how long others wait and nothing else: what fails, or has to be left for something that waits, goes at the close.

use crate::disk::DiskFile;
use crate::limits::ALIGNMENT;

/// What is given back in one go: a 64th of the file, but not less and not more than this.
const PIECE_BYTES_MIN: u64 = 16 << 10;
const PIECE_BYTES_MAX: u64 = 1 << 20;

/// Gives back most of a file that has no name any more, until it `is_wanted` elsewhere who does that.
pub(crate) fn give_back<F: DiskFile>(file: &F, mut is_wanted: impl FnMut() -> bool) {
    let Ok(mut len) = file.len() else {
        return;
    };
    let piece = (len / 64)
        .clamp(PIECE_BYTES_MIN, PIECE_BYTES_MAX)
        .next_multiple_of(ALIGNMENT);
    while len > piece && !is_wanted() {
        len -= piece;
        match file.shorten_nameless(len) {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => return tracing::debug!(%error, "giving back a removed file"),
        }
    }
}

#[cfg(test)]
#[cfg(feature = "sim")]
mod tests {
    use super::*;
    use crate::disk::sim::SimDisk;
    use crate::disk::{Disk, FileKind};

    /// What goes in pieces of the largest size.
    const BYTES: u64 = 70 * PIECE_BYTES_MAX;

    fn made(disk: &SimDisk) -> <SimDisk as Disk>::File {
        let file = disk.create("large", FileKind::Journal).unwrap();
        file.allocate(BYTES).unwrap();
        file
    }

    #[test]
    fn a_removed_file_goes_in_pieces_but_for_the_last() {
        let disk = SimDisk::new(1);
        let file = made(&disk);
        disk.remove("large").unwrap();
        give_back(&file, || false);
        assert_eq!(file.len().unwrap(), PIECE_BYTES_MAX);
        assert_eq!(disk.calls().shortenings, 69);
    }

    #[test]
    fn a_file_that_has_a_name_left_keeps_all_of_it() {
        let disk = SimDisk::new(1);
        let file = made(&disk);
        disk.link("large", &disk, "in a snapshot").unwrap();
        disk.remove("large").unwrap();
        give_back(&file, || false);
        assert_eq!(file.len().unwrap(), BYTES);
    }

    #[test]
    fn what_is_wanted_elsewhere_leaves_the_rest_to_the_close() {
        let disk = SimDisk::new(1);
        let file = made(&disk);
        disk.remove("large").unwrap();
        let mut asked = 0;
        give_back(&file, || {
            asked += 1;
            asked > 2
        });
        assert_eq!(file.len().unwrap(), 68 * PIECE_BYTES_MAX);
    }
}
