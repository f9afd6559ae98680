//! One part of a store at a time: segments, blocks, records, index pages, checkpoints, META, catalog.
//!
//! Elsewhere: everything at once, judged (`verify`).

use super::checkpoints::Checkpoints;
use super::contents::{
    BlockInfo, CatalogEntryInfo, CheckpointInfo, EntryInfo, GapInfo, MetaInfo, PageInfo, PageUse, QueueInfo,
    RecordInfo, SegmentDetail, SegmentInfo, SegmentRole, SlotInfo,
};
use super::error::InspectError;
use super::site::Site;
use super::walk::{Block, Left, Stretch, Walk};
use super::window::range_of;
use super::{checkpoints, describe, footers, roll};
use crate::catalog::{self, CATALOG_NAME};
use crate::checkpoint::{Checkpoint, NO_PAGE, set_of};
use crate::disk::{Disk, DiskFile, FileKind};
use crate::error::OpenError;
use crate::format::{byte_count, memory_offset};
use crate::ids::{BlockNumber, Epoch, Lsn, QueueId, SegmentNumber, Seq};
use crate::index::page::{self, ENTRIES};
use crate::index::pages::slab_path;
use crate::limits::{ALIGNMENT, PAGE_BYTES};
use crate::meta::{self, META_NAME, Shutdown, Slot};
use crate::recovery::Found;
use crate::segments::{open_file, segment_path, spare_path};

/// Looks into the files of a store that is not opened. Writes nothing, takes no lock.
pub struct Inspector<D: Disk> {
    site: Site<D>,
}

impl<D: Disk> Inspector<D> {
    /// Finds out whose directory it is.
    ///
    /// # Errors
    /// When there is no store, a file belongs to another store or version, or the disk refuses.
    pub fn new(disk: &D) -> Result<Self, InspectError> {
        Ok(Self {
            site: Site::read(disk)?,
        })
    }

