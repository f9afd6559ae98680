//! Dead letters that reach nobody.

use super::dying::*;
use super::*;

/// The arguments of a queue that tries letters again.
fn keeping(exchange: &str) -> Vec<(&'static str, Value)> {
    let strategy = [
        quorum(),
        ("x-overflow", Value::str("reject-publish")),
        ("x-dead-letter-strategy", Value::str("at-least-once")),
    ];
    [to(exchange, None), strategy.to_vec()].concat()
}

#[test]
fn with_at_least_once_a_letter_waits_for_its_exchange_and_route() {
    let disk = SimDisk::new(7);
    let broker = open(&disk);
    let mut client = Client::new(&broker);
    client.declare_with("q", &keeping("later")).unwrap();
    client.declare("dead");
    let _ = client.publish_with("", "q", &[0x11, 0, 2, 2, b'2', b'0'], &["expired"]);
    let _ = client.publish("q", &["rejected"]);
    client.poll();
    disk.advance(20);
    reject(&mut client, "q");
    let tick = |client: &mut Client| {
        keep_up(&client.broker, NOW);
        client.poll();
    };
    tick(&mut client);
    client.exchange("later", "fanout", true).unwrap();
    tick(&mut client);
    client.bind("later", "dead", "").unwrap();
    assert_eq!(client.ready("dead"), 0);
    tick(&mut client);
    for reason in ["expired", "rejected"] {
        let found = find(&mut client, "dead").unwrap();
        assert_eq!(found.body, reason);
        assert_eq!(deaths(&found), [("q".into(), reason.into(), 1)]);
    }
    tick(&mut client);
    assert_eq!((client.ready("dead"), client.ready("q")), (0, 0));
}

#[test]
fn with_at_least_once_a_letter_waits_for_all_its_targets_to_have_room() {
    let broker = broker();
    let mut client = Client::new(&broker);
    client.declare_with("q", &keeping("amq.fanout")).unwrap();
    let refusing = [
        ("x-max-length", Value::I32(1)),
        ("x-overflow", Value::str("reject-publish")),
    ];
    client.declare_with("full", &refusing).unwrap();
    client.declare("dead");
    for queue in ["full", "dead"] {
        client.bind("amq.fanout", queue, "").unwrap();
    }
    let _ = client.publish("full", &["first"]);
    let _ = client.publish("q", &["x"]);
    reject(&mut client, "q");
    assert_eq!((client.ready("full"), client.ready("dead")), (1, 0));
    assert_eq!(bodies(&mut client, "full"), ["first"]);
    keep_up(&broker, NOW);
    assert_eq!(
        (bodies(&mut client, "full"), bodies(&mut client, "dead")),
        (vec!["x".into()], vec!["x".into()])
    );
}

#[test]
fn what_reached_nobody_is_back_after_a_restart_and_goes_with_its_queue() {
    let disk = SimDisk::new(7);
    let broker = open(&disk);
    let mut client = Client::new(&broker);
    client.declare_with("q", &keeping("nowhere")).unwrap();
    let _ = client.publish("q", &["x"]);
    reject(&mut client, "q");
    assert_eq!(client.ready("q"), 0);
    let survivor = disk.after_kill();
    drop((client, broker));
    let broker = open(&survivor);
    let mut client = Client::new(&broker);
    assert_eq!(client.ready("q"), 1);
    reject(&mut client, "q");
    client.delete("q").unwrap();
    keep_up(&broker, NOW);
    client.poll();
}
