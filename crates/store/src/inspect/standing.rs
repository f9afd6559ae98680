//! What of a listing still stands: a running store recycles segments, makes new ones and cuts a log that it begins anew.
//!
//! Invariants:
//! - On a store that does not run, all that was listed stands.

use super::checkpoints::{self, Checkpoints};
use super::error::InspectError;
use super::finding::{Finding, Part};
use super::site::Site;
use crate::disk::{AlignedBuf, Disk, DiskFile};
use crate::footer::footer_path;
use crate::format::memory_offset;
use crate::format::segment::SegmentHeader;
use crate::ids::{Epoch, Lsn, SegmentNumber};
use crate::limits::SEGMENT_HEADER_BYTES;
use crate::recovery::{Directory, Found};
use crate::segments::{open_file, segment_path};
use std::collections::BTreeSet;

/// Whether the segment was not recycled since it was listed.
pub(super) fn is_still_there<D: Disk>(disk: &D, found: &Found) -> Result<bool, InspectError> {
    let Some(page) = header_page(disk, found.number)? else {
        return Ok(false);
    };
    Ok(found.header_damaged
        || SegmentHeader::decode(&page, found.number).is_ok_and(|header| header.first_lsn == found.first_lsn))
}

/// The first page of a segment; `None` when the file is gone.
pub(super) fn header_page<D: Disk>(
    disk: &D,
    number: SegmentNumber,
) -> Result<Option<AlignedBuf>, InspectError> {
    let path = segment_path(number);
    let (file, _) = match open_file(disk, &path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(InspectError::io("opening", &path))?,
    };
    let mut page = AlignedBuf::zeroed(memory_offset(SEGMENT_HEADER_BYTES));
    let read = file.read_at(&mut page, 0);
    let read = read.map_err(InspectError::io("reading", &path))?;
    page[read..].fill(0);
    Ok(Some(page))
}

/// Whether neither a segment nor a checkpoint came or went since these were read. Then the log did not go on to another
/// segment either, so nothing that was read of it is older than what was read last.
pub(super) fn is_unchanged<D: Disk>(site: &Site<D>, read: &Checkpoints) -> Result<bool, InspectError> {
    let same_checkpoints = checkpoints::list(&site.disk)? == read.listed;
    Ok(same_checkpoints && segments_of(&site.directory) == segments_of(&site.list_again()?))
}

fn segments_of(directory: &Directory) -> Vec<(SegmentNumber, Lsn, Epoch)> {
    let Directory { segments, cold, .. } = directory;
    let of = |found: &Found| (found.number, found.first_lsn, found.epoch);
    segments.iter().chain(cold).map(of).collect()
}

/// Takes out what was found in segments that do not stand any more, or behind where a start has cut the log since. Returns these
/// segments.
pub(super) fn drop_gone<D: Disk>(
    site: &Site<D>,
    lists: [&mut Vec<Finding>; 2],
) -> Result<BTreeSet<SegmentNumber>, InspectError> {
    let mut gone = BTreeSet::new();
    if lists.iter().all(|findings| findings.is_empty()) {
        return Ok(gone);
    }
    let now = site.list_again()?;
    let Directory { segments, cold, .. } = &site.directory;
    for findings in lists {
        findings.retain(|finding| {
            let is_of = |found: &&Found| match finding.part {
                Part::Footer => footer_path(found.number) == finding.file,
                part => part.is_journal() && segment_path(found.number) == finding.file,
            };
            let listed = segments.iter().chain(cold).find(is_of);
            let is_gone = listed.filter(|listed| !stands(&now, listed, finding));
            gone.extend(is_gone.map(|listed| listed.number));
            is_gone.is_none()
        });
    }
    Ok(gone)
}

fn stands(now: &Directory, listed: &Found, finding: &Finding) -> bool {
    let Directory { segments, cold, .. } = now;
    segments.iter().chain(cold).any(|found| {
        let is_same = (found.number, found.first_lsn) == (listed.number, listed.first_lsn);
        let at = found.first_lsn.plus(finding.offset);
        let is_cut_off = found.limit < listed.limit && at >= found.limit;
        is_same && found.epoch == listed.epoch && !is_cut_off
    })
}
