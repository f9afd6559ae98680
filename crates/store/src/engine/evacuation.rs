//! One step of an evacuation: originals are read, survivors gathered, copies written and synced, and then, not before,
//! the index is pointed at them.
//!
//! Invariants:
//! - The shard's lock is held for a bounded number of entries at a time, and never during a read or a write.
//! - What the index has no page to point at is not copied: it would be dead on arrival, and take room as if it lived.
//! - Nothing depends on an evacuation: what cannot be read stays where it is.
//! - Copies are sorted by queue, so that a queue that is read later is read in one go.
//!
//! Elsewhere: what is evacuated and when (`shard::evacuation`).

use super::Inner;
use crate::builder::BlockBuilder;
use crate::cold::ColdTail;
use crate::disk::{AlignedBuf, Disk};
use crate::follower::Follower;
use crate::format::block::HEADER_LEN;
use crate::format::message::{self, MessageRecord};
use crate::format::record;
use crate::format::segment::SegmentHeader;
use crate::format::{byte_count, disk_len, pad8};
use crate::ids::{BlockNumber, Lsn, SegmentNumber};
use crate::index::page::{self, Entry};
use crate::limits::{
    ALIGNMENT, BLOCK_HEADER_BYTES, EVACUATION_BATCH_BYTES, EVACUATION_ENTRIES_AT_ONCE, EVACUATION_STEP_BYTES,
    SEGMENT_HEADER_BYTES,
};
use crate::pool::BufferPool;
use crate::segment_view::{SegmentView, Verdict};
use crate::segments::{Segment, segment_path};
use crate::shard::{Done, EvacuationJob, FooterJob, Move, Survivor};
use hashbrown::HashSet;
use std::io;
use std::sync::Arc;

impl<D: Disk, F: Follower<D>> Inner<D, F> {
    pub(super) fn evacuate(&self, mut job: EvacuationJob<D>) -> io::Result<Done<D>> {
        self.walk(&mut job)?;
        if job.gathered_bytes >= EVACUATION_BATCH_BYTES || job.at >= job.end {
            self.write_copies(&mut job)?;
        }
        Ok(Done::Evacuated(Box::new(job)))
    }

    /// Gathers survivors from the next blocks.
    fn walk(&self, job: &mut EvacuationJob<D>) -> io::Result<()> {
        let mut view = SegmentView::new(Arc::clone(&job.source), self.salt, None, job.end);
        while job.at < job.end
            && job.bytes_walked < EVACUATION_STEP_BYTES
            && job.gathered_bytes < EVACUATION_BATCH_BYTES
        {
            let block = match view.block(job.at) {
                Ok(Verdict::Valid(header, _)) => view.payload(&header).map(|payload| Some((header, payload))),
                Ok(_) => Ok(None),
                Err(error) => Err(error),
            };
            // The reader of a message says what is lost; here it only means that this segment has to stay.
            let stays = |why: &dyn std::fmt::Display| {
                let (file, offset) = (segment_path(job.source.number), job.source.offset(job.at));
                tracing::warn!(%file, offset, %why, "a segment cannot be evacuated");
            };
            match block {
                Ok(Some((header, payload))) => {
                    self.gather(payload, header.lsn.plus(BLOCK_HEADER_BYTES), job)?;
                    job.at = header.end();
                    job.bytes_walked += header.disk_len();
                }
                Ok(None) => {
                    stays(&"a block is damaged");
                    job.at = job.end;
                }
                Err(error) => {
                    stays(&error);
                    job.at = job.end;
                }
            }
        }
        Ok(())
    }

