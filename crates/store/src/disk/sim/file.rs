//! An open file of a simulated disk. Misuse of direct I/O panics: on a real disk it would be an error on some machines only.

use std::io;

use super::calls::Change;
use super::crash::SECTOR_BYTES;
use super::device::SimDisk;
use super::image::PAGE_BYTES;
use super::state::{Place, State, Verdict, failed, to_u64};
use crate::disk::{DIRECT_IO_ALIGNMENT, DiskFile, FileKind};

/// An open file of a simulated disk.
#[derive(Debug)]
pub struct SimFile {
    disk: SimDisk,
    file: usize,
    kind: FileKind,
}

impl SimFile {
    pub(super) const fn new(disk: SimDisk, file: usize, kind: FileKind) -> Self {
        Self { disk, file, kind }
    }

    pub(super) const fn number(&self) -> usize {
        self.file
    }

    fn check_alignment(&self, buf: &[u8], offset: u64) {
        if self.kind == FileKind::Journal {
            let unit = DIRECT_IO_ALIGNMENT;
            assert_eq!(
                buf.as_ptr().align_offset(unit),
                0,
                "direct I/O from an address that is not aligned"
            );
            assert_eq!(buf.len() % unit, 0, "direct I/O of a length that is not aligned");
            assert_eq!(
                offset % to_u64(unit),
                0,
                "direct I/O at an offset that is not aligned"
            );
        }
    }

    /// Where a write really goes, and how much of it at first.
    fn disturb(&self, state: &mut State, buf: &[u8], offset: usize) -> (usize, usize) {
        let plan = state.plan();
        let short = if buf.len() > SECTOR_BYTES && state.rng.chance(plan.short_write) {
            state.calls.injected_faults += 1;
            state.rng.index(buf.len() / SECTOR_BYTES) * SECTOR_BYTES
        } else {
            buf.len()
        };
        let len = state.inodes[self.file].current.len();
        if state.rng.chance(plan.misdirected_write) && len > buf.len() {
            state.calls.injected_faults += 1;
            let places = (len - buf.len()) / PAGE_BYTES + 1;
            return (state.rng.index(places) * PAGE_BYTES, short);
        }
        (offset, short)
    }

    fn write(&self, buf: &[u8], offset: u64, change: Change) -> io::Result<()> {
        self.check_alignment(buf, offset);
        let offset = usize::try_from(offset).map_err(io::Error::other)?;
        let mut state = self.disk.state();
        let verdict = state.enter(change, Place::File(self.file))?;
        state.reserve(self.file, offset + buf.len())?;
        let (at, first) = self.disturb(&mut state, buf, offset);
        let State { inodes, rng, .. } = &mut *state;
        let inode = &mut inodes[self.file];
        match (verdict, change) {
            (Verdict::Done, Change::SyncedWrite) => inode.write_synced(buf, at),
            (Verdict::Done, _) => {
                inode.write(&buf[..first], at);
                if first < buf.len() {
                    inode.write(&buf[first..], at + first);
                }
            }
            (Verdict::Crash, _) => {
                inode.write(&buf[..first], at);
                return Err(failed());
            }
            (Verdict::Fail, _) => {
                inode.fail_write(buf, at, rng);
                return Err(failed());
            }
        }
        Ok(())
    }
}

impl DiskFile for SimFile {
    fn len(&self) -> io::Result<u64> {
        let mut state = self.disk.state();
        state.enter_read(Place::File(self.file))?;
        Ok(to_u64(state.inodes[self.file].current.len()))
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        let len = usize::try_from(len).map_err(io::Error::other)?;
        let mut state = self.disk.state();
        let verdict = state.enter(Change::Allocate, Place::File(self.file))?;
        state.reserve(self.file, len)?;
        if verdict == Verdict::Fail {
            return Err(failed());
        }
        state.inodes[self.file].grow(len);
        if verdict == Verdict::Crash {
            Err(failed())
        } else {
            Ok(())
        }
    }

    fn shorten_nameless(&self, len: u64) -> io::Result<bool> {
        let len = usize::try_from(len).map_err(io::Error::other)?;
        let mut state = self.disk.state();
        if state.names.count(self.file) > 0 {
            return Ok(false);
        }
        let verdict = state.enter(Change::Shorten, Place::File(self.file))?;
        if verdict == Verdict::Fail {
            return Err(failed());
        }
        state.inodes[self.file].shorten(len);
        if verdict == Verdict::Crash {
            Err(failed())
        } else {
            Ok(true)
        }
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.check_alignment(buf, offset);
        let offset = usize::try_from(offset).map_err(io::Error::other)?;
        let mut state = self.disk.state();
        state.enter_read(Place::File(self.file))?;
        let stale = state.plan().stale_read;
        let is_stale = state.rng.chance(stale);
        let inode = &state.inodes[self.file];
        let len = inode.seen_by(self.kind == FileKind::Journal).read(buf, offset);
        if is_stale
            && offset.is_multiple_of(PAGE_BYTES)
            && len >= PAGE_BYTES
            && let Some(page) = inode.stale(offset)
        {
            buf[..PAGE_BYTES].copy_from_slice(page);
            state.calls.injected_faults += 1;
        }
        Ok(len)
    }

    fn forget_cached(&self) -> io::Result<()> {
        let mut state = self.disk.state();
        state.check_on()?;
        state.inodes[self.file].forget_cached();
        Ok(())
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        self.write(buf, offset, Change::Write)
    }

    fn write_synced_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        self.write(buf, offset, Change::SyncedWrite)
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.state();
        let verdict = state.enter(Change::Sync, Place::File(self.file))?;
        let State { inodes, rng, .. } = &mut *state;
        match verdict {
            Verdict::Done => {
                inodes[self.file].sync();
                Ok(())
            }
            Verdict::Crash => Err(failed()),
            Verdict::Fail => {
                inodes[self.file].fail_sync(rng);
                Err(failed())
            }
        }
    }
}
