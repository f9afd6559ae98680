//! The simulated disk itself: one state behind one lock, shared by its handles.
//!
//! Invariants:
//! - Once the machine is off, every call fails; only an image made by `after_crash` or `after_kill` goes on.
//! - Everything that happens follows from the seed and the order of calls.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::calls::{Calls, Change};
use super::crash::Fate;
use super::faults::FaultPlan;
use super::file::SimFile;
use super::inode::Inode;
use super::loss::Loss;
use super::map::SimMap;
use super::names::{Names, Node};
use super::rng::Rng;
use crate::disk::{Disk, FileKind, LockError, Now};

const EIO: i32 = 5;
const ENOSPC: i32 = 28;

/// A simulated disk. Clones share it.
#[derive(Clone, Debug)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
    /// Where on the machine the directory lies that this handle stands for; empty for the uppermost.
    root: Arc<str>,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) rng: Rng,
    pub(super) inodes: Vec<Inode>,
    pub(super) names: Names,
    plan: FaultPlan,
    pub(super) calls: Calls,
    crash_at: Option<u64>,
    fail_at: Option<u64>,
    full_at: Option<u64>,
    failed: Option<String>,
    off: bool,
    /// The directories that a process owns.
    locked: BTreeSet<Arc<str>>,
    now: Now,
    capacity: Option<u64>,
    copies_on_write: bool,
}

/// What a call is about.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place<'a> {
    Path(&'a str),
    File(usize),
}

/// What becomes of a call that changes something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It works.
    Done,
    /// The machine stops during it.
    Crash,
    /// It fails.
    Fail,
}

