//! The cold segments' part of a history. Within one of them copies are sorted by queue in stretches only, so the next places
//! are gathered from all of them, as many as memory is meant to take.
//!
//! Invariants:
//! - `found` holds the first places from where it was gathered on, all of them if `is_complete`.
//! - A segment is read again only if it may hold what is looked for, or has grown.

use super::blocks::{Blocks, HeldSegment, Place, each_place};
use super::past::Unread;
use crate::checksum::Salt;
use crate::disk::Disk;
use crate::ids::{Lsn, QueueId, SegmentNumber};
use crate::limits::HISTORY_COLD_PLACES_MAX;
use std::collections::BTreeMap;

pub(super) struct ColdWalk {
    queue: QueueId,
    salt: Salt,
    places_max: usize,
    /// The cold segments with copies of the queue's messages, and where their blocks ended.
    extents: Vec<(SegmentNumber, Lsn)>,
    /// What was read of them: where they ended then, and which seqs they hold.
    known: BTreeMap<SegmentNumber, (Lsn, Option<(u64, u64)>)>,
    found: BTreeMap<u64, Place>,
    is_complete: bool,
}

impl ColdWalk {
    pub(super) const fn new(queue: QueueId, salt: Salt) -> Self {
        Self {
            queue,
            salt,
            places_max: HISTORY_COLD_PLACES_MAX,
            extents: Vec::new(),
            known: BTreeMap::new(),
            found: BTreeMap::new(),
            is_complete: true,
        }
    }

    /// Takes note of the cold segments that there are now.
    pub(super) fn look(&mut self, extents: Vec<(SegmentNumber, Lsn)>) {
        if extents != self.extents {
            self.extents = extents;
            self.found.clear();
            self.is_complete = false;
        }
    }

    /// The next place from `from` on. `hold` gives a segment, unless it was recycled.
    pub(super) fn peek<D: Disk>(
        &mut self,
        from: u64,
        hold: impl Fn(SegmentNumber) -> Option<HeldSegment<D>>,
    ) -> Result<Option<Place>, Unread> {
        self.found = self.found.split_off(&from);
        if self.found.is_empty() && !self.is_complete {
            self.gather(from, hold)?;
        }
        Ok(self.found.first_key_value().map(|(_, place)| *place))
    }

    fn gather<D: Disk>(
        &mut self,
        from: u64,
        hold: impl Fn(SegmentNumber) -> Option<HeldSegment<D>>,
    ) -> Result<(), Unread> {
        self.is_complete = true;
        let mut order = self.extents.clone();
        // Those with the first seqs first, so that the others need not be read.
        order.sort_by_key(|(number, _)| match self.known.get(number) {
            Some((_, Some((first, _)))) => *first,
            _ => 0,
        });
        let mut unread = None;
        for (number, end) in order {
            if let Some((known_end, seqs)) = self.known.get(&number)
                && *known_end == end
            {
                let Some((first, last)) = seqs else { continue };
                let is_full = self.found.len() >= self.places_max;
                let is_behind = is_full && self.found.last_key_value().is_some_and(|(seq, _)| seq < first);
                self.is_complete &= !is_behind;
                if *last < from || is_behind {
                    continue;
                }
            }
            let Some(held) = hold(number) else { continue };
            if let Err(error) = self.read(from, end, held) {
                // It says so once.
                self.known.insert(number, (end, None));
                unread.get_or_insert(error);
            }
        }
        unread.map_or(Ok(()), Err)
    }

    fn read<D: Disk>(&mut self, from: u64, end: Lsn, held: HeldSegment<D>) -> Result<(), Unread> {
        let number = held.file.number;
        let mut blocks = Blocks::new(held, self.salt);
        let mut seqs: Option<(u64, u64)> = None;
        loop {
            let (segment, offset) = blocks.position();
            let next = blocks.next().map_err(|source| Unread {
                segment,
                offset,
                source,
            })?;
            let Some((lsn, payload)) = next else { break };
            each_place(payload, lsn, self.queue, |place| {
                let seq = place.seq;
                let (first, last) = seqs.unwrap_or((seq, seq));
                seqs = Some((first.min(seq), last.max(seq)));
                if seq < from {
                    return;
                }
                self.found.insert(seq, place);
                if self.found.len() > self.places_max {
                    self.found.pop_last();
                    self.is_complete = false;
                }
            });
        }
        self.known.insert(number, (end, seqs));
        Ok(())
    }
}

#[cfg(test)]
#[cfg(feature = "sim")]
mod tests {
    use super::*;
    use crate::disk::sim::SimDisk;
    use crate::engine::Engine;
    use crate::engine::stepped::{come_to_rest, durable_queue, message_for, publish_all};
    use crate::{Disk, Options};

    #[test]
    fn no_more_places_are_remembered_than_memory_is_meant_to_take_and_none_is_missed() {
        let disk = SimDisk::new(1);
        let (engine, _) = Engine::open(disk.clone(), Options::tiny(), ()).unwrap();
        let (kept, passing) = (durable_queue(&engine), durable_queue(&engine));
        for _ in 0..100 {
            let few = (0..1).map(|_| message_for(std::slice::from_ref(&kept), &[b"kept"]));
            let many = (0..10).map(|_| message_for(std::slice::from_ref(&passing), &[&[7; 4000]]));
            let block = publish_all(&engine, few.chain(many));
            engine.wait_durable(block).unwrap();
        }
        engine.lock().shard().purge(passing, disk.now()).unwrap();
        assert!(come_to_rest(&engine, &disk).copies > 0);
        let walk = |places_max: usize| {
            let mut walk = ColdWalk::new(kept, engine.salt());
            walk.places_max = places_max;
            walk.look(engine.lock().shard().cold_extents(kept));
            let (mut seqs, mut from) = (Vec::new(), 0);
            let hold = |number| engine.lock().shard().hold_segment(number);
            while let Some(place) = walk.peek(from, hold).unwrap() {
                assert!(walk.found.len() <= places_max);
                seqs.push(place.seq);
                from = place.seq + 1;
            }
            seqs
        };
        let all = walk(1000);
        assert!(all.len() > 10 && all.is_sorted_by(|a, b| a < b), "{all:?}");
        assert_eq!(walk(7), all);
        assert_eq!(walk(1), all);
    }
}
