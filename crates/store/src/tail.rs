//! The tail of the log: what is accepted and waits, and the one write that may be under way.
//!
//! Invariants:
//! - At most one write is under way (depth 1), whoever performs it; blocks get their place only when the
//!   one before is durable, so block numbers and addresses rise together.
//! - `durable` moves only when a synced write returned success; after a failure nothing is taken any more.
//! - `waiting` holds closed-for-appends blocks, oldest first, all older than `building`.
//! - A block that holds nothing but transient messages takes its turn like any other, and is durable when its turn comes: it is
//!   not written, and the log goes on as if it had never been, but for its number.

mod write;

use crate::builder::{BlockBuilder, Fate, Place, SealedBlock};
use crate::checksum::Salt;
use crate::disk::{Disk, Now};
use crate::error::AppendError;
use crate::footer::{Draft, Finished};
use crate::ids::{BlockNumber, Durable, Epoch, Lsn};
use crate::limits::{self, LAZY_COMMIT_MS, WAITING_BYTES_MAX};
use crate::planted::{self, Planted};
use crate::pool::BufferPool;
use crate::segments::SegmentFile;
use crate::shard::Wear;
use std::collections::VecDeque;
use std::sync::Arc;
pub(crate) use write::{LoggedJob, WriteJob, Written};

/// Whether a block that nobody waits for is written now or when it is due.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Take {
    /// Only what somebody waits for, and what has waited long enough.
    Due,
    /// Whatever there is.
    All,
}

/// What has to be done before the next block can be on its way.
#[expect(
    clippy::large_enum_variant,
    reason = "there is one at a time, for a whole block"
)]
pub(crate) enum Next<D: Disk> {
    /// Write this block.
    Write(WriteJob<D>),
    /// Prepare a segment; the block waits.
    NeedsSegment,
    /// Nothing is due.
    Nothing,
}

/// Where the log ends, as recovery left it or a fresh store begins.
pub(crate) struct TailStart<D: Disk> {
    pub file: Arc<SegmentFile<D::File>>,
    pub end: Lsn,
    pub previous_crc: u32,
    pub last_block: BlockNumber,
    pub max_timestamp_ms: u64,
    /// Whether all before `end` is covered by something behind it.
    pub marked: bool,
    /// The footer of the segment, with the blocks that are in it.
    pub draft: Option<Box<Draft>>,
}

/// The segment that the log goes on to.
struct NextSegment<D: Disk> {
    file: Arc<SegmentFile<D::File>>,
    wear: Wear,
}

pub(crate) struct Tail<D: Disk> {
    salt: Salt,
    epoch: Epoch,
    block_bytes_soft: u64,
    segment_bytes: u64,
    pub pool: BufferPool,
    building: BlockBuilder,
    waiting: VecDeque<BlockBuilder>,
    waiting_bytes: u64,
    writing: bool,
    /// Writes, up to the newest, during which nothing came that is due.
    writes_alone: u32,
    /// The block under way, and what becomes of it.
    writing_fate: Option<(BlockNumber, Fate)>,
    /// Index pages that applying the block under way may take.
    writing_pages: usize,
    /// What the block under way takes in the log.
    writing_bytes: u64,
    held_open: bool,
    file: Arc<SegmentFile<D::File>>,
    next: Option<NextSegment<D>>,
    /// Whether the next segment is there, and others write to it.
    is_next_lent: bool,
    /// Whether a block waits for the next segment.
    is_starved: bool,
    /// The footer of the segment; with the write that is under way.
    draft: Option<Box<Draft>>,
    /// Which segments get one: see [`Options`](crate::Options).
    footer_fraction: u64,
    /// The footer of the segment before, once the log has gone on.
    finished: Option<Finished>,
    end: Lsn,
    previous_crc: u32,
    durable: Durable,
    max_timestamp_ms: u64,
    /// Whether the last block of the log is a MARK, so that all data before it is covered.
    marked: bool,
    last_write_ms: u64,
}

impl<D: Disk> Tail<D> {
    pub(crate) fn new(
        start: TailStart<D>,
        salt: Salt,
        epoch: Epoch,
        block_bytes_soft: u64,
        segment_bytes: u64,
        footer_fraction: u64,
        mut pool: BufferPool,
    ) -> Self {
        let building = BlockBuilder::new(start.last_block.next(), pool.take(0));
        Self {
            salt,
            epoch,
            block_bytes_soft,
            segment_bytes,
            pool,
            building,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            writing: false,
            writes_alone: 0,
            writing_fate: None,
            writing_pages: 0,
            writing_bytes: 0,
            held_open: false,
            file: start.file,
            next: None,
            is_next_lent: false,
            is_starved: false,
            draft: start.draft,
            footer_fraction,
            finished: None,
            end: start.end,
            previous_crc: start.previous_crc,
            durable: Durable::up_to(start.last_block),
            max_timestamp_ms: start.max_timestamp_ms,
            marked: start.marked,
            last_write_ms: 0,
        }
    }

