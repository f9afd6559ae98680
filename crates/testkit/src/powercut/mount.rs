//! A file system that is mounted while its owner lives: a disk's file on a loop device, or one in memory.
//!
//! Invariant: what is mounted here is unmounted here, also after a failure; the loop device goes with the mount.

use anyhow::{Context, ensure};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::packages::run;

/// A file system that is mounted.
pub struct Mount {
    at: PathBuf,
    is_mounted: bool,
}

impl Mount {
    /// Mounts a disk's file; the file system replays its journal. One that cannot be mounted is repaired first, as a system does that starts:
    /// the write of the superblock is torn in some images, and ext4 takes it for atomic.
    pub fn new(image: &Path, at: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(at)?;
        let mount = || {
            let options = "loop,nodiscard,errors=remount-ro";
            run(Command::new("mount")
                .args(["-t", "ext4", "-o", options])
                .arg(image)
                .arg(at))
        };
        if let Err(refused) = mount() {
            repair(image).with_context(|| format!("after {refused:#}"))?;
            mount().context("after its repair")?;
        }
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

/// Repairs a file system that is not mounted.
fn repair(image: &Path) -> anyhow::Result<()> {
    let mut command = Command::new("e2fsck");
    let output = command
        .args(["-f", "-y"])
        .arg(image)
        .stdin(Stdio::null())
        .output();
    let output = output.context("cannot start e2fsck")?;
    // Above 2 something is left.
    let is_repaired = output.status.code().is_some_and(|code| code <= 2);
    ensure!(
        is_repaired,
        "e2fsck: {}: {}",
        output.status,
        String::from_utf8_lossy(&output.stdout).trim()
    );
    eprintln!("  a file system had to be repaired before it could be mounted");
    Ok(())
}

impl Drop for Mount {
    fn drop(&mut self) {
        if self.is_mounted {
            // A failure came before; this one would only hide it.
            let _ = run(Command::new("umount").arg("--lazy").arg(&self.at));
        }
    }
}
