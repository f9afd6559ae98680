//! The real disk: a directory of this machine.
//!
//! Invariants:
//! - A journal file is written in the one mode that a probe of this file system proved to work.
//! - `EINTR` and short transfers never leave this file; any other error does, once, and is never retried.
//!
//! Elsewhere: what may be mapped (`mmap`), the alignment of buffers (`aligned`).

use super::full::is_full;
use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, IoSlice, Read, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use rustix::fs::{Advice, FallocateFlags, FlockOperation, OFlags};
use rustix::io::{Errno, ReadWriteFlags};

use super::{AlignedBuf, DIRECT_IO_ALIGNMENT, Disk, DiskFile, FileKind, LockError, Now, RealMap};

/// The file that says who owns a data directory.
const LOCK_NAME: &str = "LOCK";

/// What statfs(2) calls the file systems that write everything to a new place: bcachefs, btrfs, F2FS, ZFS.
const COPY_ON_WRITE: [rustix::fs::FsWord; 4] = [0xca45_1a4e, 0x9123_683e, 0xf2f5_2010, 0x2fc1_2fc1];

/// How journal writes reach the disk. Each mode is as safe as the others; they differ in speed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WriteMode {
    /// `O_DIRECT` and `RWF_DSYNC`: one call, no page cache. The fastest.
    #[default]
    DirectDsync,
    /// Through the page cache, with `RWF_DSYNC`: one call that syncs just these bytes.
    BufferedDsync,
    /// A plain write, then `fdatasync`: works everywhere.
    BufferedFdatasync,
}

impl WriteMode {
    const fn next_simpler(self) -> Self {
        match self {
            Self::DirectDsync => Self::BufferedDsync,
            Self::BufferedDsync | Self::BufferedFdatasync => Self::BufferedFdatasync,
        }
    }
}

/// Whether a data directory may be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access {
    ReadWrite,
    ReadOnly,
}

/// A data directory on this machine.
#[derive(Clone, Debug)]
pub struct RealDisk {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    root: PathBuf,
    access: Access,
    wanted: WriteMode,
    /// What the probe found, at the first journal file.
    proven: OnceLock<WriteMode>,
    /// The directories that were synced, open: a process that can open nothing more still syncs what it renamed.
    directories: Mutex<HashMap<String, Arc<File>>>,
    started: Instant,
}

impl RealDisk {
    /// Takes `root` as data directory, creating it if it is missing. Journal files are written in mode `wanted`, or in
    /// the next simpler one that the file system supports. What is made is durable.
    pub fn open(root: impl Into<PathBuf>, wanted: WriteMode) -> io::Result<Self> {
        let root = root.into();
        make_dir(&root)?;
        Ok(Self::at(root, Access::ReadWrite, wanted))
    }

    /// Takes `root`, which must exist, as a data directory that is only looked at: whatever would change anything in it fails
    /// with `ReadOnlyFilesystem`.
    pub fn open_read_only(root: impl Into<PathBuf>) -> io::Result<Self> {
        let root = root.into();
        fs::read_dir(&root)?;
        Ok(Self::at(root, Access::ReadOnly, WriteMode::DirectDsync))
    }

    /// Another data directory, written in the same mode. Makes it if it is missing, durably.
    pub fn beside(&self, root: impl Into<PathBuf>) -> io::Result<Self> {
        let root = root.into();
        make_dir(&root)?;
        Ok(Self::at(root, Access::ReadWrite, self.shared.wanted))
    }

    fn at(root: PathBuf, access: Access, wanted: WriteMode) -> Self {
        Self {
            shared: Arc::new(Shared {
                root,
                access,
                wanted,
                proven: OnceLock::new(),
                directories: Mutex::default(),
                started: Instant::now(),
            }),
        }
    }

    /// Refuses a change of a directory that is only looked at.
    fn check_writable(&self) -> io::Result<()> {
        match self.shared.access {
            Access::ReadWrite => Ok(()),
            Access::ReadOnly => Err(io::ErrorKind::ReadOnlyFilesystem.into()),
        }
    }