    pub(crate) const fn durable(&self) -> Durable {
        self.durable
    }

    pub(crate) const fn end(&self) -> Lsn {
        self.end
    }

    /// What the next block's header says of the one before: its checksum and its newest timestamp.
    pub(crate) const fn chain(&self) -> (u32, u64) {
        (self.previous_crc, self.max_timestamp_ms)
    }

    pub(crate) const fn salt(&self) -> Salt {
        self.salt
    }

    pub(crate) const fn epoch(&self) -> Epoch {
        self.epoch
    }

    pub(crate) fn building(&mut self) -> (&mut BlockBuilder, &mut BufferPool) {
        (&mut self.building, &mut self.pool)
    }

    pub(crate) const fn building_number(&self) -> BlockNumber {
        self.building.number()
    }

    /// What becomes of a block that takes nothing more and is not applied yet.
    pub(crate) fn fate(&self, block: BlockNumber) -> Option<Fate> {
        if let Some((number, fate)) = self.writing_fate
            && number == block
        {
            return Some(fate);
        }
        let behind = block.get().checked_sub(self.waiting.front()?.number().get())?;
        let waiting = self.waiting.get(usize::try_from(behind).ok()?)?;
        Some(waiting.fate())
    }

    /// Whether the next block is due and needs no write.
    pub(crate) fn is_unlogged_due(&self) -> bool {
        let next = self.waiting.front().unwrap_or(&self.building);
        let is_due = !self.waiting.is_empty() || self.building.is_urgent();
        !self.writing && is_due && !next.is_empty() && next.fate() == Fate::Unlogged
    }

    pub(crate) const fn is_writing(&self) -> bool {
        self.writing
    }

    /// Somebody found a write under way, after something was appended.
    pub(crate) fn meet_write(&mut self, now: Now) {
        if !self.waiting.is_empty() || self.is_due(now, Take::Due) {
            self.writes_alone = 0;
        }
    }

    /// Whether whoever brings something seems to be the only one: nothing that is due came during the last few writes.
    pub(crate) const fn is_alone(&self) -> bool {
        self.writes_alone >= limits::WRITES_ALONE
    }

    pub(crate) const fn segment(&self) -> &Arc<SegmentFile<D::File>> {
        &self.file
    }

    pub(crate) const fn has_next_segment(&self) -> bool {
        self.next.is_some() || self.is_next_lent
    }

    /// How much of the segment that the log goes on to was written before, if there is one at hand.
    pub(crate) fn next_wear(&self) -> Option<Wear> {
        self.next.as_ref().map(|next| next.wear)
    }

    /// Gives the segment away that the log goes on to, until [`Tail::set_next_segment`] brings it back.
    pub(crate) fn lend_next(&mut self) -> Option<Arc<SegmentFile<D::File>>> {
        let next = self.next.take()?;
        self.is_next_lent = true;
        Some(next.file)
    }

    /// How much of the current segment is used.
    pub(crate) fn filled_bytes(&self) -> u64 {
        self.file.offset(self.end)
    }

    /// Whether more than a little of the current segment is used.
    pub(crate) fn is_under_way(&self) -> bool {
        self.filled_bytes() >= limits::PREWRITE_FROM_BYTES.min(self.file.file_bytes / 8)
    }

    /// Bytes of all that is accepted and not yet on its way.
    pub(crate) fn accepted_bytes(&self) -> u64 {
        self.waiting_bytes + self.building.disk_len()
    }

    pub(crate) fn set_next_segment(&mut self, file: Arc<SegmentFile<D::File>>, wear: Wear) {
        self.is_next_lent = false;
        self.is_starved = false;
        self.next = Some(NextSegment { file, wear });
    }

    /// The footer of the segment that was sealed last, if it is to have one.
    pub(crate) const fn take_finished(&mut self) -> Option<Finished> {
        self.finished.take()
    }

    /// The largest block that fits into an empty segment.
    pub(crate) fn block_bytes_max(&self) -> u64 {
        self.segment_bytes - limits::SEGMENT_HEADER_BYTES
    }

    pub(crate) fn has_room(&self) -> bool {
        self.accepted_bytes() < WAITING_BYTES_MAX
    }

