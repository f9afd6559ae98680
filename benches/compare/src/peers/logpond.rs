//! Logpond's store.

use crate::peer::{Description, Load, Peer, Taken};
use crate::workload::{Durability, FAN_OUT, Target};
use logpond_store::{Batch, Message, Options, Queue, QueueId, QueueOptions, Store};
use std::path::Path;

pub const DESCRIPTION: Description = Description {
    name: "logpond",
    package: "logpond-store",
    settings: "Options::default() but segment_bytes 128 MiB, so that a batch of 1,000 × 64 KiB fits into one; fan-out is one \
               record with ten references",
    durability: "Store::commit: O_DIRECT and RWF_DSYNC, one write for a batch; batches are atomic, also over queues. Buffered: \
                 Store::commit_buffered, written and synced by the journal thread all the time",
};

struct Logpond {
    store: Store,
    one: Queue,
    many: Vec<Queue>,
    ids: Vec<QueueId>,
}

pub fn open(dir: &Path) -> anyhow::Result<Box<dyn Peer>> {
    let options = Options {
        segment_bytes: 128 << 20,
        ..Options::default()
    };
    let (store, _) = Store::open(dir, options)?;
    let queue = |name: &str| store.queue(name, QueueOptions::default());
    let one = queue("one")?;
    let many = (0..FAN_OUT).map(|at| queue(&format!("many{at}")));
    let many = many.collect::<Result<Vec<_>, _>>()?;
    let ids = many.iter().map(Queue::id).collect();
    Ok(Box::new(Logpond {
        store,
        one,
        many,
        ids,
    }))
}

impl Peer for Logpond {
    fn append(&self, load: &Load<'_>) -> anyhow::Result<()> {
        let one = [self.one.id()];
        let queues = match load.target {
            Target::One => one.as_slice(),
            Target::FanOut => self.ids.as_slice(),
        };
        let mut batch = Batch::new();
        for _ in 0..load.count {
            batch.publish(queues, Message::new(load.body));
        }
        match load.durability {
            Durability::Synced => {
                self.store.commit(batch)?;
            }
            Durability::Buffered => drop(self.store.commit_buffered(batch)?),
        }
        Ok(())
    }

    fn settle(&self) -> anyhow::Result<()> {
        // Blocks become durable in their order: with this one, all before it is.
        let mut batch = Batch::new();
        batch.publish(&[self.many[0].id()], Message::new(b"the last one"));
        self.store.commit(batch)?;
        Ok(())
    }

    fn take(&self, count: usize) -> anyhow::Result<Taken> {
        let mut taken = Taken::default();
        let mut done = Batch::new();
        for delivery in self.one.fetch(u32::try_from(count)?)? {
            taken.add(delivery.body());
            done.ack(delivery);
        }
        drop(self.store.commit_buffered(done)?);
        Ok(taken)
    }

    fn clear(&mut self) -> anyhow::Result<()> {
        for queue in self.many.iter().chain([&self.one]) {
            queue.purge()?;
        }
        Ok(())
    }
}
