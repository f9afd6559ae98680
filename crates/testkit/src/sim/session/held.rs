//! What came to its end and is held for the owner of its queue. Who takes it has it like a lease: it is acknowledged, with
//! something published in its place or without, or rejected, and held again. No consumer has seen it, so nothing says that it was
//! delivered.

use logpond_store::disk::Disk;
use logpond_store::{AckReason, DeadLetter, QueueId, Seq};

use super::{Entries, Flow, Session, Step};
use crate::sim::trace;

impl Session<'_> {
    /// These entries are held from now on. The log does not know.
    pub(super) fn hold(&mut self, queue: u64, entries: &[u64], reason: AckReason) {
        trace::note(|| format!("  held of {queue}: {entries:?}, {reason:?}"));
        self.held
            .extend(entries.iter().map(|seq| ((queue, *seq), reason)));
        self.world.statistics.held += u64::try_from(entries.len()).expect("a short queue");
        // They left by the head, so the delivery mark may have moved on behind them.
        self.world.model.pass(queue, entries);
    }

    /// How many entries of a queue are held that are visible, and how many that are not.
    pub(super) fn held_of(&self, queue: u64) -> (usize, usize) {
        let durable = self.world.model.durable.get(&queue);
        let visible_end = durable.map_or(0, |durable| durable.next_seq);
        let of_queue = self.held.range((queue, 0)..=(queue, u64::MAX));
        let (visible, ahead): (Vec<u64>, Vec<u64>) = of_queue
            .map(|((_, seq), _)| *seq)
            .partition(|seq| *seq < visible_end);
        (visible.len(), ahead.len())
    }

    /// Takes what is held, up to so much.
    pub(in crate::sim) fn take_held(&mut self, most: u64) -> Step {
        let mut letters = Vec::new();
        self.sources.clear();
        let taken = self
            .store
            .lock()
            .shard()
            .take_dead_letters(most, &mut letters, &mut self.sources);
        match taken {
            Ok(count) if count != u64::try_from(letters.len()).expect("few letters") => {
                return Err(format!("{count} letters announced, {} given", letters.len()));
            }
            Ok(_) => {}
            Err(error) => return self.refused(&error),
        }
        let is_all = u64::try_from(letters.len()).is_ok_and(|count| count < most);
        for letter in &letters {
            self.check_letter(letter)?;
        }
        let accepted = self.world.model.accepted.keys();
        let left: usize = accepted.map(|queue| self.held_of(*queue).0).sum();
        if is_all && left > 0 {
            return Err(format!("{left} entries are held, and were not handed out"));
        }
        Ok(Flow::On)
    }

    /// It is the oldest that is held of its queue, for the reason that it ended for.
    fn check_letter(&mut self, letter: &DeadLetter) -> Result<(), String> {
        let (queue, seq) = (letter.queue.get(), letter.lease.seq.get());
        let oldest = self.held.range((queue, 0)..=(queue, u64::MAX)).next();
        let oldest = oldest.map(|((_, seq), reason)| (*seq, *reason));
        if oldest != Some((seq, letter.reason)) {
            return Err(format!("{letter:?} was handed out; held is {oldest:?}"));
        }
        self.held.remove(&(queue, seq));
        let entry = self.leased_entry(queue, seq)?;
        self.check_content(queue, &letter.lease, &entry)?;
        self.leased.push((queue, seq));
        self.letters.insert((queue, seq));
        self.world.statistics.letters += 1;
        Ok(())
    }

    /// Whether one of these was held.
    pub(in crate::sim) fn are_letters(&self, entries: Entries) -> bool {
        let Entries { queue, first, count } = entries;
        let mut letters = self.letters.range((queue, first)..(queue, first + count));
        letters.next().is_some()
    }

    /// These are leased no more.
    pub(super) fn let_go(&mut self, entries: Entries) {
        let Entries { queue, first, count } = entries;
        let range = first..first + count;
        self.leased
            .retain(|(id, seq)| *id != queue || !range.contains(seq));
        self.letters
            .retain(|(id, seq)| *id != queue || !range.contains(seq));
    }

    /// Nobody wants leased entries.
    pub(in crate::sim) fn reject(&mut self, entries: Entries) -> Step {
        let Entries { queue, first, count } = entries;
        let now = self.disk.now();
        let rejected = self
            .store
            .lock()
            .shard()
            .reject(QueueId::new(queue), Seq::new(first), count, now);
        let block = match rejected {
            Ok(block) => block,
            Err(error) => return self.refused(&error),
        };
        if !self.policy(queue).hands_out {
            self.gone(block, entries);
            return Ok(Flow::On);
        }
        let seqs: Vec<u64> = (first..first + count).collect();
        self.let_go(entries);
        self.hold(queue, &seqs, AckReason::Rejected);
        Ok(Flow::On)
    }
}
