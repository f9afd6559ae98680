//! A spool with a size limit: measurements are kept while the uplink is down, the newest of them, and no more than so many.
//!
//! `QueueOptions::newest` lets the oldest go in the same commit that brings the new; `QueueOptions::at_most` refuses what
//! does not fit, for data of which none may be thrown away.

use logpond_store::{Batch, CommitError, Message, Options, Queue, QueueOptions, Store};
use std::error::Error;

const KEPT_MAX: u64 = 1_000;

/// Runs the example.
pub fn main() -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let (store, _) = Store::open(dir.path(), Options::default())?;
    let spool = store.queue("measurements", QueueOptions::newest(KEPT_MAX))?;

    for number in (0..2_500_u64).step_by(100) {
        store.commit(measurements(&spool, number..number + 100))?;
    }
    println!("{} of 2500 measurements are kept", spool.len());
    assert_eq!(spool.len(), KEPT_MAX);

    let bills = store.queue("bills", QueueOptions::at_most(KEPT_MAX))?;
    store.commit(measurements(&bills, 0..KEPT_MAX))?;
    match store.commit(measurements(&bills, 0..1)) {
        Err(CommitError::QueueFull { ready, more, .. }) => println!("{more} are refused: {ready} are there"),
        other => return Err(format!("a full queue answered {other:?}").into()),
    }

    let mut sent = Vec::new();
    loop {
        let deliveries = spool.fetch(256)?;
        if deliveries.is_empty() {
            break;
        }
        let mut done = Batch::new();
        for delivery in deliveries {
            sent.push(u64::from_le_bytes(delivery.body().try_into()?));
            done.ack(delivery);
        }
        // Not waited for: a crash would only send these again.
        drop(store.commit_buffered(done)?);
    }
    println!(
        "the uplink is back: {} measurements sent, from number {}",
        sent.len(),
        sent[0]
    );
    assert!(sent.iter().copied().eq(1_500..2_500));

    println!("the journal takes {} MiB", store.stats().journal_bytes >> 20);
    store.close()?;
    Ok(())
}

fn measurements(queue: &Queue, numbers: std::ops::Range<u64>) -> Batch {
    let mut batch = Batch::new();
    for number in numbers {
        batch.publish(&[queue.id()], Message::new(&number.to_le_bytes()));
    }
    batch
}
