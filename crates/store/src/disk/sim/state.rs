//! The machine behind a simulated disk: what lies on it, its clock, and what is to go wrong.
//!
//! Invariants:
//! - Each call passes [`State::enter`] or [`State::enter_read`], which count it and say what becomes of it.
//! - Once the machine is off, every call fails.

use super::calls::{Calls, Change};
use super::faults::FaultPlan;
use super::inode::Inode;
use super::names::Names;
use super::rng::Rng;
use crate::disk::Now;
use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

const EIO: i32 = 5;
const EMFILE: i32 = 24;
const ENOSPC: i32 = 28;

/// See the module's description.
#[derive(Debug)]
pub(super) struct State {
    pub(super) rng: Rng,
    pub(super) inodes: Vec<Inode>,
    pub(super) names: Names,
    pub(super) plan: FaultPlan,
    pub(super) calls: Calls,
    pub(super) crash_at: Option<u64>,
    pub(super) fail_at: Option<u64>,
    pub(super) full_at: Option<u64>,
    pub(super) failed: Option<String>,
    pub(super) off: bool,
    /// The directories that a process owns.
    pub(super) locked: BTreeSet<Arc<str>>,
    pub(super) now: Now,
    pub(super) capacity: Option<u64>,
    pub(super) copies_on_write: bool,
    pub(super) opens_nothing: bool,
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

impl State {
    /// Of a machine that was just turned on, with nothing on its disk.
    pub(super) fn new(rng: Rng) -> Self {
        Self {
            rng,
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
            opens_nothing: false,
        }
    }

    /// The parts of a state that an image takes over; files, names and randomness are the caller's.
    pub(super) fn successor(&self) -> Self {
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
            opens_nothing: false,
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

    pub(super) fn may_read(&mut self, at: Place<'_>) -> io::Result<()> {
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

    pub(super) fn check_on(&self) -> io::Result<()> {
        if self.off {
            Err(io::Error::other("the simulated machine is off"))
        } else {
            Ok(())
        }
    }

    pub(super) fn be_slow(&mut self) {
        if self.rng.chance(self.plan.slow) {
            let ms = self.rng.between(1, 1000);
            self.now.wall_ms += ms;
            self.now.mono_ms += ms;
        }
    }

    pub(super) const fn plan(&self) -> FaultPlan {
        self.plan
    }

    /// Refuses another open file, if there can be none.
    pub(super) fn check_descriptors(&self) -> io::Result<()> {
        if self.opens_nothing {
            return Err(io::Error::from_raw_os_error(EMFILE));
        }
        Ok(())
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

    pub(super) fn used(&self) -> u64 {
        let mut seen = vec![false; self.inodes.len()];
        self.names
            .files()
            .filter(|file| !std::mem::replace(&mut seen[*file], true))
            .map(|file| to_u64(self.inodes[file].current.len()))
            .sum()
    }

    /// A change of names: all of it, or during a crash perhaps.
    pub(super) fn change_names(
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