    /// How many segments behind the current one all takes that is accepted, with a block of `more` bytes behind it.
    pub(crate) fn segments_wanted(&self, more: u64) -> usize {
        let used = self.filled_bytes() + self.writing_bytes;
        let mut left = self.file.file_bytes.saturating_sub(used);
        if self.accepted_bytes() + more <= left {
            return 0;
        }
        let accepted = self.waiting.iter().chain([&self.building]).map(logged_bytes);
        let mut wanted = 0;
        for bytes in accepted.chain([more]) {
            if bytes > left {
                wanted += 1;
                left = self.block_bytes_max();
            }
            left = left.saturating_sub(bytes);
        }
        wanted
    }

    /// Index pages that applying all that is accepted and not yet applied may take at most.
    pub(crate) fn promised_pages(&self) -> usize {
        let waiting: usize = self.waiting.iter().map(BlockBuilder::pages).sum();
        self.writing_pages + waiting + self.building.pages()
    }

    /// For how long (ms) nothing has come in.
    pub(crate) fn idle_for(&self, now: Now) -> u64 {
        if self.is_idle() {
            now.mono_ms.saturating_sub(self.last_write_ms)
        } else {
            0
        }
    }

    /// Makes the log go on, with a MARK when there is nothing else to write.
    pub(crate) fn nudge(&mut self, now: Now) {
        if self.is_idle() {
            self.building.mark(now, &mut self.pool);
        }
        self.set_urgent();
    }

    /// Whether anything is accepted that is not durable yet.
    pub(crate) fn is_idle(&self) -> bool {
        !self.writing && self.waiting.is_empty() && self.building.is_empty()
    }

    /// Makes room for `more` bytes of records in the block being built.
    pub(crate) fn make_room(&mut self, more: usize) {
        let full = self.building.disk_len_with(more) > self.block_bytes_soft;
        if full && !self.held_open && !self.building.is_empty() {
            self.rotate();
        }
    }

    /// While a block is held open: whether `more` bytes of records still fit into it.
    pub(crate) fn check_held(&self, more: usize) -> Result<(), AppendError> {
        let (bytes, limit) = (self.building.disk_len_with(more), self.block_bytes_max());
        if self.held_open && bytes > limit {
            return Err(AppendError::TooLarge { bytes, limit });
        }
        Ok(())
    }

    /// Whether `more` bytes of records surely fit into the block being built.
    pub(crate) fn fits(&self, more: usize) -> bool {
        self.building.disk_len_with(more) <= self.block_bytes_max()
    }

    /// Whether nothing waits in the block being built.
    pub(crate) fn is_building_empty(&self) -> bool {
        self.building.is_empty()
    }

    pub(crate) const fn is_held_open(&self) -> bool {
        self.held_open
    }

    /// The block that is held open.
    pub(crate) fn held_open(&self) -> Option<BlockNumber> {
        self.held_open.then(|| self.building.number())
    }

    /// From here on everything goes into one block, until [`Tail::release`]. Small transactions share a block with
    /// what is there already: the block is whole or not at all.
    pub(crate) fn hold_open(&mut self, more: usize) {
        assert!(!self.held_open, "a transaction does not contain another");
        self.make_room(more);
        self.held_open = true;
    }

    pub(crate) fn release(&mut self) {
        self.held_open = false;
        self.set_urgent();
        self.make_room(0);
    }

    /// From here on everything goes into another block.
    pub(crate) fn rotate(&mut self) {
        let number = self.building.number().next();
        let fresh = BlockBuilder::new(number, self.pool.take(0));
        let full = std::mem::replace(&mut self.building, fresh);
        self.waiting_bytes += full.disk_len();
        self.waiting.push_back(full);
    }

    /// When (monotonic ms) the journal should look again even if nobody wakes it.
    pub(crate) fn due_at_ms(&self) -> Option<u64> {
        if self.writing || !self.waiting.is_empty() {
            // Whoever writes, or prepares the segment that the block waits for, looks again when done.
            return None;
        }
        if let Some(since) = self.building.lazy_since_ms() {
            return Some(since + LAZY_COMMIT_MS);
        }
        (!self.marked).then(|| self.last_write_ms + limits::IDLE_MARK_MS)
    }

    /// Whether a write could begin now.
    pub(crate) fn has_due(&self, now: Now) -> bool {
        !self.writing && !self.is_starved && (!self.waiting.is_empty() || self.is_due(now, Take::Due))
    }

    /// Somebody waits for what is being built.
    pub(crate) fn set_urgent(&mut self) {
        if !self.building.is_empty() {
            self.building.set_urgent();
        }
    }

    /// The block being built, if something waits in it and nobody waits for that.
    pub(crate) fn waiting_lazily(&self) -> Option<BlockNumber> {
        let is_lazy = self.building.lazy_since_ms().is_some() && !self.building.is_urgent();
        is_lazy.then(|| self.building.number())
    }

    fn is_due(&self, now: Now, take: Take) -> bool {
        !self.building.is_empty()
            && (take == Take::All
                || self.building.is_urgent()
                || self
                    .building
                    .lazy_since_ms()
                    .is_some_and(|since| now.mono_ms >= since + LAZY_COMMIT_MS))
    }

