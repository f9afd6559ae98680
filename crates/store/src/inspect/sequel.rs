//! What was appended to the log while it was looked at: noted, and not judged.
//!
//! A look at a running store reads its segments one after the other. When it comes to the index, messages that the newest
//! checkpoint holds may be dead, and their segments recycled, by records that were written behind the look.

use super::error::InspectError;
use super::ledger::Ledger;
use super::site::Site;
use super::standing::is_still_there;
use super::walk::{Stretch, Walk};
use crate::disk::Disk;
use crate::ids::Lsn;
use crate::recovery::Found;

/// How much of it could be read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Sequel {
    Whole,
    /// A segment of it was recycled before it was read: what it said of queues is said again where nobody looked.
    Recycled,
}

/// Notes what the log says from the segment that begins at `from` on, up to where it ends now.
pub(super) fn note<D: Disk>(site: &Site<D>, from: Lsn, ledger: &mut Ledger) -> Result<Sequel, InspectError> {
    let mut sequel = Sequel::Whole;
    let segments = site.directory.segments.iter();
    for found in segments.filter(|found| found.first_lsn >= from) {
        let read = match segment(site, found, ledger) {
            Err(error) if error.is_not_found() => Sequel::Recycled,
            read => read?,
        };
        if read == Sequel::Recycled {
            sequel = read;
        }
    }
    Ok(sequel)
}

fn segment<D: Disk>(site: &Site<D>, found: &Found, ledger: &mut Ledger) -> Result<Sequel, InspectError> {
    let mut walk = Walk::open(&site.disk, found, site.salt)?;
    while let Some(stretch) = walk.next()? {
        let (bytes, contents) = match stretch {
            Stretch::Block(block) => (block.bytes, block.contents),
            Stretch::Gap(_) => continue,
        };
        for range in contents.records {
            ledger.note(&bytes[range]);
        }
    }
    Ok(if is_still_there(&site.disk, found)? {
        Sequel::Whole
    } else {
        Sequel::Recycled
    })
}
