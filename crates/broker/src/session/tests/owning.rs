//! What a session remembers of the queues that belong to it alone.

use super::*;

fn owned(client: &Client) -> usize {
    let mut guard = client.broker.store.lock();
    let session = guard.parts().1.sessions.get_mut(client.session.core.key);
    session.unwrap().owned.len()
}

#[test]
fn a_session_forgets_its_exclusive_queues_that_were_deleted() {
    let broker = broker();
    let mut client = Client::new(&broker);
    for _ in 0..3 {
        client.declare_as("short", false, true, false).unwrap();
        client.delete("short").unwrap();
    }
    client.declare_as("unused", false, true, true).unwrap();
    client.consume("unused", "t", true).unwrap();
    client.session.cancel(ONE, "t", NOW).unwrap();
    assert_eq!(owned(&client), 0);
    client.declare_as("long", false, true, false).unwrap();
    assert_eq!(owned(&client), 1);
    drop(client);
    assert!(Client::new(&broker).declare_passively("long").is_err());
}
