//! Whose directory this is, and which segments make up its log: where every look begins.

use super::checkpoints::Checkpoints;
use super::error::InspectError;
use super::meta::LOOKS_MAX;
use crate::catalog::{self, CATALOG_NAME};
use crate::checkpoint;
use crate::checksum::Salt;
use crate::disk::Disk;
use crate::error::OpenError;
use crate::ids::{Epoch, Lsn, SegmentNumber};
use crate::meta::{self, FORMAT_VERSION, META_NAME, Meta, MetaError, Shutdown, Slot};
use crate::recovery::{self, Directory, Found};
use crate::snapshot;

/// A data directory that tells whose it is.
pub(super) struct Site<D: Disk> {
    pub disk: D,
    pub meta: Meta,
    pub salt: Salt,
    pub directory: Directory,
}

impl<D: Disk> Site<D> {
    /// Reads META, or what else tells the same, and lists the segments.
    pub(super) fn read(disk: &D) -> Result<Self, InspectError> {
        snapshot::check_finished(disk)?;
        let meta = known_meta(disk)?;
        let directory = list(disk, &meta)?;
        Ok(Self {
            disk: disk.clone(),
            meta,
            salt: Salt::of(meta.store),
            directory,
        })
    }

    /// The same, with the checkpoints. They are read first: what they speak of is listed, unless it was recycled in between.
    pub(super) fn read_with_checkpoints(disk: &D) -> Result<(Self, Checkpoints), InspectError> {
        snapshot::check_finished(disk)?;
        let meta = known_meta(disk)?;
        let checkpoints = Checkpoints::read(disk, meta.store)?;
        let directory = list(disk, &meta)?;
        let site = Self {
            disk: disk.clone(),
            meta,
            salt: Salt::of(meta.store),
            directory,
        };
        Ok((site, checkpoints))
    }

    /// The segments as they are listed now.
    pub(super) fn list_again(&self) -> Result<Directory, InspectError> {
        list(&self.disk, &self.meta)
    }

    /// The segment whose part of the log holds the byte at `lsn`.
    pub(super) fn segment_of(&self, lsn: Lsn) -> Option<&Found> {
        let Directory { segments, cold, .. } = &self.directory;
        [segments, cold].into_iter().find_map(|list| {
            let after = list.partition_point(|found| found.first_lsn <= lsn);
            let found = &list[after.checked_sub(1)?];
            (lsn < found.limit).then_some(found)
        })
    }

    /// Whether the log was begun anew behind `lsn`, where it once ended: each start does so in a segment of its epoch.
    pub(super) fn has_started_since(&self, lsn: Lsn) -> bool {
        let segments = &self.directory.segments;
        let then = segments.iter().rfind(|found| found.first_lsn < lsn);
        then.zip(segments.last())
            .is_some_and(|(then, now)| then.epoch < now.epoch)
    }

    /// The segment with this number, if the log has it.
    pub(super) fn segment(&self, number: SegmentNumber) -> Option<&Found> {
        let Directory { segments, cold, .. } = &self.directory;
        segments.iter().chain(cold).find(|found| found.number == number)
    }
}

/// The segments. A running store recycles and replaces files between their listing and their opening.
fn list<D: Disk>(disk: &D, meta: &Meta) -> Result<Directory, InspectError> {
    let read = || {
        let known = checkpoint::known_segments(disk, meta.store)?;
        Directory::read(disk, meta.store, Epoch::new(meta.begun), &known)
    };
    let mut tried = 1;
    loop {
        match read() {
            Err(OpenError::Io { source, .. })
                if source.kind() == std::io::ErrorKind::NotFound && tried < LOOKS_MAX =>
            {
                tried += 1;
            }
            Err(OpenError::Io {
                what: "opening" | "reading",
                source,
                ..
            }) if source.kind() == std::io::ErrorKind::NotFound => {
                return Err(InspectError::KeepsChanging { tries: tried });
            }
            listed => return Ok(listed?),
        }
    }
}

/// What META says; without a sound slot, what segments and catalog say in its stead.
fn known_meta<D: Disk>(disk: &D) -> Result<Meta, InspectError> {
    let slots = meta::slots(disk).map_err(InspectError::io("reading", META_NAME))?;
    let newest = slots
        .iter()
        .flatten()
        .filter_map(|(slot, _)| match slot {
            Slot::Valid(valid) => Some(*valid),
            _ => None,
        })
        .max_by_key(|(generation, ..)| *generation);
    if let Some((_, format, meta)) = newest {
        if format != FORMAT_VERSION {
            let problem = MetaError::OtherVersion { found: format }.to_string();
            let file = META_NAME.to_owned();
            return Err(OpenError::Format { file, problem }.into());
        }
        return Ok(meta);
    }
    let in_journal = recovery::identity(disk).or_else(none_if_missing)?;
    let in_catalog = catalog::store_of(disk).map_err(InspectError::io("reading", CATALOG_NAME))?;
    let (store, epoch) = match (in_journal, in_catalog) {
        (Some(known), _) => known,
        (None, Some(store)) => (store, Epoch::new(0)),
        (None, None) => return Err(InspectError::NoStore),
    };
    Ok(Meta {
        store,
        epoch: epoch.get(),
        begun: epoch.get(),
        shutdown: Shutdown::Unclean,
    })
}

fn none_if_missing<T>(error: OpenError) -> Result<Option<T>, InspectError> {
    match error {
        OpenError::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound => Ok(None),
        OpenError::Io { what, file, source } => Err(InspectError::Io { what, file, source }),
        refused => Err(refused.into()),
    }
}
