//! The state of one queue: which entries are ready, leased, or dead.
//!
//! Invariants:
//! - `floor <= cursor`, `floor <= visible_end <= next_seq`; every entry below `floor` is dead.
//! - Entries from `cursor` on were never leased since the store was opened; those below are dead
//!   (`acked`), ready again (`requeued`) or leased. In another order than that of seqs `order` takes the place of `requeued`, and holds what
//!   was never leased, too; with `ranks` what came back stays in `requeued`, and goes before it.
//! - `acked` holds only entries at or above `floor`.
//! - No heap object per entry: three compressed sets, and index pages of 168 entries.
//!
//! Elsewhere: pages and their shadowing (`index`), what a record does to this state (`state::apply`), entries that the log never
//! held (`unlogged`).

mod dead;
mod place;

use crate::attempts::{AttemptCounts, Attempts};
use crate::dead_letters::Held;
use crate::format::byte_count;
use crate::ids::{BlockNumber, QueueId, SegmentNumber};
use crate::index::page::Entry;
use crate::index::pages::PageNumber;
use crate::levels::Levels;
use crate::live::Live;
use crate::order::Order;
use crate::priority::Priority;
use crate::queue_limits::QueueLimits;
use crate::ranks::{Ranks, Seen};
use crate::retention::Retention;
use crate::unlogged::Unlogged;
pub(crate) use dead::run_end;
use roaring::RoaringTreemap;
use std::collections::VecDeque;
use std::ops::Range;

/// Whether a queue outlives the process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum QueueDurability {
    /// It is there after the store was opened again.
    Durable,
    /// It vanishes, with its messages, when the store is opened again.
    Transient,
}

/// How many entries a queue holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// Entries that can be leased, those included that are accepted and not yet durable.
    pub ready: u64,
    /// Entries that are leased.
    pub leased: u64,
}

pub(crate) struct Queue {
    pub id: QueueId,
    pub durability: QueueDurability,
    pub meta: Box<[u8]>,
    /// The block that carries its creation: checkpoints before it leave the queue out.
    pub created_in: BlockNumber,
    /// The block that carries its newest repeated state, and up to which block that state holds everything.
    pub stated: (BlockNumber, BlockNumber),
    /// Deleted, but not durably yet: gone for its users, while the log still speaks of it.
    pub is_deleted: bool,
    /// The seq that the next accepted message gets.
    pub next_seq: u64,
    /// Entries below are durable and in the index.
    pub visible_end: u64,
    /// Entries below are dead.
    pub floor: u64,
    pub cursor: u64,
    pub acked: RoaringTreemap,
    pub requeued: RoaringTreemap,
    pub redelivered: RoaringTreemap,
    /// What was ready when a purge took it that is not durable yet. Those among them that are not in `redelivered` nobody has seen.
    pub purged: RoaringTreemap,
    /// How often entries came back.
    pub attempts: AttemptCounts,
    /// Entries below may be delivered: the log says durably that they might have been.
    pub mark: u64,
    /// The mark that is on its way, and the block that carries it.
    pub mark_asked: Option<(u64, BlockNumber)>,
    /// Visible entries that are not dead.
    pub live: u64,
    /// … of them, those of transient messages.
    pub transient_live: u64,
    /// … of them, those that are leased.
    pub leased: u64,
    /// The same counts in bytes of bodies.
    pub live_bytes: u64,
    pub transient_bytes: u64,
    pub leased_bytes: u64,
    /// Bytes of the bodies that are accepted, not visible yet, and not taken ahead of that.
    pub accepted_bytes: u64,
    /// … one by one, up to the newest; kept only while there is a limit. Bounded by what may wait for the disk.
    pub accepted: VecDeque<u64>,
    pub limits: Option<Box<QueueLimits>>,
    /// For how many of what is accepted and not visible somebody waits: see [`Shard::set_awaited`](crate::Shard::set_awaited).
    pub awaited: u64,
    /// What came to its end and waits for whoever owns the queue, if that wants it.
    pub held: Option<Box<Held>>,
    /// How long a new message lives at most, from its timestamp on.
    pub life_ms: Option<u64>,
    /// How long what was acknowledged is kept, if longer than its segment lives.
    pub retention: Option<Retention>,
    /// The ready visible entries, in a queue in another order than that of seqs; then the cursor is never below `visible_end`,
    /// and nothing stands in `requeued` without `ranks`.
    pub order: Option<Box<Order>>,
    /// If levels count only while they are in use. Then what came back is in `requeued` also while there is an order, and before it.
    pub ranks: Option<Ranks>,
    /// Priorities of visible entries; at least those of all that live.
    pub seen: Seen,
    /// Visible entries that expire one day; transient ones from before the last start may count still.
    pub expiring: u64,
    /// When the head expires, as the shard's list of what is due has it.
    pub due_ms: Option<u64>,
    /// Transient entries below are from before the store was opened: they are gone.
    pub transient_floor: u64,
    /// The block of the newest accepted message.
    pub newest_block: BlockNumber,
    /// What the log says nothing of.
    pub unlogged: Unlogged,
    /// Number of the first page in `pages`, within the queue.
    pub first_page: u64,
    pub pages: VecDeque<Option<PageNumber>>,
    /// What lives of this queue, by segment.
    pub segments: VecDeque<(SegmentNumber, Live)>,
}

