//! Everything that a store holds, read message by message.

use std::collections::BTreeMap;

use logpond_store::disk::sim::SimDisk;
use logpond_store::{Attempts, Engine, QueueDurability, QueueId, Seq, Sources};

use super::message::Content;
use super::watcher::Watcher;

/// An entry as it was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) seq: u64,
    pub(super) message: u64,
    pub(super) redelivered: bool,
    pub(super) attempts: Attempts,
}

/// All queues as they were found.
pub(super) type Observed = BTreeMap<u64, Vec<Seen>>;

/// Reads every entry of every queue without taking it, and checks each byte of each message.
pub(super) fn observe(store: &Engine<SimDisk, Watcher>) -> Result<Observed, String> {
    let mut observed = Observed::new();
    let mut reader = store.reader();
    let sources = Sources::default();
    let mut guard = store.lock();
    let shard = guard.shard();
    let queues: Vec<_> = shard
        .queues()
        .map(|(id, durability, _)| (id, durability))
        .collect();
    for (id, durability) in queues {
        if durability == QueueDurability::Transient {
            return Err(format!("transient queue {id} came back"));
        }
        let mut leases = Vec::new();
        shard
            .peek(id, Seq::new(0), u32::MAX, &mut leases)
            .map_err(|error| format!("queue {id}: {error}"))?;
        let mut seen = Vec::with_capacity(leases.len());
        for lease in &leases {
            let seq = lease.seq.get();
            let stored = reader.message(id, lease, &sources);
            let stored = stored.map_err(|error| format!("queue {id} entry {seq}: {error}"))?;
            let message = Content::number(stored.properties, stored.body)
                .ok_or_else(|| format!("queue {id} entry {seq} has bytes that were never published"))?;
            seen.push(Seen {
                seq,
                message,
                redelivered: lease.redelivered,
                attempts: lease.attempts,
            });
        }
        check_counts(
            id,
            seen.len(),
            shard.counts(id).map(|counts| (counts.ready, counts.leased)),
        )?;
        observed.insert(id.get(), seen);
    }
    Ok(observed)
}

fn check_counts(id: QueueId, found: usize, counts: Option<(u64, u64)>) -> Result<(), String> {
    let found = u64::try_from(found).expect("lengths fit into 64 bits");
    if counts == Some((found, 0)) {
        return Ok(());
    }
    Err(format!(
        "queue {id} holds {found} entries after recovery, but counts (ready, leased) {counts:?}"
    ))
}
