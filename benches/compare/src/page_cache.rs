//! Making the system forget the pages of files, so that who reads them reads from the disk.
//!
//! Only the pages of these files: dropping all that the system holds (`/proc/sys/vm/drop_caches`) slows down whatever else runs, and
//! needs root. Whether it did forget them is looked up with `fincore` (util-linux), which touches none.

use anyhow::{Context, ensure};
use rustix::fs::{Advice, fadvise, syncfs};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What may stay in memory, of all files together.
const CACHED_BYTES_MAX: u64 = 1 << 20;

/// Makes the system forget the pages of all files below `dir`, which nobody has open.
///
/// # Errors
/// When it did not, or nobody can tell.
pub fn forget(dir: &Path) -> anyhow::Result<()> {
    syncfs(File::open(dir)?)?;
    let files = files(dir)?;
    for path in &files {
        fadvise(File::open(path)?, 0, None, Advice::DontNeed)?;
    }
    let cached = cached_bytes(&files)?;
    ensure!(
        cached <= CACHED_BYTES_MAX,
        "{cached} bytes below {} stayed in memory",
        dir.display()
    );
    Ok(())
}

/// Bytes of these files that are in memory.
fn cached_bytes(files: &[PathBuf]) -> anyhow::Result<u64> {
    let options = ["--noheadings", "--bytes", "--output", "RES"];
    let output = Command::new("fincore").args(options).args(files).output();
    let output = output.context("running fincore, of util-linux")?;
    let lines = String::from_utf8(output.stdout)?;
    let bytes = lines.lines().map(|line| line.trim().parse::<u64>());
    Ok(bytes.sum::<Result<u64, _>>()?)
}

fn files(dir: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(dir)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                dirs.push(entry.path());
            } else if kind.is_file() {
                files.push(entry.path());
            }
        }
    }
    Ok(files)
}
