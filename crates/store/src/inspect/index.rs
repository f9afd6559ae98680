//! The index of a checkpoint against the log: each page as the checkpoint recorded it, each live entry where it leads.
//!
//! Invariants:
//! - The index is never evidence about the log: an entry that leads astray is a finding about the index, and its message is
//!   lost only when no intact record holds it.

use super::error::InspectError;
use super::finding::{Finding, Part, VerifyReport};
use super::ledger::Ledger;
use super::progress::{Progress, Stage};
use super::site::Site;
use super::standing::is_still_there;
use super::window::Window;
use crate::checkpoint::{Checkpoint, CheckpointQueue, NO_PAGE, set_of};
use crate::disk::{Disk, DiskFile, FileKind};
use crate::format::message;
use crate::format::record;
use crate::format::{byte_count, memory_len};
use crate::ids::{Lsn, QueueId, SegmentNumber, Seq};
use crate::index::page::{self, ENTRIES, Entry};
use crate::index::pages::{PageNumber, slab_path};
use crate::limits::{PAGE_BYTES, SEGMENT_HEADER_BYTES};
use crate::report::LostEntries;
use crate::segments::segment_path;
use hashbrown::HashMap;
use roaring::RoaringTreemap;
use std::collections::BTreeSet;
use std::ops::Range;

/// Bytes of the log that are read at once around an entry.
const READ_AHEAD_BYTES: u64 = 64 << 10;
/// Segments that are kept open.
const WINDOWS_MAX: usize = 64;

/// What the index of one checkpoint is found to be.
#[derive(Default)]
pub(super) struct IndexCheck {
    pub pages: u64,
    pub entries: u64,
    pub findings: Vec<Finding>,
    /// Live entries that are in no intact record, with the place of theirs: file and offset.
    pub lost: Vec<(QueueId, Seq, String, u64)>,
    /// Live entries that lead to damage, while another record holds their message.
    pub astray: Vec<LostEntries>,
    /// Entries of which the index says nothing, for their page is damaged.
    pub unknown: Vec<(QueueId, Range<u64>)>,
    /// Segments that entries lead to, and that were recycled after they were listed: these entries are dead by now.
    pub gone: BTreeSet<SegmentNumber>,
}

impl IndexCheck {
    /// Whether anything leads elsewhere than to its message.
    pub(super) fn is_astray(&self) -> bool {
        !(self.findings.is_empty() && self.lost.is_empty() && self.astray.is_empty() && self.gone.is_empty())
    }
}

/// Compares the index of `checkpoint` with the log.
pub(super) fn check<D: Disk>(
    site: &Site<D>,
    checkpoint: &Checkpoint,
    ledger: &Ledger,
    report: &VerifyReport,
    progress: &mut impl Progress,
) -> Result<IndexCheck, InspectError> {
    let mut walk = IndexWalk {
        site,
        ledger,
        report,
        checkpoint,
        is_of_before: site.has_started_since(Lsn::new(checkpoint.lsn)),
        slabs: HashMap::new(),
        windows: HashMap::new(),
        found: IndexCheck::default(),
    };
    let total = byte_count(checkpoint.pages().count());
    let mut done = 0;
    for queue in &checkpoint.queues {
        let acked = set_of(&queue.acked).unwrap_or_default();
        for ((page, crc), number) in queue.pages.iter().zip(queue.first_page..) {
            if *page == NO_PAGE {
                continue;
            }
            walk.page(queue, &acked, *page, *crc, number)?;
            done += 1;
            progress.reached(Stage::Index, done, total);
        }
    }
    Ok(walk.found)
}

struct IndexWalk<'a, D: Disk> {
    site: &'a Site<D>,
    ledger: &'a Ledger,
    report: &'a VerifyReport,
    checkpoint: &'a Checkpoint,
    /// Whether the store was started since: then the checkpoint's transient messages have vanished, without a record of it.
    is_of_before: bool,
    slabs: HashMap<u64, Option<D::File>>,
    windows: HashMap<SegmentNumber, Option<Window<D>>>,
    found: IndexCheck,
}

/// Where an entry leads.
enum Leads {
    ToItsMessage,
    /// To nothing intact, at this offset of this file; both are the index's words.
    Nowhere(String, u64),
    /// To a segment that was recycled meanwhile.
    Gone(SegmentNumber),
}

