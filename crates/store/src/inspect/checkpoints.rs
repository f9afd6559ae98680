//! The checkpoints that are there, the sound ones and the others.

use super::error::InspectError;
use super::finding::{Finding, Part};
use crate::checkpoint::{self, Checkpoint, SHARD_DIR};
use crate::disk::{Disk, DiskFile, FileKind};
use crate::format::byte_count;
use crate::frame;
use crate::ids::Lsn;

/// How many checkpoints a store retains, with the index pages that they refer to.
pub(super) const RETAINED: usize = 2;

/// What stands in the directory of shard 0, newest first.
#[derive(Default)]
pub(super) struct Checkpoints {
    /// Where each of them was taken, sound or not.
    pub listed: Vec<Lsn>,
    pub sound: Vec<Checkpoint>,
    pub findings: Vec<Finding>,
}

impl Checkpoints {
    /// Reads all checkpoints. One that a running store replaced meanwhile is left out.
    pub(super) fn read<D: Disk>(disk: &D, store: u128) -> Result<Self, InspectError> {
        let mut checkpoints = Self {
            listed: list(disk)?,
            ..Self::default()
        };
        for lsn in checkpoints.listed.clone() {
            let path = path_of(lsn);
            let Some(bytes) = contents(disk, &path)? else {
                continue;
            };
            match decode(&bytes, lsn, store) {
                Some((checkpoint, len)) => {
                    checkpoints.sound.push(checkpoint);
                    if len < bytes.len() {
                        let rest = byte_count(bytes.len() - len);
                        let finding = Finding::new(path, byte_count(len), rest, Part::Checkpoint);
                        checkpoints.findings.push(finding);
                    }
                }
                None => {
                    let finding = Finding::new(path, 0, byte_count(bytes.len()), Part::Checkpoint);
                    checkpoints.findings.push(finding);
                }
            }
        }
        Ok(checkpoints)
    }
}

/// Whether a running store still retains what the checkpoint that was taken at `lsn` refers to.
pub(super) fn is_retained<D: Disk>(disk: &D, lsn: Lsn) -> Result<bool, InspectError> {
    Ok(list(disk)?.iter().take(RETAINED).any(|kept| *kept == lsn))
}

/// The path of the checkpoint that was taken at `lsn`.
pub(super) fn path_of(lsn: Lsn) -> String {
    format!("{SHARD_DIR}/{}", checkpoint::file_name(lsn))
}

/// The checkpoints that are there, newest first.
pub(super) fn list<D: Disk>(disk: &D) -> Result<Vec<Lsn>, InspectError> {
    checkpoint::list(disk).map_err(InspectError::io("listing", SHARD_DIR))
}

fn contents<D: Disk>(disk: &D, path: &str) -> Result<Option<Vec<u8>>, InspectError> {
    let file = match disk.open(path, FileKind::Plain) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(InspectError::io("opening", path))?,
    };
    let read = || {
        let len = usize::try_from(file.len()?).map_err(std::io::Error::other)?;
        let mut bytes = vec![0; len];
        let read = file.read_at(&mut bytes, 0)?;
        bytes.truncate(read);
        Ok(bytes)
    };
    read().map(Some).map_err(InspectError::io("reading", path))
}

/// A checkpoint that a start would take, and how many bytes of the file it has.
fn decode(bytes: &[u8], lsn: Lsn, store: u128) -> Option<(Checkpoint, usize)> {
    let (checkpoint, _, len) = frame::read::<Checkpoint>(bytes, checkpoint::SCHEMA).ok()?;
    let is_ours = checkpoint.store == store && checkpoint.lsn == lsn.get();
    let restores = || checkpoint.queues.iter().all(|queue| queue.restore().is_some());
    (is_ours && restores()).then_some((checkpoint, len))
}
