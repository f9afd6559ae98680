//! What each record does to the state. Only its gist does anything.

use super::{Gap, State, damaged_index, index_failure};
use crate::attempts::{self, Attempts};
use crate::disk::{Disk, Now};
use crate::error::PoisonCause;
use crate::format::gist::{self, Gist, Gists, MessageGist};
use crate::format::message::Persistence;
use crate::format::record::{self, QueueAction, QueueRecord, Range, RangesKind};
use crate::format::{byte_count, disk_len, pad8};
use crate::ids::{Lsn, QueueId, SegmentNumber, Seq};
use crate::index::page::{self, ENTRIES, Entry};
use crate::live::Live;
use crate::queue::{Queue, QueueDurability, Run};
use crate::segments::Segments;
use crate::units::{UnitExtent, Units};
use roaring::RoaringTreemap;

impl<D: Disk> State<D> {
    /// Applies all records of a block, which begin at `lsn` in `segment`.
    pub(crate) fn apply_gists(
        &mut self,
        gists: Gists<'_>,
        lsn: Lsn,
        segment: SegmentNumber,
    ) -> Result<(), PoisonCause> {
        for (offset, gist) in gists {
            self.apply_gist(gist, lsn.plus(byte_count(offset)), segment)?;
        }
        self.note_queues_of(segment);
        Ok(())
    }

    /// Applies all records of a block's payload, which begins at `lsn` in `segment`.
    pub(crate) fn apply_payload(
        &mut self,
        payload: &[u8],
        lsn: Lsn,
        segment: SegmentNumber,
    ) -> Result<(), PoisonCause> {
        let mut at = 0;
        while at < payload.len() {
            let here = lsn.plus(byte_count(at));
            let run = self.apply_run(&payload[at..], here, segment)?;
            at += run;
            if run > 0 {
                continue;
            }
            let Some((len, _)) = record::peek(&payload[at..]) else {
                break;
            };
            if let Some(gist_len) = gist::len(&payload[at..at + len]) {
                self.apply_gist(&payload[at..at + gist_len], here, segment)?;
            }
            at += pad8(len);
        }
        self.note_queues_of(segment);
        Ok(())
    }

    /// Applies the record of exactly these bytes.
    pub(crate) fn apply_record(
        &mut self,
        bytes: &[u8],
        lsn: Lsn,
        segment: SegmentNumber,
    ) -> Result<(), PoisonCause> {
        if let Some(len) = gist::len(bytes) {
            self.apply_gist(&bytes[..len], lsn, segment)?;
        }
        self.note_queues_of(segment);
        Ok(())
    }

    /// All queues of which a segment of the journal says something have been met.
    fn note_queues_of(&mut self, segment: SegmentNumber) {
        if !segment.is_cold()
            && let Some(segment) = self.segments.get_mut(segment)
        {
            segment.newest_queue = Some(QueueId::new(self.queue_ids_used));
        }
    }

    fn apply_gist(&mut self, bytes: &[u8], lsn: Lsn, segment: SegmentNumber) -> Result<(), PoisonCause> {
        match gist::decode(bytes) {
            Some(Gist::Message(message)) => {
                let len = disk_len(gist::record_len(bytes));
                self.apply_message(&message, lsn, len, segment)
            }
            Some(Gist::Ranges { kind, ranges }) => ranges
                .iter()
                .try_for_each(|range| self.apply_range(kind, range, segment)),
            Some(Gist::Queue(record)) => self.apply_queue(&record, lsn, segment),
            // A MARK changes nothing; what is intact and yet unreadable was written by a later version, whose
            // segments carry a feature bit that this one refuses.
            Some(Gist::Mark) | None => Ok(()),
        }
    }