    /// Both slots of META.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn meta(&self) -> Result<MetaInfo, InspectError> {
        let slots = meta::slots(&self.site.disk).map_err(InspectError::io("reading", META_NAME))?;
        let slots: Vec<Option<SlotInfo>> = slots
            .unwrap_or_default()
            .into_iter()
            .map(|(slot, _)| slot_info(&slot))
            .collect();
        let newest = slots
            .iter()
            .enumerate()
            .filter_map(|(at, slot)| Some((at, slot.as_ref()?.generation)))
            .max_by_key(|(_, generation)| *generation);
        let counts = newest.map(|(at, _)| at);
        Ok(MetaInfo { slots, counts })
    }

    /// All segments: the journal in its order, the cold ones, then what is no part of the log.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn segments(&self) -> Result<Vec<SegmentInfo>, InspectError> {
        let directory = &self.site.directory;
        let log = directory.segments.iter().chain(&directory.cold);
        let mut all: Vec<SegmentInfo> = log.map(log_segment).collect();
        let remains = directory
            .remains
            .iter()
            .map(|number| (*number, SegmentRole::Remains));
        let spares = directory
            .spares
            .iter()
            .map(|number| (*number, SegmentRole::Spare));
        for (number, role) in remains.chain(spares) {
            let file = match role {
                SegmentRole::Spare => spare_path(number),
                _ => segment_path(number),
            };
            let opened = open_file(&self.site.disk, &file);
            let (_, bytes) = opened.map_err(InspectError::io("opening", &file))?;
            all.push(SegmentInfo {
                number,
                file,
                role,
                first_lsn: None,
                limit: None,
                epoch: None,
                bytes,
            });
        }
        Ok(all)
    }

    /// A segment of the log, from its first block to where its part of the log ends.
    ///
    /// # Errors
    /// When the log has no such segment, or the disk refuses.
    pub fn segment(&self, number: SegmentNumber) -> Result<SegmentDetail, InspectError> {
        let found = self.found(number)?;
        let mut detail = SegmentDetail {
            segment: log_segment(found),
            blocks: Vec::new(),
            gaps: Vec::new(),
            footer: footers::info(&self.site, found)?,
        };
        let mut walk = Walk::open(&self.site.disk, found, self.site.salt)?;
        while let Some(stretch) = walk.next()? {
            match stretch {
                Stretch::Block(block) => detail.blocks.push(block_info(&block)),
                Stretch::Gap(gap) => detail.gaps.push(GapInfo {
                    offset: gap.from.get() - found.first_lsn.get(),
                    bytes: gap.to.get() - gap.from.get(),
                    has_remains: gap.left == Left::Remains,
                }),
            }
        }
        Ok(detail)
    }

    /// The block that begins at `offset` of a segment's file, and its sound records.
    ///
    /// # Errors
    /// When no sound block header stands there, or the disk refuses.
    pub fn block(
        &self,
        number: SegmentNumber,
        offset: u64,
    ) -> Result<(BlockInfo, Vec<RecordInfo>), InspectError> {
        let found = self.found(number)?;
        let missing = || {
            InspectError::missing(format!(
                "no sound block begins at byte {offset} of {}; `segment` lists those that do",
                segment_path(number)
            ))
        };
        if !offset.is_multiple_of(ALIGNMENT) {
            return Err(missing());
        }
        let mut walk = Walk::open(&self.site.disk, found, self.site.salt)?;
        let block = walk.block_at_offset(offset)?.ok_or_else(missing)?;
        let records = describe::records(number, &block);
        Ok((block_info(&block), records))
    }

    /// The intact record that begins at `offset` of a segment's file, and its bytes.
    ///
    /// # Errors
    /// When no intact record begins there, or the disk refuses.
    pub fn record(&self, number: SegmentNumber, offset: u64) -> Result<(RecordInfo, Vec<u8>), InspectError> {
        let found = self.found(number)?;
        let mut walk = Walk::open(&self.site.disk, found, self.site.salt)?;
        let record = walk.record_at_offset(offset)?;
        let bytes = record.ok_or_else(|| {
            InspectError::missing(format!(
                "no intact record begins at byte {offset} of {}; `block` lists those of a block",
                segment_path(number)
            ))
        })?;
        Ok((describe::record(number, offset, &bytes), bytes))
    }

    /// The sound checkpoints, newest first.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn checkpoints(&self) -> Result<Vec<CheckpointInfo>, InspectError> {
        let read = Checkpoints::read(&self.site.disk, self.site.meta.store)?;
        read.sound
            .iter()
            .map(|sound| self.checkpoint_info(sound))
            .collect()
    }

    /// The queues, as the newest sound checkpoint knows them.
    ///
    /// # Errors
    /// When no checkpoint is sound, or the disk refuses.
    pub fn queues(&self) -> Result<Vec<QueueInfo>, InspectError> {
        Ok(self.newest()?.queues.iter().map(queue_info).collect())
    }

    /// The index pages that the newest sound checkpoint refers to, by slab and page.
    ///
    /// # Errors
    /// When no checkpoint is sound, or the disk refuses.
    pub fn index(&self) -> Result<Vec<PageUse>, InspectError> {
        let newest = self.newest()?;
        let mut uses = Vec::new();
        for queue in &newest.queues {
            for ((number, crc), nth) in queue.pages.iter().zip(queue.first_page..) {
                if *number == NO_PAGE {
                    continue;
                }
                let per_slab = pages_per_slab(&newest);
                let (slab, page) = (u64::from(*number) / per_slab, u64::from(*number) % per_slab);
                let (queue, first) = (QueueId::new(queue.id), Seq::new(nth * ENTRIES));
                let bytes = self.page_bytes(slab, page)?;
                uses.push(PageUse {
                    slab,
                    page,
                    file: slab_path(memory_offset(slab)),
                    offset: page * byte_count(PAGE_BYTES),
                    queue,
                    first,
                    sound: page::is_intact(&bytes, *crc) && page::owner(&bytes) == (queue, first),
                });
            }
        }
        uses.sort_unstable_by_key(|used| (used.slab, used.page));
        Ok(uses)
    }

    /// One index page and its entries, whether the newest sound checkpoint uses it or not.
    ///
    /// # Errors
    /// When no checkpoint is sound, there is no such page, or the disk refuses.
    pub fn index_page(&self, slab: u64, page: u64) -> Result<PageInfo, InspectError> {
        let newest = self.newest()?;
        if page >= pages_per_slab(&newest) {
            let last = pages_per_slab(&newest) - 1;
            let what = format!("there is no index page {slab}:{page}; a slab has pages 0 to {last}");
            return Err(InspectError::missing(what));
        }
        let bytes = self.page_bytes(slab, page)?;
        let owner = page::owner(&bytes);
        let queue = newest.queues.iter().find(|queue| queue.id == owner.0.get());
        let acked = queue.and_then(|queue| set_of(&queue.acked)).unwrap_or_default();
        let mut entries = Vec::new();
        for slot in 0..ENTRIES {
            let seq = Seq::new(owner.1.get().saturating_add(slot));
            let entry = page::entry(&bytes, Seq::new(slot));
            if entry.len == 0 {
                continue;
            }
            let found = self.site.segment_of(entry.lsn);
            let is_dead = queue.is_none_or(|queue| seq.get() < queue.floor || acked.contains(seq.get()));
            entries.push(EntryInfo {
                seq,
                lsn: entry.lsn,
                segment: found.map(|found| found.number),
                offset: found.map(|found| entry.lsn.get() - found.first_lsn.get()),
                bytes: entry.len,
                priority: entry.priority.get().unwrap_or_default(),
                transient: entry.transient,
                expires_ms: entry.expires_ms,
                dead: is_dead,
            });
        }
        let mut uses = self.index()?.into_iter();
        let used = uses.find(|used| (used.slab, used.page) == (slab, page));
        Ok(PageInfo { used, owner, entries })
    }

    /// The live entries of the catalog.
    ///
    /// # Errors
    /// When the file is missing, is that of another store or version, or the disk refuses.
    pub fn catalog(&self) -> Result<Vec<CatalogEntryInfo>, InspectError> {
        let read = catalog::read_file(&self.site.disk);
        let Some((_, bytes)) = read.map_err(InspectError::io("reading", CATALOG_NAME))? else {
            return if catalog::is_expected(&self.site.meta) {
                let what = format!(
                    "{CATALOG_NAME} is missing, and with it all definitions; `verify` tells the same"
                );
                Err(InspectError::missing(what))
            } else {
                Ok(Vec::new())
            };
        };
        let examined = catalog::examine(&bytes, self.site.meta.store);
        let (live, _) = examined.map_err(|error| OpenError::Format {
            file: CATALOG_NAME.to_owned(),
            problem: error.to_string(),
        })?;
        let entry = |(key, value): (&Vec<u8>, &Vec<u8>)| CatalogEntryInfo {
            key: String::from_utf8_lossy(key).into_owned(),
            value_bytes: byte_count(value.len()),
            value: value.iter().map(|byte| format!("{byte:02x}")).collect(),
        };
        Ok(live.iter().map(entry).collect())
    }

    /// Bytes of any file of the store, as they stand there; fewer where the file ends.
    ///
    /// # Errors
    /// When there is no such file, or the disk refuses.
    pub fn bytes(&self, file: &str, offset: u64, len: u64) -> Result<Vec<u8>, InspectError> {
        range_of(&self.site.disk, file, offset, len)
    }

    fn found(&self, number: SegmentNumber) -> Result<&Found, InspectError> {
        self.site.segment(number).ok_or_else(|| {
            let (path, listed) = (segment_path(number), roll::told(&self.site.directory));
            InspectError::missing(format!(
                "{path} is no part of the log, which has {listed}; `segments` lists all files"
            ))
        })
    }

    fn newest(&self) -> Result<Checkpoint, InspectError> {
        let read = Checkpoints::read(&self.site.disk, self.site.meta.store)?;
        read.sound.into_iter().next().ok_or_else(|| {
            InspectError::missing(
                "no checkpoint is sound, so nothing tells what the index holds; the next start rebuilds it",
            )
        })
    }

    fn page_bytes(&self, slab: u64, page: u64) -> Result<Vec<u8>, InspectError> {
        let path = slab_path(memory_offset(slab));
        let offset = page * byte_count(PAGE_BYTES);
        let mut bytes = self.bytes(&path, offset, byte_count(PAGE_BYTES))?;
        bytes.resize(PAGE_BYTES, 0);
        Ok(bytes)
    }

    fn checkpoint_info(&self, checkpoint: &Checkpoint) -> Result<CheckpointInfo, InspectError> {
        let file = checkpoints::path_of(Lsn::new(checkpoint.lsn));
        let opened = self.site.disk.open(&file, FileKind::Plain);
        let bytes = opened.and_then(|opened| opened.len());
        Ok(CheckpointInfo {
            bytes: bytes.map_err(InspectError::io("reading", &file))?,
            file,
            lsn: Lsn::new(checkpoint.lsn),
            last_block: BlockNumber::new(checkpoint.last_block),
            clean: checkpoint.clean,
            next_message_id: checkpoint.next_message_id,
            queue_ids_used: QueueId::new(checkpoint.queue_ids_used),
            slab_bytes: checkpoint.slab_bytes,
            pages: byte_count(checkpoint.pages().count()),
            tombstones: byte_count(checkpoint.tombstones.len()),
            queues: checkpoint.queues.iter().map(queue_info).collect(),
        })
    }
}