    /// The data directory.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.shared.root
    }

    /// The mode in which journal files are written; probes the file system when asked first.
    #[must_use]
    pub fn write_mode(&self) -> WriteMode {
        *self.shared.proven.get_or_init(|| self.probe())
    }

    fn probe(&self) -> WriteMode {
        let mut mode = self.shared.wanted;
        while mode != WriteMode::BufferedFdatasync {
            match self.try_mode(mode) {
                Ok(()) => break,
                Err(error) if is_full(&error) => {
                    tracing::warn!(unproven = ?mode, %error, root = %self.root().display(),
                        "the disk is too full to try this way of writing the journal");
                    break;
                }
                Err(error) => {
                    let simpler = mode.next_simpler();
                    tracing::warn!(refused = ?mode, used = ?simpler, %error, root = %self.root().display(),
                        "the file system refuses this way of writing the journal");
                    mode = simpler;
                }
            }
        }
        mode
    }

    fn try_mode(&self, mode: WriteMode) -> io::Result<()> {
        let path = self.shared.root.join(format!("probe-{}.tmp", std::process::id()));
        // One that a process with the same number left, as in containers.
        let _ = fs::remove_file(&path);
        let tried = open_with(&path, FileKind::Journal, mode, true)
            .and_then(|file| file.write_synced_at(&AlignedBuf::zeroed(DIRECT_IO_ALIGNMENT), 0));
        // Best effort: a left-over probe file is named so that anyone sees that it may go.
        let _ = fs::remove_file(&path);
        tried
    }

    fn path(&self, relative: &str) -> PathBuf {
        self.shared.root.join(relative)
    }

    /// A directory, open from the first time on.
    fn directory(&self, dir: &str) -> io::Result<Arc<File>> {
        let open = || {
            self.shared
                .directories
                .lock()
                .expect("no holder of this lock panics")
        };
        if let Some(known) = open().get(dir) {
            return Ok(Arc::clone(known));
        }
        let file = Arc::new(File::open(self.path(dir))?);
        open().insert(dir.to_owned(), Arc::clone(&file));
        Ok(file)
    }

    fn mode_for(&self, kind: FileKind) -> WriteMode {
        match kind {
            FileKind::Journal => self.write_mode(),
            FileKind::Plain if self.shared.wanted == WriteMode::BufferedFdatasync => {
                WriteMode::BufferedFdatasync
            }
            FileKind::Plain => match self.shared.proven.get() {
                Some(WriteMode::DirectDsync | WriteMode::BufferedDsync) => WriteMode::BufferedDsync,
                _ => WriteMode::BufferedFdatasync,
            },
        }
    }
}

/// Makes a directory and those above it, durably.
fn make_dir(root: &Path) -> io::Result<()> {
    let is_missing = |dir: &&Path| !dir.as_os_str().is_empty() && !dir.exists();
    let missing: Vec<PathBuf> = root
        .ancestors()
        .take_while(is_missing)
        .map(PathBuf::from)
        .collect();
    fs::create_dir_all(root)?;
    for dir in missing {
        let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty());
        File::open(parent.unwrap_or(Path::new(".")))?.sync_all()?;
    }
    Ok(())
}

fn open_with(path: &Path, kind: FileKind, mode: WriteMode, create: bool) -> io::Result<RealFile> {
    let direct = kind == FileKind::Journal && mode == WriteMode::DirectDsync;
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(create);
    if direct {
        options.custom_flags(i32::try_from(OFlags::DIRECT.bits()).expect("open flags fit into 31 bits"));
    }
    let file = options.open(path)?;
    if kind == FileKind::Journal && !direct && !create {
        // Recovery must see the disk, never pages that a failed sync left in the cache as if they were clean.
        forget_cached(&file)?;
    }
    Ok(RealFile { file, mode, direct })
}

