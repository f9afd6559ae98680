//! Cold segments at a start: opened with a checkpoint, read in full without one.
//!
//! The journal is read first: by then it is known which queues exist and which entries are dead, and a copy of anything
//! else is passed over. A copy and its original say the same, so whichever is met first is taken.
//!
//! Invariants:
//! - What was evacuated is found by a rebuild, also where its original was recycled.
//! - An invalid block with a valid one behind it, or that a checkpoint knows of, is damage. Elsewhere at the end of a segment
//!   nothing tells damage from an interrupted write, of which nothing was ever needed: it is damage if it holds what is found
//!   nowhere else, or if entries are missing.

use super::directory::Found;
use super::footers;
use super::scan::{Scan, as_open_error};
use crate::disk::Disk;
use crate::error::OpenError;
use crate::format::byte_count;
use crate::ids::{Lsn, QueueId, SegmentNumber};
use crate::limits::{ALIGNMENT, BLOCK_HEADER_BYTES, SEGMENT_HEADER_BYTES};
use crate::report::{Quarantined, RecoveryReport};
use crate::segment_view::{SegmentView, Verdict};
use crate::segments::segment_path;
use crate::state::State;
use std::sync::Arc;

/// Reads what the index does not know yet. Returns ends of segments that may be damaged.
pub(super) fn read<D: Disk>(
    scan: &mut Scan<'_, D>,
    report: &mut RecoveryReport,
) -> Result<Vec<Quarantined>, OpenError> {
    let directory = scan.directory;
    if scan.restored.from_checkpoint && !scan.restored.ends_log {
        expect_unknown_copies(scan);
    }
    let mut doubtful = Vec::new();
    for found in &directory.cold {
        if !scan.restored.from_checkpoint {
            read_segment(scan, found, report, &mut doubtful)?;
        }
        if found.header_damaged {
            let header = quarantined(
                found,
                found.first_lsn,
                found.first_lsn.plus(SEGMENT_HEADER_BYTES),
                0,
            );
            let segment = scan.restored.state.segments.get_mut(found.number);
            if segment.is_some_and(|segment| segment.live.entries > 0) {
                report.quarantined.push(header);
            } else {
                doubtful.push(header);
            }
        }
    }
    Ok(doubtful)
}

/// What was copied behind the checkpoint is not looked for: it may be of any queue that there was then. Later starts are to know that,
/// too, so it goes where checkpoints have it from.
fn expect_unknown_copies<D: Disk>(scan: &mut Scan<'_, D>) {
    let restored = &mut scan.restored;
    let state = &mut restored.state;
    let there = state.queues.iter().map(|queue| queue.id);
    let known: Vec<QueueId> = there.chain(state.tombstones.keys().copied()).collect();
    for segment in state.segments.iter_mut() {
        if segment.file.number >= restored.cold_filled_since {
            segment.control.extend(&known);
        }
    }
}

fn read_segment<D: Disk>(
    scan: &mut Scan<'_, D>,
    found: &Found,
    report: &mut RecoveryReport,
    doubtful: &mut Vec<Quarantined>,
) -> Result<(), OpenError> {
    let reading = || OpenError::io("reading", segment_path(found.number));
    let state = &mut scan.restored.state;
    let Some(segment) = state.segments.get_mut(found.number) else {
        return Ok(());
    };
    let file = Arc::clone(&segment.file);
    let footer = footers::of_cold(scan.disk, scan.store, scan.directory, found, &file);
    if let Some(footer) = footer {
        return footers::apply(&footer, state, report);
    }
    report.segments_from_blocks += 1;
    let mut view = SegmentView::new(file, scan.salt, None, found.limit);
    let mut at = found.first_lsn.plus(SEGMENT_HEADER_BYTES);
    let mut end = at;
    while at < found.limit {
        let verdict = view.block(at).map_err(reading())?;
        if let Verdict::Valid(header, _) = verdict {
            let payload = view.payload(&header).map_err(reading())?;
            let lsn = header.lsn.plus(BLOCK_HEADER_BYTES);
            state
                .apply_payload(payload, lsn, found.number)
                .map_err(as_open_error)?;
            report.blocks_replayed += 1;
            report.bytes_replayed += header.disk_len();
            at = header.end();
            end = at;
            continue;
        }
        let next = view.next_header(at.plus(ALIGNMENT)).map_err(reading())?;
        if next.is_none() && verdict == Verdict::Absent {
            break;
        }
        let reached = next.unwrap_or(found.limit);
        let living = living_in(state, found.number);
        let records = view.intact_records(at, reached).map_err(reading())?;
        for (lsn, record) in &records {
            state
                .apply_record(record, *lsn, found.number)
                .map_err(as_open_error)?;
        }
        let range = quarantined(found, at, reached, byte_count(records.len()));
        // What is found nowhere else was recycled where it lay before, after it was synced here.
        let is_damage = next.is_some() || at < found.known_end || living_in(state, found.number) > living;
        at = reached;
        if is_damage {
            report.quarantined.push(range);
            end = reached;
        } else {
            // Nothing that counts lies there, and nobody is to look for it again.
            doubtful.push(range);
        }
    }
    if let Some(segment) = state.segments.get_mut(found.number) {
        segment.end = end;
    }
    Ok(())
}

/// Entries of which this segment has the only message.
fn living_in<D: Disk>(state: &mut State<D>, number: SegmentNumber) -> u64 {
    state
        .segments
        .get_mut(number)
        .map_or(0, |segment| segment.live.entries)
}

fn quarantined(found: &Found, from: Lsn, to: Lsn, records_kept: u64) -> Quarantined {
    Quarantined {
        file: segment_path(found.number),
        offset: from.get() - found.first_lsn.get(),
        bytes: to.get() - from.get(),
        records_kept,
    }
}
