//! Files whose loss a store must survive: everything in them is derived from the journal.

use logpond_store::disk::Disk;
use logpond_store::disk::sim::SimDisk;

pub(super) const JOURNAL_DIR: &str = "shard-00/j";
pub(super) const COLD_DIR: &str = "shard-00/c";
pub(super) const INDEX_DIR: &str = "shard-00/x";
pub(super) const SHARD_DIR: &str = "shard-00";

/// Removes the index and all checkpoints.
pub(super) fn remove(disk: &SimDisk) -> Result<(), String> {
    remove_all(disk, INDEX_DIR, "")?;
    remove_all(disk, SHARD_DIR, "ckpt-")
}

/// Removes the footers of all segments.
pub(super) fn remove_footers(disk: &SimDisk) -> Result<(), String> {
    for path in footers(disk)? {
        disk.remove(&path)
            .map_err(|error| format!("removing {path}: {error}"))?;
    }
    Ok(())
}

/// The footers of all segments.
pub(super) fn footers(disk: &SimDisk) -> Result<Vec<String>, String> {
    let mut found = Vec::new();
    for dir in [JOURNAL_DIR, COLD_DIR] {
        let names = list(disk, dir)?.into_iter();
        let footers = names.filter(|name| name.ends_with(".footer"));
        found.extend(footers.map(|name| format!("{dir}/{name}")));
    }
    Ok(found)
}

/// The names in a directory.
pub(super) fn list(disk: &SimDisk, dir: &str) -> Result<Vec<String>, String> {
    disk.list(dir).map_err(|error| format!("listing {dir}: {error}"))
}

fn remove_all(disk: &SimDisk, dir: &str, prefix: &str) -> Result<(), String> {
    for name in list(disk, dir)?.iter().filter(|name| name.starts_with(prefix)) {
        disk.remove(&format!("{dir}/{name}"))
            .map_err(|error| format!("removing {dir}/{name}: {error}"))?;
    }
    Ok(())
}
