//! Checkpoints: the state of a shard at one point of its log, so that a start replays only what came later.
//!
//! Invariants:
//! - A checkpoint is written under another name, synced, and renamed: one with its final name is whole.
//! - The pages that it names were synced before it was written, and are not changed while it is retained.
//! - It is derived: without any checkpoint the log rebuilds everything.
//! - Transient queues are left out: they vanish with the process. So do messages that the log does not hold: they count as dead.

use crate::attempts;
use crate::disk::{Disk, DiskFile, FileKind};
use crate::engine::final_error;
use crate::error::OpenError;
use crate::frame;
use crate::ids::{Lsn, SegmentNumber};
use crate::index::pages::{PageNumber, Pages};
use crate::live::Live;
use crate::planted::{self, Planted};
use crate::queue::{Queue, QueueDurability};
use crate::ranks::Seen;
use crate::state::State;
use roaring::RoaringTreemap;
use serde::{Deserialize, Serialize};
use std::io;

/// Directory of shard 0, in which its checkpoints lie.
pub(crate) const SHARD_DIR: &str = "shard-00";
/// The version of what a checkpoint holds.
pub(crate) const SCHEMA: u16 = 0x0106;
/// So many checkpoints are kept, the newest.
pub(crate) const RETAINED: usize = 2;
/// Stands for a page that a queue does not have.
pub(crate) const NO_PAGE: PageNumber = PageNumber::MAX;

/// The contents of a checkpoint file.
#[derive(Serialize, Deserialize, Debug)]
pub(crate) struct Checkpoint {
    pub store: u128,
    /// Everything below is in here; replay begins in the block at this address.
    pub lsn: u64,
    pub last_block: u64,
    pub previous_crc: u32,
    pub max_timestamp_ms: u64,
    pub next_message_id: u64,
    pub queue_ids_used: u64,
    /// Page numbers count slabs of this size.
    pub slab_bytes: u64,
    /// Written as the last act of an orderly stop.
    pub clean: bool,
    pub segments: Vec<CheckpointSegment>,
    pub tombstones: Vec<u64>,
    pub queues: Vec<CheckpointQueue>,
}

/// What a checkpoint knows of a segment.
#[derive(Serialize, Deserialize, Debug)]
pub(crate) struct CheckpointSegment {
    pub number: u64,
    pub first_lsn: u64,
    pub epoch: u64,
    pub end: u64,
    pub control: Vec<u64>,
}

/// What a checkpoint knows of a queue.
#[derive(Serialize, Deserialize, Debug)]
pub(crate) struct CheckpointQueue {
    pub id: u64,
    pub meta: Vec<u8>,
    pub visible_end: u64,
    pub floor: u64,
    pub mark: u64,
    pub acked: Vec<u8>,
    pub redelivered: Vec<u8>,
    pub attempts: Vec<u8>,
    pub live: u64,
    pub transient_live: u64,
    /// Bytes of bodies: of the live entries, of the transient ones among them.
    pub live_bytes: u64,
    pub transient_bytes: u64,
    /// Live entries that expire one day.
    pub expiring: u64,
    /// Which priorities the live entries have, at least: the bits of [`Seen`].
    pub priorities: u64,
    pub transient_floor: u64,
    /// Entries below were logged, or the log says that it skipped them.
    pub logged_end: u64,
    pub first_page: u64,
    /// Number and checksum of each page.
    pub pages: Vec<(u32, u32)>,
    /// Number of a segment, live entries in it, their bytes.
    pub segments: Vec<(u64, u64, u64)>,
}

/// Where in the log a checkpoint is taken.
pub(crate) struct Position {
    pub store: u128,
    pub lsn: Lsn,
    pub last_block: u64,
    pub previous_crc: u32,
    pub max_timestamp_ms: u64,
    pub clean: bool,
}

impl Checkpoint {
    /// Takes down the state. The checksums of pages are filled in by [`Checkpoint::fill_checksums`], when
    /// they are sealed.
    pub(crate) fn of<D: Disk>(state: &State<D>, position: &Position) -> Self {
        let segments = state.segments.iter().map(|segment| CheckpointSegment {
            number: segment.file.number.get(),
            first_lsn: segment.file.first_lsn.get(),
            epoch: segment.file.epoch.get(),
            end: segment.end.get(),
            control: segment.control.iter().map(|id| id.get()).collect(),
        });
        // What is accepted and not durable has no place here: the log might never say it.
        let durable = state.queues.iter().filter(|queue| {
            queue.durability == QueueDurability::Durable && queue.created_in.get() <= position.last_block
        });
        // The shard is locked: nothing is copied for want of room.
        let mut queues = Vec::with_capacity(durable.size_hint().1.unwrap_or(0));
        queues.extend(durable.map(CheckpointQueue::of));
        Self {
            store: position.store,
            lsn: position.lsn.get(),
            last_block: position.last_block,
            previous_crc: position.previous_crc,
            max_timestamp_ms: position.max_timestamp_ms,
            next_message_id: state.next_message_id,
            queue_ids_used: state.queue_ids_used,
            slab_bytes: state.pages.slab_bytes(),
            clean: position.clean,
            segments: segments.collect(),
            tombstones: state.tombstones.keys().map(|id| id.get()).collect(),
            queues,
        }
    }

