//! What becomes of leased entries: acknowledged or given back.

use logpond_store::disk::Disk;
use logpond_store::{AckReason, BlockNumber, QueueId, Return, Seq};

use super::ended::Carriers;
use super::{Entries, Flow, Session, Step};
use crate::sim::model::Event;
use crate::sim::policy::Levels;
use crate::sim::trace;

impl Session<'_> {
    pub(in crate::sim) fn acknowledge(&mut self, entries: Entries, reason: AckReason) -> Step {
        let now = self.disk.now();
        let (queue, first) = (QueueId::new(entries.queue), Seq::new(entries.first));
        let acked = self
            .store
            .lock()
            .shard()
            .acknowledge(queue, first, entries.count, reason, now);
        match acked {
            Ok(block) => self.gone(block, entries),
            Err(error) => return self.refused(&error),
        }
        Ok(Flow::On)
    }

    pub(super) fn gone(&mut self, block: BlockNumber, entries: Entries) {
        let Entries { queue, first, count } = entries;
        let range = first..first + count;
        self.let_go(entries);
        self.record(
            block,
            Event::Gone {
                queue,
                entries: range.collect(),
            },
        );
    }

    /// How these may come back, if somebody would like it like that. Where levels count while they are in use, what nobody has seen goes
    /// back to its level only if somebody uses them, which the model does not know; if it came back before it goes first.
    pub(in crate::sim) fn may_give_back(&self, entries: Entries, how: Return) -> Return {
        let Entries { queue, first, count } = entries;
        let is_new = |seq| !self.returned.contains(&(queue, seq));
        let goes_to_its_level = how == Return::Unseen && (first..first + count).any(is_new);
        if goes_to_its_level && self.policy(queue).levels == Levels::InUse {
            return Return::Released;
        }
        how
    }

    pub(in crate::sim) fn requeue(&mut self, entries: Entries, how: Return) -> Step {
        let Entries { queue, first, count } = entries;
        let now = self.disk.now();
        let begun = self.building();
        let requeued =
            self.store
                .lock()
                .shard()
                .requeue(QueueId::new(queue), Seq::new(first), count, how, now);
        if let Err(error) = requeued {
            return self.refused(&error);
        }
        trace::note(|| format!("  requeued to {queue}: {first}+{count}, {how:?}"));
        let blocks = (begun.get(), self.building().get());
        let given_back: Vec<u64> = (first..first + count).collect();
        self.world.model.give_back(blocks, queue, &given_back, how);
        self.returned.extend(given_back.iter().map(|seq| (queue, *seq)));
        self.let_go(entries);
        let carriers = Carriers {
            first: begun,
            last: self.building(),
        };
        self.trim(queue, carriers);
        Ok(Flow::On)
    }
}
