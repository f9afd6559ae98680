//! raft-engine, the log of TiKV, as a queue: a Raft group is a queue, and compacting it an acknowledgement.

use crate::peer::{Description, Load, Peer, Taken};
use crate::workload::{Durability, FAN_OUT, Target};
use anyhow::Context;
use protobuf::descriptor::UninterpretedOption;
use raft_engine::{Config, Engine, LogBatch, MessageExt, ReadableSize};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

pub const DESCRIPTION: Description = Description {
    name: "raft-engine",
    package: "raft-engine",
    settings: "compression off, files of 128 MiB recycled and 1 GiB of them prepared at the start, purge above 512 MiB; a group for each \
               thread that appends, for the indexes of a group must be written in their order; fan-out is the body once and an empty \
               entry in each of ten groups",
    memory: "an index of what it holds; entries are read from files and so from the system's page cache. An open reads everything",
    durability: "Engine::write with sync (fdatasync, shared by threads that write at the same time); buffered: without, and sync at the end. \
                 Batches are atomic, also over groups; compact_to is written and not synced",
};

const THREADS_MAX: usize = 4;

/// A protobuf message with a number and bytes, as `raft::eraftpb::Entry` is one.
struct Entries;

impl MessageExt for Entries {
    type Entry = UninterpretedOption;

    fn index(entry: &Self::Entry) -> u64 {
        entry.get_positive_int_value()
    }
}

struct RaftEngine {
    dir: PathBuf,
    /// Not while it is closed.
    engine: Option<Engine>,
    /// The next index of each thread's group.
    next: Vec<Mutex<u64>>,
    /// The next index of the first group that was not taken.
    taken: Mutex<u64>,
}

pub fn open(dir: &Path) -> anyhow::Result<Box<dyn Peer>> {
    let next = (0..THREADS_MAX).map(|_| Mutex::new(1)).collect();
    let taken = Mutex::new(1);
    Ok(Box::new(RaftEngine {
        dir: dir.to_owned(),
        engine: Some(open_engine(dir)?),
        next,
        taken,
    }))
}

fn open_engine(dir: &Path) -> anyhow::Result<Engine> {
    Ok(Engine::open(Config {
        dir: dir.join("log").display().to_string(),
        batch_compression_threshold: ReadableSize(0),
        target_file_size: ReadableSize::mb(128),
        purge_threshold: ReadableSize::mb(512),
        enable_log_recycle: true,
        prefill_for_recycle: true,
        prefill_limit: Some(ReadableSize::gb(1)),
        ..Config::default()
    })?)
}

impl RaftEngine {
    fn engine(&self) -> anyhow::Result<&Engine> {
        self.engine.as_ref().context("it is closed")
    }
}

/// The group that thread number `thread` appends to.
fn group(thread: usize) -> anyhow::Result<u64> {
    Ok(u64::try_from(thread)? + 1)
}

/// The groups of the ten queues of thread number `thread`.
fn many(thread: usize) -> anyhow::Result<impl Iterator<Item = u64>> {
    let first = (group(thread)? + 1) * 100;
    Ok(first..first + u64::try_from(FAN_OUT)?)
}

fn entries(first: u64, body: &[u8], count: usize) -> anyhow::Result<Vec<UninterpretedOption>> {
    let entry = |index| {
        let mut entry = UninterpretedOption::new();
        entry.set_positive_int_value(index);
        entry.set_string_value(body.to_vec());
        entry
    };
    Ok((first..first + u64::try_from(count)?).map(entry).collect())
}

impl Peer for RaftEngine {
    fn append(&self, load: &Load<'_>) -> anyhow::Result<()> {
        let group = group(load.thread)?;
        let mut next = self.next[load.thread]
            .lock()
            .expect("no holder of this lock panics");
        let mut batch = LogBatch::default();
        batch.add_entries::<Entries>(group, &entries(*next, load.body, load.count)?)?;
        if load.target == Target::FanOut {
            let references = entries(*next, b"", load.count)?;
            for queue in many(load.thread)? {
                batch.add_entries::<Entries>(queue, &references)?;
            }
        }
        self.engine()?
            .write(&mut batch, load.durability == Durability::Synced)?;
        *next += u64::try_from(load.count)?;
        Ok(())
    }

    fn settle(&self) -> anyhow::Result<()> {
        // An empty batch is not written, and so not synced either.
        let mut batch = LogBatch::default();
        batch.put(9, b"settled".to_vec(), Vec::new())?;
        self.engine()?.write(&mut batch, true)?;
        Ok(())
    }

    fn take(&self, count: usize) -> anyhow::Result<Taken> {
        let mut first = self.taken.lock().expect("no holder of this lock panics");
        let end = self
            .engine()?
            .last_index(group(0)?)
            .map_or(*first, |last| last + 1);
        let end = end.min(*first + u64::try_from(count)?);
        let mut taken = Taken::default();
        let mut found = Vec::new();
        self.engine()?
            .fetch_entries_to::<Entries>(group(0)?, *first, end, None, &mut found)?;
        for entry in &found {
            taken.add(entry.get_string_value());
        }
        self.engine()?.compact_to(group(0)?, end);
        *first = end;
        Ok(taken)
    }

    fn close(&mut self) -> anyhow::Result<()> {
        self.settle()?;
        self.engine = None;
        Ok(())
    }

    fn reopen(&mut self) -> anyhow::Result<()> {
        self.engine = Some(open_engine(&self.dir)?);
        Ok(())
    }

    fn clear(&mut self) -> anyhow::Result<()> {
        let engine = self.engine()?;
        for group in engine.raft_groups() {
            if let Some(last) = engine.last_index(group) {
                engine.compact_to(group, last + 1);
            }
        }
        engine.purge_expired_files()?;
        let mut taken = self.taken.lock().expect("no holder of this lock panics");
        *taken = *self.next[0].lock().expect("no holder of this lock panics");
        self.settle()
    }
}