    fn gather(&self, payload: &[u8], lsn: Lsn, job: &mut EvacuationJob<D>) -> io::Result<()> {
        let mut messages = messages(payload).peekable();
        let now = self.disk.now();
        while messages.peek().is_some() {
            let mut guard = self.lock();
            let mut looked_up = 0;
            while looked_up < EVACUATION_ENTRIES_AT_ONCE
                && let Some((at, bytes, message)) = messages.next()
            {
                looked_up += usize::from(message.sharers()) + 1;
                let from = lsn.plus(byte_count(at));
                let mut kept = Vec::new();
                if let Err(cause) = guard.shard.survivors(&message, from, now, &mut kept) {
                    guard.shard.poison(&cause);
                    return Err(io::Error::other(cause));
                }
                if !kept.is_empty() {
                    job.gathered_bytes += byte_count(bytes.len());
                    job.gathered.push(Survivor {
                        from,
                        record: bytes.to_vec(),
                        kept,
                    });
                }
            }
        }
        Ok(())
    }

    /// Writes what was gathered, and points the index at it block by block.
    fn write_copies(&self, job: &mut EvacuationJob<D>) -> io::Result<()> {
        let mut survivors = std::mem::take(&mut job.gathered);
        job.gathered_bytes = 0;
        survivors.sort_unstable_by_key(|survivor| {
            let first = survivor.kept[0];
            (first.queue, first.seq)
        });
        let mut rest = survivors.as_mut_slice();
        while !rest.is_empty() {
            let pages = self.lock().shard.spare_pages();
            let movable = movable(rest, pages);
            if movable == 0 {
                job.is_partial = true;
                break;
            }
            job.is_partial |= trim(&mut rest[0], pages);
            let mut target = self.target_for(&rest[0], job)?;
            let (next, room) = (target.next_block(), target.room());
            let (builder, taken) = fill_block(&rest[..movable], next, room, job.block_bytes_soft);
            let block = target.append(builder, self.salt)?;
            job.bytes_written += block.header.disk_len();
            job.copies += byte_count(taken);
            let (number, end) = (target.number(), target.end());
            job.target = Some(target);
            job.is_partial |= !self.switch(&rest[..taken], block.header.lsn, number, end)?;
            rest = &mut rest[taken..];
        }
        Ok(())
    }

    /// The cold segment that takes `survivor`: a new one when there is none or too little room.
    fn target_for(&self, survivor: &Survivor, job: &mut EvacuationJob<D>) -> io::Result<ColdTail<D>> {
        let needed = BLOCK_HEADER_BYTES + byte_count(pad8(survivor.record.len()));
        let needed = needed.next_multiple_of(ALIGNMENT);
        if let Some(target) = job.target.take_if(|target| target.room() >= needed) {
            return Ok(target);
        }
        if let Some(full) = job.target.take() {
            self.foot(full, job);
        }
        let number = SegmentNumber::cold(job.next_cold);
        let header = SegmentHeader {
            number,
            first_lsn: number.cold_first_lsn(),
            epoch: job.epoch,
            uuid: job.store,
            created_ms: self.disk.now().wall_ms,
            bytes: job.segment_bytes.max(SEGMENT_HEADER_BYTES + needed),
        };
        let target = ColdTail::create(&self.disk, &header, job.footer_fraction)?;
        job.next_cold += 1;
        let mut segment = Segment::new(Arc::clone(&target.file), target.end());
        // No queue's state comes from here.
        segment.settled = Some(BlockNumber::new(0));
        let mut guard = self.lock();
        guard.shard.state.segments.push(segment);
        // Also when this step fails later on: a number is used once.
        guard.shard.evacuator.next_cold = job.next_cold;
        Ok(target)
    }

    /// Writes the footer of a cold segment that takes no more copies.
    fn foot(&self, full: ColdTail<D>, job: &EvacuationJob<D>) {
        let finished = full.finish().filter(|_| job.footer_fraction > 0);
        let Some(finished) = finished else { return };
        let store = job.store;
        if let Some(segment) = (FooterJob { finished, store }).perform(&self.disk) {
            self.lock().shard.note_footer(segment);
        }
    }

