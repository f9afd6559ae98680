//! The storage engine: a journal of blocks, and the index derived from it.

pub mod disk;
pub mod catalog;
mod codec;
mod frame;
mod meta;
