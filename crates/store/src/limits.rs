//! Every bound of the store in one place, tied together at compile time.

/// Sectors, blocks and index pages start and end on this many bytes.
pub const ALIGNMENT: u64 = 4096;
/// Size of a segment's header, and so the offset of its first block.
pub const SEGMENT_HEADER_BYTES: u64 = 4096;
/// Size of the header in front of the records of a block.
pub const BLOCK_HEADER_BYTES: u64 = 128;
/// Default size of a segment file.
pub const SEGMENT_BYTES: u64 = 64 << 20;
/// Smallest segment that can be configured: for tests that roll all the time.
pub const SEGMENT_BYTES_MIN: u64 = 64 << 10;
/// Largest segment that can be configured; offsets in a segment fit in 32 bits.
pub const SEGMENT_BYTES_MAX: u64 = 1 << 30;
/// A block is closed when its records reach this size; a larger record gets a block of its own.
pub const BLOCK_BYTES_SOFT: u64 = 1 << 20;
/// A batch of this size may have a block of its own, and its memory becomes the block's.
pub const LARGE_BATCH_BYTES: usize = 512 << 10;
/// From here on it may become such a one: where the batch before was large, it goes on in memory of that size.
pub const NO_SMALL_BATCH_BYTES: usize = 64 << 10;
/// Memory of large batches is kept for later ones, but no more than this: four batches that fill a segment of the usual size, …
pub const BATCH_MEMORY_BYTES_MAX: usize = 320 << 20;
/// … in no more pieces, …
pub const BATCH_MEMORY_KEPT_MAX: usize = 8;
/// … and until it was not used for between one and two times so long, in milliseconds, or, where a process has several stores open, less.
pub const BATCH_MEMORY_UNUSED_MS: u64 = 2_000;
/// While this much waits for the disk, `has_room` says no and publishers wait.
pub const WAITING_BYTES_MAX: u64 = 4 << 20;
/// Recent blocks kept in memory, from which warm deliveries are served.
pub const RING_BYTES: u64 = 24 << 20;
/// Transient messages that the log does not hold take this much memory before they are spilled.
pub const TRANSIENT_BYTES: u64 = 64 << 20;
/// They are kept together in units of at most this size, but for a larger message …
pub const UNIT_BYTES_MAX: u64 = 4 << 20;
/// … and, where little memory is granted, of so small a fraction of that, but no smaller than a sector.
pub const UNITS_IN_MEMORY: u64 = 16;
/// A file of the spill has room for so many units, or for fewer where little memory is granted: to make one takes longer than to
/// write a unit, and a file that is kept for a single unit is not to take much.
pub const SPILL_SLOTS_MAX: u32 = 16;
/// One unit of so many that are spilled is the oldest in memory, all others the newest: messages that nobody takes leave memory to
/// those that somebody will, and few that are wanted next have to be read again.
pub const SPILLS_PER_OLDEST: u64 = 8;
/// When they take so large a fraction more than they may, two threads spill them: a disk takes more then.
pub(crate) const SPILL_LATE_FRACTION: u64 = 4;
/// Memory of units that left it is kept for so many that follow: about as many as come while the disk is busy with something else.
pub(crate) const SPARE_UNITS_MAX: usize = 8;
/// Bodies above this size carry a checksum of their own.
pub const INLINE_BODY_BYTES_MAX: usize = 256;
/// Most queues that one message may refer to.
pub const REFERENCES_MAX: usize = 1 << 16;
/// Largest opaque description of a queue.
pub const QUEUE_META_BYTES_MAX: usize = 64 << 10;
/// A queue may deliver this many messages beyond its durable delivery mark.
pub const DELIVERY_MARK_STEP: u64 = 1 << 16;
/// Acknowledgements wait at most this long for a block to ride in, in milliseconds.
pub const LAZY_COMMIT_MS: u64 = 5;
/// Idle time in milliseconds after which a MARK block covers the last block of the log.
pub const IDLE_MARK_MS: u64 = 10;
/// A new segment is written once, with zeros, when this much of the one before is filled: few messages make nobody write more.
pub const PREWRITE_FROM_BYTES: u64 = 1 << 20;
/// That is done in pieces of this size: the log waits for one at most.
pub const PREWRITE_PIECE_BYTES: u64 = 256 << 10;
/// What was written of it is synced each time when it comes to a multiple of this.
pub const PREWRITE_SYNC_BYTES: u64 = 4 << 20;
/// It is not begun when the segment before will be full earlier than that takes at this speed.
pub const PREWRITE_BYTES_PER_MS: u64 = 512 << 10;
/// Nor while the log comes faster than this: it has large blocks then, which a segment that was written once helps little, and the
/// disk for itself.
pub const PREWRITE_LOG_BYTES_PER_MS_MAX: u64 = 256 << 10;
/// A checkpoint is due after this many bytes of log.
pub const CHECKPOINT_BYTES: u64 = 64 << 20;
/// A checkpoint is due after this many milliseconds, when anything changed.
pub const CHECKPOINT_MS: u64 = 5_000;
/// Spare segments kept for recycling; what is above, and above what is left of the slack below, is removed.
pub const SPARE_SEGMENTS_MAX: usize = 4;
/// Spare segments kept beside these in what is left of the slack, however small they are.
pub const SPARE_SEGMENTS_MORE_MAX: usize = 6;
/// Spare segments kept back for a full disk.
pub const RESERVE_SEGMENTS: usize = 2;
/// What segments may take beyond twice what lives in them before survivors are evacuated. With the segment in use, the one
/// prepared, the spares, and what waits for a checkpoint, a store stays below twice what lives and 1 GiB.
pub const EVACUATION_SLACK_BYTES: u64 = 384 << 20;
/// Bytes that evacuation reads and writes for each byte of log that comes in. The dearest byte that it can free comes from a
/// segment that is just below half live: four bytes of work for two.
pub const EVACUATION_PACE: u64 = 6;
/// Bytes of a segment that are looked at in one step of an evacuation: whatever else is due waits for so long.
pub const EVACUATION_STEP_BYTES: u64 = 4 << 20;
/// Survivors that are gathered, and sorted by queue, before they are written.
pub const EVACUATION_BATCH_BYTES: u64 = 4 << 20;
/// Entries that evacuation looks up, or moves, under one hold of the shard's lock.
pub const EVACUATION_ENTRIES_AT_ONCE: usize = 256;
/// A sealed segment gets a footer when that takes at most its blocks' bytes divided by this: a rebuild has to read so much less.
pub const FOOTER_FRACTION: u64 = 24;
/// Footers of sealed segments that wait to be written take at most this much memory; what comes then gets none.
pub const FOOTERS_WAITING_BYTES_MAX: u64 = 32 << 20;
/// Size of a file of index pages.
pub const SLAB_BYTES: u64 = 64 << 20;
/// Size of an index page.
pub const PAGE_BYTES: usize = 4096;
/// The memory of mapped index pages is given back to the kernel after so many different ones were used.
pub const PAGES_RESIDENT_MAX: usize = 4096;
/// Index pages that are filled before they are written to their slab: enough for a thousand queues that are filled in turn.
pub const PAGES_YOUNG_MAX: usize = 1280;
/// A huge page, where the kernel has some: large buffers lie in such.
pub const HUGE_PAGE_BYTES: usize = 2 << 20;
/// From here on a buffer is large.
pub const LARGE_BUFFER_BYTES_MIN: usize = 512 << 10;
/// What a block, or a read, of the usual size needs at most. Such cells lie behind each other in regions of whole huge pages, …
pub const CELL_BYTES: usize = 1152 << 10;
/// … so many in a region …
pub const CELLS_IN_REGION: usize = 16;
/// … of which a process has at most so many; what goes beyond lies on the heap.
pub const REGIONS_MAX: usize = 4;
/// A cold read fetches at least this much at first …
pub const READ_AHEAD_BYTES_MIN: u64 = 64 << 10;
/// … and doubles up to this much while reads stay sequential.
pub const READ_AHEAD_BYTES_MAX: u64 = 1 << 20;
/// In front of what is read ahead there is room for so much of a record that begins before.
pub const READ_AHEAD_HEAD_BYTES_MAX: u64 = 128 << 10;
/// So many of them a reader may have asked for, once the disk was late.
pub const STRETCHES_AHEAD_MAX: usize = 4;
/// So many are under way at a time: where all processors are busy a device with a single one waits for them.
pub const READ_AHEAD_THREADS: usize = 2;
/// Reads ahead that all readers of a store may have asked for at a time, with those that were done and not taken. Each is of at most
/// [`READ_AHEAD_BYTES_MAX`].
pub const READS_ASKED_MAX: usize = 16;
/// Memory of earlier reads that a reader keeps to use it again, as soon as no delivery lies in it any more.
pub const STRETCHES_KEPT_MAX: usize = 8;
/// A thread that brings at most this many messages may lead a commit itself.
pub const LEADER_MESSAGES_MAX: usize = 4;
/// A thread that seems to be the only one may lead the commit of at most this many messages.
pub const LEADER_MESSAGES_ALONE_MAX: usize = 128;
/// It leads no commit while more bytes than this wait to be written.
pub const LEADER_BYTES_ALONE_MAX: u64 = 128 << 10;
/// A thread seems to be the only one when nobody, itself included, brought anything that is due during so many blocks' turns.
pub const WRITES_ALONE: u32 = 8;
/// No thread leads a commit while a synced write takes longer than this, in microseconds.
pub const LEADER_WRITE_US_MAX: u64 = 500;
/// A synced write that takes this long is reported as a stall, in milliseconds.
pub const WRITE_STALL_MS: u64 = 1_000;
/// Largest name of an embedder's queue, in bytes.
pub const QUEUE_NAME_BYTES_MAX: usize = 255;
/// A fetch brings messages of this size together, or a single larger one.
pub const FETCH_BYTES_MAX: u64 = 4 << 20;
/// Messages whose records are at least this long are not copied when they are fetched: below, a copy is cheaper than to share …
pub const SHARED_RECORD_BYTES_MIN: usize = 4 << 10;
/// … and of blocks and windows that deliveries share this much is kept in memory; what is fetched beyond is copied.
pub const SHARED_BYTES_MAX: usize = 64 << 20;
/// What a fetch notes for the next one of its thread, at most for so many messages.
pub const FETCH_NOTES_MAX: usize = 4096;
/// Messages that expire under one hold of the lock.
pub const EXPIRE_MESSAGES_MAX: u64 = 1024;
/// Who sleeps until something expires looks at the wall clock this often, in milliseconds, for it may be set meanwhile.
pub const EXPIRE_SLEEP_MS_MAX: u64 = 1_000;
/// While so many messages are held as dead letters, `has_room` says no.
pub const HELD_MESSAGES_MAX: u64 = 4096;
/// While so many of them are held because their time was over, no more expire but by a lease.
pub const HELD_EXPIRED_MAX: u64 = 1024;
/// Entries that a browse notes under one hold of the lock.
pub const BROWSE_ENTRIES_MAX: u32 = 256;
/// How often it is looked which segments are kept for what was acknowledged in them, in milliseconds.
pub const RETENTION_CHECK_MS: u64 = 1_000;
/// Places in cold segments that a walk over the history of a queue remembers.
pub const HISTORY_COLD_PLACES_MAX: usize = 1 << 16;
/// How often a store that runs is looked at anew because its files changed meanwhile.
pub const VIEW_TRIES_MAX: u32 = 20;
/// Readers with their buffers that a store keeps for later fetches.
pub const READERS_KEPT_MAX: usize = 16;

