//! What the engine asks of files, clock and randomness. Everything it knows of the outside is here.
//!
//! Paths are relative to the data directory, with `/` between names. A name (a creation, a rename, a removal)
//! is durable only after [`Disk::sync_dir`] of its directory; contents only after a synced write or a sync.

use std::fmt::Debug;
use std::io;

use super::Now;

/// What a file is for, and with it how it is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// A segment: read and written in whole 4096-byte units from an [`AlignedBuf`](super::AlignedBuf), past the
    /// page cache where the file system can.
    Journal,
    /// Anything else: buffered, any offset and length.
    Plain,
}

/// A data directory.
pub trait Disk: Clone + Send + Sync + 'static {
    /// An open file.
    type File: DiskFile;
    /// A file mapped into memory.
    type Map: DiskMap;
    /// Held while this process owns the directory; dropping it lets go.
    type Lock: Send + 'static;

    /// Creates a directory; fine if it exists. Durable once its parent is synced.
    fn create_dir(&self, path: &str) -> io::Result<()>;
    /// The names in a directory, sorted. `""` is the data directory itself.
    fn list(&self, dir: &str) -> io::Result<Vec<String>>;
    /// Creates an empty file; fails with `AlreadyExists` if there is one.
    fn create(&self, path: &str, kind: FileKind) -> io::Result<Self::File>;
    /// Opens an existing file to read and write.
    fn open(&self, path: &str, kind: FileKind) -> io::Result<Self::File>;
    /// Renames, replacing what has the new name.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &str) -> io::Result<()>;
    /// Gives a file a second name, in the directory `target`: both lead to the same bytes. Durable once `target` has synced
    /// the directory of `to`. Fails with `CrossesDevices` or `Unsupported` where the file systems do not allow it, and with
    /// `AlreadyExists` if the name is taken.
    fn link(&self, from: &str, target: &Self, to: &str) -> io::Result<()>;
    /// How many names the file has, here and elsewhere.
    fn link_count(&self, path: &str) -> io::Result<u64>;
    /// Makes the names in a directory durable. `""` is the data directory itself.
    fn sync_dir(&self, dir: &str) -> io::Result<()>;
    /// Maps the first `len` bytes of a [`FileKind::Plain`] file, shared. The file must have been allocated that far,
    /// and nobody may ever shorten it: touching a page without a block behind it kills the process.
    fn map(&self, file: &Self::File, len: usize) -> io::Result<Self::Map>;
    /// Takes `LOCK`, which says that this process owns the directory.
    fn lock(&self) -> Result<Self::Lock, LockError>;
    /// 128 random bits.
    fn random(&self) -> u128;
    /// Both clocks. For threads and borders only; the engine is handed its `now`.
    fn now(&self) -> Now;
    /// Bytes that can still be written.
    fn free_bytes(&self) -> io::Result<u64>;
    /// Whether what is written again goes to where it lies: then a file that was written before takes synced writes faster.
    fn rewrites_in_place(&self) -> bool;
}

/// An open file. Positioned calls only, so that threads can share it.
pub trait DiskFile: Send + Sync + 'static {
    /// Its size.
    fn len(&self) -> io::Result<u64>;
    /// Whether it has no bytes.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
    /// Gives the first `len` bytes real blocks; new ones read as zero. The file grows to `len`, and never shrinks.
    fn allocate(&self, len: u64) -> io::Result<()>;
    /// Gives back what lies behind `len` of a file that has no name any more, and tells whether it is one: one that has a name is left
    /// as it is, for others may come upon it. Without such a call all goes at once when the last handle is closed.
    fn shorten_nameless(&self, len: u64) -> io::Result<bool>;
    /// Reads until `buf` is full or the file ends; returns how many bytes were read.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes all of `buf`, durable only after [`sync`](Self::sync).
    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<()>;
    /// Writes all of `buf`, durable on return. After an error nothing is known about these bytes, and a later
    /// success proves nothing about them.
    fn write_synced_at(&self, buf: &[u8], offset: u64) -> io::Result<()>;
    /// Forgets what memory holds of the file beside the device: what is read from now on is what the device has, but for what
    /// nobody has tried yet to make durable. A sync that failed leaves its writes in memory as if it had not.
    fn forget_cached(&self) -> io::Result<()>;
    /// Makes all writes of this file durable. An error is final: never try again in the hope that it worked.
    fn sync(&self) -> io::Result<()>;
}

/// A file mapped into memory and shared with the kernel, which may write any of it back at any time, torn.
pub trait DiskMap: Send + 'static {
    /// The mapped bytes.
    fn bytes(&self) -> &[u8];
    /// The mapped bytes, to change.
    fn bytes_mut(&mut self) -> &mut [u8];
    /// Changes bytes by a call instead of by touching them, which is cheaper where they are not in memory yet. They end where the map ends, or
    /// before; anything else is a panic. After an error nothing is known about these bytes.
    fn write(&mut self, bytes: &[u8], offset: usize) -> io::Result<()>;
    /// Makes what was changed through this map durable. As final as [`DiskFile::sync`] when it fails, and the only
    /// way: syncing the file says nothing about a map.
    fn sync(&self) -> io::Result<()>;
    /// Drops `len` bytes' pages from this process's resident memory; contents, changed or not, stay. Offset and length are
    /// rounded inwards to whole pages.
    fn give_back(&self, offset: usize, len: usize);
}

/// Why the data directory could not be taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LockError {
    /// Another process works on it. Stop that one, or use another directory.
    #[error("{path} is held by {}: another process uses this data directory; stop it or choose another directory",
        holder(*pid))]
    Held {
        /// The lock file.
        path: String,
        /// Who holds it, if the file says so.
        pid: Option<u32>,
    },
    /// The lock file could not be opened or locked.
    #[error("cannot take {path}: {source}")]
    Io {
        /// The lock file.
        path: String,
        /// What the system said.
        source: io::Error,
    },
}

fn holder(pid: Option<u32>) -> String {
    pid.map_or_else(|| "an unknown process".to_owned(), |pid| format!("process {pid}"))
}
