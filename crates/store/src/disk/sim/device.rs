//! The simulated disk itself: one state behind one lock, shared by its handles.
//!
//! Invariants:
//! - Once the machine is off, every call fails; only an image made by `after_crash` or `after_kill` goes on.
//! - Everything that happens follows from the seed and the order of calls.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::calls::{Calls, Change};
use super::faults::FaultPlan;
use super::file::SimFile;
use super::inode::Inode;
use super::map::SimMap;
use super::names::Node;
use super::rng::Rng;
use super::state::{Place, State, Verdict, failed, to_u64};
use crate::disk::{Disk, FileKind, LockError, Now};

/// A simulated disk. Clones share it.
#[derive(Clone, Debug)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
    /// Where on the machine the directory lies that this handle stands for; empty for the uppermost.
    root: Arc<str>,
}

impl SimDisk {
    /// An empty disk. Its randomness and faults follow from `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let uppermost = Arc::from("");
        Self {
            state: Arc::new(Mutex::new(State::new(Rng::new(seed)))),
            root: uppermost,
        }
    }

    /// The same directory on another machine.
    pub(super) fn with(&self, state: State) -> Self {
        Self {
            state: Arc::new(Mutex::new(state)),
            root: Arc::clone(&self.root),
        }
    }

    /// A directory within this one, to be a data directory of its own on the same machine: crashes, faults and files are
    /// shared. Makes it if there is none, durably.
    pub fn directory(&self, name: &str) -> io::Result<Self> {
        self.create_dir(name)?;
        self.sync_dir("")?;
        Ok(Self {
            state: Arc::clone(&self.state),
            root: self.full(name).into(),
        })
    }

    /// A path as the machine knows it.
    fn full(&self, path: &str) -> String {
        match (&*self.root, path) {
            ("", path) => path.to_owned(),
            (root, "") => root.to_owned(),
            (root, path) => format!("{root}/{path}"),
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        // A panic of the store under test must not hide behind a second one while its maps are dropped.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What goes wrong from now on.
    pub fn set_faults(&self, plan: FaultPlan) {
        self.state().plan = plan;
    }

    /// How many bytes all files together may have.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.state().capacity = bytes;
    }

    /// Lets the disk say that what is written again goes to another place.
    pub fn copy_on_write(&self) {
        self.state().copies_on_write = true;
    }

    /// How many bytes all files together have.
    #[must_use]
    pub fn used_bytes(&self) -> u64 {
        self.state().used()
    }

    /// Turns the machine off during the `n`-th changing call from now; 1 is the next one.
    pub fn crash_at(&self, n: u64) {
        assert!(n > 0, "the next call is number one");
        let mut state = self.state();
        state.crash_at = Some(state.calls.changes() + n);
    }

    /// Lets the machine run on.
    pub fn cancel_crash(&self) {
        self.state().crash_at = None;
    }

    /// Lets the `n`-th call from now fail with EIO, be it a read or a change; 1 is the next one.
    pub fn fail_at(&self, n: u64) {
        assert!(n > 0, "the next call is number one");
        let mut state = self.state();
        state.fail_at = Some(state.calls.all() + n);
    }

    /// Lets the `n`-th changing call from now fail with ENOSPC, and change nothing; 1 is the next one.
    pub fn full_at(&self, n: u64) {
        assert!(n > 0, "the next call is number one");
        let mut state = self.state();
        state.full_at = Some(state.calls.changes() + n);
    }

    /// Whether files can be opened and made from now on; what is open stays so.
    pub fn set_opens_nothing(&self, opens_nothing: bool) {
        self.state().opens_nothing = opens_nothing;
    }

    /// The path at which [`SimDisk::fail_at`] or [`SimDisk::full_at`] struck; empty where that has no name any more.
    #[must_use]
    pub fn failed(&self) -> Option<String> {
        self.state().failed.clone()
    }

    /// Whether the machine is off.
    #[must_use]
    pub fn is_off(&self) -> bool {
        self.state().off
    }

    /// Turns the machine off now.
    pub fn turn_off(&self) {
        self.state().off = true;
    }

    /// Moves both clocks on.
    pub fn advance(&self, ms: u64) {
        let now = &mut self.state().now;
        now.wall_ms += ms;
        now.mono_ms += ms;
    }

    /// Counts of calls so far.
    #[must_use]
    pub fn calls(&self) -> Calls {
        self.state().calls
    }

    /// Writes and name operations that a crash now could lose.
    #[must_use]
    pub fn unsynced_operations(&self) -> usize {
        let state = self.state();
        state.names.pending_count()
            + state
                .inodes
                .iter()
                .map(|inode| inode.pending.len())
                .sum::<usize>()
    }

    /// Flips one bit of a file, on the medium and in every cache.
    pub fn flip_bit(&self, path: &str, bit: u64) -> io::Result<()> {
        let mut state = self.state();
        let Some(Node::File(file)) = state.names.lookup(&self.full(path)) else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let at = usize::try_from(bit / 8).map_err(io::Error::other)?;
        let mut byte = [0];
        if state.inodes[file].current.read(&mut byte, at) == 1 {
            byte[0] ^= 1 << (bit % 8);
            state.inodes[file].write_synced(&byte, at);
        }
        Ok(())
    }
}

