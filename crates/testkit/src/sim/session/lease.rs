//! Entries leased, each compared with the model and read in full.

use logpond_store::disk::Disk;
use logpond_store::disk::sim::FaultPlan;
use logpond_store::{AckReason, Lease, LeaseOutcome, QueueId, ReadError};

use super::ended::Carriers;
use super::{Flow, Medium, Session, Step};
use crate::sim::message::Content;
use crate::sim::model::Entry;
use crate::sim::trace;

impl Session<'_> {
    /// Leases up to `most` entries, or lets the store do what they wait for.
    pub(in crate::sim) fn lease(&mut self, queue: u64, most: u32) -> Step {
        let mut leases = Vec::new();
        self.sources.clear();
        let first = self.building();
        let now = self.disk.now();
        let is_any_due;
        let outcome = {
            let mut guard = self.store.lock();
            let shard = guard.shard();
            is_any_due = shard.next_expiry_ms().is_some_and(|due| due <= now.wall_ms);
            shard.set_time(now);
            let outcome = shard.lease(QueueId::new(queue), most, 1 << 20, &mut leases, &mut self.sources);
            // How far a lease looks for what is expired depends on the delivery mark: from here on there is none.
            outcome.and_then(|outcome| shard.expire(now, u64::MAX).map(|_| outcome))
        };
        let last = self.building();
        if outcome.is_ok() {
            self.check_order(queue, &leases, Carriers { first, last })?;
            if is_any_due {
                self.expire_heads(Carriers { first, last });
            }
        }
        match outcome {
            Ok(LeaseOutcome::Some(count)) if count != u64::try_from(leases.len()).expect("few leases") => {
                Err(format!(
                    "queue {queue}: {count} leases announced, {} given",
                    leases.len()
                ))
            }
            Ok(LeaseOutcome::Some(_)) => self.check_leases(queue, &leases).map(|()| Flow::On),
            Ok(LeaseOutcome::Pending(_)) => self.step(),
            Ok(LeaseOutcome::Empty) => match self.ready(queue).next() {
                Some(ready) => Err(format!(
                    "queue {queue} says that it is empty, but entry {} is ready",
                    ready.seq
                )),
                None => Ok(Flow::On),
            },
            Err(error) => self.refused(&error),
        }
    }

    /// The leased entries are the first of those that can be, but for what is expired on the way.
    fn check_order(&mut self, queue: u64, leases: &[Lease], carriers: Carriers) -> Result<(), String> {
        let now = self.disk.now();
        let (mut ended, mut expected) = (Vec::new(), Vec::new());
        for ready in self.visible(queue) {
            if ready.entry.is_expired(now.wall_ms) {
                ended.push(ready.seq);
            } else if expected.len() < leases.len() {
                expected.push(ready.seq);
            } else {
                break;
            }
        }
        let given: Vec<u64> = leases.iter().map(|lease| lease.seq.get()).collect();
        if given != expected {
            return Err(format!(
                "queue {queue}: entries {given:?} were leased instead of {expected:?}"
            ));
        }
        self.world.statistics.expired += u64::try_from(ended.len()).expect("a short queue");
        self.leased.extend(given.iter().map(|seq| (queue, *seq)));
        self.ended(queue, ended, AckReason::Expired, carriers);
        Ok(())
    }

    fn check_leases(&mut self, queue: u64, leases: &[Lease]) -> Result<(), String> {
        trace::note(|| format!("  leased from {queue}: {leases:?}"));
        for lease in leases {
            self.world.statistics.deliveries += 1;
            self.check_lease(queue, lease)?;
            self.world.model.deliver(queue, lease.seq.get());
        }
        Ok(())
    }

    fn check_lease(&mut self, queue: u64, lease: &Lease) -> Result<(), String> {
        let seq = lease.seq.get();
        let entry = self.leased_entry(queue, seq)?;
        if lease.redelivered != entry.delivered {
            let claim = lease.redelivered;
            return Err(format!(
                "queue {queue} entry {seq}: redelivered is {claim}, delivered is {}",
                entry.delivered
            ));
        }
        self.check_content(queue, lease, &entry)
    }

    pub(super) fn leased_entry(&self, queue: u64, seq: u64) -> Result<Entry, String> {
        let durable = self.world.model.durable.get(&queue);
        let entry = durable.and_then(|queue| queue.entries.get(&seq)).copied();
        entry.ok_or_else(|| format!("queue {queue} entry {seq} was leased before it was durable"))
    }

    /// It is the message that was published, and came back as often as it did.
    pub(super) fn check_content(&mut self, queue: u64, lease: &Lease, entry: &Entry) -> Result<(), String> {
        let seq = lease.seq.get();
        if lease.attempts != entry.attempts_most {
            let (claim, expected) = (lease.attempts, entry.attempts_most);
            return Err(format!(
                "queue {queue} entry {seq}: it came back {expected:?}, and says {claim:?}"
            ));
        }
        let stored = self.reader.message(QueueId::new(queue), lease, &self.sources);
        match stored {
            Ok(stored) if Content::number(stored.properties, stored.body) == Some(entry.message) => Ok(()),
            Ok(_) => Err(format!(
                "queue {queue} entry {seq} has other bytes than were published"
            )),
            Err(_) if self.disk.is_off() => Ok(()),
            Err(ReadError::Io { .. }) if self.medium == Medium::Failing => {
                self.read_again(queue, lease, entry.message)
            }
            Err(error) => Err(format!("queue {queue} entry {seq}: {error}")),
        }
    }

    /// What could not be read is there when the disk answers again.
    fn read_again(&mut self, queue: u64, lease: &Lease, message: u64) -> Result<(), String> {
        self.disk.set_faults(FaultPlan::default());
        let stored = self.reader.message(QueueId::new(queue), lease, &self.sources);
        let seq = lease.seq;
        let read = match stored {
            Ok(stored) if Content::number(stored.properties, stored.body) == Some(message) => Ok(()),
            Ok(_) => Err(format!(
                "queue {queue} entry {seq:?} has other bytes than were published"
            )),
            Err(error) => Err(format!("queue {queue} entry {seq:?}, read again: {error}")),
        };
        self.disk.set_faults(self.world.settings.faults);
        self.world.statistics.reads_repeated += 1;
        read
    }
}