    /// Points the index at copies; `false` when it had too few pages for all of them. As many as it has pages for are moved,
    /// so that whoever comes again has less to do.
    fn switch(&self, copied: &[Survivor], block: Lsn, target: SegmentNumber, end: Lsn) -> io::Result<bool> {
        let moves = moves(copied, block);
        if let Some(segment) = self.lock().shard.state.segments.get_mut(target) {
            segment.end = end;
            // Also where the index is not pointed at them, as of a queue that was deleted meanwhile: the copies are there.
            segment
                .control
                .extend(moves.iter().map(|entry| entry.reference.queue));
        }
        let mut rest = moves.as_slice();
        while !rest.is_empty() {
            let mut guard = self.lock();
            let count = EVACUATION_ENTRIES_AT_ONCE.min(guard.shard.spare_pages());
            if count == 0 {
                return Ok(false);
            }
            let (now, later) = rest.split_at(count.min(rest.len()));
            if let Err(cause) = guard.shard.switch(now, target) {
                guard.shard.poison(&cause);
                return Err(io::Error::other(cause));
            }
            rest = later;
        }
        Ok(true)
    }
}

/// The messages of a payload: offset, bytes, contents.
pub(super) fn messages(payload: &[u8]) -> impl Iterator<Item = (usize, &[u8], MessageRecord<'_>)> {
    let mut at = 0;
    let records = std::iter::from_fn(move || {
        let (len, _) = record::peek(&payload[at..])?;
        let found = (at, &payload[at..at + len]);
        at = (at + pad8(len)).min(payload.len());
        Some(found)
    });
    records.filter_map(|(at, bytes)| Some((at, bytes, message::decode_message(bytes)?)))
}

/// How many of the first `survivors` the index can be pointed at with so many pages: a page for each that holds an entry of
/// theirs, should all of these have to be copied. At least one, if there is any page.
fn movable(survivors: &[Survivor], pages: usize) -> usize {
    let mut needed = HashSet::new();
    let fits = |survivor: &&Survivor| {
        let entries = survivor.kept.iter();
        needed.extend(entries.map(|entry| (entry.queue, page::page_of(entry.seq))));
        needed.len() <= pages
    };
    let fitting = survivors.iter().take_while(fits).count();
    fitting.max(usize::from(pages > 0))
}

/// Leaves out what so many pages do not suffice for: that stays where it is. Whether there was any.
fn trim(survivor: &mut Survivor, pages: usize) -> bool {
    let is_more = survivor.kept.len() > pages;
    survivor.kept.truncate(pages);
    is_more
}

fn decode(survivor: &Survivor) -> MessageRecord<'_> {
    message::decode_message(&survivor.record).expect("it was decoded when it was gathered")
}

/// A closed block with as many of `survivors` as fit, and how many those are.
fn fill_block(
    survivors: &[Survivor],
    number: BlockNumber,
    room: u64,
    block_bytes_soft: u64,
) -> (BlockBuilder, usize) {
    let mut pool = BufferPool::new(0);
    let mut builder = BlockBuilder::new(number, AlignedBuf::new());
    let mut taken = 0;
    for survivor in survivors {
        let message = decode(survivor);
        let bytes = builder.disk_len_with(message::shape_of_copy(&message, &survivor.kept).record_len());
        let fits = bytes <= room && bytes <= block_bytes_soft;
        if taken > 0 && !fits {
            break;
        }
        builder.copy(&message, &survivor.kept, &mut pool);
        taken += 1;
    }
    builder.close(&mut pool);
    (builder, taken)
}

/// What the index is to say of the messages that were copied, in this order, into the block at `block`.
fn moves(copied: &[Survivor], block: Lsn) -> Vec<Move> {
    let mut at = HEADER_LEN;
    let mut moves = Vec::new();
    for survivor in copied {
        let message = decode(survivor);
        let shape = message::shape_of_copy(&message, &survivor.kept);
        let len = shape.record_len();
        moves.extend(survivor.kept.iter().map(|reference| Move {
            reference: *reference,
            from: survivor.from,
            to: Entry {
                lsn: block.plus(byte_count(at)),
                len: disk_len(len),
                form: shape.form(),
                transient: message.persistence == message::Persistence::Transient,
                priority: message.priority,
                sharers: message::sharers(survivor.kept.len()),
                expires_ms: reference.expires_ms,
                properties_len: page::counted_properties(message.properties.len()),
            },
        }));
        at += pad8(len);
    }
    moves
}