impl Disk for SimDisk {
    type File = SimFile;
    type Map = SimMap;
    type Lock = SimLock;

    fn create_dir(&self, path: &str) -> io::Result<()> {
        let path = &*self.full(path);
        let mut state = self.state();
        if state.names.lookup(path) == Some(Node::Directory) {
            return Ok(());
        }
        state.change_names(Change::Create, path, |names| names.link(path, Node::Directory))
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        let dir = &*self.full(dir);
        let mut state = self.state();
        state.enter_read(Place::Path(dir))?;
        state.names.list(dir)
    }

    fn create(&self, path: &str, kind: FileKind) -> io::Result<SimFile> {
        let path = &*self.full(path);
        let mut state = self.state();
        state.check_descriptors()?;
        let file = state.inodes.len();
        state.inodes.push(Inode::default());
        state.change_names(Change::Create, path, |names| names.link(path, Node::File(file)))?;
        Ok(SimFile::new(self.clone(), file, kind))
    }

    fn open(&self, path: &str, kind: FileKind) -> io::Result<SimFile> {
        let path = &*self.full(path);
        let mut state = self.state();
        state.check_on()?;
        state.calls.opens += 1;
        state.check_descriptors()?;
        state.may_read(Place::Path(path))?;
        match state.names.lookup(path) {
            Some(Node::File(file)) => Ok(SimFile::new(self.clone(), file, kind)),
            Some(Node::Directory) => Err(io::ErrorKind::IsADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let (from, to) = (&*self.full(from), &*self.full(to));
        self.state()
            .change_names(Change::Rename, from, |names| names.rename(from, to))
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        let path = &*self.full(path);
        let mut state = self.state();
        if state.names.lookup(path).is_none() {
            state.check_on()?;
            return Err(io::ErrorKind::NotFound.into());
        }
        state.change_names(Change::Remove, path, |names| names.unlink(path))
    }

    fn link(&self, from: &str, target: &Self, to: &str) -> io::Result<()> {
        if !Arc::ptr_eq(&self.state, &target.state) {
            return Err(io::ErrorKind::CrossesDevices.into());
        }
        let (from, to) = (self.full(from), target.full(to));
        let mut state = self.state();
        let Some(node @ Node::File(_)) = state.names.lookup(&from) else {
            state.check_on()?;
            return Err(io::ErrorKind::NotFound.into());
        };
        state.change_names(Change::Create, &to, |names| names.link(&to, node))
    }

    fn link_count(&self, path: &str) -> io::Result<u64> {
        let path = &*self.full(path);
        let mut state = self.state();
        state.enter_read(Place::Path(path))?;
        match state.names.lookup(path) {
            Some(Node::File(file)) => Ok(to_u64(state.names.count(file))),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        let dir = &*self.full(dir);
        let mut state = self.state();
        match state.enter(Change::DirSync, Place::Path(dir))? {
            Verdict::Done => state.names.sync(dir),
            // A file system that cannot write its names stops; it does not forget them and go on. So they stay pending.
            Verdict::Crash | Verdict::Fail => Err(failed()),
        }
    }

    fn map(&self, file: &SimFile, len: usize) -> io::Result<SimMap> {
        SimMap::new(self.clone(), file, len)
    }

    fn lock(&self) -> Result<SimLock, LockError> {
        let mut state = self.state();
        if !state.locked.insert(Arc::clone(&self.root)) {
            return Err(LockError::Held {
                path: "LOCK".to_owned(),
                pid: None,
            });
        }
        Ok(SimLock { disk: self.clone() })
    }

    fn random(&self) -> u128 {
        let mut state = self.state();
        u128::from(state.rng.bits()) << 64 | u128::from(state.rng.bits())
    }

    fn now(&self) -> Now {
        self.state().now
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let state = self.state();
        Ok(state
            .capacity
            .map_or(u64::MAX / 2, |capacity| capacity.saturating_sub(state.used())))
    }

    fn rewrites_in_place(&self) -> bool {
        !self.state().copies_on_write
    }
}

/// The ownership of a simulated disk.
#[derive(Debug)]
pub struct SimLock {
    disk: SimDisk,
}

impl Drop for SimLock {
    fn drop(&mut self) {
        self.disk.state().locked.remove(&self.disk.root);
    }
}
