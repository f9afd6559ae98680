//! yaque: files of length-prefixed messages, one sender and one receiver for each queue.

use crate::outside::Outside;
use crate::peer::{Description, Load, Peer, Taken};
use crate::workload::{Durability, FAN_OUT, Target};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};
use yaque::{Receiver, ReceiverBuilder, Sender, SenderBuilder};

pub const DESCRIPTION: Description = Description {
    name: "yaque",
    package: "yaque",
    settings: "segments of 64 MiB (default 4), try_send_batch, try_recv_batch_up_to, no state saved while receiving; ten queues for \
               fan-out, each with a copy",
    memory: "the system's page cache",
    durability: "yaque never syncs: the program syncs its files from outside (fdatasync of its files, fsync of the \
                 directory for new ones). No checksums; a batch is not atomic over a crash, nor over queues; which messages \
                 were received is saved when the measurement ends",
};

const SEGMENT_BYTES: u64 = 64 << 20;

struct Yaque {
    dir: PathBuf,
    queues: Vec<Mutex<One>>,
}

/// One queue.
struct One {
    sender: Sender,
    receiver: Receiver,
    outside: Outside,
    is_dirty: bool,
}

pub fn open(dir: &Path) -> anyhow::Result<Box<dyn Peer>> {
    let queues = queues(dir)?;
    let dir = dir.to_owned();
    Ok(Box::new(Yaque { dir, queues }))
}

fn queues(dir: &Path) -> anyhow::Result<Vec<Mutex<One>>> {
    let open = |at: usize| {
        let dir = dir.join(at.to_string());
        anyhow::Ok(Mutex::new(One {
            sender: SenderBuilder::new().segment_size(SEGMENT_BYTES).open(&dir)?,
            receiver: ReceiverBuilder::new()
                .save_every_nth(None)
                .save_every(None)
                .open(&dir)?,
            outside: Outside::of(&dir),
            is_dirty: false,
        }))
    };
    (0..=FAN_OUT).map(open).collect()
}

fn locked(queue: &Mutex<One>) -> MutexGuard<'_, One> {
    queue.lock().expect("no holder of this lock panics")
}

impl Peer for Yaque {
    fn append(&self, load: &Load<'_>) -> anyhow::Result<()> {
        let queues = match load.target {
            Target::One => &self.queues[..1],
            Target::FanOut => &self.queues[1..],
        };
        for queue in queues {
            let mut queue = locked(queue);
            let sent = queue
                .sender
                .try_send_batch(std::iter::repeat_n(load.body, load.count));
            sent.map_err(|error| anyhow::anyhow!("{error}"))?;
            match load.durability {
                Durability::Synced => queue.outside.sync()?,
                Durability::Buffered => queue.is_dirty = true,
            }
        }
        Ok(())
    }

    fn settle(&self) -> anyhow::Result<()> {
        for queue in &self.queues {
            let mut queue = locked(queue);
            if std::mem::take(&mut queue.is_dirty) {
                queue.receiver.save()?;
                queue.outside.sync()?;
            }
        }
        Ok(())
    }

    fn take(&self, count: usize) -> anyhow::Result<Taken> {
        let mut queue = locked(&self.queues[0]);
        queue.is_dirty = true;
        let mut taken = Taken::default();
        let received = queue.receiver.try_recv_batch_up_to(count);
        let received = received.map_err(|error| anyhow::anyhow!("{error:?}"))?;
        for body in received.iter() {
            taken.add(body);
        }
        received.commit()?;
        Ok(taken)
    }

    fn close(&mut self) -> anyhow::Result<()> {
        self.settle()?;
        self.queues.clear();
        Ok(())
    }

    fn reopen(&mut self) -> anyhow::Result<()> {
        self.queues = queues(&self.dir)?;
        Ok(())
    }

    fn clear(&mut self) -> anyhow::Result<()> {
        self.queues.clear();
        std::fs::remove_dir_all(&self.dir)?;
        std::fs::create_dir(&self.dir)?;
        self.queues = queues(&self.dir)?;
        Ok(())
    }
}
