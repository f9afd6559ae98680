//! The index: where the message of each queue entry lies. Derived from the log, and disposable.
//!
//! Invariants:
//! - The index is never evidence about the log: what it points to is checked when it is read.
//! - A page that a retained checkpoint refers to is never changed in place (`pages`).

mod free;
pub(crate) mod page;
pub(crate) mod pages;
mod young;
