//! Messages that follow each other in one queue, applied with one look at queue, index page and segment.
//!
//! Invariants:
//! - The state afterwards is the one that applying the same records one by one would have made.
//! - Only the plain case is taken: published for one queue, next in it, and of a page; a queue without levels in which nobody
//!   took the entries ahead of their durability. Everything else is left to `apply`.

use super::{PageError, State, index_failure};
use crate::disk::Disk;
use crate::error::PoisonCause;
use crate::format::record::{self, PlainMessage};
use crate::format::{byte_count, disk_len, pad8};
use crate::ids::{Lsn, QueueId, SegmentNumber, Seq};
use crate::index::page::{self, ENTRIES, Entry};
use crate::index::pages::Pages;
use crate::live::Live;
use crate::queue::{Queue, Run};

impl<D: Disk> State<D> {
    /// Applies the run that a block's payload begins with; the payload begins at `lsn` in `segment`. Returns how many bytes
    /// it takes, 0 when there is none.
    pub(super) fn apply_run(
        &mut self,
        payload: &[u8],
        lsn: Lsn,
        segment: SegmentNumber,
    ) -> Result<usize, PoisonCause> {
        let Some(first) = record::plain_message(payload).filter(|_| !self.rebuilding) else {
            return Ok(0);
        };
        let Some(queue) = self.queues.get_mut(first.queue) else {
            return Ok(0);
        };
        if !queue.takes_run(first.seq.get()) {
            return Ok(0);
        }
        let bytes = page_of(&mut self.pages, queue, first.seq).map_err(index_failure)?;
        let end = (page::page_of(first.seq) + 1) * ENTRIES;
        let (mut at, mut run) = (0, Run::default());
        let mut live = Live::default();
        let mut seq = first.seq.get();
        let mut next = Some(first);
        while let Some(message) = next.filter(|next| next.queue == queue.id && next.seq.get() == seq) {
            let entry = entry_of(&message, lsn.plus(byte_count(at)));
            page::put(bytes, message.seq, &entry);
            run.add(&entry);
            live.add(Live::of(&entry));
            self.next_message_id = self.next_message_id.max(message.message_id + 1);
            at += pad8(message.len);
            seq += 1;
            if seq == end || at >= payload.len() {
                break;
            }
            next = record::plain_message(&payload[at..]);
        }
        queue.enter_run(first.seq.get(), &run);
        queue.add_live(segment, live);
        note_touched(&mut self.touched, queue.id);
        if segment.is_unlogged() {
            queue.unlogged.enter_run(&run);
            self.units.enter(segment, live);
        } else {
            queue.unlogged.log(seq);
            if let Some(segment) = self.segments.get_mut(segment) {
                segment.live.add(live);
            }
        }
        Ok(at)
    }
}

/// The page of an entry that comes next in its queue, to change.
fn page_of<'a, D: Disk>(
    pages: &'a mut Pages<D>,
    queue: &mut Queue,
    seq: Seq,
) -> Result<&'a mut [u8], PageError> {
    let id = queue.id;
    let slot = queue.page_slot(seq.get());
    let is_new = slot.is_none();
    let number = match slot {
        Some(number) => number,
        None => slot.insert(pages.take().map_err(PageError::Io)?),
    };
    let bytes = pages.writable(number)?;
    let page_number = page::page_of(seq);
    // What a new page holds from before says nothing, even when it was a page of this queue.
    if is_new || page::owner(bytes) != (id, Seq::new(page_number * ENTRIES)) {
        page::format(bytes, id, page_number);
    }
    Ok(bytes)
}

fn entry_of(message: &PlainMessage, lsn: Lsn) -> Entry {
    Entry {
        lsn,
        len: disk_len(message.len),
        transient: message.is_transient,
        priority: message.priority,
        sharers: 0,
        expires_ms: message.expires_ms,
        properties_len: page::counted_properties(message.properties_len),
    }
}

fn note_touched(touched: &mut Vec<QueueId>, queue: QueueId) {
    if touched.last() != Some(&queue) {
        touched.push(queue);
    }
}

#[cfg(test)]
#[cfg(feature = "sim")]
mod tests;