    pub(crate) fn fill_checksums<D: Disk>(&mut self, pages: &Pages<D>) {
        for (page, crc) in self.queues.iter_mut().flat_map(|queue| &mut queue.pages) {
            if *page != NO_PAGE {
                *crc = pages.checksum(*page);
            }
        }
    }

    /// All pages that it refers to, with their checksums.
    pub(crate) fn pages(&self) -> impl Iterator<Item = (PageNumber, u32)> {
        self.queues
            .iter()
            .flat_map(|queue| &queue.pages)
            .copied()
            .filter(|(page, _)| *page != NO_PAGE)
    }

    /// Writes it to its file and makes it durable.
    pub(crate) fn write<D: Disk>(&self, disk: &D) -> io::Result<()> {
        let bytes = frame::write(self, SCHEMA, self.lsn).map_err(io::Error::other)?;
        let name = file_name(Lsn::new(self.lsn));
        let temporary = format!("{SHARD_DIR}/new-{name}");
        match disk.remove(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = disk.create(&temporary, FileKind::Plain)?;
        file.write_at(&bytes, 0)?;
        file.sync()?;
        disk.rename(&temporary, &format!("{SHARD_DIR}/{name}"))?;
        // The file is made anew with each attempt; its name is not.
        disk.sync_dir(SHARD_DIR).map_err(final_error)
    }

    /// Reads the checkpoint that was taken at `lsn`; `None` when it is damaged or of another store.
    pub(crate) fn read<D: Disk>(disk: &D, lsn: Lsn, store: u128) -> io::Result<Option<Self>> {
        let file = disk.open(&path(lsn), FileKind::Plain)?;
        let len = usize::try_from(file.len()?).map_err(io::Error::other)?;
        let mut bytes = vec![0; len];
        let read = file.read_at(&mut bytes, 0)?;
        let decoded = frame::read::<Self>(&bytes[..read], SCHEMA).ok();
        Ok(decoded
            .map(|(checkpoint, ..)| checkpoint)
            .filter(|read| read.store == store && read.lsn == lsn.get()))
    }
}

impl CheckpointQueue {
    fn of(queue: &Queue) -> Self {
        Self {
            id: queue.id.get(),
            meta: queue.meta.to_vec(),
            visible_end: queue.visible_end,
            floor: queue.floor,
            mark: queue.mark,
            acked: bytes_of(&queue.dead_at_start()),
            redelivered: bytes_of(&queue.redelivered),
            attempts: if planted::is(Planted::ForgetAttemptsInCheckpoint) {
                Vec::new()
            } else {
                queue.attempts.to_bytes(&queue.dead_at_start())
            },
            live: queue.live - queue.unlogged.live,
            transient_live: queue.transient_live - queue.unlogged.live,
            live_bytes: queue.live_bytes.saturating_sub(queue.unlogged.bytes),
            transient_bytes: queue.transient_bytes.saturating_sub(queue.unlogged.bytes),
            expiring: queue.expiring.saturating_sub(queue.unlogged.expiring),
            priorities: queue.seen.bits(),
            transient_floor: queue.transient_floor,
            logged_end: queue.unlogged.logged_end,
            first_page: queue.first_page,
            pages: queue
                .pages
                .iter()
                .map(|page| (page.unwrap_or(NO_PAGE), 0))
                .collect(),
            segments: queue
                .segments
                .iter()
                .filter(|(number, _)| !number.is_unlogged())
                .map(|(number, live)| (number.get(), live.entries, live.bytes))
                .collect(),
        }
    }

