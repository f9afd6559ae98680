//! The directory of a snapshot, written step by step.
//!
//! Invariants:
//! - The mark is durable before anything else is there, and goes when everything else is durable.
//! - What a failed attempt made is removed before its mark is, durably in this order.

use super::error::{Leftovers, SnapshotError};
use super::manifest::{HowTaken, MANIFEST_NAME, SnapshotFile, SnapshotManifest, crc_of};
use super::moment::{Part, SnapshotMoment};
use crate::catalog::{self, CATALOG_NAME};
use crate::checkpoint::SHARD_DIR;
use crate::disk::{AlignedBuf, Disk, DiskFile, FileKind};
use crate::error::OpenError;
use crate::format::{byte_count, memory_offset};
use crate::index::pages::INDEX_DIR;
use crate::meta::{META_NAME, MetaFile};
use crate::segments::{COLD_DIR, JOURNAL_DIR, segment_path};
use std::io;

/// Stands in the directory of a snapshot that is not whole.
const UNFINISHED_NAME: &str = "SNAPSHOT.unfinished";
/// What the mark says to whoever finds it.
const MARK: &[u8] = b"This snapshot was not finished. Nobody opens it; remove the directory.\n";
/// The directories of a store, parents first.
const DIRECTORIES: [&str; 4] = [SHARD_DIR, JOURNAL_DIR, COLD_DIR, INDEX_DIR];
/// Bytes that are copied at once.
const COPY_BYTES: usize = 1 << 20;

/// Refuses a directory that is a snapshot and was never finished.
pub(crate) fn check_finished<D: Disk>(disk: &D) -> Result<(), OpenError> {
    match disk.open(UNFINISHED_NAME, FileKind::Plain) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(OpenError::io("opening", UNFINISHED_NAME)(error)),
        Ok(_) => Err(OpenError::UnfinishedSnapshot {
            mark: UNFINISHED_NAME,
        }),
    }
}

/// Writes the snapshot of a store on `disk` into the empty directory `target`; durable on return.
pub(crate) fn write<D: Disk>(
    disk: &D,
    target: &D,
    moment: SnapshotMoment<D>,
) -> Result<SnapshotManifest, SnapshotError> {
    check_empty(target)?;
    let mut writing = Writing {
        disk,
        target,
        made: Vec::new(),
        is_whole: false,
    };
    writing.write(moment).map_err(|failed| {
        let leftovers = writing.clean_up();
        SnapshotError::io(failed.what, failed.file, leftovers)(failed.source)
    })
}

struct Writing<'a, D: Disk> {
    disk: &'a D,
    target: &'a D,
    /// Files other than the mark.
    made: Vec<String>,
    /// Whether the mark may be gone.
    is_whole: bool,
}

/// A call that failed.
struct Failed {
    what: &'static str,
    file: String,
    source: io::Error,
}

fn failed(what: &'static str, file: &str) -> impl FnOnce(io::Error) -> Failed {
    let file = file.to_owned();
    move |source| Failed { what, file, source }
}

/// Only a failed attempt's directories may be there.
fn check_empty<D: Disk>(target: &D) -> Result<(), SnapshotError> {
    for dir in [""].iter().chain(&DIRECTORIES) {
        let names = match target.list(dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            listed => listed.map_err(SnapshotError::io("listing", *dir, Leftovers::None))?,
        };
        for name in names {
            let found = if dir.is_empty() {
                name
            } else {
                format!("{dir}/{name}")
            };
            if !DIRECTORIES.contains(&found.as_str()) {
                return Err(SnapshotError::NotEmpty { found });
            }
        }
    }
    Ok(())
}

