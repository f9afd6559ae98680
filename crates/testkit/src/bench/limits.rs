//! What a measurement may take, and what it is aimed at.

use std::time::Duration;

/// Bodies that one turn publishes, at most: the disk is not ours alone.
pub const TURN_BYTES_MAX: u64 = 12 << 30;
/// A backlog that is drained cold has at least so many bytes: eight times what Logpond keeps of recent blocks, so that at most
/// an eighth comes from memory.
pub const COLD_BYTES_MIN: u64 = 8 * (24 << 20);
/// What a stored message takes beside its body, roughly.
pub const MESSAGE_BYTES: u64 = 64;
/// Longest that a backlog is filled for a drain.
pub const FILL_MAX: Duration = Duration::from_secs(60);
/// Longest wait until queues hold what was published without confirms.
pub const SETTLE_MAX: Duration = Duration::from_secs(180);
/// Between two looks at how much queues hold.
pub const SETTLE_STEP: Duration = Duration::from_millis(2);
/// Longest that a peer may take from its start until it listens, or to its end: some read their whole backlog first.
pub const START_MAX: Duration = Duration::from_secs(300);
/// Longest that a client of another protocol may run beyond the time it was told.
pub const TOOL_SLACK: Duration = Duration::from_secs(180);
/// Unmeasured traffic before each turn: a virtual machine compiles what it runs.
pub const WARM_UP: Duration = Duration::from_secs(1);
/// Between two looks at the memory of a peer.
pub const MEMORY_STEP: Duration = Duration::from_millis(20);
/// Messages in flight where a row does not say it.
pub const IN_FLIGHT: u64 = 1_000;
/// Messages in flight while a backlog is filled.
pub const IN_FLIGHT_FILL: u64 = 10_000;
/// Messages in flight on each of many connections.
pub const IN_FLIGHT_EACH: u64 = 10;
/// Messages that may be on their way to a consumer.
pub const PREFETCH: u16 = 1_000;
/// One acknowledgement for so many messages.
pub const ACK_EVERY: u64 = 100;
/// Different routing keys.
pub const KEYS: usize = 1_000;
/// Connections that do nothing.
pub const IDLE_CONNECTIONS: u64 = 1_000;

// A consumer that may hold fewer than it acknowledges at once would stand still.
const _: () = assert!(ACK_EVERY < 1_000 && PREFETCH == 1_000);
