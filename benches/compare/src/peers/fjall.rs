//! fjall, a log-structured tree, as a queue: the key is the place in the queue.

use crate::peer::{Description, Load, Peer, Taken};
use crate::workload::{Durability, FAN_OUT, Target};
use anyhow::Context;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, KvSeparationOptions, PersistMode};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

pub const DESCRIPTION: Description = Description {
    name: "fjall",
    package: "fjall",
    settings: "a keyspace for each queue with keys of 8 bytes; key-value separation on, compression off, manual_journal_persist, \
               journals of 1 GiB together; fan-out is the body once and an empty reference in each of ten keyspaces",
    memory: "memtables of 64 MiB and a cache of 32 MiB (its defaults), and the system's page cache",
    durability: "WriteBatch with PersistMode::SyncData (fdatasync); buffered: without a mode, and SyncData at the end. Batches are atomic, \
                 also over keyspaces",
};

struct Fjall {
    dir: PathBuf,
    opened: Option<Opened>,
    next: AtomicU64,
    taken: AtomicU64,
}

struct Opened {
    database: Database,
    one: Keyspace,
    many: Vec<Keyspace>,
}

pub fn open(dir: &Path) -> anyhow::Result<Box<dyn Peer>> {
    Ok(Box::new(Fjall {
        dir: dir.to_owned(),
        opened: Some(open_database(dir)?),
        next: AtomicU64::new(0),
        taken: AtomicU64::new(0),
    }))
}

fn open_database(dir: &Path) -> anyhow::Result<Opened> {
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
    Ok(Opened { database, one, many })
}

impl Fjall {
    fn opened(&self) -> anyhow::Result<&Opened> {
        self.opened.as_ref().context("it is closed")
    }
}

impl Peer for Fjall {
    fn append(&self, load: &Load<'_>) -> anyhow::Result<()> {
        let count = u64::try_from(load.count)?;
        let first = self.next.fetch_add(count, Ordering::Relaxed);
        let Opened { database, one, many } = self.opened()?;
        let mut batch = database.batch().durability(match load.durability {
            Durability::Synced => Some(PersistMode::SyncData),
            Durability::Buffered => None,
        });
        for at in first..first + count {
            let key = at.to_be_bytes();
            batch.insert(one, key, load.body);
            if load.target == Target::FanOut {
                for queue in many {
                    batch.insert(queue, key, []);
                }
            }
        }
        batch.commit()?;
        Ok(())
    }

    fn settle(&self) -> anyhow::Result<()> {
        self.opened()?.database.persist(PersistMode::SyncData)?;
        Ok(())
    }

    fn take(&self, count: usize) -> anyhow::Result<Taken> {
        let mut taken = Taken::default();
        let Opened { database, one, .. } = self.opened()?;
        let mut batch = database.batch();
        let mut next = self.taken.load(Ordering::Relaxed);
        for entry in one.range(next.to_be_bytes()..).take(count) {
            let (key, body) = entry.into_inner()?;
            taken.add(&body);
            next = u64::from_be_bytes((*key).try_into()?) + 1;
            batch.remove_weak(one, key);
        }
        batch.commit()?;
        self.taken.store(next, Ordering::Relaxed);
        Ok(taken)
    }

    fn close(&mut self) -> anyhow::Result<()> {
        self.settle()?;
        self.opened = None;
        Ok(())
    }

    fn reopen(&mut self) -> anyhow::Result<()> {
        self.opened = Some(open_database(&self.dir)?);
        Ok(())
    }

    fn clear(&mut self) -> anyhow::Result<()> {
        let Opened { one, many, .. } = self.opened()?;
        for queue in many.iter().chain([one]) {
            queue.clear()?;
        }
        self.settle()
    }
}