impl<D: Disk> Writing<'_, D> {
    fn write(&mut self, moment: SnapshotMoment<D>) -> Result<SnapshotManifest, Failed> {
        let target = self.target;
        self.mark()?;
        for dir in DIRECTORIES {
            let parent = dir.rsplit_once('/').map_or("", |(parent, _)| parent);
            target.create_dir(dir).map_err(failed("creating", dir))?;
            target.sync_dir(parent).map_err(failed("syncing", parent))?;
        }
        let mut files = Vec::new();
        for part in moment.segments {
            files.push(self.segment(&part)?);
        }
        for dir in [JOURNAL_DIR, COLD_DIR] {
            target.sync_dir(dir).map_err(failed("syncing", dir))?;
        }
        self.made.push(CATALOG_NAME.to_owned());
        let written = catalog::write_copy(target, moment.meta.store, &moment.live);
        let bytes_used = written.map_err(failed("writing", CATALOG_NAME))?;
        files.push(self.listed(CATALOG_NAME, Some(bytes_used))?);
        self.made.push(META_NAME.to_owned());
        MetaFile::create(target, moment.meta).map_err(failed("writing", META_NAME))?;
        files.push(self.listed(META_NAME, None)?);
        let manifest = SnapshotManifest {
            store: moment.meta.store,
            epoch: moment.meta.epoch,
            end: moment.end,
            taken_ms: moment.taken_ms,
            files,
        };
        let text = manifest.to_text();
        self.made.push(MANIFEST_NAME.to_owned());
        create(target, MANIFEST_NAME, text.as_bytes()).map_err(failed("writing", MANIFEST_NAME))?;
        self.is_whole = true;
        target
            .remove(UNFINISHED_NAME)
            .and_then(|()| target.sync_dir(""))
            .map_err(failed("removing", UNFINISHED_NAME))?;
        Ok(manifest)
    }

    fn mark(&self) -> Result<(), Failed> {
        create(self.target, UNFINISHED_NAME, MARK).map_err(failed("writing", UNFINISHED_NAME))
    }

    /// Links a segment, or copies it where it is still written or cannot be linked.
    fn segment(&mut self, part: &Part<D>) -> Result<SnapshotFile, Failed> {
        let path = segment_path(part.file.number);
        let how = if part.is_sealed {
            self.link(&path)?
        } else {
            HowTaken::Copied
        };
        let crc = match how {
            HowTaken::Copied => Some(self.copy(part, &path)?),
            // What cannot be read is taken all the same: the rest of the segment may be sound.
            HowTaken::Linked | HowTaken::Written => crc_of(&*part.file.file, part.bytes_used).ok().flatten(),
        };
        Ok(SnapshotFile {
            path,
            bytes: part.file.file_bytes,
            bytes_used: part.bytes_used,
            crc,
            how,
        })
    }

    fn link(&mut self, path: &str) -> Result<HowTaken, Failed> {
        match self.disk.link(path, self.target, path) {
            Ok(()) => {
                self.made.push(path.to_owned());
                Ok(HowTaken::Linked)
            }
            Err(error) if may_be_copied(&error) => Ok(HowTaken::Copied),
            Err(source) => Err(failed("linking", path)(source)),
        }
    }

    /// Copies what counts of a segment; returns its checksum.
    fn copy(&mut self, part: &Part<D>, path: &str) -> Result<u32, Failed> {
        let created = self.target.create(path, FileKind::Plain);
        let file = created.map_err(failed("creating", path))?;
        self.made.push(path.to_owned());
        let allocated = file.allocate(part.file.file_bytes);
        allocated.map_err(failed("allocating", path))?;
        let mut hasher = crc32fast::Hasher::new();
        let mut buf = AlignedBuf::zeroed(COPY_BYTES);
        let mut at = 0;
        while at < part.bytes_used {
            let wanted = memory_offset((part.bytes_used - at).min(byte_count(COPY_BYTES)));
            let read = part.file.read_at(&mut buf, at);
            let read = read.map_err(failed("reading", path))?.min(wanted);
            // Where the file ends early, zeros stand, as for every other reader.
            buf[read..].fill(0);
            file.write_at(&buf[..wanted], at)
                .map_err(failed("writing", path))?;
            hasher.update(&buf[..wanted]);
            at += byte_count(wanted);
        }
        file.sync().map_err(failed("syncing", path))?;
        Ok(hasher.finalize())
    }

    /// A file that was written anew, as the manifest lists it.
    fn listed(&self, path: &str, bytes_used: Option<u64>) -> Result<SnapshotFile, Failed> {
        let reading = || failed("reading", path);
        let file = self.target.open(path, FileKind::Plain).map_err(reading())?;
        let bytes = file.len().map_err(reading())?;
        let bytes_used = bytes_used.unwrap_or(bytes);
        Ok(SnapshotFile {
            path: path.to_owned(),
            bytes,
            bytes_used,
            crc: crc_of(&file, bytes_used).map_err(reading())?,
            how: HowTaken::Written,
        })
    }

    /// Removes what a failed attempt has made, the mark last.
    fn clean_up(&self) -> Leftovers {
        if self.is_whole {
            return Leftovers::Whole;
        }
        let remove = |path: &str| match self.target.remove(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        };
        let sync = |dir: &str| match self.target.sync_dir(dir) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        };
        let unfinished = [catalog::CATALOG_NEW_NAME, crate::meta::META_NEW_NAME];
        let made = self.made.iter().map(String::as_str).chain(unfinished);
        let removed = made
            .map(remove)
            .chain([JOURNAL_DIR, COLD_DIR, ""].map(sync))
            .collect::<io::Result<()>>()
            .and_then(|()| remove(UNFINISHED_NAME))
            .and_then(|()| sync(""));
        match removed {
            Ok(()) => Leftovers::None,
            Err(error) => {
                tracing::warn!(%error, "removing what is left of a snapshot that failed");
                Leftovers::Marked
            }
        }
    }
}

/// Whether a file that cannot be linked for this reason can be copied.
fn may_be_copied(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::CrossesDevices
            | io::ErrorKind::Unsupported
            | io::ErrorKind::PermissionDenied
            | io::ErrorKind::TooManyLinks
    )
}

/// Makes a small file, durably.
fn create<D: Disk>(disk: &D, path: &str, bytes: &[u8]) -> io::Result<()> {
    let file = disk.create(path, FileKind::Plain)?;
    file.write_at(bytes, 0)?;
    file.sync()?;
    disk.sync_dir("")
}
