//! Footers of sealed segments: gists collected while a segment is filled, written beside it once it is sealed, read by a
//! rebuild.
//!
//! Elsewhere: the bytes (`format::footer`), when one is written (`shard::footers`), when one is believed
//! (`recovery::footers`).

mod draft;
mod file;

pub(crate) use draft::{Draft, Finished};
pub(crate) use file::{BlockGists, Footer, footer_path, unfinished_path};
