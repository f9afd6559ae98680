//! A file system that is mounted while its owner lives: a disk's file on a loop device, or one in memory.
//!
//! Invariant: what is mounted here is unmounted here, also after a failure; the loop device goes with the mount.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command::run;

/// A file system that is mounted.
pub struct Mount {
    at: PathBuf,
    is_mounted: bool,
}

impl Mount {
    /// Mounts a disk's file; the file system replays its journal.
    pub fn new(image: &Path, at: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(at)?;
        let options = "loop,nodiscard,errors=remount-ro";
        run(Command::new("mount")
            .args(["-t", "ext4", "-o", options])
            .arg(image)
            .arg(at))?;
        Ok(Self {
            at: at.to_owned(),
            is_mounted: true,
        })
    }

    /// Mounts an empty file system in memory, where the flushes of what is mounted on its files cost nothing.
    pub fn memory(at: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(at)?;
        run(Command::new("mount").args(["-t", "tmpfs", "powercut"]).arg(at))?;
        Ok(Self {
            at: at.to_owned(),
            is_mounted: true,
        })
    }

    /// Where.
    pub fn path(&self) -> &Path {
        &self.at
    }

    /// Unmounts, and says whether that worked.
    pub fn close(mut self) -> anyhow::Result<()> {
        self.is_mounted = false;
        run(Command::new("umount").arg(&self.at))?;
        Ok(())
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if self.is_mounted {
            // A failure came before; this one would only hide it.
            let _ = run(Command::new("umount").arg("--lazy").arg(&self.at));
        }
    }
}