/// What entries that become visible, or end, together bring or take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Run {
    pub entries: u64,
    pub bytes: u64,
    transient: u64,
    transient_bytes: u64,
    pub expiring: u64,
    /// Of the first of them, and whether that of any other differs.
    priority: Priority,
    differences: u16,
}

impl Run {
    pub(crate) fn add(&mut self, entry: &Entry) {
        let bytes = entry.body_bytes();
        if self.entries == 0 {
            self.priority = entry.priority;
        }
        self.differences |= entry.priority.difference(self.priority);
        self.entries += 1;
        self.bytes += bytes;
        self.expiring += u64::from(entry.expires_ms != 0);
        if entry.transient {
            self.transient += 1;
            self.transient_bytes += bytes;
        }
    }
}

impl Queue {
    pub(crate) fn new(id: QueueId, durability: QueueDurability, meta: &[u8]) -> Self {
        Self {
            id,
            durability,
            meta: meta.into(),
            created_in: BlockNumber::new(0),
            stated: (BlockNumber::new(0), BlockNumber::new(0)),
            is_deleted: false,
            next_seq: 0,
            visible_end: 0,
            floor: 0,
            cursor: 0,
            acked: RoaringTreemap::new(),
            requeued: RoaringTreemap::new(),
            redelivered: RoaringTreemap::new(),
            purged: RoaringTreemap::new(),
            attempts: AttemptCounts::default(),
            // A transient queue vanishes with the process, so nobody will ask what it delivered.
            mark: if durability == QueueDurability::Transient {
                u64::MAX
            } else {
                0
            },
            mark_asked: None,
            live: 0,
            transient_live: 0,
            leased: 0,
            live_bytes: 0,
            transient_bytes: 0,
            leased_bytes: 0,
            accepted_bytes: 0,
            accepted: VecDeque::new(),
            limits: None,
            awaited: 0,
            held: None,
            life_ms: None,
            retention: None,
            order: None,
            ranks: None,
            seen: Seen::default(),
            expiring: 0,
            due_ms: None,
            transient_floor: 0,
            newest_block: BlockNumber::new(0),
            unlogged: Unlogged::default(),
            first_page: 0,
            pages: VecDeque::new(),
            segments: VecDeque::new(),
        }
    }

    pub(crate) fn counts(&self) -> Counts {
        let purged_ahead = self.cursor.saturating_sub(self.visible_end);
        let accepted = self.next_seq - self.visible_end;
        Counts {
            ready: self.live - self.leased + accepted - purged_ahead.min(accepted),
            leased: self.leased,
        }
    }

    /// Bytes of the bodies of all that is ready.
    pub(crate) fn ready_bytes(&self) -> u64 {
        self.live_bytes.saturating_sub(self.leased_bytes) + self.accepted_bytes
    }

    /// When a message expires in this queue, if it does.
    pub(crate) fn expires_ms(&self, timestamp_ms: u64, own_ms: Option<u64>) -> Option<u64> {
        let latest_ms = self.life_ms.map(|life_ms| timestamp_ms.saturating_add(life_ms));
        own_ms.into_iter().chain(latest_ms).min()
    }

    /// A message of so many bytes was accepted.
    pub(crate) fn accept(&mut self, bytes: u64) {
        self.next_seq += 1;
        self.accepted_bytes += bytes;
        if self.limits.is_some() {
            self.accepted.push_back(bytes);
        }
    }

    /// So many messages with so many bytes were accepted, in a queue without limits.
    pub(crate) fn accept_run(&mut self, messages: u64, bytes: u64) {
        debug_assert!(self.limits.is_none(), "limits count message by message");
        self.next_seq += messages;
        self.accepted_bytes += bytes;
    }

    /// An entry became visible, and is counted.
    pub(crate) fn enter(&mut self, seq: u64, entry: &Entry) {
        self.unlogged.enter(entry);
        self.enter_counted(seq, entry);
    }

