//! What the fuzz targets share. Each target is a program of its own in `src/bin`; `cargo xtask fuzz` builds and runs them.
//!
//! - [`codec`]: bytes through one part of the codec. What was read is written and read again, and must be the same.
//! - [`conversation`]: frames of a client against a broker on a simulated disk.

pub mod codec;
pub mod conversation;