    /// Adds a MARK block when the log has been idle for long enough.
    pub(crate) fn mark_if_idle(&mut self, now: Now) {
        let idle_for = now.mono_ms.saturating_sub(self.last_write_ms);
        if self.is_idle() && !self.marked && idle_for >= limits::IDLE_MARK_MS {
            self.building.mark(now, &mut self.pool);
        }
    }

    /// Takes the next block that should be written. The caller performs it and reports with
    /// [`Tail::written`]; until then nothing else is handed out.
    pub(crate) fn take(&mut self, now: Now, take: Take) -> Next<D> {
        if self.writing {
            return Next::Nothing;
        }
        if self.waiting.is_empty() {
            if !self.is_due(now, take) {
                return Next::Nothing;
            }
            self.rotate();
        }
        let Some(front) = self.waiting.front_mut() else {
            return Next::Nothing;
        };
        // Closing twice adds nothing, so a block that has to wait for a segment stays as it is.
        let counted = front.disk_len();
        front.close(&mut self.pool);
        self.waiting_bytes = self.waiting_bytes - counted + front.disk_len();
        let block_bytes = front.disk_len();
        if front.fate() == Fate::Unlogged {
            return self.pass(block_bytes);
        }
        if self.filled_bytes() + block_bytes > self.file.file_bytes {
            let Some(NextSegment { file: next, .. }) = self.next.take() else {
                self.is_starved = true;
                return Next::NeedsSegment;
            };
            self.end = next.first_lsn.plus(limits::SEGMENT_HEADER_BYTES);
            let following = Draft::begin(self.footer_fraction, next.file_bytes);
            let sealed = std::mem::replace(&mut self.draft, following);
            self.finished = sealed.and_then(|draft| draft.finish(&self.file));
            self.file = next;
            let fits = self.file.offset(self.end) + block_bytes <= self.file.file_bytes;
            assert!(fits, "what is accepted fits into an empty segment");
        }
        let Some(builder) = self.waiting.pop_front() else {
            return Next::Nothing;
        };
        self.waiting_bytes -= block_bytes;
        self.begin(&builder);
        if planted::is(Planted::ConfirmBeforeSync) {
            self.durable = Durable::up_to(builder.number());
        }
        self.marked = builder.is_mark();
        let place = Place {
            segment: self.file.number,
            offset: self.file.offset(self.end),
            lsn: self.end,
            durable_lsn: self.end,
            previous_crc: self.previous_crc,
            epoch: self.epoch,
            max_timestamp_ms: self.max_timestamp_ms,
        };
        Next::Write(WriteJob::Logged(LoggedJob {
            block: builder.place(place),
            file: Arc::clone(&self.file),
            salt: self.salt,
            draft: self.draft.take(),
        }))
    }

    fn pass(&mut self, block_bytes: u64) -> Next<D> {
        let Some(builder) = self.waiting.pop_front() else {
            return Next::Nothing;
        };
        self.waiting_bytes -= block_bytes;
        self.begin(&builder);
        Next::Write(WriteJob::Unlogged(builder))
    }

    fn begin(&mut self, block: &BlockBuilder) {
        self.writing = true;
        self.writes_alone = self.writes_alone.saturating_add(1);
        self.writing_pages = block.pages();
        self.writing_bytes = logged_bytes(block);
        self.writing_fate = Some((block.number(), block.fate()));
    }

    fn end_write(&mut self) {
        assert!(self.writing, "only a write that was handed out can return");
        self.writing = false;
        self.writing_pages = 0;
        self.writing_bytes = 0;
        self.writing_fate = None;
    }

    /// The turn of a block that is not written is over: everything up to it is durable that is to be.
    pub(crate) fn passed(&mut self, block: BlockNumber) {
        self.end_write();
        self.durable = Durable::up_to(block);
    }

    /// The write under way returned success: everything up to this block is durable.
    pub(crate) fn written(&mut self, block: &SealedBlock, draft: Option<Box<Draft>>, now: Now) -> Durable {
        assert!(
            block.header.lsn == self.end,
            "blocks become durable in the order of the log"
        );
        self.end_write();
        self.draft = draft;
        self.end = block.header.end();
        self.previous_crc = block.header_crc;
        self.max_timestamp_ms = block.header.max_timestamp_ms;
        self.last_write_ms = now.mono_ms;
        self.durable = Durable::up_to(block.header.number);
        self.durable
    }
}

/// What a block takes in the log.
fn logged_bytes(block: &BlockBuilder) -> u64 {
    match block.fate() {
        Fate::Unlogged => 0,
        _ => block.disk_len(),
    }
}