    fn apply_message(
        &mut self,
        message: &MessageGist<'_>,
        lsn: Lsn,
        len: u32,
        segment: SegmentNumber,
    ) -> Result<(), PoisonCause> {
        let transient = message.persistence == Persistence::Transient;
        let sharers = message.sharers();
        let mut entered = Live::default();
        for reference in message.references() {
            if self.may_lack_name(reference.queue) {
                self.expect_name(reference.queue);
            }
            let Some(queue) = self.queues.get_mut(reference.queue) else {
                continue;
            };
            let seq = reference.seq.get();
            if !segment.is_unlogged() {
                queue.unlogged.log(seq + 1);
            }
            if queue.is_dead(seq) {
                continue;
            }
            let expires_ms = reference.expires_ms;
            let entry = Entry {
                lsn,
                len,
                form: message.form,
                transient,
                priority: message.priority,
                sharers,
                expires_ms,
                properties_len: page::counted_properties(message.properties_len),
            };
            let (queue_id, page_number) = (queue.id, page::page_of(reference.seq));
            let slot = queue.page_slot(seq);
            let is_new = slot.is_none();
            let bytes = match slot {
                Some(number) => self.pages.writable(number),
                None => self
                    .pages
                    .take()
                    .map_err(super::PageError::Io)
                    .and_then(|number| {
                        let number = slot.insert(number);
                        self.pages.writable(number)
                    }),
            };
            let bytes = bytes.map_err(index_failure)?;
            // What a new page holds from before says nothing, even when it was a page of this queue.
            if is_new || page::owner(bytes) != (queue_id, Seq::new(page_number * ENTRIES)) {
                page::format(bytes, queue_id, page_number);
            } else if page::entry(bytes, reference.seq).len != 0 && seq < queue.visible_end {
                continue;
            }
            page::put(bytes, reference.seq, &entry);
            if seq > queue.visible_end {
                self.gaps.push(Gap {
                    queue: queue_id,
                    first: queue.visible_end,
                    end: seq,
                });
            }
            queue.enter(seq, &entry);
            queue.add_live(segment, Live::of(&entry));
            entered.add(Live::of(&entry));
            if self.touched.last() != Some(&queue_id) {
                self.touched.push(queue_id);
            }
        }
        if segment.is_unlogged() {
            self.units.enter(segment, entered);
        } else if entered.entries > 0
            && let Some(segment) = self.segments.get_mut(segment)
        {
            segment.live.add(entered);
        }
        // Also where all of them are dead: the copies are there.
        if segment.is_cold()
            && let Some(segment) = self.segments.get_mut(segment)
        {
            let queues = message.references().map(|reference| reference.queue);
            segment.control.extend(queues);
        }
        if let Some(id) = message.message_id {
            self.next_message_id = self.next_message_id.max(id + 1);
        }
        Ok(())
    }

    /// Whether the record that names a queue may come behind what speaks of it, as when it was recycled and written again, or
    /// may be lost.
    fn may_lack_name(&self, id: QueueId) -> bool {
        self.rebuilding || self.names_lost_above.is_some_and(|known| id.get() > known)
    }

    /// Makes a queue that nothing has named yet, so that what is known of it waits for the record that does.
    fn expect_name(&mut self, id: QueueId) {
        self.queue_ids_used = self.queue_ids_used.max(id.get());
        if !self.queues.contains(id) && !self.tombstones.contains_key(&id) {
            self.queues.insert(Queue::new(id, QueueDurability::Durable, b""));
            self.unnamed.insert(id);
        }
    }

    /// The named queue that `record` speaks of.
    fn name(&mut self, record: &QueueRecord<'_>) {
        let durability = if record.transient {
            QueueDurability::Transient
        } else {
            QueueDurability::Durable
        };
        if self.unnamed.remove(&record.id)
            && let Some(queue) = self.queues.get_mut(record.id)
        {
            (queue.durability, queue.meta) = (durability, record.meta.into());
        } else if !self.queues.contains(record.id) {
            self.queues.insert(Queue::new(record.id, durability, record.meta));
        }
    }

    fn apply_range(
        &mut self,
        kind: RangesKind,
        range: Range,
        segment: SegmentNumber,
    ) -> Result<(), PoisonCause> {
        if self.may_lack_name(range.queue) {
            self.expect_name(range.queue);
        }
        if let Some(segment) = self.segments.get_mut(segment)
            && self.queues.contains(range.queue)
        {
            segment.control.insert(range.queue);
        }
        match kind {
            RangesKind::Ack(_) => self.apply_ack(range),
            RangesKind::Requeue => {
                let (range, attempts) = Attempts::unpack(range);
                if let Some(queue) = self.queues.get_mut(range.queue) {
                    let first = range.first.get();
                    queue.raise_attempts(first, first.saturating_add(range.count), attempts);
                }
                Ok(())
            }
            RangesKind::Skip => self.apply_skip(range),
            RangesKind::Delivered => {
                if let Some(queue) = self.queues.get_mut(range.queue) {
                    queue.mark = queue.mark.max(range.first.get());
                    if queue.mark_asked.is_some_and(|(asked, _)| asked <= queue.mark) {
                        queue.mark_asked = None;
                    }
                    self.touched.push(range.queue);
                }
                Ok(())
            }
        }
    }