    /// The queue that it describes; `None` when a set in it cannot be read.
    pub(crate) fn restore(&self) -> Option<Queue> {
        let mut queue = Queue::new(crate::QueueId::new(self.id), QueueDurability::Durable, &self.meta);
        queue.next_seq = self.visible_end;
        queue.visible_end = self.visible_end;
        queue.floor = self.floor;
        queue.cursor = self.floor;
        queue.mark = self.mark;
        queue.acked = set_of(&self.acked)?;
        queue.redelivered = set_of(&self.redelivered)?;
        for (first, end, said) in attempts::runs_in(&self.attempts) {
            queue.attempts.raise(first, end, said);
        }
        // What the log did not hold has died, perhaps right at the floor.
        queue.bury(self.floor, 0);
        queue.live = self.live;
        queue.transient_live = self.transient_live;
        if !planted::is(Planted::ForgetBytesInCheckpoint) {
            queue.live_bytes = self.live_bytes;
        }
        queue.transient_bytes = self.transient_bytes;
        queue.expiring = self.expiring;
        queue.seen = Seen::from_bits(self.priorities);
        queue.transient_floor = self.transient_floor;
        queue.unlogged.logged_end = self.logged_end;
        queue.first_page = self.first_page;
        queue.pages = self
            .pages
            .iter()
            .map(|(page, _)| (*page != NO_PAGE).then_some(*page))
            .collect();
        queue.segments = self
            .segments
            .iter()
            .map(|&(number, entries, bytes)| (SegmentNumber::new(number), Live { entries, bytes }))
            .collect();
        Some(queue)
    }
}

/// A set as bytes: roaring's portable 64-bit format; empty for the empty set.
pub(crate) fn bytes_of(set: &RoaringTreemap) -> Vec<u8> {
    let mut bytes = Vec::new();
    if !set.is_empty() {
        set.serialize_into(&mut bytes)
            .expect("writing into memory does not fail");
    }
    bytes
}

/// The set that [`bytes_of`] wrote; `None` when the bytes are none.
pub(crate) fn set_of(bytes: &[u8]) -> Option<RoaringTreemap> {
    if bytes.is_empty() {
        return Some(RoaringTreemap::new());
    }
    RoaringTreemap::deserialize_from(bytes).ok()
}

/// The file name of the checkpoint that was taken at `lsn`.
pub(crate) fn file_name(lsn: Lsn) -> String {
    format!("ckpt-{:016x}", lsn.get())
}

/// Where the checkpoint that was taken at `lsn` lies.
pub(crate) fn path(lsn: Lsn) -> String {
    format!("{SHARD_DIR}/{}", file_name(lsn))
}

/// The segments of the newest checkpoint that is sound, none without one. Where each ends is never behind the checkpoint:
/// up to there blocks were synced.
pub(crate) fn known_segments<D: Disk>(disk: &D, store: u128) -> Result<Vec<CheckpointSegment>, OpenError> {
    for lsn in list(disk).map_err(OpenError::io("listing", SHARD_DIR))? {
        let read = Checkpoint::read(disk, lsn, store).map_err(OpenError::io("reading", path(lsn)))?;
        if let Some(mut checkpoint) = read {
            for segment in &mut checkpoint.segments {
                if !SegmentNumber::new(segment.number).is_cold() {
                    segment.end = segment.end.min(checkpoint.lsn);
                }
            }
            return Ok(checkpoint.segments);
        }
    }
    Ok(Vec::new())
}

/// Removes what a crash left of checkpoints that were being written.
pub(crate) fn remove_unfinished<D: Disk>(disk: &D) -> io::Result<()> {
    for name in disk
        .list(SHARD_DIR)?
        .iter()
        .filter(|name| name.starts_with("new-ckpt-"))
    {
        disk.remove(&format!("{SHARD_DIR}/{name}"))?;
    }
    Ok(())
}

/// Removes all checkpoints, durably: the next start rebuilds the index from the log.
pub(crate) fn remove_all<D: Disk>(disk: &D) -> io::Result<()> {
    remove_superseded(disk)?;
    for lsn in list(disk)? {
        remove(disk, lsn)?;
    }
    disk.sync_dir(SHARD_DIR)
}

/// Removes all checkpoints but those that are kept, durably: a power loss may have brought them back, and what they need
/// may be gone.
pub(crate) fn remove_superseded<D: Disk>(disk: &D) -> io::Result<()> {
    let found = list(disk)?;
    let superseded = found.get(RETAINED..).unwrap_or_default();
    for lsn in superseded {
        remove(disk, *lsn)?;
    }
    if superseded.is_empty() {
        return Ok(());
    }
    disk.sync_dir(SHARD_DIR)
}

/// The checkpoints that a start may take, newest first. There may be others, which are superseded.
pub(crate) fn newest<D: Disk>(disk: &D) -> io::Result<Vec<Lsn>> {
    let mut found = list(disk)?;
    found.truncate(RETAINED);
    Ok(found)
}

/// The checkpoints that are there, newest first.
pub(crate) fn list<D: Disk>(disk: &D) -> io::Result<Vec<Lsn>> {
    let parse = |name: &String| {
        let hex = name.strip_prefix("ckpt-").filter(|hex| hex.len() == 16)?;
        u64::from_str_radix(hex, 16).ok().map(Lsn::new)
    };
    let mut found: Vec<Lsn> = disk.list(SHARD_DIR)?.iter().filter_map(parse).collect();
    found.sort_unstable_by(|a, b| b.cmp(a));
    Ok(found)
}

/// Removes the checkpoint that was taken at `lsn`.
pub(crate) fn remove<D: Disk>(disk: &D, lsn: Lsn) -> io::Result<()> {
    disk.remove(&path(lsn))
}
