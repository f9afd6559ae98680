//! A simulated map. It owns its bytes; the disk learns of changes when it is synced, when the simulated kernel writes back
//! at a moment of its choice, and at last when the map is dropped.

use std::io;

use super::calls::Change;
use super::crash::SECTOR_BYTES;
use super::device::SimDisk;
use super::file::SimFile;
use super::image::PAGE_BYTES;
use super::state::{Place, State, Verdict, failed};
use crate::disk::DiskMap;

/// How often a change is preceded by a write-back, in parts of 65536.
const WRITE_BACK_PARTS: u32 = 1024;

/// A file of a simulated disk, mapped.
#[derive(Debug)]
pub struct SimMap {
    disk: SimDisk,
    file: usize,
    bytes: Vec<u8>,
}

impl SimMap {
    pub(super) fn new(disk: SimDisk, file: &SimFile, len: usize) -> io::Result<Self> {
        let mut bytes = vec![0; len];
        let read = {
            let mut state = disk.state();
            state.enter_read(Place::File(file.number()))?;
            state.inodes[file.number()].current.read(&mut bytes, 0)
        };
        assert_eq!(
            read, len,
            "a map beyond the end of its file kills the process when it is touched"
        );
        Ok(Self {
            disk,
            file: file.number(),
            bytes,
        })
    }

    /// Hands the changed sectors to the disk, not synced.
    fn write_back(&self, state: &mut State) {
        let inode = &mut state.inodes[self.file];
        for (index, page) in self.bytes.chunks(PAGE_BYTES).enumerate() {
            if page == &inode.current.page(index)[..page.len()] {
                continue;
            }
            let start = index * PAGE_BYTES;
            for (sector, bytes) in page.chunks(SECTOR_BYTES).enumerate() {
                let at = sector * SECTOR_BYTES;
                if bytes != &inode.current.page(index)[at..at + bytes.len()] {
                    inode.write(bytes, start + at);
                }
            }
        }
    }
}

impl DiskMap for SimMap {
    fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        {
            let mut state = self.disk.state();
            if state.rng.chance(WRITE_BACK_PARTS) {
                self.write_back(&mut state);
            }
        }
        &mut self.bytes
    }

    fn write(&mut self, bytes: &[u8], offset: usize) -> io::Result<()> {
        let verdict = {
            let mut state = self.disk.state();
            if state.rng.chance(WRITE_BACK_PARTS) {
                self.write_back(&mut state);
            }
            let verdict = state.enter(Change::Write, Place::File(self.file))?;
            let reached = match verdict {
                Verdict::Done => bytes.len(),
                Verdict::Crash | Verdict::Fail => {
                    state.rng.index(bytes.len() / SECTOR_BYTES + 1) * SECTOR_BYTES
                }
            };
            self.bytes[offset..offset + reached].copy_from_slice(&bytes[..reached]);
            verdict
        };
        match verdict {
            Verdict::Done => Ok(()),
            Verdict::Crash | Verdict::Fail => Err(failed()),
        }
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.state();
        let verdict = state.enter(Change::MapSync, Place::File(self.file))?;
        self.write_back(&mut state);
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

    fn give_back(&self, _offset: usize, _len: usize) {}
}

impl Drop for SimMap {
    fn drop(&mut self) {
        // What the process changed last may or may not reach the disk: it joins what is not synced.
        let mut state = self.disk.state();
        self.write_back(&mut state);
    }
}
