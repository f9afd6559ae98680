//! `catalog.log`: named definitions that outlive the process, as a log of framed changes (docs/format.md, "Catalog").
//!
//! Invariants:
//! - What `commit` returned `Ok` for is durable, all of a `Changes` or nothing.
//! - `live` is what replaying the frames gives; the file never holds an entry that `live` misses.
//! - Bytes from `end` on are zero, or the file is poisoned: a cut tail is never written over, but left behind by
//!   rewriting the file under a new name.
//! - After a failed write or sync nothing is written until the catalog is reopened, nor after it was closed.
//!
//! Elsewhere: which frames of a file count (`scan`), what was found at opening (`report`), what the values mean (callers).

mod changes;
mod error;
mod file;
mod report;
mod scan;

use std::collections::BTreeMap;
use std::io;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::codec::{self, CodecError};
use crate::disk::{Disk, DiskFile};
use crate::error::PoisonCause;
use crate::frame::{self, Seal};
use crate::meta::Meta;

pub use changes::Changes;
use changes::{Change, Entry};
pub use error::{CatalogError, CatalogOpenError};
use file::{Rewrite, Written, keep_aside, remove_if_there, settle, write_file};
pub(crate) use file::{read_file, store_of};
pub use report::{CatalogReport, DamagedRange, TornTail};
use scan::Scan;

/// The name of the file.
pub(crate) const CATALOG_NAME: &str = "catalog.log";
pub(crate) const CATALOG_NEW_NAME: &str = "catalog.log.new";
/// The version of what frames of this file hold.
pub(crate) const CATALOG_SCHEMA: u16 = 1;
/// The file grows in steps of this many real blocks' bytes, so that a full disk shows before anything is written.
const GROWTH_BYTES: u64 = 64 << 10;
/// What an entry costs besides its key and value.
const ENTRY_OVERHEAD_BYTES: u64 = 20;

/// When a catalog rewrites itself.
#[derive(Clone, Copy, Debug)]
pub struct CatalogOptions {
    /// No compaction below this file size.
    pub compact_bytes_min: u64,
}

impl Default for CatalogOptions {
    fn default() -> Self {
        Self {
            compact_bytes_min: 1 << 20,
        }
    }
}

/// The open catalog with all live entries in memory.
#[derive(Debug)]
pub struct Catalog<D: Disk> {
    disk: D,
    options: CatalogOptions,
    store: u128,
    file: D::File,
    end: u64,
    allocated: u64,
    next_sequence: u64,
    live: BTreeMap<Vec<u8>, Vec<u8>>,
    live_bytes: u64,
    compact_at: u64,
    health: Health,
    /// What failed, until somebody has taken note of it.
    failure: Option<PoisonCause>,
    buffer: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Health {
    Sound,
    Poisoned,
    /// Somebody else may have the directory by now.
    Closed,
}

impl<D: Disk> Catalog<D> {
    /// Opens the catalog of `store`, or starts an empty one. A torn or damaged file is cut, kept aside and reported; it
    /// never prevents opening.
    pub fn open(
        disk: D,
        store: u128,
        options: CatalogOptions,
    ) -> Result<(Self, CatalogReport), CatalogOpenError> {
        remove_if_there(&disk, CATALOG_NEW_NAME).map_err(opening)?;
        settle(&disk).map_err(opening)?;
        let Some((file, bytes)) = read_file(&disk).map_err(opening)? else {
            let fresh = write_file(&disk, store, &BTreeMap::new(), 0).map_err(opening)?;
            let catalog = Self::assemble(disk, store, options, fresh, BTreeMap::new());
            return Ok((
                catalog,
                CatalogReport {
                    created: true,
                    ..CatalogReport::default()
                },
            ));
        };
        let mut live = BTreeMap::new();
        let scan = Scan::run(&bytes, store, |changes| apply(&mut live, changes))?;
        let mut report = scan.report;
        report.entries = live.len();
        for range in &mut report.damaged {
            range.kept_in = keep_aside(&disk, &bytes, range).map_err(opening)?;
        }
        let written = if report.is_clean() {
            let allocated = to_u64(bytes.len());
            Written {
                file,
                end: scan.end,
                allocated,
                next_sequence: scan.next_sequence,
            }
        } else {
            write_file(&disk, store, &live, scan.next_sequence).map_err(opening)?
        };
        Ok((Self::assemble(disk, store, options, written, live), report))
    }

