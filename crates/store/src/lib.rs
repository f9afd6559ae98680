//! The storage engine: a journal of blocks, and the index derived from it.

pub mod disk;
