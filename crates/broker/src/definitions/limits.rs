//! What definitions may not exceed.

/// Bytes of a document: room for some 200,000 queues with bindings.
pub const DOCUMENT_BYTES_MAX: usize = 128 << 20;