    /// The log never held these entries. Where they live, in a running store, they stay; for all others they are dead.
    fn apply_skip(&mut self, range: Range) -> Result<(), PoisonCause> {
        let Some(queue) = self.queues.get_mut(range.queue) else {
            return Ok(());
        };
        let (first, end) = (range.first.get(), range.first.get().saturating_add(range.count));
        queue.unlogged.log(end);
        if queue.unlogged.live > 0 {
            queue.unlogged.skip(first..end, queue.floor);
            return Ok(());
        }
        self.apply_ack(range)
    }

    pub(crate) fn apply_ack(&mut self, range: Range) -> Result<(), PoisonCause> {
        let Some(queue) = self.queues.get_mut(range.queue) else {
            return Ok(());
        };
        let end = range.first.get().saturating_add(range.count);
        let mut seq = range.first.get().max(queue.floor);
        while seq < end {
            let stop = end.min((seq / ENTRIES + 1) * ENTRIES);
            match queue.page(seq) {
                Some(number) => {
                    let bytes = self.pages.read(number).map_err(damaged_index)?;
                    count_dead(queue, bytes, seq..stop, &mut self.segments, &self.units);
                    seq = stop;
                }
                // Nothing is known there: the next page that exists is where to go on.
                None => seq = queue.next_page_start(stop, end),
            }
        }
        queue.bury(range.first.get(), range.count);
        Self::release_dead_pages(&mut self.pages, queue, range.first.get()..end);
        Ok(())
    }

    /// A planted bug: the clock decides at a start, and nothing is written.
    pub(crate) fn forget_expired(&mut self, now: Now) -> Result<(), PoisonCause> {
        let mut expired = Vec::new();
        for queue in self.queues.iter().filter(|queue| queue.expiring > 0) {
            for seq in queue.floor..queue.visible_end {
                let entry = Self::entry(&mut self.pages, queue, seq).map_err(damaged_index)?;
                if entry.is_expired(now) {
                    let (queue, first, count) = (queue.id, Seq::new(seq), 1);
                    expired.push(Range { queue, first, count });
                }
            }
        }
        expired.into_iter().try_for_each(|range| self.apply_ack(range))
    }

    fn apply_queue(
        &mut self,
        record: &QueueRecord<'_>,
        lsn: Lsn,
        segment: SegmentNumber,
    ) -> Result<(), PoisonCause> {
        self.queue_ids_used = self.queue_ids_used.max(record.id.get());
        if let Some(segment) = self.segments.get_mut(segment) {
            segment.control.insert(record.id);
        }
        match record.action {
            QueueAction::Delete => {
                // A transient queue vanishes at the next start anyway, so its grave needs no stone.
                if record.transient {
                    self.tombstones.remove(&record.id);
                } else {
                    // One that is there already stands further ahead: this one repeats it.
                    self.tombstones.entry(record.id).or_insert(lsn);
                }
                self.unnamed.remove(&record.id);
                self.drop_queue(record.id);
            }
            QueueAction::Create | QueueAction::State => {
                if self.tombstones.contains_key(&record.id) {
                    return Ok(());
                }
                self.name(record);
                if record.action == QueueAction::State {
                    self.apply_state(record)?;
                }
            }
        }
        Ok(())
    }

    fn apply_state(&mut self, record: &QueueRecord<'_>) -> Result<(), PoisonCause> {
        let Some(queue) = self.queues.get_mut(record.id) else {
            return Ok(());
        };
        queue.next_seq = queue.next_seq.max(record.next_seq.get());
        queue.mark = queue.mark.max(record.delivery_mark.get());
        if queue.unlogged.live > 0 {
            // Only a running store has any, and has applied the rest; for it they are not dead.
            return Ok(());
        }
        // In a running store all of this is applied already, so the differences are empty and cost nothing; a
        // rebuild from the log learns it here, before or after the messages that it speaks of.
        let floor = queue.floor;
        let mut acked = set_of(record.acked);
        acked -= &queue.acked;
        acked.remove_range(..floor);
        let mut redelivered = set_of(record.redelivered);
        redelivered.remove_range(..floor);
        redelivered -= &queue.acked;
        queue.redelivered |= redelivered;
        for (first, end, said) in attempts::runs_in(record.attempts) {
            queue.raise_attempts(first, end, said);
        }
        if floor < record.floor.get() {
            let count = record.floor.get() - floor;
            self.apply_ack(Range {
                queue: record.id,
                first: Seq::new(floor),
                count,
            })?;
        }
        for (first, end) in crate::shard::ranges_of(&acked) {
            self.apply_ack(Range {
                queue: record.id,
                first: Seq::new(first),
                count: end - first,
            })?;
        }
        Ok(())
    }

