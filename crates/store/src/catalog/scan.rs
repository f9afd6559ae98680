//! Which frames of a catalog file count, and what the rest is: the torn-or-damaged rule.
//!
//! Invariants:
//! - Sequence numbers of accepted frames grow; a stale frame is never accepted again.
//! - Behind an invalid place with an intact frame after it lies damage; without one, a torn tail.

use super::report::{CatalogReport, DamagedRange, TornTail};
use super::{CATALOG_NAME, CATALOG_SCHEMA, CatalogOpenError, Change, Entry, to_u64};
use crate::frame::{self, FRAME_HEADER_BYTES, FRAME_MAGIC, Frame, Seal};

pub(super) struct Scan {
    /// Where the next frame goes.
    pub(super) end: u64,
    pub(super) next_sequence: u64,
    pub(super) report: CatalogReport,
}

impl Scan {
    /// Hands the changes of each intact frame of `bytes` to `apply`, in order.
    pub(super) fn run(
        bytes: &[u8],
        store: u128,
        mut apply: impl FnMut(Vec<Change>),
    ) -> Result<Self, CatalogOpenError> {
        let used = bytes
            .iter()
            .rposition(|byte| *byte != 0)
            .map_or(0, |last| last + 1);
        let mut scan = Self {
            end: 0,
            next_sequence: 0,
            report: CatalogReport::default(),
        };
        let mut at = 0;
        while at < used {
            let Some((found, frame)) = next_frame(bytes, at, used, store, scan.next_sequence) else {
                scan.tail(bytes, at, used, store)?;
                break;
            };
            scan.note_gap(at, found, &frame);
            at = found + frame.len();
            scan.accept(&frame, found, store, &mut apply)?;
        }
        scan.end = to_u64(at.min(used)).max(scan.end);
        Ok(scan)
    }

    fn accept(
        &mut self,
        frame: &Frame<'_>,
        offset: usize,
        store: u128,
        apply: &mut impl FnMut(Vec<Change>),
    ) -> Result<(), CatalogOpenError> {
        let path = CATALOG_NAME.to_owned();
        let entry = frame.value::<Entry>(CATALOG_SCHEMA);
        match entry.map_err(|source| CatalogOpenError::OtherVersion {
            path,
            offset: to_u64(offset),
            source,
        })? {
            Entry::Header { store: found } if found != store => {
                let path = CATALOG_NAME.to_owned();
                return Err(CatalogOpenError::OtherStore {
                    path,
                    found,
                    expected: store,
                });
            }
            Entry::Header { .. } => {}
            Entry::Changes(changes) => apply(changes),
        }
        self.report.frames += 1;
        self.next_sequence = frame.sequence + 1;
        self.end = to_u64(offset + frame.len());
        Ok(())
    }

    /// Notes what lies between the place where a frame was expected and the one where it was found.
    fn note_gap(&mut self, expected: usize, found: usize, frame: &Frame<'_>) {
        let lost = match self.report.frames {
            // The first frame of a compacted file may have any number, so one that is missing there counts as one.
            0 => u64::from(found > expected),
            _ => frame.sequence.saturating_sub(self.next_sequence),
        };
        if found > expected || lost > 0 {
            self.note_damage(expected, found, lost);
        }
    }

    fn note_damage(&mut self, from: usize, to: usize, lost_frames: u64) {
        let (offset, len) = (to_u64(from), to_u64(to - from));
        self.report.damaged.push(DamagedRange {
            offset,
            len,
            lost_frames,
            kept_in: String::new(),
        });
    }

    fn tail(&mut self, bytes: &[u8], at: usize, used: usize, store: u128) -> Result<(), CatalogOpenError> {
        if self.report.frames == 0 && !resembles_header(bytes, store) {
            return Err(CatalogOpenError::Foreign {
                path: CATALOG_NAME.to_owned(),
            });
        }
        if self.report.frames == 0 {
            // The header was synced before the file got its name, so this was no interrupted write.
            self.note_damage(at, used, 1);
            return Ok(());
        }
        self.report.torn = Some(TornTail {
            offset: to_u64(at),
            len: to_u64(used - at),
        });
        Ok(())
    }
}

/// The first intact frame at or behind `at` that is newer than what was accepted.
fn next_frame(
    bytes: &[u8],
    at: usize,
    used: usize,
    store: u128,
    next_sequence: u64,
) -> Option<(usize, Frame<'_>)> {
    let mut offset = at;
    while offset < used {
        if bytes[offset..].starts_with(&FRAME_MAGIC) {
            let seal = if offset == 0 {
                Seal::NONE
            } else {
                Seal::at(store, to_u64(offset))
            };
            if let Ok(frame) = Frame::parse(&bytes[offset..], seal)
                && frame.sequence >= next_sequence
            {
                return Some((offset, frame));
            }
        }
        offset += 1;
    }
    None
}

/// Whether the bytes are the header of our catalog but for some damage: at least half of those that are the same in each.
fn resembles_header(bytes: &[u8], store: u128) -> bool {
    let header = frame::write(&Entry::Header { store }, CATALOG_SCHEMA, 0).unwrap_or_default();
    // The sequence number and the checksum differ from catalog to catalog.
    let fixed = || (0..8).chain(16..20).chain(FRAME_HEADER_BYTES..header.len());
    let same = fixed().filter(|at| bytes.get(*at) == header.get(*at)).count();
    2 * same >= fixed().count()
}
