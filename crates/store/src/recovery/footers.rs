//! Footers at a rebuild: which of them the log bears out, and what they say applied.
//!
//! Invariants:
//! - A footer counts only where the log bears it out: it is of this segment, within its part of the log, and the header of its
//!   last block stands where it says. Where it does not, or cannot be read, the blocks are read.
//! - The end of the log is read from blocks: a segment of the journal is told by its footer only when something behind it
//!   proves that its last block was synced.
//! - What a footer says goes the same way into the state as what blocks say: as gists of records.
//!
//! Damage within the records of such a segment is found when a message is read, as with an index that is intact.

use super::directory::{Directory, Found};
use super::scan::{Scan, as_open_error};
use crate::checksum::Salt;
use crate::disk::{Disk, DiskFile};
use crate::error::OpenError;
use crate::footer::{Footer, footer_path, unfinished_path};
use crate::format::gist::{Gists, Kept};
use crate::ids::Lsn;
use crate::limits::{BLOCK_HEADER_BYTES, SEGMENT_HEADER_BYTES};
use crate::planted::{self, Planted};
use crate::report::RecoveryReport;
use crate::segment_view::header_at;
use crate::segments::{Footing, SegmentFile};
use crate::state::State;
use std::io;
use std::sync::Arc;

type File<D> = Arc<SegmentFile<<D as Disk>::File>>;

/// The footer of the journal's segment at `index`, where it stands for the blocks.
pub(super) fn of_journal<D: Disk>(scan: &mut Scan<'_, D>, index: usize) -> Option<Footer> {
    let found = &scan.directory.segments[index];
    let next = scan.directory.segments.get(index + 1)?;
    if !scan.restored.state.rebuilding {
        return None;
    }
    let file = file_of(scan, found)?;
    let footer = borne_out(scan.disk, scan.store, scan.directory, found, &file)?;
    // Where segments between the two were recycled, the log surely went on.
    if !scan.follows(index + 1) || planted::is(Planted::TrustFooterOfAnotherSegment) {
        return Some(footer);
    }
    let first = next.first_lsn.plus(SEGMENT_HEADER_BYTES);
    let next = file_of(scan, next)?;
    let (header, _) = header_at(&next, scan.salt, first).ok()??;
    (header.previous_crc == footer.header.last_crc).then_some(footer)
}

/// The footer of a cold segment, where it stands for the blocks.
pub(super) fn of_cold<D: Disk>(
    disk: &D,
    store: u128,
    directory: &Directory,
    found: &Found,
    file: &File<D>,
) -> Option<Footer> {
    borne_out(disk, store, directory, found, file)
}

fn file_of<D: Disk>(scan: &mut Scan<'_, D>, found: &Found) -> Option<File<D>> {
    let segment = scan.restored.state.segments.get_mut(found.number)?;
    Some(Arc::clone(&segment.file))
}

/// The footer of a segment, if the segment is what it says.
fn borne_out<D: Disk>(
    disk: &D,
    store: u128,
    directory: &Directory,
    found: &Found,
    file: &File<D>,
) -> Option<Footer> {
    if found.header_damaged || !directory.footers.contains(&found.number) {
        return None;
    }
    let mut of = found.number;
    if planted::is(Planted::TrustFooterOfAnotherSegment) {
        of = directory.footers.first().copied().unwrap_or(of);
    }
    let read = Footer::read(disk, of).map(|bytes| Footer::decode(&bytes, store, of));
    let footer = match read {
        Ok(Some(footer)) => footer,
        Ok(None) => {
            let file = footer_path(found.number);
            tracing::warn!(%file, "a footer is damaged; the blocks of its segment are read");
            return None;
        }
        Err(error) => {
            tracing::debug!(%error, segment = %found.number, "reading a footer");
            return None;
        }
    };
    let agrees = agrees(&footer, found, file, Salt::of(store));
    (agrees.unwrap_or(false) || planted::is(Planted::TrustFooterOfAnotherSegment)).then_some(footer)
}

fn agrees<F: DiskFile>(
    footer: &Footer,
    found: &Found,
    file: &SegmentFile<F>,
    salt: Salt,
) -> io::Result<bool> {
    let header = &footer.header;
    if (header.first_lsn, header.epoch) != (found.first_lsn, found.epoch)
        || header.end > found.limit
        || header.end < found.known_end
    {
        return Ok(false);
    }
    let last = header_at(file, salt, header.last_lsn)?;
    Ok(last.is_some_and(|(last, crc)| crc == header.last_crc && last.end() == header.end))
}

/// Applies what the blocks of a segment say, as its footer tells it.
pub(super) fn apply<D: Disk>(
    footer: &Footer,
    state: &mut State<D>,
    report: &mut RecoveryReport,
) -> Result<(), OpenError> {
    let header = &footer.header;
    for block in footer.blocks() {
        let lsn = header.first_lsn.plus(block.offset + BLOCK_HEADER_BYTES);
        let gists = Gists::new(block.gists, Kept::Gists);
        state
            .apply_gists(gists, lsn, header.segment)
            .map_err(as_open_error)?;
    }
    if let Some(segment) = state.segments.get_mut(header.segment) {
        segment.end = header.end;
    }
    report.segments_from_footers += 1;
    report.blocks_replayed += u64::from(header.block_count);
    report.bytes_replayed += footer.len;
    Ok(())
}

/// Removes footers that say nothing any more: of segments that are gone or cut, or that were being written. One that cannot be
/// removed says nothing either.
pub(super) fn remove_strays<D: Disk>(disk: &D, directory: &Directory, cut: Lsn, state: &mut State<D>) {
    let mut strays: Vec<String> = directory
        .unfinished_footers
        .iter()
        .map(|number| unfinished_path(*number))
        .collect();
    for number in &directory.footers {
        let segment = state.segments.get_mut(*number);
        let is_cut = segment.as_ref().is_some_and(|segment| {
            let file = &segment.file;
            file.first_lsn < cut && cut < file.first_lsn.plus(file.file_bytes)
        });
        match segment {
            Some(segment) if is_cut => segment.footing = Footing::None,
            Some(_) => continue,
            None => {}
        }
        strays.push(footer_path(*number));
    }
    for path in strays {
        if let Err(error) = disk.remove(&path) {
            tracing::debug!(%error, path, "removing a footer");
        }
    }
}