    /// The same for one that is counted among what the log does not hold, if it is.
    pub(crate) fn enter_counted(&mut self, seq: u64, entry: &Entry) {
        let bytes = entry.body_bytes();
        self.see(entry.priority);
        self.visible_end = self.visible_end.max(seq + 1);
        self.next_seq = self.next_seq.max(seq + 1);
        self.live += 1;
        self.live_bytes += bytes;
        self.expiring += u64::from(entry.expires_ms != 0);
        if entry.transient {
            self.transient_live += 1;
            self.transient_bytes += bytes;
        }
        if seq < self.cursor {
            // Taken between its acceptance and its durability, by a purge or a limit: nobody may lease it any more.
            self.lease(bytes);
        } else {
            self.accepted_bytes = self.accepted_bytes.saturating_sub(bytes);
            self.rank(seq, entry);
            if let Some(order) = &mut self.order {
                order.insert(entry, seq);
                self.cursor = seq + 1;
            }
        }
        while byte_count(self.accepted.len()) > self.next_seq - self.visible_end {
            self.accepted.pop_front();
        }
    }

    /// Whether entries from `seq` on can become visible together: see [`Queue::enter_run`].
    pub(crate) fn takes_run(&self, seq: u64) -> bool {
        seq == self.visible_end
            && self.cursor <= seq
            && self.order.is_none()
            && self.acked.max().is_none_or(|newest| newest < seq)
    }

    /// The entries of a run became visible, the first of them `first`: the same as to [`Queue::enter`] one after the other
    /// when [`Queue::takes_run`].
    pub(crate) fn enter_run(&mut self, first: u64, run: &Run) {
        debug_assert!(self.takes_run(first), "each of them would have been looked at");
        if self.live == 0 {
            self.seen = Seen::default();
        }
        if run.differences == 0 {
            self.seen.add(run.priority);
        } else {
            // Whoever wants to know it looks again.
            self.seen = Seen::ANY;
        }
        self.visible_end = first + run.entries;
        self.next_seq = self.next_seq.max(self.visible_end);
        self.live += run.entries;
        self.live_bytes += run.bytes;
        self.expiring += run.expiring;
        self.transient_live += run.transient;
        self.transient_bytes += run.transient_bytes;
        self.accepted_bytes = self.accepted_bytes.saturating_sub(run.bytes);
        while byte_count(self.accepted.len()) > self.next_seq - self.visible_end {
            self.accepted.pop_front();
        }
    }

    /// Whether the entries of a run from `first` on, which [`Queue::takes_run`] says the queue takes, need not be put in order.
    pub(crate) fn keeps_order(&mut self, first: u64, run: &Run) -> bool {
        let Some(ranks) = &mut self.ranks else {
            return true;
        };
        if run.differences != 0 {
            return false;
        }
        let level = ranks.scale.level(run.priority);
        if self.cursor >= first {
            ranks.fresh = level;
        }
        ranks.fresh == level
    }

    fn see(&mut self, priority: Priority) {
        if self.live == 0 {
            self.seen = Seen::default();
        }
        self.seen.add(priority);
    }

    /// Makes the order that an entry needs which becomes visible behind those of another level, and ends one that holds nothing.
    fn rank(&mut self, seq: u64, entry: &Entry) {
        let Some(ranks) = &mut self.ranks else { return };
        match &self.order {
            Some(order) if order.is_empty() => self.order = None,
            Some(_) => return,
            None => {}
        }
        let level = ranks.scale.level(entry.priority);
        if self.cursor >= seq {
            ranks.fresh = level;
        } else if ranks.fresh != level {
            let mut waiting = RoaringTreemap::new();
            waiting.insert_range(self.cursor..seq);
            waiting -= &self.acked;
            let levels = Levels::beginning_with(ranks.scale, ranks.fresh, waiting);
            self.order = Some(Box::new(Order::Levels(levels)));
        }
    }

    /// The ready entry below `end` that comes next.
    pub(crate) fn head(&mut self, end: u64) -> Option<u64> {
        if let Some(first) = self.requeued.min() {
            // What a limit took ahead of all deliveries, and gave back, may lie behind the end.
            return (first < end).then_some(first);
        }
        if let Some(head) = self.order.as_ref().and_then(|order| order.head()) {
            return (head < end).then_some(head);
        }
        if !self.acked.is_empty() && self.acked.contains(self.cursor) {
            self.cursor = run_end(&self.acked, self.cursor);
        }
        (self.cursor < end).then_some(self.cursor)
    }