    fn assemble(
        disk: D,
        store: u128,
        options: CatalogOptions,
        written: Written<D>,
        live: BTreeMap<Vec<u8>, Vec<u8>>,
    ) -> Self {
        let Written {
            file,
            end,
            allocated,
            next_sequence,
        } = written;
        let live_bytes = live.iter().map(|(key, value)| entry_bytes(key, value)).sum();
        let mut catalog = Self {
            disk,
            options,
            store,
            file,
            end,
            allocated,
            next_sequence,
            live,
            live_bytes,
            compact_at: 0,
            health: Health::Sound,
            failure: None,
            buffer: Vec::new(),
        };
        catalog.plan_compaction();
        catalog
    }

    /// The value of `key`, to be decoded with [`decode`](Self::decode).
    #[must_use]
    pub fn get(&self, key: &[u8]) -> Option<&[u8]> {
        self.live.get(key).map(Vec::as_slice)
    }

    /// All entries, by key.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.live
            .iter()
            .map(|(key, value)| (key.as_slice(), value.as_slice()))
    }

    /// The entries whose key begins with `prefix`, by key.
    pub fn with_prefix<'a>(&'a self, prefix: &'a [u8]) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        self.live
            .range(prefix.to_vec()..)
            .take_while(move |(key, _)| key.starts_with(prefix))
            .map(|(key, value)| (key.as_slice(), value.as_slice()))
    }

    /// A copy of all entries.
    pub(crate) fn live(&self) -> Live {
        self.live.clone()
    }

    /// The value that an entry's bytes stand for.
    pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
        codec::decode(bytes)
    }

    /// Sets one entry; durable on return.
    pub fn put(&mut self, key: &[u8], value: &impl Serialize) -> Result<(), CatalogError> {
        let mut changes = Changes::new();
        changes.put(key, value)?;
        self.commit(changes)
    }

    /// Removes one entry; durable on return. A missing one is no error.
    pub fn delete(&mut self, key: &[u8]) -> Result<(), CatalogError> {
        let mut changes = Changes::new();
        changes.delete(key);
        self.commit(changes)
    }

    /// Applies several changes, all or nothing; durable on return.
    pub fn commit(&mut self, changes: Changes) -> Result<(), CatalogError> {
        match self.health {
            Health::Sound => {}
            Health::Poisoned => return Err(CatalogError::Poisoned),
            Health::Closed => return Err(CatalogError::Closed),
        }
        if changes.is_empty() {
            return Ok(());
        }
        let entry = Entry::Changes(changes.into_list());
        self.buffer.clear();
        let seal = Seal::at(self.store, self.end);
        frame::write_into(&mut self.buffer, &entry, CATALOG_SCHEMA, self.next_sequence, seal)?;
        let end = self.end + to_u64(self.buffer.len());
        self.grow_to(end)?;
        if let Err(source) = self.file.write_synced_at(&self.buffer, self.end) {
            self.fail(io::Error::new(source.kind(), source.to_string()));
            return Err(CatalogError::Io {
                path: CATALOG_NAME.to_owned(),
                source,
            });
        }
        self.end = end;
        self.next_sequence += 1;
        if let Entry::Changes(changes) = entry {
            for change in changes {
                self.account(&change);
                apply(&mut self.live, [change]);
            }
        }
        self.compact_if_due();
        Ok(())
    }

    /// From now on nothing is written.
    pub(crate) const fn close(&mut self) {
        self.health = Health::Closed;
    }

    /// Takes real blocks before the write, so that a full disk is told apart from a failed write.
    fn grow_to(&mut self, end: u64) -> Result<(), CatalogError> {
        if end > self.allocated {
            let wanted = end.next_multiple_of(GROWTH_BYTES);
            let needed = end - self.end;
            self.file
                .allocate(wanted)
                .map_err(|source| CatalogError::DiskFull { needed, source })?;
            self.allocated = wanted;
        }
        Ok(())
    }

    fn account(&mut self, change: &Change) {
        let key = change.key();
        if let Some(old) = self.live.get(key) {
            self.live_bytes -= entry_bytes(key, old);
        }
        if let Change::Put { key, value } = change {
            self.live_bytes += entry_bytes(key, value);
        }
    }

    /// Rewrites the file once garbage dominates. A failure before the new file has the name costs nothing.
    fn compact_if_due(&mut self) {
        if self.end < self.compact_at {
            return;
        }
        match write_file(&self.disk, self.store, &self.live, self.next_sequence) {
            Ok(Written {
                file,
                end,
                allocated,
                next_sequence,
            }) => {
                (self.file, self.end, self.allocated) = (file, end, allocated);
                self.next_sequence = next_sequence;
                self.plan_compaction();
            }
            Err(Rewrite {
                unchanged: true,
                source,
            }) => {
                tracing::warn!(error = %source, "the definitions could not be compacted; they go on in the old file");
                self.compact_at = self.end.saturating_mul(2);
            }
            Err(Rewrite {
                unchanged: false,
                source,
            }) => {
                // Which of the two files has the name after a crash is unknown: a change in either could be lost.
                tracing::error!(error = %source, "the compacted definitions could not be put in place");
                self.fail(source);
            }
        }
    }

    fn fail(&mut self, source: io::Error) {
        self.health = Health::Poisoned;
        self.failure = Some(PoisonCause::new("writing the definitions", CATALOG_NAME, source));
    }

    /// What failed since this was asked last.
    pub(crate) const fn take_failure(&mut self) -> Option<PoisonCause> {
        self.failure.take()
    }

    fn plan_compaction(&mut self) {
        self.compact_at = self
            .options
            .compact_bytes_min
            .max(self.live_bytes.saturating_mul(2) + GROWTH_BYTES);
    }
}

