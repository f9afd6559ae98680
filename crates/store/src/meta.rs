//! `META`: who this data directory is, in two slots (docs/format.md, "META").
//!
//! Invariants:
//! - A write goes to the slot that does not hold the newest valid state, so a torn write costs only itself.
//! - Generations grow by one with each write; the valid slot with the greater one counts.
//! - The epoch never falls.
//!
//! Elsewhere: rebuilding a lost META from segment headers, and when the epoch is raised (recovery).

use std::io;

use byteorder::{ByteOrder, LittleEndian};

use crate::disk::{Disk, DiskFile, FileKind};

/// The name of the file.
pub(crate) const META_NAME: &str = "META";
pub(crate) const META_NEW_NAME: &str = "META.new";
/// The format of the whole directory that this code writes and reads.
pub const FORMAT_VERSION: u32 = 1;
const META_MAGIC: [u8; 8] = *b"LOGPMETA";
/// Size of a slot.
pub(crate) const SLOT_BYTES: usize = 4096;
const SLOT_COUNT: usize = 2;
const FILE_BYTES: usize = SLOT_BYTES * SLOT_COUNT;
/// Everything before the checksum.
const CHECKED_BYTES: usize = 56;
const FLAG_CLEAN: u32 = 1;

/// What META says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Meta {
    /// The identity of this store; it seals records against bytes of another store.
    pub(crate) store: u128,
    /// Raised at each open, before any other write.
    pub(crate) epoch: u64,
    /// The newest epoch whose first segment is complete: its header was synced.
    pub(crate) begun: u64,
    /// Whether the last owner closed the store properly.
    pub(crate) shutdown: Shutdown,
}

/// How the last owner went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shutdown {
    /// All was synced and a checkpoint stands at the end.
    Clean,
    /// It crashed, or still runs.
    Unclean,
}

/// Why META cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MetaError {
    /// There is none: a new directory, or a lost file.
    #[error("there is no {META_NAME}")]
    Missing,
    /// Neither slot is intact. Rebuild it from any segment header.
    #[error("both slots of {META_NAME} are damaged")]
    Damaged,
    /// Written by another version of this software.
    #[error(
        "this data directory has format {found}, and this version reads format {FORMAT_VERSION}: \
         start it with the version that wrote it, or choose another directory"
    )]
    OtherVersion {
        /// The directory's format.
        found: u32,
    },
    /// The disk said no.
    #[error("{META_NAME}: {0}")]
    Io(#[from] io::Error),
}

/// The open file.
#[derive(Debug)]
pub(crate) struct MetaFile<D: Disk> {
    file: D::File,
    generation: u64,
    meta: Meta,
    damaged_slot: Option<usize>,
}

impl<D: Disk> MetaFile<D> {
    /// Writes a first META, or replaces a damaged one; durable on return.
    pub(crate) fn create(disk: &D, meta: Meta) -> io::Result<Self> {
        match disk.remove(META_NEW_NAME) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = disk.create(META_NEW_NAME, FileKind::Plain)?;
        let mut bytes = vec![0; FILE_BYTES];
        let generation = 1;
        let slot = slot_of(generation) * SLOT_BYTES;
        bytes[slot..slot + SLOT_BYTES].copy_from_slice(&encode(&meta, generation));
        file.write_at(&bytes, 0)?;
        file.sync()?;
        disk.rename(META_NEW_NAME, META_NAME)?;
        // Without its name, the next start would take the directory for an empty one.
        disk.sync_dir("")?;
        Ok(Self {
            file,
            generation,
            meta,
            damaged_slot: None,
        })
    }

