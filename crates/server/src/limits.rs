//! Every bound of the server in one place, and how the bounds fit together.
//!
//! Elsewhere: what clients may configure (`config`), bounds of queues and messages (the broker).

use std::time::Duration;

/// Largest frame that we accept and announce in `connection.tune`.
pub const FRAME_BYTES_MAX: u32 = 131_072;
/// Smallest frame size that a client may ask for in `connection.tune-ok`, and that may be announced.
pub const FRAME_BYTES_MIN: u32 = 8_192;
/// Channels that a client may have open, announced in `connection.tune`.
pub const CHANNEL_MAX: u16 = 2_047;
/// Channels with lower numbers are found by their number, others by a search: they are rare, and
/// one of them makes no large table.
pub const CHANNELS_INDEXED: usize = 2_048;
/// Heartbeat announced in `connection.tune`, in seconds.
pub const HEARTBEAT_SECONDS: u16 = 60;
/// What a peer that has not logged in may make us hold.
pub const UNAUTHENTICATED_BYTES_MAX: usize = 16 * 1024;
/// Time from the accepted socket to `connection.open-ok`.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long we wait for `close-ok` after we sent `connection.close`.
pub const CLOSE_OK_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a client may take to close its socket after our `close-ok`; until then what it still sends is dropped.
pub const LINGER_TIME: Duration = Duration::from_secs(30);
/// How long an unauthenticated peer waits for its refusal, so that guessing passwords is slow.
pub const REFUSAL_DELAY: Duration = Duration::from_secs(1);
/// How long a peer that speaks another protocol has to take our answer before the connection is reset.
pub const HEADER_ANSWER_TIME: Duration = Duration::from_millis(250);
/// How often the files of certificates are looked at.
pub const CERTIFICATES_INTERVAL: Duration = Duration::from_secs(5);
/// Body size of a message, when the configuration says nothing else.
pub const MESSAGE_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Largest value that the configuration may set for the body size.
pub const MESSAGE_BYTES_CEILING: u64 = 512 * 1024 * 1024;

/// For how long a delivery of a quorum queue may go without an acknowledgement, when the configuration says nothing else.
pub const CONSUMER_TIMEOUT_MS: u64 = 30 * 60 * 1000;

/// Size of a pooled read buffer. Connections borrow one only while their socket is readable.
pub const READ_BUFFER_BYTES: usize = 512 * 1024;
/// Bytes that are read at once from a client that has not published yet, while publishers wait for their turn.
pub const FIRST_READ_BYTES: usize = 32 * 1024;
/// Pooled buffers that are kept for reuse; more may exist for a moment, they are freed.
pub const POOLED_BUFFERS_MAX: usize = 8;
/// Bytes of an incomplete message that stay raw until the rest arrives, instead of being assembled.
pub const RAW_MESSAGE_BYTES_MAX: usize = 64 * 1024;
/// Commands that are handed to the broker in one go.
pub const COMMANDS_PER_BATCH: usize = 1_024;
/// Bytes of message bodies that one connection may have in assembly, over all of its channels,
/// beside the one message that is always allowed to become complete.
pub const ASSEMBLY_BYTES_MAX: usize = 64 * 1024 * 1024;
/// While answers of so many bytes wait for the socket no more requests are read; what one read asks for may add as much again.
pub const WRITE_BUFFER_BYTES: usize = 1024 * 1024;
/// What one poll of the broker may add to the write buffer (one message more is still taken): large sends cost the system less for each byte.
pub const POLL_BYTES_MAX: usize = 768 * 1024;
/// While so much waits for the socket the broker is not polled.
pub const POLL_PENDING_BYTES_MAX: usize = 256 * 1024;
/// So long a connection goes on with what the broker has for it before others have their turn, while it brings nothing to them itself.
pub const TURN_TIME: Duration = Duration::from_millis(2);
/// So long a connection keeps its turn at requests that may wait for the disk, once it has one.
pub const TURN_HELD_MAX: Duration = Duration::from_millis(20);
/// Memory of a write buffer that is kept for reuse. A buffer doubles when it grows.
pub const WRITE_BUFFER_KEPT_BYTES_MAX: usize = 2 * WRITE_BUFFER_BYTES;

/// Connections that may be open at once; further ones are closed at once.
pub const CONNECTIONS_MAX: usize = 65_536;
/// Time that connections may take in a clean stop before they are dropped.
pub const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(10);
/// Part of the clean stop in which clients may answer `connection.close`.
pub const SHUTDOWN_CLOSE_TIMEOUT: Duration = Duration::from_secs(3);
/// Part of the clean stop in which confirms go out before connections are closed.
pub const DRAIN_TIME: Duration = Duration::from_secs(4);

// An incomplete message kept raw plus one whole frame must always fit, or reading would stall.
const _: () = assert!(RAW_MESSAGE_BYTES_MAX + 131_072 + 8 < READ_BUFFER_BYTES);
// What is announced is indexed.
const _: () = assert!(CHANNELS_INDEXED == 2_047 + 1 && CHANNEL_MAX == 2_047);
// A whole frame of a peer that has not logged in must fit into what it may make us hold.
const _: () = assert!(8_192 + 8 < UNAUTHENTICATED_BYTES_MAX && FRAME_BYTES_MIN == 8_192);
// What a slow reader leaves in its buffer stays within what it may have there.
const _: () = assert!(POLL_PENDING_BYTES_MAX + POLL_BYTES_MAX <= WRITE_BUFFER_BYTES);
// The refusal and the answer to it must fit into the stop.
const _: () = assert!(DRAIN_TIME.as_secs() + SHUTDOWN_CLOSE_TIMEOUT.as_secs() < SHUTDOWN_TIMEOUT.as_secs());

/// Connections that may wait at once for the administration of queues, exchanges and bindings: fewer than there are threads to wait.
pub(crate) const TURNS: usize = 4;
/// Lines of the log about what definitions ask for and does not exist here; behind them stands only how much more there is.
pub const LEFT_OUT_LINES_MAX: usize = 256;
