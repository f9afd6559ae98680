//! fjall, a log-structured tree, as a queue: the key is the place in the queue.

use crate::peer::{Description, Load, Peer, Taken};
use crate::workload::{Durability, FAN_OUT, Target};
use fjall::{Database, Keyspace, KeyspaceCreateOptions, KvSeparationOptions, PersistMode};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

pub const DESCRIPTION: Description = Description {
    name: "fjall",
    package: "fjall",
    settings: "a keyspace for each queue with keys of 8 bytes; key-value separation on, compression off, manual_journal_persist, \
               journals of 1 GiB together; fan-out is the body once and an empty reference in each of ten keyspaces",
    durability: "WriteBatch with PersistMode::SyncData (fdatasync); buffered: without a mode, and SyncData at the end. Batches are atomic, \
                 also over keyspaces",
};

struct Fjall {
    database: Database,
    one: Keyspace,
    many: Vec<Keyspace>,
    next: AtomicU64,
    taken: AtomicU64,
}

pub fn open(dir: &Path) -> anyhow::Result<Box<dyn Peer>> {
    let database = Database::builder(dir)
        .manual_journal_persist(true)
        .max_journaling_size(1 << 30)
        .open()?;
    let keyspace = |name: &str| {
        database.keyspace(name, || {
            KeyspaceCreateOptions::default()
                .with_kv_separation(Some(KvSeparationOptions::default()))
                .manual_journal_persist(true)
        })
    };
    let one = keyspace("one")?;
    let many = (0..FAN_OUT).map(|at| keyspace(&format!("many{at}")));
    let many = many.collect::<Result<Vec<_>, _>>()?;
    let (next, taken) = (AtomicU64::new(0), AtomicU64::new(0));
    Ok(Box::new(Fjall {
        database,
        one,
        many,
        next,
        taken,
    }))
}

impl Peer for Fjall {
    fn append(&self, load: &Load<'_>) -> anyhow::Result<()> {
        let count = u64::try_from(load.count)?;
        let first = self.next.fetch_add(count, Ordering::Relaxed);
        let mut batch = self.database.batch().durability(match load.durability {
            Durability::Synced => Some(PersistMode::SyncData),
            Durability::Buffered => None,
        });
        for at in first..first + count {
            let key = at.to_be_bytes();
            batch.insert(&self.one, key, load.body);
            if load.target == Target::FanOut {
                for queue in &self.many {
                    batch.insert(queue, key, []);
                }
            }
        }
        batch.commit()?;
        Ok(())
    }

    fn settle(&self) -> anyhow::Result<()> {
        self.database.persist(PersistMode::SyncData)?;
        Ok(())
    }

    fn take(&self, count: usize) -> anyhow::Result<Taken> {
        let mut taken = Taken::default();
        let mut batch = self.database.batch();
        let mut next = self.taken.load(Ordering::Relaxed);
        for entry in self.one.range(next.to_be_bytes()..).take(count) {
            let (key, body) = entry.into_inner()?;
            taken.add(&body);
            next = u64::from_be_bytes((*key).try_into()?) + 1;
            batch.remove_weak(&self.one, key);
        }
        batch.commit()?;
        self.taken.store(next, Ordering::Relaxed);
        Ok(taken)
    }

    fn clear(&mut self) -> anyhow::Result<()> {
        for queue in self.many.iter().chain([&self.one]) {
            queue.clear()?;
        }
        self.settle()
    }
}