/// Runs of messages of a queue that came back equally often: beyond that the counts of the newest are forgotten.
pub const ATTEMPT_RUNS_MAX: usize = 16_384;

const _: () = assert!(SEGMENT_BYTES >= SEGMENT_BYTES_MIN && SEGMENT_BYTES <= SEGMENT_BYTES_MAX);
const _: () = assert!(
    READ_AHEAD_HEAD_BYTES_MAX.is_multiple_of(ALIGNMENT) && READ_AHEAD_BYTES_MAX.is_multiple_of(ALIGNMENT)
);
const _: () = assert!(SEGMENT_BYTES_MIN.is_multiple_of(ALIGNMENT) && SEGMENT_BYTES.is_multiple_of(ALIGNMENT));
const _: () = assert!(SEGMENT_HEADER_BYTES == ALIGNMENT && PAGE_BYTES == 4096);
// An ordinary block must fit into an empty segment, or rolling could go on for ever.
const _: () = assert!(SEGMENT_HEADER_BYTES + BLOCK_BYTES_SOFT < SEGMENT_BYTES);
const _: () = assert!(BLOCK_BYTES_SOFT < WAITING_BYTES_MAX);
// A slot of the spill is a whole number of sectors, and the newest unit has its turn, too.
const _: () =
    assert!(UNIT_BYTES_MAX.is_multiple_of(ALIGNMENT) && SPILL_SLOTS_MAX > 0 && SPILLS_PER_OLDEST > 1);
// However many are due together, publishers do not wait for them.
const _: () = assert!(HELD_EXPIRED_MAX <= HELD_MESSAGES_MAX / 2);
const _: () = assert!(QUEUE_NAME_BYTES_MAX < QUEUE_META_BYTES_MAX);
// A reader alone may have all that it wants.
const _: () = assert!(STRETCHES_AHEAD_MAX <= READS_ASKED_MAX / 2 && READ_AHEAD_THREADS > 0);
// A read ahead of the usual size, and what it leads in with, has room in a cell.
const _: () =
    assert!(READ_AHEAD_BYTES_MAX + READ_AHEAD_HEAD_BYTES_MAX <= 1152 << 10 && CELL_BYTES == 1152 << 10);
