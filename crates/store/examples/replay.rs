//! Replay after a crash: what was in the queue, who had it, and from where a reader goes on, without taking anything.

use logpond_store::{Batch, EntryState, From, Message, Options, QueueOptions, Store};
use std::error::Error;
use std::path::Path;

/// Runs the example.
pub fn main() -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    first_life(dir.path())?;

    let (store, report) = Store::open(dir.path(), Options::default())?;
    println!(
        "start {} found {} blocks behind the checkpoint and lost {} entries",
        report.epoch,
        report.blocks_replayed,
        report.lost.len()
    );
    assert!(!report.clean && report.lost.is_empty());
    let orders = store.queue("orders", QueueOptions::default())?;

    let mut last_read = None;
    for entry in orders.browse() {
        let entry = entry?;
        println!("{}: {}", entry.seq, String::from_utf8_lossy(&entry.body));
        last_read = Some(entry.seq);
    }
    let next = last_read
        .ok_or("the queue holds what was not acknowledged")?
        .next();

    let mut batch = Batch::new();
    batch.publish(&[orders.id()], Message::new("order 6"));
    store.commit(batch)?;
    let fresh = orders.replay(From::Seq(next)).collect::<Result<Vec<_>, _>>()?;
    println!("a reader that goes on at {next} finds {} new entry", fresh.len());
    assert_eq!(fresh.len(), 1);
    assert_eq!(fresh[0].state, EntryState::Ready);

    let deliveries = orders.fetch(32)?;
    println!("and a consumer still gets all {}", deliveries.len());
    assert_eq!(deliveries.len(), 4);
    store.close()?;
    Ok(())
}

/// Five orders, two of them done, one in somebody's hands, when the process ends without a word.
fn first_life(dir: &Path) -> Result<(), Box<dyn Error>> {
    let (store, _) = Store::open(dir, Options::default())?;
    let orders = store.queue("orders", QueueOptions::default())?;
    let mut batch = Batch::new();
    for order in 1..=5 {
        batch.publish(&[orders.id()], Message::new(&format!("order {order}")));
    }
    store.commit(batch)?;
    let mut deliveries = orders.fetch(3)?;
    let in_work = deliveries.pop();
    let mut done = Batch::new();
    for delivery in deliveries {
        done.ack(delivery);
    }
    store.commit(done)?;
    // No close: for the next start this is a crash.
    drop(in_work);
    Ok(())
}
