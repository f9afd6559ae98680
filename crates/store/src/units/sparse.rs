//! Which spilled unit is to be moved, so that the spill takes little more than what lives in it.
//!
//! Invariants:
//! - What is moved can be written again to less room than it took: a mostly dead unit to a part of one, the units of a file to free
//!   slots of others. So there is an end to it.

use super::{Place, Unit, Units};
use crate::disk::Disk;
use crate::segments::SegmentFile;
use hashbrown::HashSet;
use std::sync::Arc;

impl<D: Disk> Units<D> {
    /// Of the spilled units that are mostly dead and that nobody reads, the one in which least lives; when there is none, one of
    /// the emptiest file. None while less than half of what is spilled is dead, but for `slack` bytes.
    pub(crate) fn sparsest_file(&self, slack: u64) -> Option<Arc<SegmentFile<D::File>>> {
        let table = self.read();
        let bytes = table.slots.bytes_kept();
        if bytes <= slack {
            return None;
        }
        let spilled = || {
            table.list.iter().filter_map(|unit| match &unit.place {
                Place::File(file, slot) => Some((unit, file, slot)),
                Place::Memory(_) | Place::Sealing { .. } => None,
            })
        };
        let live: u64 = spilled().map(|(unit, ..)| unit.live.bytes).sum();
        if bytes <= live * 2 + slack {
            return None;
        }
        let can_move = |unit: &Unit<D>, file: &SegmentFile<D::File>| unit.is_movable && !file.is_pinned();
        let movable = || spilled().filter(|(unit, file, _)| can_move(unit, file));
        let sparse = movable().filter(|(unit, _, slot)| unit.is_sparse(slot.layout.slot_bytes));
        let sparsest = sparse.min_by_key(|(unit, ..)| unit.live.bytes);
        let chosen = sparsest.or_else(|| {
            let dense = || movable().filter(|(unit, ..)| unit.live.entries > 0);
            let files: HashSet<_> = dense().map(|(_, _, slot)| slot.file).collect();
            let emptiest = table.slots.emptiest(|file| files.contains(&file))?;
            dense().find(|(_, _, slot)| slot.file == emptiest)
        });
        chosen.map(|(_, file, _)| Arc::clone(file))
    }
}