fn forget_cached(file: &File) -> io::Result<()> {
    Ok(rustix::fs::fadvise(file, 0, None, Advice::DontNeed)?)
}

/// Opens a file to read it, past the page cache where the file system can.
fn open_to_read(path: &Path, kind: FileKind) -> io::Result<RealFile> {
    let mut options = OpenOptions::new();
    options.read(true);
    if kind == FileKind::Journal {
        let flags = i32::try_from(OFlags::DIRECT.bits()).expect("open flags fit into 31 bits");
        match options.clone().custom_flags(flags).open(path) {
            Err(error) if error.raw_os_error() == Some(Errno::INVAL.raw_os_error()) => {}
            opened => {
                let (file, mode, direct) = (opened?, WriteMode::DirectDsync, true);
                return Ok(RealFile { file, mode, direct });
            }
        }
    }
    let (file, mode, direct) = (options.open(path)?, WriteMode::BufferedFdatasync, false);
    Ok(RealFile { file, mode, direct })
}

impl Disk for RealDisk {
    type File = RealFile;
    type Map = RealMap;
    type Lock = RealLock;

    fn create_dir(&self, path: &str) -> io::Result<()> {
        self.check_writable()?;
        match fs::create_dir(self.path(path)) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            done => done,
        }
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        let mut names = fs::read_dir(self.path(dir))?
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect::<io::Result<Vec<_>>>()?;
        names.sort_unstable();
        Ok(names)
    }

    fn create(&self, path: &str, kind: FileKind) -> io::Result<RealFile> {
        self.check_writable()?;
        open_with(&self.path(path), kind, self.mode_for(kind), true)
    }

    fn open(&self, path: &str, kind: FileKind) -> io::Result<RealFile> {
        match self.shared.access {
            Access::ReadWrite => open_with(&self.path(path), kind, self.mode_for(kind), false),
            Access::ReadOnly => open_to_read(&self.path(path), kind),
        }
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.check_writable()?;
        fs::rename(self.path(from), self.path(to))
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        self.check_writable()?;
        fs::remove_file(self.path(path))
    }

    fn link(&self, from: &str, target: &Self, to: &str) -> io::Result<()> {
        target.check_writable()?;
        fs::hard_link(self.path(from), target.path(to))
    }

    fn link_count(&self, path: &str) -> io::Result<u64> {
        Ok(fs::symlink_metadata(self.path(path))?.nlink())
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        self.directory(dir)?.sync_all()
    }

    fn map(&self, file: &RealFile, len: usize) -> io::Result<RealMap> {
        RealMap::new(&file.file, len)
    }

    fn lock(&self) -> Result<RealLock, LockError> {
        let path = self.path(LOCK_NAME);
        let shown = path.display().to_string();
        let io_error = |source| LockError::Io {
            path: shown.clone(),
            source,
        };
        self.check_writable().map_err(io_error)?;
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(io_error)?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => {
                let mut pid = String::new();
                // Whatever stands there is only a hint for the reader of the message.
                let _ = file.read_to_string(&mut pid);
                return Err(LockError::Held {
                    path: shown,
                    pid: pid.trim().parse().ok(),
                });
            }
            Err(errno) => return Err(io_error(errno.into())),
        }
        file.set_len(0).map_err(io_error)?;
        let owner = std::process::id();
        writeln!(file, "{owner}").map_err(io_error)?;
        Ok(RealLock { file, owner })
    }

    fn random(&self) -> u128 {
        uuid::Uuid::new_v4().as_u128()
    }

    fn now(&self) -> Now {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now {
            wall_ms: millis(wall),
            mono_ms: millis(self.shared.started.elapsed()),
        }
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(&self.shared.root)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    fn rewrites_in_place(&self) -> bool {
        let stat = rustix::fs::statfs(&self.shared.root);
        stat.is_ok_and(|stat| !COPY_ON_WRITE.contains(&stat.f_type))
    }
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The ownership of a data directory; ends when dropped or when the process dies.
#[derive(Debug)]
pub struct RealLock {
    /// The `flock` belongs to the open file.
    file: File,
    /// The process that took it. One that was forked has the same open file, and must not give up what is its parent's.
    owner: u32,
}

/// It would go with the file, too; but a process that was forked a moment ago has the file open until it runs another program.
impl Drop for RealLock {
    fn drop(&mut self) {
        if self.owner != std::process::id() {
            return;
        }
        if let Err(error) = rustix::fs::flock(&self.file, FlockOperation::Unlock) {
            tracing::warn!(%error, "giving up the lock of a data directory");
        }
    }
}

/// An open file of this machine.
#[derive(Debug)]
pub struct RealFile {
    file: File,
    mode: WriteMode,
    direct: bool,
}

impl RealFile {
    /// One synced write call; returns how many bytes it took.
    fn write_some_synced(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        let slices = [IoSlice::new(buf)];
        Ok(rustix::io::pwritev2(
            &self.file,
            &slices,
            offset,
            ReadWriteFlags::DSYNC,
        )?)
    }

    /// How much of a transfer of `done` bytes counts: direct I/O continues on a whole unit.
    fn whole_units(&self, done: usize) -> usize {
        if self.direct {
            done - done % DIRECT_IO_ALIGNMENT
        } else {
            done
        }
    }

    fn write_all(
        &self,
        mut buf: &[u8],
        mut offset: u64,
        write: impl Fn(&[u8], u64) -> io::Result<usize>,
    ) -> io::Result<()> {
        while !buf.is_empty() {
            match write(buf, offset) {
                Ok(done) => {
                    let done = if done == buf.len() {
                        done
                    } else {
                        self.whole_units(done)
                    };
                    if done == 0 {
                        return Err(io::ErrorKind::WriteZero.into());
                    }
                    buf = &buf[done..];
                    offset += u64::try_from(done).map_err(io::Error::other)?;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn allocate_with_zeros(&self, len: u64) -> io::Result<()> {
        let zeros = AlignedBuf::zeroed(1 << 20);
        let mut at = self.file.metadata()?.len();
        while at < len {
            let part = usize::try_from(len - at).unwrap_or(usize::MAX).min(zeros.len());
            self.write_at(&zeros[..part], at)?;
            at += u64::try_from(part).map_err(io::Error::other)?;
        }
        Ok(())
    }
}

impl DiskFile for RealFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        loop {
            match rustix::fs::fallocate(&self.file, FallocateFlags::empty(), 0, len) {
                Err(Errno::INTR) => {}
                Err(Errno::OPNOTSUPP) => return self.allocate_with_zeros(len),
                done => return Ok(done?),
            }
        }
    }

    fn shorten_nameless(&self, len: u64) -> io::Result<bool> {
        let found = self.file.metadata()?;
        if found.nlink() > 0 {
            return Ok(false);
        }
        self.file.set_len(len.min(found.len()))?;
        Ok(true)
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut done = 0;
        while done < buf.len() {
            let at = offset + u64::try_from(done).map_err(io::Error::other)?;
            match self.file.read_at(&mut buf[done..], at) {
                Ok(0) => break,
                Ok(read) => {
                    done += read;
                    if self.whole_units(done) != done {
                        break; // A direct read stops short of a whole unit only at the end of the file.
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    fn forget_cached(&self) -> io::Result<()> {
        forget_cached(&self.file)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        self.write_all(buf, offset, |part, at| self.file.write_at(part, at))
    }

    fn write_synced_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        match self.mode {
            WriteMode::DirectDsync | WriteMode::BufferedDsync => {
                self.write_all(buf, offset, |part, at| self.write_some_synced(part, at))
            }
            WriteMode::BufferedFdatasync => {
                self.write_at(buf, offset)?;
                self.sync()
            }
        }
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

#[cfg(test)]
mod tests;
