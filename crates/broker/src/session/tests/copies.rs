//! `CC` and `BCC`: further routing keys in a message's headers.

use super::*;

/// Properties with these headers, each an array of one string.
fn with_keys(headers: &[(&str, &str)]) -> Vec<u8> {
    let mut table = Vec::new();
    for (name, key) in headers {
        table.push(u8::try_from(name.len()).unwrap());
        table.extend(name.as_bytes());
        table.push(b'A');
        table.extend(long(5 + key.len()));
        table.push(b'S');
        table.extend(long(key.len()));
        table.extend(key.as_bytes());
    }
    [&[0x20, 0], &long(table.len())[..], &table].concat()
}

fn long(len: usize) -> [u8; 4] {
    u32::try_from(len).unwrap().to_be_bytes()
}

fn stored_properties(client: &mut Client, queue: &str) -> Vec<u8> {
    let mut properties = Vec::new();
    let found = client.session.get(ONE, queue, true, NOW, &mut |delivery, _| {
        properties = delivery.properties.to_vec();
    });
    assert!(found.unwrap());
    properties
}

fn with_queues(broker: &Arc<Broker<SimDisk>>) -> Client {
    let mut client = Client::new(broker);
    for queue in ["to", "copy", "hidden"] {
        client.declare(queue);
    }
    client
}

#[test]
fn a_message_reaches_the_queues_of_all_its_keys_and_nobody_sees_who_was_hidden() {
    let broker = broker();
    let mut client = with_queues(&broker);
    let sent = with_keys(&[("CC", "copy"), ("BCC", "hidden")]);
    let _ = client.publish_with("", "to", &sent, &["x"]);
    let shown = with_keys(&[("CC", "copy")]);
    for queue in ["to", "copy", "hidden"] {
        assert_eq!(stored_properties(&mut client, queue), shown, "{queue}");
    }
    // The next one with this address and without headers goes where it says.
    let _ = client.publish("to", &["y"]);
    assert_eq!((client.ready("to"), client.ready("copy")), (1, 0));
}

#[test]
fn a_queue_that_several_keys_lead_to_gets_one_message() {
    let broker = broker();
    let mut client = with_queues(&broker);
    client.bind("amq.topic", "to", "a.*").unwrap();
    let _ = client.publish_with(
        "amq.topic",
        "a.b",
        &with_keys(&[("CC", "a.c"), ("BCC", "a.d")]),
        &["x"],
    );
    assert_eq!(client.ready("to"), 1);
}

#[test]
fn a_message_that_only_its_further_keys_route_is_not_returned() {
    let broker = broker();
    let mut client = with_queues(&broker);
    let _ = client.publish_with("", "nobody", &with_keys(&[("BCC", "hidden")]), &["x"]);
    assert_eq!((client.returned.len(), client.ready("hidden")), (0, 1));
    let _ = client.publish_with("", "nobody", &with_keys(&[("CC", "nobody either")]), &["x"]);
    assert_eq!(client.returned, ["x"]);
}

#[test]
fn a_transaction_keeps_the_further_keys_for_its_commit() {
    let broker = broker();
    let mut client = with_queues(&broker);
    client.session.tx_select(ONE, NOW).unwrap();
    let sent = with_keys(&[("BCC", "hidden"), ("CC", "copy")]);
    let _ = client.publish_with("", "to", &sent, &["x"]);
    client.session.tx_commit(ONE, NOW, &mut |_| ()).unwrap();
    let shown = with_keys(&[("CC", "copy")]);
    for queue in ["to", "copy", "hidden"] {
        assert_eq!(stored_properties(&mut client, queue), shown, "{queue}");
    }
}

#[test]
fn keys_that_are_no_array_are_refused_in_rabbitmqs_words() {
    let broker = broker();
    let mut client = with_queues(&broker);
    let _ = client.publish_with(
        "",
        "to",
        b"\x20\x00\x00\x00\x00\x09\x02CCS\x00\x00\x00\x01k",
        &["x"],
    );
    let (_, error) = client.failed.pop().unwrap();
    assert_eq!(
        (error.scope, error.text.as_str()),
        (
            Scope::Channel,
            "PRECONDITION_FAILED - invalid message: {unacceptable_type_in_header,\"CC\",longstr}"
        )
    );
}