fn pages_per_slab(checkpoint: &Checkpoint) -> u64 {
    (checkpoint.slab_bytes / byte_count(PAGE_BYTES)).max(1)
}

fn slot_info(slot: &Slot) -> Option<SlotInfo> {
    let Slot::Valid((generation, format, meta)) = slot else {
        return None;
    };
    Some(SlotInfo {
        generation: *generation,
        format: *format,
        store: format!("{:032x}", meta.store),
        epoch: Epoch::new(meta.epoch),
        begun: Epoch::new(meta.begun),
        clean: meta.shutdown == Shutdown::Clean,
    })
}

fn log_segment(found: &Found) -> SegmentInfo {
    SegmentInfo {
        number: found.number,
        file: segment_path(found.number),
        role: match (found.number.is_cold(), found.header_damaged) {
            (false, false) => SegmentRole::Log,
            (true, false) => SegmentRole::Cold,
            (_, true) => SegmentRole::WithoutHeader,
        },
        first_lsn: Some(found.first_lsn),
        limit: Some(found.limit),
        epoch: Some(found.epoch),
        bytes: found.bytes,
    }
}

fn block_info(block: &Block) -> BlockInfo {
    let header = &block.header;
    BlockInfo {
        segment: header.segment,
        offset: block.offset,
        bytes: header.disk_len(),
        lsn: header.lsn,
        number: header.number,
        epoch: header.epoch,
        durable_lsn: header.durable_lsn,
        payload_bytes: header.payload_len,
        records: header.record_count,
        records_sound: byte_count(block.contents.records.len()),
        max_timestamp_ms: header.max_timestamp_ms,
        crc: format!("{:08x}", block.crc),
        previous_crc: format!("{:08x}", header.previous_crc),
    }
}

fn queue_info(queue: &crate::checkpoint::CheckpointQueue) -> QueueInfo {
    QueueInfo {
        id: QueueId::new(queue.id),
        description: String::from_utf8_lossy(&queue.meta).into_owned(),
        messages: queue.live,
        transient_messages: queue.transient_live,
        next_seq: Seq::new(queue.visible_end),
        floor: Seq::new(queue.floor),
        delivery_mark: Seq::new(queue.mark),
        acked: set_of(&queue.acked).unwrap_or_default().len(),
        pages: byte_count(queue.pages.iter().filter(|(page, _)| *page != NO_PAGE).count()),
        segments: queue
            .segments
            .iter()
            .map(|(number, entries, _)| (SegmentNumber::new(*number), *entries))
            .collect(),
    }
}
