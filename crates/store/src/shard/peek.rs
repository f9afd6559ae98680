//! Looking at a queue without taking anything off it.

use super::{COLD, Lease, Shard};
use crate::disk::Disk;
use crate::error::AppendError;
use crate::ids::{QueueId, Seq};
use crate::queue::run_end;
use crate::state::{State, damaged_index};

impl<D: Disk> Shard<D> {
    /// Adds up to `max_messages` durable entries from `from` on, in the order of the queue, leased ones included. They can be
    /// read like leases, from disk, and still belong to whoever held them.
    ///
    /// # Errors
    /// When there is no such queue, or its index is damaged.
    pub fn peek(
        &mut self,
        id: QueueId,
        from: Seq,
        max_messages: u32,
        out: &mut Vec<Lease>,
    ) -> Result<(), AppendError> {
        let State { queues, pages, .. } = &mut self.state;
        let queue = queues.open(id).ok_or(AppendError::UnknownQueue(id))?;
        let mut seq = from.get().max(queue.floor);
        let mut found = 0;
        while seq < queue.visible_end && found < max_messages {
            if queue.acked.contains(seq) {
                seq = run_end(&queue.acked, seq);
                continue;
            }
            let entry = match State::entry(pages, queue, seq) {
                Ok(entry) => entry,
                Err(page) => {
                    let cause = damaged_index(page);
                    self.poisoned = Some(cause.clone());
                    return Err(AppendError::Poisoned(cause));
                }
            };
            if entry.len != 0 && !(entry.transient && seq < queue.transient_floor) {
                let redelivered = queue.redelivered.contains(seq);
                let (seq, lsn, len) = (Seq::new(seq), entry.lsn, entry.len);
                out.push(Lease {
                    seq,
                    lsn,
                    len,
                    redelivered,
                    source: COLD,
                    attempts: queue.attempts(seq.get()),
                });
                found += 1;
            }
            seq += 1;
        }
        Ok(())
    }

    /// Whether a consumer has this entry: it was leased, and neither acknowledged nor requeued.
    #[must_use]
    pub fn is_leased(&self, id: QueueId, seq: Seq) -> bool {
        let seq = seq.get();
        self.state
            .queues
            .open(id)
            .is_some_and(|queue| !queue.is_dead(seq) && queue.is_leased(seq))
    }
}
