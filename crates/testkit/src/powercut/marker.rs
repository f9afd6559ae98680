//! Writes marks within the guest: to its disk, past the file system, and then to the host.
//!
//! Invariants:
//! - Marks are written one at a time, so their order in the log of writes is the order of their serial numbers.
//! - A mark is on its way through no cache of the guest: when [`Marker::note`] returns, the disk has it.
//! - Nothing here flushes the disk: a mark must not do the broker's work.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use anyhow::Context;
use logpond_store::disk::AlignedBuf;
use rustix::fs::OFlags;

use super::mark::{MARK_BYTES, Mark};
use super::settings::MARK_AT;

/// The newest mark, and where marks go.
pub struct Marker {
    state: Mutex<State>,
}

struct State {
    disk: File,
    port: File,
    sector: AlignedBuf,
    mark: Mark,
}

impl Marker {
    /// Goes on behind the mark that the disk holds, if it holds one.
    pub fn open(disk: &Path, port: &Path) -> anyhow::Result<Self> {
        let direct = i32::try_from(OFlags::DIRECT.bits())?;
        let mut options = OpenOptions::new();
        let disk = options.read(true).write(true).custom_flags(direct).open(disk);
        let mut state = State {
            disk: disk.context("the disk")?,
            port: OpenOptions::new().write(true).open(port).context("the port")?,
            sector: AlignedBuf::zeroed(MARK_BYTES),
            mark: Mark::default(),
        };
        state.disk.read_exact_at(&mut state.sector, MARK_AT)?;
        let mark = Mark::of(&state.sector).map_or_else(Mark::default, |mark| mark.next_life());
        state.write(mark)?;
        let state = Mutex::new(state);
        Ok(Self { state })
    }

    /// The newest mark.
    pub fn mark(&self) -> Mark {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).mark
    }

    /// Writes the next mark.
    pub fn note(&self, change: impl FnOnce(&mut Mark)) -> anyhow::Result<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut mark = state.mark;
        change(&mut mark);
        mark.serial += 1;
        state.write(mark)
    }
}

impl State {
    fn write(&mut self, mark: Mark) -> anyhow::Result<()> {
        let bytes = mark.bytes();
        self.sector.copy_from_slice(&bytes);
        self.disk.write_all_at(&self.sector, MARK_AT)?;
        self.port.write_all(&bytes)?;
        self.mark = mark;
        Ok(())
    }
}