    /// The head is ready no more.
    pub(crate) fn advance(&mut self, head: u64, entry: &Entry) {
        if let Some(order) = &mut self.order {
            if !self.requeued.remove(head) {
                order.remove_head(entry, head);
            }
        } else if head < self.cursor {
            self.requeued.remove(head);
        } else {
            self.cursor = head + 1;
        }
    }

    /// The entries below `end` that come next, one behind the other, and were never leased; none where others come before them,
    /// or some of them may be dead.
    pub(crate) fn fresh_run(&self, end: u64) -> Range<u64> {
        let are_next = self.order.is_none()
            && self.requeued.is_empty()
            && self.acked.max().is_none_or(|newest| newest < self.cursor);
        self.cursor..if are_next { end } else { self.cursor }
    }

    /// So many entries from the cursor on, with so many bytes of bodies, are ready no more.
    pub(crate) const fn lease_run(&mut self, entries: u64, bytes: u64) {
        self.cursor += entries;
        self.leased += entries;
        self.leased_bytes += bytes;
    }

    /// An entry of so many bytes is ready no more.
    pub(crate) const fn lease(&mut self, bytes: u64) {
        self.leased += 1;
        self.leased_bytes += bytes;
    }

    /// A visible entry is dead, and counts no more.
    pub(crate) fn leave(&mut self, entry: &Entry, is_ready: bool) {
        let bytes = entry.body_bytes();
        self.live -= 1;
        self.live_bytes = self.live_bytes.saturating_sub(bytes);
        self.forget_expiry(entry);
        self.unlogged.leave(entry);
        if entry.transient {
            self.transient_live -= 1;
            self.transient_bytes = self.transient_bytes.saturating_sub(bytes);
        }
        if !is_ready {
            self.leased -= 1;
            self.leased_bytes = self.leased_bytes.saturating_sub(bytes);
        }
    }

    /// The visible entries of a run are dead, and count no more; all but those of `ready` among them were leased. What was
    /// never logged is not among them.
    pub(crate) fn leave_run(&mut self, run: &Run, ready: &Run) {
        self.live -= run.entries;
        self.live_bytes = self.live_bytes.saturating_sub(run.bytes);
        self.expiring = self.expiring.saturating_sub(run.expiring);
        self.transient_live -= run.transient;
        self.transient_bytes = self.transient_bytes.saturating_sub(run.transient_bytes);
        self.leased -= run.entries - ready.entries;
        self.leased_bytes = self.leased_bytes.saturating_sub(run.bytes - ready.bytes);
    }

    /// An entry expires no more, for it is dead.
    pub(crate) fn forget_expiry(&mut self, entry: &Entry) {
        self.expiring = self.expiring.saturating_sub(u64::from(entry.expires_ms != 0));
    }

    /// Whether somebody has the entry, which is not dead.
    pub(crate) fn is_leased(&self, seq: u64) -> bool {
        let is_ready = |order: &Order| order.contains(seq);
        seq < self.cursor && !self.requeued.contains(seq) && !self.order.as_deref().is_some_and(is_ready)
    }

    /// Whether the entry, which dies, was ready.
    pub(crate) fn end_ready(&mut self, seq: u64, entry: &Entry) -> bool {
        match &mut self.order {
            Some(order) => self.requeued.remove(seq) || order.remove(entry, seq),
            None => seq >= self.cursor || (!self.requeued.is_empty() && self.requeued.contains(seq)),
        }
    }

    /// In how many ranges all that is ready lies, at most.
    pub(crate) fn ready_ranges_max(&self) -> usize {
        let below_cursor = match &self.order {
            // What came back is counted with it.
            Some(_) => usize::try_from(self.live - self.leased).unwrap_or(usize::MAX / 64),
            None => crate::shard::ranges_of(&self.requeued).count(),
        };
        below_cursor + 1
    }

    /// Takes off all that is ready below the cursor.
    pub(crate) fn take_returned(&mut self) -> RoaringTreemap {
        let returned = std::mem::take(&mut self.requeued);
        match &mut self.order {
            Some(order) => order.take() | returned,
            None => returned,
        }
    }

    /// Whether something visible is ready.
    pub(crate) fn has_ready(&self) -> bool {
        self.cursor < self.visible_end
            || !self.requeued.is_empty()
            || self.order.as_ref().is_some_and(|order| !order.is_empty())
    }

    /// Whether there is nothing to deliver: it was lost to damage, or is transient and from before the last start.
    pub(crate) const fn is_no_message(&self, seq: u64, entry: &Entry) -> bool {
        entry.len == 0 || (entry.transient && seq < self.transient_floor)
    }

    /// How often an entry that was delivered before came back.
    pub(crate) fn attempts(&self, seq: u64) -> Attempts {
        self.attempts.of(seq)
    }
}
