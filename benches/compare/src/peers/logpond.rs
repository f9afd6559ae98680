//! Logpond's store.

use crate::peer::{Description, Load, Peer, Taken};
use crate::workload::{Durability, FAN_OUT, Target};
use anyhow::Context;
use logpond_store::{Batch, Message, Options, Queue, QueueId, QueueOptions, Store};
use std::path::{Path, PathBuf};

pub const DESCRIPTION: Description = Description {
    name: "logpond",
    package: "logpond-store",
    settings: "Options::default() but segment_bytes 128 MiB, so that a batch of 1,000 × 64 KiB fits into one; fan-out is one \
               record with ten references",
    memory: "the ring of recent blocks; warm fetches with ring_bytes 128 MiB in place of 24, into which all of them fit. Else \
             O_DIRECT reads",
    durability: "Store::commit: O_DIRECT and RWF_DSYNC, one write for a batch; batches are atomic, also over queues. Buffered: \
                 Store::commit_buffered, written and synced by the journal thread all the time",
};

struct Logpond {
    dir: PathBuf,
    ring_bytes: u64,
    opened: Option<Opened>,
}

struct Opened {
    store: Store,
    one: Queue,
    many: Vec<Queue>,
    ids: Vec<QueueId>,
}

pub fn open(dir: &Path) -> anyhow::Result<Box<dyn Peer>> {
    let ring_bytes = Options::default().ring_bytes;
    Ok(Box::new(Logpond {
        dir: dir.to_owned(),
        ring_bytes,
        opened: Some(open_store(dir, ring_bytes)?),
    }))
}

fn open_store(dir: &Path, ring_bytes: u64) -> anyhow::Result<Opened> {
    let options = Options {
        segment_bytes: 128 << 20,
        ring_bytes,
        ..Options::default()
    };
    let (store, _) = Store::open(dir, options)?;
    let queue = |name: &str| store.queue(name, QueueOptions::default());
    let one = queue("one")?;
    let many = (0..FAN_OUT).map(|at| queue(&format!("many{at}")));
    let many = many.collect::<Result<Vec<_>, _>>()?;
    let ids = many.iter().map(Queue::id).collect();
    Ok(Opened {
        store,
        one,
        many,
        ids,
    })
}

impl Logpond {
    fn opened(&self) -> anyhow::Result<&Opened> {
        self.opened.as_ref().context("it is closed")
    }
}

/// For 64 MiB of bodies, in blocks whose buffers have a few sizes.
const WARM_RING_BYTES: u64 = 128 << 20;

impl Peer for Logpond {
    fn append(&self, load: &Load<'_>) -> anyhow::Result<()> {
        let opened = self.opened()?;
        let one = [opened.one.id()];
        let queues = match load.target {
            Target::One => one.as_slice(),
            Target::FanOut => opened.ids.as_slice(),
        };
        let mut batch = Batch::new();
        for _ in 0..load.count {
            batch.publish(queues, Message::new(load.body));
        }
        match load.durability {
            Durability::Synced => {
                opened.store.commit(batch)?;
            }
            Durability::Buffered => drop(opened.store.commit_buffered(batch)?),
        }
        Ok(())
    }

    fn settle(&self) -> anyhow::Result<()> {
        // Blocks become durable in their order: with this one, all before it is.
        let mut batch = Batch::new();
        let opened = self.opened()?;
        batch.publish(&[opened.many[0].id()], Message::new(b"the last one"));
        opened.store.commit(batch)?;
        Ok(())
    }

    fn take(&self, count: usize) -> anyhow::Result<Taken> {
        let mut taken = Taken::default();
        let mut done = Batch::new();
        let opened = self.opened()?;
        for delivery in opened.one.fetch(u32::try_from(count)?)? {
            taken.add(delivery.body());
            done.ack(delivery);
        }
        drop(opened.store.commit_buffered(done)?);
        Ok(taken)
    }

    fn keep_in_memory(&mut self, bytes: Option<usize>) -> anyhow::Result<()> {
        let own = Options::default().ring_bytes;
        let ring_bytes = bytes.map_or(own, |_| WARM_RING_BYTES);
        if self.ring_bytes != ring_bytes {
            self.ring_bytes = ring_bytes;
            self.close()?;
            self.reopen()?;
        }
        Ok(())
    }

    fn close(&mut self) -> anyhow::Result<()> {
        if let Some(opened) = self.opened.take() {
            opened.store.close()?;
        }
        Ok(())
    }

    fn reopen(&mut self) -> anyhow::Result<()> {
        self.opened = Some(open_store(&self.dir, self.ring_bytes)?);
        Ok(())
    }

    fn clear(&mut self) -> anyhow::Result<()> {
        let opened = self.opened()?;
        for queue in opened.many.iter().chain([&opened.one]) {
            queue.purge()?;
        }
        Ok(())
    }
}
