//! mrecordlog: many queues in one rolling log, all of them in memory as well.

use crate::outside::Outside;
use crate::peer::{Description, Load, Peer, Taken};
use crate::workload::{Durability, FAN_OUT, Target};
use anyhow::Context;
use mrecordlog::error::MissingQueue;
use mrecordlog::{MultiRecordLog, SyncPolicy};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;
use tokio::runtime::Runtime;

pub const DESCRIPTION: Description = Description {
    name: "mrecordlog",
    package: "mrecordlog",
    settings: "SyncPolicy::OnDelay(an hour) and sync() where a batch is to be synced; append_records; a current-thread runtime of \
               tokio; fan-out is the body once and a reference of 8 bytes in each of ten queues",
    memory: "all that it holds, always: an open reads everything",
    durability: "the sync() of the published version hands its buffer to the system and does no more: the program syncs its files from \
                 outside, as with yaque. A batch for one queue is atomic, one for many is not",
};

struct Mrecordlog {
    dir: PathBuf,
    state: Mutex<State>,
}

struct State {
    runtime: Runtime,
    /// Not while it is closed.
    log: Option<MultiRecordLog>,
    outside: Outside,
    next: u64,
}

pub fn open(dir: &Path) -> anyhow::Result<Box<dyn Peer>> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let mut log = open_log(&runtime, dir)?;
    runtime.block_on(log.create_queue("one"))?;
    for at in 0..FAN_OUT {
        runtime.block_on(log.create_queue(&many(at)))?;
    }
    let state = State {
        runtime,
        log: Some(log),
        outside: Outside::of(dir),
        next: 0,
    };
    Ok(Box::new(Mrecordlog {
        dir: dir.to_owned(),
        state: Mutex::new(state),
    }))
}

fn open_log(runtime: &Runtime, dir: &Path) -> anyhow::Result<MultiRecordLog> {
    let policy = SyncPolicy::OnDelay(Duration::from_secs(3600));
    Ok(runtime.block_on(MultiRecordLog::open_with_prefs(dir, policy))?)
}

fn many(at: usize) -> String {
    format!("many{at}")
}

fn missing(queue: MissingQueue) -> anyhow::Error {
    anyhow::anyhow!("there is no queue {queue:?}")
}

impl Mrecordlog {
    fn locked(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder of this lock panics")
    }
}

impl State {
    fn append(&mut self, queue: &str, body: &[u8], count: usize) -> anyhow::Result<()> {
        let bodies = std::iter::repeat_n(body, count);
        let (runtime, log) = self.parts()?;
        runtime.block_on(log.append_records(queue, None, bodies))?;
        Ok(())
    }

    fn sync(&mut self) -> anyhow::Result<()> {
        let (runtime, log) = self.parts()?;
        runtime.block_on(log.sync())?;
        self.outside.sync()
    }

    fn parts(&mut self) -> anyhow::Result<(&Runtime, &mut MultiRecordLog)> {
        let log = self.log.as_mut().context("it is closed")?;
        Ok((&self.runtime, log))
    }
}

impl Peer for Mrecordlog {
    fn append(&self, load: &Load<'_>) -> anyhow::Result<()> {
        let mut state = self.locked();
        state.append("one", load.body, load.count)?;
        if load.target == Target::FanOut {
            for at in 0..FAN_OUT {
                state.append(&many(at), &[0; 8], load.count)?;
            }
        }
        match load.durability {
            Durability::Synced => state.sync(),
            Durability::Buffered => Ok(()),
        }
    }

    fn settle(&self) -> anyhow::Result<()> {
        self.locked().sync()
    }

    fn take(&self, count: usize) -> anyhow::Result<Taken> {
        let mut state = self.locked();
        let mut taken = Taken::default();
        let mut last = None;
        let next = state.next;
        let (runtime, log) = state.parts()?;
        for (position, body) in log.range("one", next..).map_err(missing)?.take(count) {
            taken.add(&body);
            last = Some(position);
        }
        if let Some(last) = last {
            runtime.block_on(log.truncate("one", last))?;
            state.next = last + 1;
        }
        Ok(taken)
    }

    fn close(&mut self) -> anyhow::Result<()> {
        let mut state = self.locked();
        state.sync()?;
        state.log = None;
        // It is made anew, so that no file is held open.
        state.outside = Outside::of(&self.dir);
        Ok(())
    }

    fn reopen(&mut self) -> anyhow::Result<()> {
        let mut state = self.locked();
        state.log = Some(open_log(&state.runtime, &self.dir)?);
        Ok(())
    }

    fn clear(&mut self) -> anyhow::Result<()> {
        let mut state = self.locked();
        let (runtime, log) = state.parts()?;
        let names: Vec<String> = log.list_queues().map(str::to_owned).collect();
        for name in names {
            let last = log
                .range(&name, ..)
                .map_err(missing)?
                .last()
                .map(|(position, _)| position);
            if let Some(last) = last {
                runtime.block_on(log.truncate(&name, last))?;
            }
        }
        state.sync()
    }
}
