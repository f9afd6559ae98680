//! Invalid bytes behind the last valid block, collected until it is known whether they are damage or a torn tail.
//!
//! Elsewhere: who decides (`scan`).

use crate::ids::{Lsn, SegmentNumber};

/// Invalid bytes, until it is known what they are.
pub(super) struct Damage {
    pub ranges: Vec<DamagedRange>,
    /// The first valid header met whose records are not: its address, and the header that it continues.
    pub begun: Option<(Lsn, u32)>,
    /// Whether something proves that blocks stood there: a valid header behind it, a checkpoint, or the cut of a later epoch.
    pub certain: bool,
    /// The first place where what is left of a header stands: where the log goes on behind it, it was a block.
    pub remains: Option<Lsn>,
}

#[derive(Clone, Copy)]
pub(super) struct DamagedRange {
    pub segment: SegmentNumber,
    pub from: Lsn,
    pub to: Lsn,
}

impl Damage {
    pub(super) fn extend(
        damage: &mut Option<Self>,
        range: DamagedRange,
        begun: Option<(Lsn, u32)>,
        certain: bool,
        has_remains: bool,
    ) {
        let damage = damage.get_or_insert(Self {
            ranges: Vec::new(),
            begun: None,
            certain: false,
            remains: None,
        });
        damage.remains = damage.remains.or(has_remains.then_some(range.from));
        damage.begun = damage.begun.or(begun);
        damage.certain |= certain;
        damage.ranges.push(range);
    }

    /// Whether there were blocks, given that the log goes on behind.
    pub(super) const fn is_of_blocks(&self) -> bool {
        self.certain || self.remains.is_some() || self.begun.is_some()
    }

    /// The parts of the ranges that lie below `edge`.
    pub(super) fn below(&self, edge: Lsn) -> Vec<DamagedRange> {
        let begins = self.ranges.iter().filter(|range| range.from < edge);
        begins
            .map(|range| DamagedRange {
                to: range.to.min(edge),
                ..*range
            })
            .collect()
    }
}
