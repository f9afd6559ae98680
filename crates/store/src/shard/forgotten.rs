//! Entries that are no message any more, and what the log has to say of them.
//!
//! A transient message from before the last start may lie in the log for as long as its segment does. Whoever meets it at the head
//! of its queue passes it over; its segment counts it until the log has said that it is dead.
//!
//! Invariants:
//! - A segment is not recycled before the log says of every entry in it that it is dead: a rebuild takes a gap for a loss.
//! - What was lost to damage ends without a word, for a rebuild misses it too.

use super::{Shard, ranges_of};
use crate::disk::{Disk, Now};
use crate::format::record::{AckReason, Range, ranges_len};
use crate::ids::Seq;
use crate::index::page::Entry;
use crate::index::pages::Pages;
use crate::queue::Queue;
use crate::state::{Forgotten, State};

/// Ranges that the log is told at once.
const RANGES_AT_ONCE: usize = 1024;

/// Passes over an entry that is no message any more.
pub(super) fn discard<D: Disk>(
    queue: &mut Queue,
    forgotten: &mut Forgotten,
    pages: &mut Pages<D>,
    seq: u64,
    entry: &Entry,
) {
    if entry.len == 0 {
        queue.bury(seq, 1);
        State::<D>::release_dead_pages(pages, queue, seq..seq + 1);
    } else {
        forgotten.entry(queue.id).or_default().insert(seq);
    }
}

impl<D: Disk> Shard<D> {
    /// Lets the log say what was passed over: a part of it, the rest when that is durable.
    pub(super) fn bury_forgotten(&mut self, now: Now) {
        while let Some(mut first) = self.state.forgotten.first_entry() {
            let queue = *first.key();
            if self.state.queues.open(queue).is_none() {
                // Nothing is to be said of a queue behind its end: a rebuild that does not know the end any more would expect its name.
                first.remove();
                continue;
            }
            let ranges: Vec<(u64, u64)> = ranges_of(first.get()).take(RANGES_AT_ONCE).collect();
            for (start, end) in &ranges {
                first.get_mut().remove_range(*start..*end);
            }
            if first.get().is_empty() {
                first.remove();
            }
            let is_more = ranges.len() == RANGES_AT_ONCE;
            for (start, end) in ranges {
                let range = Range {
                    queue,
                    first: Seq::new(start),
                    count: end - start,
                };
                self.tail.make_room(ranges_len(1));
                self.tail.building().0.ack(AckReason::Dropped, range, now);
            }
            if is_more {
                return;
            }
        }
    }
}
