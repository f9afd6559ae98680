//! What the broker refuses to grow beyond.

/// Channels with lower numbers are found by their number, others by a search.
pub const CHANNELS_INDEXED: usize = 2_048;
/// Messages that wait in one session's outbox. As many again may be in the hands of its `poll`.
pub const OUTBOX_MESSAGES_MAX: usize = 4096;
/// Bytes of the messages that wait in one session's outbox (one larger message is still taken).
pub const OUTBOX_BYTES_MAX: u64 = 4 << 20;
/// Blocks of the journal that one session's outbox keeps in memory.
pub const OUTBOX_BLOCKS_MAX: usize = 16;
/// Direct replies that wait for one session. As many again may be in the hands of its `poll`.
pub const REPLIES_MAX: usize = 65_536;
/// Bytes of the direct replies that wait for one session (one larger reply is still taken).
pub const REPLIES_BYTES_MAX: usize = 32 << 20;
/// Runs of messages of a quorum queue that failed too often and whose dead letters are on their way.
pub const EXHAUSTED_MAX: usize = 65_536;
/// Messages of one channel that were not acknowledged in time: with more it is closed.
pub const LAPSED_MAX: u64 = 65_536;
/// For how long a delivery of a quorum queue may go without an acknowledgement, when nobody says it.
pub const CONSUMER_TIMEOUT_MS: u64 = 30 * 60 * 1000;
/// How often a delivery of a message of a quorum queue may fail when nobody says it.
pub const DELIVERY_LIMIT_DEFAULT: i64 = 20;
/// The highest priority that a quorum queue tells from those below it.
pub const QUORUM_PRIORITY_MAX: u8 = 31;
/// What a message counts as in a quorum queue that has no priority.
pub const QUORUM_PRIORITY_DEFAULT: u8 = 4;
/// Messages that are let expire before a fetch counts what is left.
pub const EXPIRED_MAX: u64 = 1_000;
/// How many messages a consumer of a quorum queue may hold that said nothing of it.
pub const QUORUM_PREFETCH_DEFAULT: u32 = 2000;
const _: () = assert!(QUORUM_PRIORITY_DEFAULT <= QUORUM_PRIORITY_MAX);
/// Dead letters that are moved under one hold of the lock.
pub const DEAD_LETTERS_MOVED_MAX: u64 = 64;
/// Bytes of their bodies and properties (one larger letter is still taken).
pub const DEAD_LETTERS_BYTES_MAX: usize = 4 << 20;
/// Dead letters that reached nobody and are tried again.
pub const RETAINED_MAX: usize = 65_536;
/// How many of them are tried again at once.
pub const RETAINED_TRIED_MAX: usize = 64;
/// Deaths of one message, each of another queue or reason, that its header `x-death` remembers: beyond that the oldest are
/// forgotten.
pub const DEATHS_MAX: usize = 1024;
/// Copies of one message that full queues pass on, beside those that refused the message itself: they are routed under one hold of the lock.
pub const COPIES_PASSED_ON_MAX: usize = 1024;
/// Words of a topic pattern that stand for any number of words.
pub const PATTERN_HASHES_MAX: usize = 2;
/// Routes that one session remembers before it forgets all of them.
pub const ROUTES_MAX: usize = 1024;
/// Queues that the routes remembered by one session lead to, before it forgets all of them: half a MiB, where the number of routes would allow
/// gigabytes. A route that leads to more is not remembered.
pub const ROUTE_QUEUES_MAX: usize = 65_536;
/// Largest number of properties' bytes (flags, list, exchange and key) that a message may have.
pub const PROPERTIES_BYTES_MAX: usize = 1 << 20;
/// Messages and acknowledgements that one transaction collects.
pub const TRANSACTION_COMMANDS_MAX: usize = 1 << 20;
/// Bytes that one transaction collects.
pub const TRANSACTION_BYTES_MAX: u64 = 128 << 20;
/// How deep field tables may nest in headers.
pub const TABLE_DEPTH_MAX: usize = 32;

const _: () = assert!(
    OUTBOX_MESSAGES_MAX <= 1 << 20,
    "a swap of outboxes stays a short lock"
);
