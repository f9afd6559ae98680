//! A transactional outbox: what was asked for is done, and what is to be told about it is in the outbox, or neither.
//!
//! Handling a command acknowledges it and publishes its events in one batch, so no crash comes between the two. The relay
//! sends events to a service that is sometimes away: an event that was not sent is dropped, goes back to the outbox, and is
//! sent again. The receiver may see an event twice, if a crash falls between its answer and our acknowledgement; it tells
//! repeats by the event's number, which never changes.

use logpond_store::{Batch, Message, Options, Queue, QueueOptions, Store};
use std::collections::BTreeMap;
use std::error::Error;

/// Runs the example.
pub fn main() -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let (store, _) = Store::open(dir.path(), Options::default())?;
    let commands = store.queue("commands", QueueOptions::default())?;
    let outbox = store.queue("outbox", QueueOptions::default())?;

    let mut batch = Batch::new();
    for order in 1..=5_u32 {
        batch.publish(&[commands.id()], Message::new(&format!("ship order {order}")));
    }
    store.commit(batch)?;

    handle(&store, &commands, &outbox)?;
    assert_eq!((commands.len(), outbox.len()), (0, 10));

    let mut service = Service::default();
    while !outbox.is_empty() {
        relay(&store, &outbox, &mut service)?;
    }
    println!(
        "the service knows {} events after {} calls",
        service.known.len(),
        service.calls
    );
    assert_eq!(service.known.len(), 10);
    store.close()?;
    Ok(())
}

/// Commands in, events out, each command as a whole.
fn handle(store: &Store, commands: &Queue, outbox: &Queue) -> Result<(), Box<dyn Error>> {
    for command in commands.fetch(32)? {
        let asked = String::from_utf8_lossy(command.body()).into_owned();
        let mut batch = Batch::new();
        batch.publish(&[outbox.id()], Message::new(&format!("begun: {asked}")));
        batch.publish(&[outbox.id()], Message::new(&format!("done: {asked}")));
        batch.ack(command);
        // Returning early before this line would leave the command where it was, and no event.
        store.commit(batch)?;
    }
    Ok(())
}

/// Sends what is in the outbox, until the service fails: what follows would overtake what failed.
fn relay(store: &Store, outbox: &Queue, service: &mut Service) -> Result<(), Box<dyn Error>> {
    let mut sent = Batch::new();
    for event in outbox.fetch(4)? {
        if let Err(problem) = service.accept(event.seq().get(), event.body()) {
            println!("event {} was not sent: {problem}", event.seq());
            // Dropped, like all that follow: back in the outbox, in their order.
            break;
        }
        sent.ack(event);
    }
    store.commit(sent)?;
    Ok(())
}

/// Someone else's service: each third call fails, half of those after the event was taken.
#[derive(Default)]
struct Service {
    known: BTreeMap<u64, Vec<u8>>,
    calls: u32,
}

impl Service {
    fn accept(&mut self, number: u64, event: &[u8]) -> Result<(), &'static str> {
        self.calls += 1;
        if self.calls.is_multiple_of(3) && self.calls % 2 == 1 {
            return Err("no route to host");
        }
        self.known.entry(number).or_insert_with(|| event.to_vec());
        if self.calls.is_multiple_of(3) {
            return Err("the answer was lost");
        }
        Ok(())
    }
}
