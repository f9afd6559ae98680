//! Every bound of the codec, in one place.

/// Octets of a frame around its payload: kind, channel, length, and the end octet.
pub const FRAME_OVERHEAD_BYTES: u32 = 8;
/// Octets before a frame's payload.
pub const FRAME_HEADER_BYTES: usize = 7;
/// The octet that ends every frame.
pub const FRAME_END: u8 = 0xCE;
/// Smallest `frame_max` that may be negotiated, as in RabbitMQ 4; the handshake must fit.
pub const FRAME_BYTES_MIN: u32 = 8192;
/// The `frame_max` that servers propose unless configured otherwise.
pub const FRAME_BYTES_DEFAULT: u32 = 131_072;
/// Longest short string.
pub const SHORT_STRING_BYTES_MAX: usize = 255;
/// Most tables and arrays inside each other.
pub const TABLE_DEPTH_MAX: usize = 64;
/// Largest field table, its own length not counted.
pub const TABLE_BYTES_MAX: usize = 1 << 20;

// A frame of the smallest size must have room for something.
const _: () = assert!(FRAME_BYTES_MIN > FRAME_OVERHEAD_BYTES);
