//! Messages that follow each other, all for the same queues, applied with one look at each queue, index page and segment.
//!
//! Invariants:
//! - The state afterwards is the one that applying the same records one by one would have made.
//! - Only the plain case is taken: published, next in each of the queues, and queues without levels in which nobody took the
//!   entries ahead of their durability. Everything else is left to `apply`.
//! - What is kept of a run between its messages and its queues is bounded.

use super::{PageError, State, index_failure};
use crate::disk::Disk;
use crate::error::PoisonCause;
use crate::format::message::Reference;
use crate::format::run::{Run as Messages, RunMessage};
use crate::format::{byte_count, disk_len, memory_offset, message};
use crate::ids::{Lsn, SegmentNumber, Seq};
use crate::index::page::{self, ENTRIES, ENTRY_LEN, Entry};
use crate::index::pages::Pages;
use crate::live::Live;
use crate::queue::{Queue, Run};

/// Messages that are applied together at most: their entries stay in the processor's cache.
const MESSAGES_MAX: usize = 1024;

/// What the messages of a run bring to each of their queues.
#[derive(Default)]
struct Brought {
    run: Run,
    live: Live,
}

impl<D: Disk> State<D> {
    /// Applies the run that a block's payload begins with; the payload begins at `lsn` in `segment`. Returns how many bytes
    /// it takes, 0 when there is none.
    pub(super) fn apply_run(
        &mut self,
        payload: &[u8],
        lsn: Lsn,
        segment: SegmentNumber,
    ) -> Result<usize, PoisonCause> {
        let Some(mut messages) = Messages::begin(payload).filter(|_| !self.rebuilding) else {
            return Ok(0);
        };
        let is_next = |entry: Reference| {
            let queue = self.queues.get(entry.queue);
            queue.is_some_and(|queue| queue.takes_run(entry.seq.get()))
        };
        if !messages.references().all(is_next) {
            return Ok(0);
        }
        let mut entries = std::mem::take(&mut self.run_entries);
        entries.clear();
        let brought = self.read_run(&mut messages, lsn, &mut entries);
        let mut applied = Ok(());
        for first in messages.references().filter(|_| !entries.is_empty()) {
            applied = applied.and_then(|()| self.enter_run(first, &entries, &brought, segment));
        }
        self.run_entries = entries;
        applied.map(|()| messages.read_len())
    }

    /// Reads a run into `entries`, which are those of each of its queues.
    fn read_run(&mut self, messages: &mut Messages<'_>, lsn: Lsn, entries: &mut Vec<u8>) -> Brought {
        let sharers = message::sharers(messages.width());
        let mut brought = Brought::default();
        let mut next_message_id = self.next_message_id;
        for message in messages.take(MESSAGES_MAX) {
            let entry = entry_of(&message, lsn.plus(byte_count(message.offset)), sharers);
            entries.extend_from_slice(&page::encode(&entry));
            brought.run.add(&entry);
            brought.live.add(Live::of(&entry));
            if let Some(id) = message.message_id {
                next_message_id = next_message_id.max(id + 1);
            }
        }
        self.next_message_id = next_message_id;
        brought
    }

    /// Enters a run into one of its queues, from entry `first` on.
    fn enter_run(
        &mut self,
        first: Reference,
        entries: &[u8],
        brought: &Brought,
        segment: SegmentNumber,
    ) -> Result<(), PoisonCause> {
        let Brought { run, live } = brought;
        let queue = self
            .queues
            .get_mut(first.queue)
            .expect("each queue was looked at before");
        let mut seq = first.seq.get();
        let mut rest = entries;
        while !rest.is_empty() {
            let in_page = memory_offset(ENTRIES - seq % ENTRIES) * ENTRY_LEN;
            let (here, behind) = rest.split_at(in_page.min(rest.len()));
            let bytes = page_of(&mut self.pages, queue, Seq::new(seq)).map_err(index_failure)?;
            page::put_encoded(bytes, Seq::new(seq), here);
            seq += byte_count(here.len() / ENTRY_LEN);
            rest = behind;
        }
        let first_seq = first.seq.get();
        if queue.keeps_order(first_seq, run) {
            queue.enter_run(first_seq, run);
        } else {
            for (seq, entry) in (first_seq..).zip(page::decoded(entries)) {
                queue.enter_counted(seq, &entry);
            }
        }
        queue.add_live(segment, *live);
        if self.touched.last() != Some(&first.queue) {
            self.touched.push(first.queue);
        }
        if segment.is_unlogged() {
            queue.unlogged.enter_run(run);
            self.units.enter(segment, *live);
        } else {
            queue.unlogged.log(seq);
            if let Some(segment) = self.segments.get_mut(segment) {
                segment.live.add(*live);
            }
        }
        Ok(())
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

fn entry_of(message: &RunMessage, lsn: Lsn, sharers: u16) -> Entry {
    Entry {
        lsn,
        len: disk_len(message.len),
        form: message.form,
        transient: message.is_transient,
        priority: message.priority,
        sharers,
        expires_ms: message.expires_ms,
        properties_len: page::counted_properties(message.properties_len),
    }
}

#[cfg(test)]
#[cfg(feature = "sim")]
mod tests;
