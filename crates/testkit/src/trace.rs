//! The broker's system calls, watched with strace: is each confirm preceded by its completed synced write?
//!
//! Invariants:
//! - A confirm counts as sent when its socket write *begins*, a sync as done when its call has *returned*.
//! - A message counts as synced only if its very bytes were in the synced write: bodies are numbered, and
//!   looked for in what was written.

mod order;
mod strace;
mod watch;

pub(crate) use order::{Judge, Verdict};
pub(crate) use strace::{Event, Reader};
pub use watch::{WatchOptions, run};
