//! redb, a copy-on-write tree, as a queue: the key is the place in the queue.

use crate::peer::{Description, Load, Peer, Taken};
use crate::workload::{Durability as Wanted, FAN_OUT, Target};
use anyhow::Context;
use redb::{Database, Durability, ReadableTable, TableDefinition, WriteTransaction};
use std::path::{Path, PathBuf};

pub const DESCRIPTION: Description = Description {
    name: "redb",
    package: "redb",
    settings: "a table for each queue with keys of 8 bytes, default cache; fan-out is the body once and an empty reference in each of ten \
               tables",
    memory: "a cache of 1 GiB (its default), and the system's page cache",
    durability: "a transaction with Durability::Immediate (fdatasync); buffered: Durability::None, and an Immediate one at the end. Transactions \
                 are atomic, also over tables; one writer at a time",
};

const ONE: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("one");

struct Redb {
    dir: PathBuf,
    database: Option<Database>,
}

pub fn open(dir: &Path) -> anyhow::Result<Box<dyn Peer>> {
    Ok(Box::new(Redb {
        dir: dir.to_owned(),
        database: Some(database(dir)?),
    }))
}

/// Made if it is not there.
fn database(dir: &Path) -> anyhow::Result<Database> {
    Ok(Database::create(dir.join("data.redb"))?)
}

impl Redb {
    fn begin(&self, wanted: Wanted) -> anyhow::Result<WriteTransaction> {
        let database = self.database.as_ref().context("it is closed")?;
        let mut transaction = database.begin_write()?;
        transaction.set_durability(match wanted {
            Wanted::Synced => Durability::Immediate,
            Wanted::Buffered => Durability::None,
        })?;
        Ok(transaction)
    }
}

fn append(
    transaction: &WriteTransaction,
    table: TableDefinition<'_, u64, &[u8]>,
    body: &[u8],
    count: usize,
) -> anyhow::Result<()> {
    let mut table = transaction.open_table(table)?;
    let next = table.last()?.map_or(0, |(key, _)| key.value() + 1);
    for at in next..next + u64::try_from(count)? {
        table.insert(at, body)?;
    }
    Ok(())
}

impl Peer for Redb {
    fn append(&self, load: &Load<'_>) -> anyhow::Result<()> {
        let transaction = self.begin(load.durability)?;
        append(&transaction, ONE, load.body, load.count)?;
        if load.target == Target::FanOut {
            for at in 0..FAN_OUT {
                let name = format!("many{at}");
                append(&transaction, TableDefinition::new(&name), b"", load.count)?;
            }
        }
        transaction.commit()?;
        Ok(())
    }

    fn settle(&self) -> anyhow::Result<()> {
        self.begin(Wanted::Synced)?.commit()?;
        Ok(())
    }

    fn take(&self, count: usize) -> anyhow::Result<Taken> {
        let mut taken = Taken::default();
        let transaction = self.begin(Wanted::Buffered)?;
        {
            let mut table = transaction.open_table(ONE)?;
            while taken.messages < count
                && let Some((_, body)) = table.pop_first()?
            {
                taken.add(body.value());
            }
        }
        transaction.commit()?;
        Ok(taken)
    }

    fn close(&mut self) -> anyhow::Result<()> {
        self.database = None;
        Ok(())
    }

    fn reopen(&mut self) -> anyhow::Result<()> {
        self.database = Some(database(&self.dir)?);
        Ok(())
    }

    fn clear(&mut self) -> anyhow::Result<()> {
        let transaction = self.begin(Wanted::Synced)?;
        transaction.delete_table(ONE)?;
        for at in 0..FAN_OUT {
            let name = format!("many{at}");
            transaction.delete_table(TableDefinition::<u64, &[u8]>::new(&name))?;
        }
        transaction.commit()?;
        Ok(())
    }
}