impl<D: Disk> IndexWalk<'_, D> {
    fn page(
        &mut self,
        queue: &CheckpointQueue,
        acked: &RoaringTreemap,
        page: PageNumber,
        crc: u32,
        number: u64,
    ) -> Result<(), InspectError> {
        let id = QueueId::new(queue.id);
        let first = number * ENTRIES;
        let page_bytes = byte_count(PAGE_BYTES);
        let per_slab = (self.checkpoint.slab_bytes / page_bytes).max(1);
        let (slab, offset) = (
            u64::from(page) / per_slab,
            u64::from(page) % per_slab * page_bytes,
        );
        let path = slab_path(crate::format::memory_offset(slab));
        let bytes = self.page_bytes(slab, &path, offset)?;
        let is_sound = page::is_intact(&bytes, crc) && page::owner(&bytes) == (id, Seq::new(first));
        if !is_sound || !page::is_blank_where_reserved(&bytes) {
            let finding = Finding::new(&path, offset, page_bytes, Part::IndexPage);
            self.found.findings.push(finding);
        }
        if !is_sound {
            let end = (first + ENTRIES).min(queue.visible_end);
            self.found.unknown.push((id, first..end));
            return Ok(());
        }
        self.found.pages += 1;
        for (seq, slot) in (first..first + ENTRIES).zip(0..) {
            let entry = page::entry(&bytes, Seq::new(seq));
            let has_vanished = entry.transient && (self.is_of_before || seq < queue.transient_floor);
            let is_dead = seq < queue.floor || acked.contains(seq) || self.ledger.is_dead(id, seq);
            if entry.len == 0 || is_dead || has_vanished {
                continue;
            }
            match self.follow(id, Seq::new(seq), &entry)? {
                Leads::ToItsMessage => self.found.entries += 1,
                Leads::Gone(number) => drop(self.found.gone.insert(number)),
                Leads::Nowhere(file, at) => {
                    let place = (path.as_str(), offset + page::entry_offset(slot));
                    self.astray(id, Seq::new(seq), place, (file, at));
                }
            }
        }
        Ok(())
    }

    fn astray(&mut self, queue: QueueId, seq: Seq, entry: (&str, u64), (file, at): (String, u64)) {
        let explains = |finding: &Finding| {
            let range = finding.offset..finding.offset + finding.bytes.max(1);
            let is_hit = finding.part.is_journal() && range.contains(&at);
            finding.file == file && (is_hit || finding.part == Part::MissingSegment)
        };
        let known = self.report.findings.iter().chain(&self.found.findings);
        if !known.into_iter().any(explains) {
            let finding = Finding::new(entry.0, entry.1, page::ENTRY_BYTES, Part::IndexEntry);
            self.found.findings.push(finding);
        }
        if self.ledger.has_seen(queue, seq.get()) {
            let (first, count) = (seq, 1);
            self.found.astray.push(LostEntries { queue, first, count });
        } else {
            self.found.lost.push((queue, seq, file, at));
        }
    }

    fn follow(&mut self, queue: QueueId, seq: Seq, entry: &Entry) -> Result<Leads, InspectError> {
        let site = self.site;
        let Some(found) = site.segment_of(entry.lsn) else {
            return Ok(Leads::Nowhere(self.missing_segment(entry.lsn), 0));
        };
        let (number, offset) = (found.number, entry.lsn.get() - found.first_lsn.get());
        let fits = entry.lsn.get() + u64::from(entry.len) <= found.limit.get();
        let salt = self.site.salt;
        let leads = match self.window(number)? {
            Some(window) if fits => {
                let bytes = window.at(offset, u64::from(entry.len))?;
                record::peek(bytes).is_some_and(|(len, _)| len == memory_len(entry.len))
                    && record::is_intact(bytes, salt, number, offset)
                    && message::decode_message(bytes).is_some_and(|message| {
                        let mut references = message.references();
                        let is_in_queue =
                            references.any(|reference| reference.queue == queue && reference.seq == seq);
                        is_in_queue && message.form == entry.form
                    })
            }
            _ => false,
        };
        if leads {
            return Ok(Leads::ToItsMessage);
        }
        Ok(if is_still_there(&self.site.disk, found)? {
            Leads::Nowhere(segment_path(number), offset)
        } else {
            Leads::Gone(number)
        })
    }

    /// The file that held an address which no segment holds now, as far as the checkpoint tells; it becomes a finding.
    fn missing_segment(&mut self, lsn: Lsn) -> String {
        let known = self.checkpoint.segments.iter();
        let behind = known.filter(|segment| segment.end > lsn.get());
        let Some(holder) = behind.min_by_key(|segment| segment.end) else {
            return String::new();
        };
        let number = SegmentNumber::new(holder.number);
        let file = segment_path(number);
        let segments = &self.site.directory.segments;
        let is_there = segments.iter().any(|found| found.number == number);
        let is_found = |finding: &Finding| finding.file == file && finding.part == Part::MissingSegment;
        if !is_there && !self.found.findings.iter().any(is_found) {
            // Its header is the least that is missing; how long it was, nobody knows.
            let finding = Finding::new(&file, 0, SEGMENT_HEADER_BYTES, Part::MissingSegment);
            self.found.findings.push(finding);
        }
        file
    }

    fn window(&mut self, number: SegmentNumber) -> Result<Option<&mut Window<D>>, InspectError> {
        if self.windows.len() >= WINDOWS_MAX && !self.windows.contains_key(&number) {
            self.windows.clear();
        }
        if !self.windows.contains_key(&number) {
            let window = match Window::open(&self.site.disk, number, READ_AHEAD_BYTES) {
                Err(error) if error.is_not_found() => None,
                opened => Some(opened?),
            };
            self.windows.insert(number, window);
        }
        Ok(self.windows.get_mut(&number).and_then(Option::as_mut))
    }

    /// A page as it stands on disk; zeros where the slab is missing or too short.
    fn page_bytes(&mut self, slab: u64, path: &str, offset: u64) -> Result<Vec<u8>, InspectError> {
        if !self.slabs.contains_key(&slab) {
            let file = match self.site.disk.open(path, FileKind::Plain) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
                opened => Some(opened.map_err(InspectError::io("opening", path))?),
            };
            self.slabs.insert(slab, file);
        }
        let mut bytes = vec![0; PAGE_BYTES];
        if let Some(Some(file)) = self.slabs.get(&slab) {
            let read = file.read_at(&mut bytes, offset);
            let read = read.map_err(InspectError::io("reading", path))?;
            bytes[read..].fill(0);
        }
        Ok(bytes)
    }
}
