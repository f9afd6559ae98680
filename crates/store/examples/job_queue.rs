//! A job queue: workers on several threads, failed jobs tried again, hopeless ones set aside.
//!
//! The number of a job's attempt travels in its properties. A failed attempt is acknowledged and published again, with the
//! next number, in one batch: a crash at any moment leaves the job in the queue exactly once. A worker that panics has
//! dropped its delivery, and with that put it back.

use logpond_store::{Batch, Delivery, Message, Options, Queue, QueueOptions, Store};
use std::error::Error;
use std::thread;
use std::time::Duration;

const ATTEMPTS_MAX: u8 = 3;

/// Runs the example.
pub fn main() -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let (store, _) = Store::open(dir.path(), Options::default())?;
    let jobs = store.queue("jobs", QueueOptions::default())?;
    let hopeless = store.queue("jobs.hopeless", QueueOptions::default())?;

    let mut batch = Batch::new();
    for job in [
        "resize cat.png",
        "resize dog.png",
        "divide by zero",
        "flaky upload",
    ] {
        batch.publish(&[jobs.id()], Message::new(job).with_properties(&[1]));
    }
    store.commit(batch)?;

    thread::scope(|scope| {
        let workers: Vec<_> = (0..2)
            .map(|_| scope.spawn(|| work(&store, &jobs, &hopeless).map_err(|error| error.to_string())))
            .collect();
        workers
            .into_iter()
            .try_for_each(|worker| worker.join().expect("no worker panics"))
    })?;

    assert!(jobs.is_empty());
    assert_eq!(hopeless.len(), 1);
    for entry in hopeless.browse() {
        println!("given up: {}", String::from_utf8_lossy(&entry?.body));
    }
    store.close()?;
    Ok(())
}

/// Takes jobs until there are none for a while.
fn work(store: &Store, jobs: &Queue, hopeless: &Queue) -> Result<(), Box<dyn Error>> {
    loop {
        let deliveries = jobs.fetch_timeout(1, Duration::from_millis(100))?;
        if deliveries.is_empty() {
            return Ok(());
        }
        for delivery in deliveries {
            match run(&delivery) {
                Ok(()) => finish(store, delivery)?,
                Err(problem) => try_again(store, jobs, hopeless, delivery, problem)?,
            }
        }
    }
}

/// The job is durably done when this returns.
fn finish(store: &Store, delivery: Delivery) -> Result<(), Box<dyn Error>> {
    let mut batch = Batch::new();
    batch.ack(delivery);
    store.commit(batch)?;
    Ok(())
}

fn try_again(
    store: &Store,
    jobs: &Queue,
    hopeless: &Queue,
    delivery: Delivery,
    problem: &str,
) -> Result<(), Box<dyn Error>> {
    let (attempt, job) = (attempt_of(&delivery), delivery.body().to_vec());
    println!(
        "attempt {attempt} of '{}' failed: {problem}",
        String::from_utf8_lossy(&job)
    );
    let to = if attempt < ATTEMPTS_MAX { jobs } else { hopeless };
    let mut batch = Batch::new();
    batch.publish(&[to.id()], Message::new(&job).with_properties(&[attempt + 1]));
    batch.ack(delivery);
    store.commit(batch)?;
    Ok(())
}

fn attempt_of(delivery: &Delivery) -> u8 {
    delivery.properties().first().copied().unwrap_or(1)
}

/// The work itself. The upload succeeds when it is tried for the second time; nothing helps the division.
fn run(delivery: &Delivery) -> Result<(), &'static str> {
    match delivery.body() {
        b"divide by zero" => Err("attempt to divide by zero"),
        b"flaky upload" if attempt_of(delivery) == 1 => Err("connection reset"),
        job => {
            println!("done: {}", String::from_utf8_lossy(job));
            Ok(())
        }
    }
}