    /// Forgets a queue and all its entries: costs its segments and pages, not its messages.
    pub(crate) fn drop_queue(&mut self, id: QueueId) {
        let Some(queue) = self.queues.remove(id) else {
            return;
        };
        for (number, live) in queue.segments {
            if number.is_unlogged() {
                self.units.leave(number, live);
            } else if let Some(segment) = self.segments.get_mut(number) {
                segment.live.remove(live);
            }
        }
        for page in queue.pages.into_iter().flatten() {
            self.pages.release(page);
        }
    }
}

/// Takes the entries of `range`, which lie in one page, out of all counts.
fn count_dead<D: Disk>(
    queue: &mut Queue,
    page: &[u8],
    range: std::ops::Range<u64>,
    segments: &mut Segments<D>,
    units: &Units<D>,
) {
    // Most entries end in order and stand in no set, so that is asked once.
    let some_are_dead = queue.acked.max().is_some_and(|newest| newest >= range.start);
    let some_returned = queue.order.is_some() || !queue.requeued.is_empty();
    let (mut gone, mut ready) = (Run::default(), Run::default());
    let (mut holder, mut dead): (Option<Holder>, _) = (None, Live::default());
    for (seq, entry) in page::entries(page, range) {
        if entry.len == 0 || (some_are_dead && queue.is_dead(seq)) {
            continue;
        }
        // A transient entry from before the last start is counted with its segment only.
        if entry.transient && seq < queue.transient_floor {
            queue.forget_expiry(&entry);
        } else if some_returned || entry.lsn.is_unlogged() {
            let is_ready = queue.end_ready(seq, &entry);
            queue.leave(&entry, is_ready);
        } else {
            gone.add(&entry);
            if seq >= queue.cursor {
                ready.add(&entry);
            }
        }
        if !holder.is_some_and(|holder| holder.holds(entry.lsn, segments)) {
            settle(queue, segments, units, holder, dead);
            (holder, dead) = (Holder::of(entry.lsn, segments, units), Live::default());
        }
        dead.add(Live::of(&entry));
    }
    queue.leave_run(&gone, &ready);
    settle(queue, segments, units, holder, dead);
}

/// Where the message of an entry lies.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Holder {
    /// At this place in the list of segments.
    Segment(usize),
    Unit(UnitExtent),
}

impl Holder {
    fn of<D: Disk>(lsn: Lsn, segments: &Segments<D>, units: &Units<D>) -> Option<Self> {
        if lsn.is_unlogged() {
            return units.extent_of(lsn).map(Self::Unit);
        }
        segments.index_of(lsn).map(Self::Segment)
    }

    fn holds<D: Disk>(&self, lsn: Lsn, segments: &Segments<D>) -> bool {
        match self {
            Self::Segment(index) => segments.holds(*index, lsn),
            Self::Unit(extent) => extent.holds(lsn),
        }
    }
}

/// Takes what died, or moved, at the place of one entry out of the counts.
pub(crate) fn leave_place<D: Disk>(
    queue: &mut Queue,
    entry: &Entry,
    segments: &mut Segments<D>,
    units: &Units<D>,
) {
    let holder = Holder::of(entry.lsn, segments, units);
    settle(queue, segments, units, holder, Live::of(entry));
}

/// Takes what died at one place out of the counts.
fn settle<D: Disk>(
    queue: &mut Queue,
    segments: &mut Segments<D>,
    units: &Units<D>,
    holder: Option<Holder>,
    dead: Live,
) {
    let number = match holder {
        None => return,
        Some(Holder::Unit(extent)) => {
            units.leave(extent.number, dead);
            extent.number
        }
        Some(Holder::Segment(index)) => {
            let segment = segments.at_mut(index);
            segment.live.remove(dead);
            segment.file.number
        }
    };
    queue.remove_live(number, dead);
}

/// A set of a QUEUE record. Its checksum held, so one that cannot be read was written empty.
fn set_of(bytes: &[u8]) -> RoaringTreemap {
    if bytes.is_empty() {
        return RoaringTreemap::new();
    }
    RoaringTreemap::deserialize_from(bytes).unwrap_or_default()
}
