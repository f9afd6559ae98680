//! Exchanges that choose one of their queues.

use super::*;

/// A client with an exchange of this kind and queues bound to it with the weight 1.
fn client(kind: &str, arguments: &[(&str, Value)], queues: &[&str]) -> Client {
    let mut client = Client::new(&broker());
    let arguments = arguments.iter().cloned().collect();
    client.exchange_with("x", kind, true, &arguments).unwrap();
    for queue in queues {
        client.declare(queue);
        client.bind("x", queue, "1").unwrap();
    }
    client
}

fn with_message_id(id: u8) -> [u8; 4] {
    [0, 0x80, 1, id]
}

fn counts(client: &mut Client, queues: &[&str]) -> Vec<u32> {
    client.poll();
    queues.iter().map(|queue| client.ready(queue)).collect()
}

#[test]
fn messages_with_one_key_stay_in_one_queue_of_a_consistent_hash() {
    let queues = ["a", "b", "c"];
    let mut client = client("x-consistent-hash", &[], &queues);
    let _ = client.publish_with("x", "key", PERSISTENT, &["1", "2", "3"]);
    let mut counts = counts(&mut client, &queues);
    counts.sort_unstable();
    assert_eq!(counts, [0, 0, 3]);
}

#[test]
fn a_hash_of_a_property_is_not_remembered_for_the_next_message() {
    let queues = ["a", "b", "c"];
    let arguments = [("hash-property", Value::str("message_id"))];
    let mut client = client("x-consistent-hash", &arguments, &queues);
    for id in b'a'..=b'z' {
        let _ = client.publish_with("x", "key", &with_message_id(id), &["m"]);
    }
    assert!(counts(&mut client, &queues).iter().all(|count| *count > 0));
}

#[test]
fn a_random_exchange_does_not_remember_where_the_last_message_went() {
    let queues = ["a", "b", "c"];
    let mut client = client("x-random", &[], &queues);
    let _ = client.publish_with("x", "key", PERSISTENT, &["m"; 100]);
    let counts = counts(&mut client, &queues);
    assert_eq!(counts.iter().sum::<u32>(), 100);
    assert!(counts.iter().all(|count| *count > 10), "{counts:?}");
}

#[test]
fn a_hash_exchange_without_queues_routes_nowhere() {
    for kind in ["x-consistent-hash", "x-modulus-hash", "x-random"] {
        let mut client = client(kind, &[], &[]);
        let _ = client.publish_with("x", "key", PERSISTENT, &["m"]);
        assert_eq!(client.returned, ["m"]);
    }
}

#[test]
fn an_exchange_for_the_queues_of_its_node_binds_classic_ones_without_a_key() {
    let mut client = client("x-local-random", &[], &[]);
    client.declare("q");
    let quorum = [("x-queue-type", Value::str("quorum"))];
    client.declare_with("replicated", &quorum).unwrap();
    client.bind("x", "q", "").unwrap();
    let _ = client.publish_with("x", "whatever", PERSISTENT, &["m"]);
    client.poll();
    assert_eq!(client.ready("q"), 1);
    assert_eq!(
        refusal(client.bind("x", "q", "k")).1,
        "406 PRECONDITION_FAILED - Non empty binding 'k' key not permitted"
    );
    client.reopen();
    assert_eq!(
        refusal(client.bind("x", "replicated", "")).1,
        "406 PRECONDITION_FAILED - Queue type rabbit_quorum_queue not valid for this exchange type"
    );
}

#[test]
fn arguments_and_binding_keys_of_a_hash_exchange_are_checked() {
    let mut client = client("x-consistent-hash", &[], &[]);
    client.declare("q");
    assert_eq!(
        refusal(client.bind("x", "q", "heavy")).1,
        "406 PRECONDITION_FAILED - The binding key must be an integer: <<\"heavy\">>"
    );
    client.reopen();
    let arguments = [("hash-property", Value::str("app_id"))].into_iter().collect();
    assert_eq!(
        refusal(client.exchange_with("y", "x-consistent-hash", true, &arguments)).1,
        "406 PRECONDITION_FAILED - Unsupported property: app_id"
    );
}

#[test]
fn an_exchange_type_of_another_plugin_is_unknown() {
    let mut client = Client::new(&broker());
    assert_eq!(
        refusal(client.exchange("x", "x-recent-history", true)).1,
        "406 PRECONDITION_FAILED - unknown exchange type 'x-recent-history'"
    );
}

#[test]
fn a_hash_exchange_chooses_the_same_after_a_restart() {
    let disk = logpond_store::disk::sim::SimDisk::new(3);
    let queues = ["a", "b", "c", "d", "e"];
    let first = open(&disk);
    let mut client = Client::new(&first);
    client.exchange("x", "x-consistent-hash", true).unwrap();
    for queue in queues {
        client.declare(queue);
        client.bind("x", queue, "1").unwrap();
    }
    let _ = client.publish_with("x", "key", PERSISTENT, &["before"]);
    sync(&first);
    drop(client);
    first.close().unwrap();
    drop(first);
    let second = open(&disk);
    let mut client = Client::new(&second);
    let _ = client.publish_with("x", "key", PERSISTENT, &["after"]);
    let mut counts = counts(&mut client, &queues);
    counts.sort_unstable();
    assert_eq!(counts, [0, 0, 0, 0, 2]);
}
