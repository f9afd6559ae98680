//! sled, a tree on a log, as a queue: the key is queue and place.

use crate::peer::{Description, Load, Peer, Taken};
use crate::workload::{Durability, FAN_OUT, Target};
use sled::{Db, Mode};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

pub const DESCRIPTION: Description = Description {
    name: "sled",
    package: "sled",
    settings: "the last stable version; one tree with keys of 16 bytes (queue, place), Mode::HighThroughput, no flush by the clock, cache of \
               1 GiB; fan-out is the body once and ten empty references",
    memory: "its cache of 1 GiB, and the system's page cache",
    durability: "apply_batch, then flush() where a batch is to be synced and at the end; as that is sync_file_range on Linux, which flushes \
                 no device cache and no metadata, the program adds an fdatasync of its file. Batches are atomic",
};

struct Sled {
    dir: PathBuf,
    db: Option<Db>,
    file: File,
    next: AtomicU64,
    taken: AtomicU64,
}

pub fn open(dir: &Path) -> anyhow::Result<Box<dyn Peer>> {
    let (next, taken) = (AtomicU64::new(0), AtomicU64::new(0));
    let db = Some(database(dir)?);
    Ok(Box::new(Sled {
        dir: dir.to_owned(),
        db,
        file: file(dir)?,
        next,
        taken,
    }))
}

fn database(dir: &Path) -> anyhow::Result<Db> {
    let config = sled::Config::new()
        .path(dir.join("sled"))
        .mode(Mode::HighThroughput)
        .flush_every_ms(None)
        .cache_capacity(1 << 30);
    Ok(config.open()?)
}

/// The file that it keeps all pages in.
fn file(dir: &Path) -> anyhow::Result<File> {
    Ok(File::open(dir.join("sled/db"))?)
}

fn key(queue: usize, at: u64) -> anyhow::Result<[u8; 16]> {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&u64::try_from(queue)?.to_be_bytes());
    key[8..].copy_from_slice(&at.to_be_bytes());
    Ok(key)
}

impl Sled {
    fn db(&self) -> anyhow::Result<&Db> {
        self.db
            .as_ref()
            .ok_or_else(|| anyhow::anyhow!("it is being opened"))
    }
}

impl Peer for Sled {
    fn append(&self, load: &Load<'_>) -> anyhow::Result<()> {
        let count = u64::try_from(load.count)?;
        let first = self.next.fetch_add(count, Ordering::Relaxed);
        let mut batch = sled::Batch::default();
        for at in first..first + count {
            batch.insert(&key(0, at)?, load.body);
            if load.target == Target::FanOut {
                for queue in 1..=FAN_OUT {
                    batch.insert(&key(queue, at)?, &[]);
                }
            }
        }
        self.db()?.apply_batch(batch)?;
        match load.durability {
            Durability::Synced => self.settle(),
            Durability::Buffered => Ok(()),
        }
    }

    fn settle(&self) -> anyhow::Result<()> {
        self.db()?.flush()?;
        self.file.sync_data()?;
        Ok(())
    }

    fn take(&self, count: usize) -> anyhow::Result<Taken> {
        let mut taken = Taken::default();
        let mut batch = sled::Batch::default();
        let mut next = self.taken.load(Ordering::Relaxed);
        for entry in self.db()?.range(key(0, next)?..key(1, 0)?).take(count) {
            let (key, body) = entry?;
            taken.add(&body);
            next = u64::from_be_bytes(key[8..].try_into()?) + 1;
            batch.remove(key);
        }
        self.db()?.apply_batch(batch)?;
        self.taken.store(next, Ordering::Relaxed);
        Ok(taken)
    }

    fn close(&mut self) -> anyhow::Result<()> {
        self.settle()?;
        self.db = None;
        Ok(())
    }

    fn reopen(&mut self) -> anyhow::Result<()> {
        self.db = Some(database(&self.dir)?);
        self.file = file(&self.dir)?;
        Ok(())
    }

    fn clear(&mut self) -> anyhow::Result<()> {
        self.db = None;
        std::fs::remove_dir_all(self.dir.join("sled"))?;
        self.db = Some(database(&self.dir)?);
        self.file = file(&self.dir)?;
        Ok(())
    }
}
