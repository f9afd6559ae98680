//! How the log ended: what the walk over it hands to the start of a new epoch.
//!
//! Invariants:
//! - Everything below `cut` is the log; no segment of the state reaches beyond it.
//! - A segment of which no block stays is not part of the log any more.

use super::directory::{Directory, Found};
use super::restore::Restored;
use super::scan::Scan;
use crate::disk::Disk;
use crate::ids::{BlockNumber, Lsn, SegmentNumber};
use crate::limits::SEGMENT_HEADER_BYTES;
use crate::report::Quarantined;
use crate::shard::Retained;
use crate::state::State;

/// A block at the end of the log that nothing proves to have been synced.
pub(super) struct Tailing {
    pub number: BlockNumber,
    pub payload: Vec<u8>,
    pub record_count: u32,
}

/// How the log ended.
pub(super) struct Ending<D: Disk> {
    pub state: State<D>,
    /// Everything below is the log; the next segment begins here.
    pub cut: Lsn,
    pub last_block: BlockNumber,
    pub previous_crc: u32,
    pub max_timestamp_ms: u64,
    pub tailing: Option<Tailing>,
    pub retained: Vec<Retained>,
    pub next_queue_id: u64,
    pub next_cold: u64,
    pub clean: bool,
    /// Cold segments whose making was interrupted.
    pub unfinished: Vec<SegmentNumber>,
    /// Ends of cold segments that are damaged if something is missing, and torn otherwise.
    pub doubtful: Vec<Quarantined>,
}

impl<D: Disk> Scan<'_, D> {
    /// Hands over what was found.
    pub(super) fn finish(self, doubtful: Vec<Quarantined>) -> Ending<D> {
        let Restored {
            mut state,
            last_block,
            max_timestamp_ms,
            retained,
            clean,
            next_cold,
            from_checkpoint,
            ..
        } = self.restored;
        let tailing = self
            .held
            .as_ref()
            .filter(|held| !super::is_idle_mark(&held.payload))
            .map(|held| Tailing {
                number: held.header.number,
                payload: held.payload.clone(),
                record_count: held.header.record_count,
            });
        let end = self.held.as_ref().map_or(self.end, |held| held.header.lsn);
        // A segment of which no block stays holds nothing: the log goes on before it, and its file is free. Without this every start would leave a file behind.
        let last = self
            .directory
            .segments
            .iter()
            .rfind(|found| found.first_lsn < end);
        let empty = last.filter(|found| found.first_lsn.plus(SEGMENT_HEADER_BYTES) == end);
        let cut = empty.map_or(end, |found| found.first_lsn);
        let in_log = |segment: &crate::segments::Segment<D::File>| segment.file.first_lsn < cut;
        let beyond: Vec<SegmentNumber> = state
            .segments
            .iter()
            .filter(|segment| !segment.file.number.is_cold() && !in_log(segment))
            .map(|segment| segment.file.number)
            .collect();
        for number in beyond {
            state.segments.remove(number);
        }
        let journal = state.segments.iter_mut();
        for segment in journal.take_while(|segment| !segment.file.number.is_cold()) {
            segment.end = segment.end.min(cut);
            segment.file.cut_at(cut);
        }
        let unfinished = unfinished(self.directory, from_checkpoint, &mut state);
        let next_queue_id = state.queue_ids_used + 1;
        Ending {
            cut,
            last_block,
            previous_crc: self.chain,
            max_timestamp_ms,
            tailing,
            retained,
            next_queue_id,
            next_cold,
            clean: clean && self.blocks == 0 && self.held.is_none(),
            state,
            unfinished,
            doubtful,
        }
    }
}

/// Takes cold segments out of which nothing is readable and in which nothing is known to live. Where a checkpoint would
/// know of them, those that it does not know were never finished.
fn unfinished<D: Disk>(
    directory: &Directory,
    from_checkpoint: bool,
    state: &mut State<D>,
) -> Vec<SegmentNumber> {
    let is_mute = |found: &&Found| found.is_headless() && !found.is_known();
    let mut unfinished = Vec::new();
    for found in directory.cold.iter().filter(is_mute) {
        let segment = state.segments.get_mut(found.number);
        if segment.is_some_and(|segment| segment.live.entries == 0) {
            state.segments.remove(found.number);
            unfinished.extend(from_checkpoint.then_some(found.number));
        }
    }
    unfinished
}
