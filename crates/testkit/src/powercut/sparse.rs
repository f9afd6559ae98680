//! Copies a disk's file without its holes.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;

const PIECE_BYTES: u64 = 1 << 20;

/// Copies `from` to a new file, which it returns.
pub fn copy(from: &File, to: &Path) -> anyhow::Result<File> {
    let len = from.metadata()?.len();
    let mut options = File::options();
    let copy = options
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(to)?;
    copy.set_len(len)?;
    let mut piece = vec![0; usize::try_from(PIECE_BYTES)?];
    let mut at = 0;
    while at < len {
        at = match seek(from, SeekFrom::Data(at)) {
            Ok(data) => data,
            // There is nothing but a hole any more.
            Err(Errno::NXIO) => break,
            Err(error) => return Err(error.into()),
        };
        let hole = seek(from, SeekFrom::Hole(at))?;
        while at < hole {
            let bytes = &mut piece[..usize::try_from(PIECE_BYTES.min(hole - at))?];
            from.read_exact_at(bytes, at)?;
            copy.write_all_at(bytes, at)?;
            at += u64::try_from(bytes.len())?;
        }
    }
    Ok(copy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_has_the_same_bytes_and_the_same_holes() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        let file = File::create_new(&from).unwrap();
        file.set_len(8 << 20).unwrap();
        file.write_all_at(b"here", 3 << 20).unwrap();
        copy(&File::open(&from).unwrap(), &to).unwrap();
        assert!(std::fs::read(&from).unwrap() == std::fs::read(&to).unwrap());
        use std::os::unix::fs::MetadataExt;
        assert!(to.metadata().unwrap().blocks() < 1000);
    }
}