impl SimDisk {
    /// An empty disk. Its randomness and faults follow from `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let uppermost = Arc::from("");
        let state = State {
            rng: Rng::new(seed),
            inodes: Vec::new(),
            names: Names::new(),
            plan: FaultPlan::default(),
            calls: Calls::default(),
            crash_at: None,
            fail_at: None,
            full_at: None,
            failed: None,
            off: false,
            locked: BTreeSet::new(),
            now: Now {
                wall_ms: 1_700_000_000_000,
                mono_ms: 1,
            },
            capacity: None,
            copies_on_write: false,
        };
        Self {
            state: Arc::new(Mutex::new(state)),
            root: uppermost,
        }
    }

    /// The same directory on another machine.
    fn with(&self, state: State) -> Self {
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

    /// What a power loss leaves, on a machine that was just turned on. Drop maps first: what they hold counts only then.
    #[must_use]
    pub fn after_crash(&self, rng: &mut Rng) -> Self {
        let state = self.state();
        let common = Fate::pick(rng);
        let mixed = rng.chance(32768);
        let fate = |rng: &mut Rng| if mixed { Fate::pick(rng) } else { common };
        let name_fate = fate(rng);
        let names = state.names.after_crash(name_fate, rng);
        let mut reachable = vec![false; state.inodes.len()];
        names.files().for_each(|file| reachable[file] = true);
        let inodes = state
            .inodes
            .iter()
            .zip(reachable)
            .map(|(inode, reachable)| {
                if !reachable {
                    Inode::default()
                } else if inode.pending.is_empty() {
                    inode.rebooted(Fate::AllKept, rng).0
                } else {
                    let fate = fate(rng);
                    inode.rebooted(fate, rng).0
                }
            })
            .collect();
        self.with(State {
            rng: rng.fork(),
            inodes,
            names,
            ..state.successor()
        })
    }

    /// What exactly this loss leaves, on a machine that was just turned on. Drop maps first.
    #[must_use]
    pub fn after_loss(&self, loss: Loss) -> Self {
        let state = self.state();
        let mut counted = loss.counted();
        let names = state.names.after_loss(&mut counted);
        let mut reachable = vec![false; state.inodes.len()];
        names.files().for_each(|file| reachable[file] = true);
        let inode = |(inode, reachable): (&Inode, bool)| {
            let rebooted = inode.after_loss(&mut counted);
            if reachable { rebooted } else { Inode::default() }
        };
        let inodes = state.inodes.iter().zip(reachable).map(inode).collect();
        self.with(State {
            rng: state.rng.clone(),
            inodes,
            names,
            ..state.successor()
        })
    }

    /// A number that differs for disks that hold different files, or other bytes in them.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        let state = self.state();
        let mut hasher = DefaultHasher::new();
        for (path, file) in state.names.paths() {
            path.hash(&mut hasher);
            if let Some(file) = file {
                state.inodes[file].current.fingerprint().hash(&mut hasher);
            }
        }
        hasher.finish()
    }

    /// What the next process finds when this one was killed: the machine, and its page cache, went on.
    #[must_use]
    pub fn after_kill(&self) -> Self {
        let mut state = self.state();
        state.off = true;
        let inodes = state.inodes.iter().map(Inode::after_kill).collect();
        let rng = state.rng.fork();
        self.with(State {
            rng,
            inodes,
            names: state.names.clone(),
            ..state.successor()
        })
    }

    /// A copy of everything, to go on in two ways. Maps must have been dropped.
    #[must_use]
    pub fn fork(&self) -> Self {
        let state = self.state();
        let inodes = state.inodes.clone();
        self.with(State {
            rng: state.rng.clone(),
            inodes,
            names: state.names.clone(),
            ..state.successor()
        })
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

impl State {
    /// The parts of a state that an image takes over; files, names and randomness are the caller's.
    fn successor(&self) -> Self {
        Self {
            rng: Rng::new(0),
            inodes: Vec::new(),
            names: Names::new(),
            plan: self.plan,
            calls: self.calls,
            crash_at: None,
            fail_at: None,
            full_at: None,
            failed: None,
            off: false,
            locked: BTreeSet::new(),
            now: self.now,
            capacity: self.capacity,
            copies_on_write: self.copies_on_write,
        }
    }

    /// Each call passes here: counts it, and says what becomes of it.
    pub(super) fn enter(&mut self, change: Change, at: Place<'_>) -> io::Result<Verdict> {
        self.check_on()?;
        self.calls.count(change);
        if self.crash_at.is_some_and(|at| self.calls.changes() >= at) {
            self.off = true;
            return Ok(Verdict::Crash);
        }
        if self.is_to_fail(at) {
            return Ok(Verdict::Fail);
        }
        if self.full_at == Some(self.calls.changes()) {
            self.note_failed(at);
            return Err(io::Error::from_raw_os_error(ENOSPC));
        }
        if self.plan == FaultPlan::default() {
            return Ok(Verdict::Done);
        }
        self.be_slow();
        let plan = self.plan;
        let (chance, space) = match change {
            Change::Write | Change::SyncedWrite => (plan.write_error, 0),
            Change::Sync | Change::MapSync => (plan.sync_error, 0),
            Change::Create => (plan.name_error, plan.no_space),
            Change::Allocate => (0, plan.no_space),
            Change::Rename | Change::Remove | Change::DirSync | Change::Shorten => (plan.name_error, 0),
        };
        if self.rng.chance(space) {
            self.calls.injected_faults += 1;
            return Err(io::Error::from_raw_os_error(ENOSPC));
        }
        if self.rng.chance(chance) {
            self.calls.injected_faults += 1;
            return Ok(Verdict::Fail);
        }
        Ok(Verdict::Done)
    }

    pub(super) fn enter_read(&mut self, at: Place<'_>) -> io::Result<()> {
        self.check_on()?;
        self.calls.reads += 1;
        self.may_read(at)
    }

    fn may_read(&mut self, at: Place<'_>) -> io::Result<()> {
        if self.is_to_fail(at) {
            return Err(failed());
        }
        self.be_slow();
        if self.rng.chance(self.plan.read_error) {
            self.calls.injected_faults += 1;
            return Err(failed());
        }
        Ok(())
    }

    /// Whether this is the one call that fails.
    fn is_to_fail(&mut self, at: Place<'_>) -> bool {
        let is_due = self.fail_at == Some(self.calls.all());
        if is_due {
            self.note_failed(at);
        }
        is_due
    }

    fn note_failed(&mut self, at: Place<'_>) {
        self.calls.injected_faults += 1;
        self.failed = Some(match at {
            Place::Path(path) => path.to_owned(),
            Place::File(file) => {
                let mut paths = self.names.paths();
                paths
                    .find(|(_, found)| *found == Some(file))
                    .map_or_else(String::new, |(path, _)| path)
            }
        });
    }

    fn check_on(&self) -> io::Result<()> {
        if self.off {
            Err(io::Error::other("the simulated machine is off"))
        } else {
            Ok(())
        }
    }

    fn be_slow(&mut self) {
        if self.rng.chance(self.plan.slow) {
            let ms = self.rng.between(1, 1000);
            self.now.wall_ms += ms;
            self.now.mono_ms += ms;
        }
    }

    pub(super) const fn plan(&self) -> FaultPlan {
        self.plan
    }

    /// Refuses what would not fit.
    pub(super) fn reserve(&self, file: usize, len: usize) -> io::Result<()> {
        let Some(capacity) = self.capacity else {
            return Ok(());
        };
        let more = len.saturating_sub(self.inodes[file].current.len());
        if more > 0 && self.used().saturating_add(to_u64(more)) > capacity {
            return Err(io::Error::from_raw_os_error(ENOSPC));
        }
        Ok(())
    }

    fn used(&self) -> u64 {
        let mut seen = vec![false; self.inodes.len()];
        self.names
            .files()
            .filter(|file| !std::mem::replace(&mut seen[*file], true))
            .map(|file| to_u64(self.inodes[file].current.len()))
            .sum()
    }

    /// A change of names: all of it, or during a crash perhaps.
    fn change_names(
        &mut self,
        change: Change,
        path: &str,
        make: impl FnOnce(&mut Names) -> io::Result<()>,
    ) -> io::Result<()> {
        match self.enter(change, Place::Path(path))? {
            Verdict::Done => make(&mut self.names),
            Verdict::Crash => {
                if self.rng.chance(32768) {
                    make(&mut self.names)?;
                }
                Err(failed())
            }
            Verdict::Fail => Err(failed()),
        }
    }
}

/// The error of a call that failed, or during which the machine stopped.
pub(super) fn failed() -> io::Error {
    io::Error::from_raw_os_error(EIO)
}

pub(super) fn to_u64(len: usize) -> u64 {
    u64::try_from(len).expect("lengths fit into 64 bits")
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