    /// Reads META.
    pub(crate) fn open(disk: &D) -> Result<Self, MetaError> {
        let file = match disk.open(META_NAME, FileKind::Plain) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(MetaError::Missing),
            opened => opened?,
        };
        let mut bytes = vec![0; FILE_BYTES];
        let len = file.read_at(&mut bytes, 0)?;
        bytes[len..].fill(0);
        let slots: Vec<Slot> = bytes.chunks(SLOT_BYTES).map(decode).collect();
        let newest = slots
            .iter()
            .filter_map(|slot| {
                if let Slot::Valid(state) = slot {
                    Some(*state)
                } else {
                    None
                }
            })
            .max_by_key(|(generation, ..)| *generation);
        match newest {
            None => Err(MetaError::Damaged),
            Some((_, format, _)) if format != FORMAT_VERSION => {
                Err(MetaError::OtherVersion { found: format })
            }
            Some((generation, _, meta)) => Ok(Self {
                file,
                generation,
                meta,
                damaged_slot: slots.iter().position(|slot| matches!(slot, Slot::Damaged)),
            }),
        }
    }

    /// What it says now.
    pub(crate) const fn meta(&self) -> Meta {
        self.meta
    }

    /// The slot that was found damaged at opening, by the interrupted last write or by rot.
    pub(crate) const fn damaged_slot(&self) -> Option<usize> {
        self.damaged_slot
    }

    /// Replaces what it says; durable on return. An error is final: reopen.
    pub(crate) fn write(&mut self, meta: Meta) -> io::Result<()> {
        assert!(meta.epoch >= self.meta.epoch, "the epoch never falls");
        let generation = self.generation + 1;
        let offset = slot_of(generation) * SLOT_BYTES;
        self.file.write_synced_at(
            &encode(&meta, generation),
            u64::try_from(offset).expect("two slots are small"),
        )?;
        (self.generation, self.meta) = (generation, meta);
        Ok(())
    }
}

fn slot_of(generation: u64) -> usize {
    usize::from(generation.is_multiple_of(2))
}

/// What stands in one of the two slots.
pub(crate) enum Slot {
    NeverWritten,
    Damaged,
    /// Generation, format of the directory, and what is said.
    Valid((u64, u32, Meta)),
}

/// A slot and its bytes.
pub(crate) type SlotBytes = (Slot, Vec<u8>);

/// Both slots as they stand on disk, with their bytes; `None` without a file.
pub(crate) fn slots<D: Disk>(disk: &D) -> io::Result<Option<Vec<SlotBytes>>> {
    let file = match disk.open(META_NAME, FileKind::Plain) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let mut bytes = vec![0; FILE_BYTES];
    let len = file.read_at(&mut bytes, 0)?;
    bytes[len..].fill(0);
    Ok(Some(
        bytes
            .chunks(SLOT_BYTES)
            .map(|slot| (decode(slot), slot.to_vec()))
            .collect(),
    ))
}

/// Where in a slot the bytes begin that mean nothing and are zero.
pub(crate) const SLOT_RESERVED_AT: usize = CHECKED_BYTES + 4;

/// format.md, "META".
fn encode(meta: &Meta, generation: u64) -> [u8; SLOT_BYTES] {
    let mut slot = [0; SLOT_BYTES];
    slot[..8].copy_from_slice(&META_MAGIC);
    LittleEndian::write_u32(&mut slot[8..12], FORMAT_VERSION);
    let flags = if meta.shutdown == Shutdown::Clean {
        FLAG_CLEAN
    } else {
        0
    };
    LittleEndian::write_u32(&mut slot[12..16], flags);
    LittleEndian::write_u64(&mut slot[16..24], generation);
    LittleEndian::write_u64(&mut slot[24..32], meta.epoch);
    LittleEndian::write_u128(&mut slot[32..48], meta.store);
    LittleEndian::write_u64(&mut slot[48..56], meta.begun);
    let crc = crc32fast::hash(&slot[..CHECKED_BYTES]);
    LittleEndian::write_u32(&mut slot[CHECKED_BYTES..CHECKED_BYTES + 4], crc);
    slot
}

fn decode(slot: &[u8]) -> Slot {
    if slot.iter().all(|byte| *byte == 0) {
        return Slot::NeverWritten;
    }
    let crc = LittleEndian::read_u32(&slot[CHECKED_BYTES..CHECKED_BYTES + 4]);
    if slot[..8] != META_MAGIC || crc != crc32fast::hash(&slot[..CHECKED_BYTES]) {
        return Slot::Damaged;
    }
    let flags = LittleEndian::read_u32(&slot[12..16]);
    let meta = Meta {
        store: LittleEndian::read_u128(&slot[32..48]),
        epoch: LittleEndian::read_u64(&slot[24..32]),
        begun: LittleEndian::read_u64(&slot[48..56]),
        shutdown: if flags & FLAG_CLEAN == 0 {
            Shutdown::Unclean
        } else {
            Shutdown::Clean
        },
    };
    Slot::Valid((
        LittleEndian::read_u64(&slot[16..24]),
        LittleEndian::read_u32(&slot[8..12]),
        meta,
    ))
}

#[cfg(test)]
#[cfg(feature = "sim")]
mod crash_tests;
#[cfg(test)]
mod tests;