/// Writes a catalog with these entries to another directory, durably. Returns how many bytes of the file count.
pub(crate) fn write_copy<D: Disk>(disk: &D, store: u128, live: &Live) -> std::io::Result<u64> {
    let written = write_file(disk, store, live, 0).map_err(|rewrite| rewrite.source)?;
    Ok(written.end)
}

fn opening(error: impl Into<Rewrite>) -> CatalogOpenError {
    CatalogOpenError::Io {
        path: CATALOG_NAME.to_owned(),
        source: error.into().source,
    }
}

/// Whether a store of which META says this has a catalog. The first start makes one, durably, before its first segment, and says
/// only then that this start was begun; none without the file has come so far.
pub(crate) const fn is_expected(meta: &Meta) -> bool {
    meta.begun > 0
}

/// What the bytes of a catalog file say, and what is wrong with them. Changes nothing.
pub(crate) fn examine(bytes: &[u8], store: u128) -> Result<(Live, CatalogReport), CatalogOpenError> {
    let mut live = BTreeMap::new();
    let scan = Scan::run(bytes, store, |changes| apply(&mut live, changes))?;
    let mut report = scan.report;
    report.entries = live.len();
    Ok((live, report))
}

/// Live entries: keys and encoded values.
pub(crate) type Live = BTreeMap<Vec<u8>, Vec<u8>>;

fn apply(live: &mut BTreeMap<Vec<u8>, Vec<u8>>, changes: impl IntoIterator<Item = Change>) {
    for change in changes {
        match change {
            Change::Put { key, value } => {
                live.insert(key, value);
            }
            Change::Delete { key } => {
                live.remove(&key);
            }
        }
    }
}

fn entry_bytes(key: &[u8], value: &[u8]) -> u64 {
    to_u64(key.len()) + to_u64(value.len()) + ENTRY_OVERHEAD_BYTES
}

fn to_u64(len: usize) -> u64 {
    u64::try_from(len).expect("lengths fit into 64 bits")
}

#[cfg(test)]
#[cfg(feature = "sim")]
mod crash_tests;
#[cfg(test)]
mod tests;
