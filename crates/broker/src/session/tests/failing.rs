//! Quorum queues that give up on a message.

use super::dying::*;
use super::*;
use logpond_store::disk::sim::FaultPlan;

#[test]
fn a_message_that_fails_too_often_leaves_a_quorum_queue() {
    let broker = broker();
    let mut client = client(&broker, &[quorum(), ("x-delivery-limit", Value::I32(2))]);
    let _ = client.publish("q", &["x"]);
    for _ in 0..3 {
        client.poll();
        let tag = client.get("q", false).unwrap().tag;
        client.nack(tag, Extent::One, GiveBack::Fail);
    }
    let found = find(&mut client, "dead").unwrap();
    assert_eq!(deaths(&found), [("q".into(), "delivery_limit".into(), 1)]);
    assert_eq!(client.ready("q"), 0);
}

#[test]
fn only_failures_count_and_both_counts_are_told() {
    let broker = broker();
    let mut client = client(&broker, &[quorum(), ("x-delivery-limit", Value::I32(1))]);
    let _ = client.publish("q", &["x"]);
    for give_back in [GiveBack::Requeue, GiveBack::Fail, GiveBack::Requeue] {
        client.poll();
        let tag = client.get("q", false).unwrap().tag;
        client.nack(tag, Extent::One, give_back);
    }
    let found = find(&mut client, "q").unwrap();
    assert_eq!(found.headers.get("x-acquired-count"), Some(&Value::I64(3)));
    assert_eq!(found.headers.get("x-delivery-count"), Some(&Value::I64(1)));
}

#[test]
fn a_channel_that_ends_with_a_message_has_failed_and_the_limit_is_twenty() {
    let broker = broker();
    let mut client = client(&broker, &[quorum()]);
    client
        .declare_with("none", &[quorum(), ("x-delivery-limit", Value::I32(-1))])
        .unwrap();
    let _ = client.publish("q", &["x"]);
    let _ = client.publish("none", &["y"]);
    for _ in 0..=20 {
        client.poll();
        for queue in ["q", "none"] {
            assert!(client.get(queue, false).is_some());
        }
        client.session.close_channel(ONE, NOW);
        client.reopen();
    }
    assert_eq!(
        deaths(&find(&mut client, "dead").unwrap()),
        [("q".into(), "delivery_limit".into(), 1)]
    );
    let found = find(&mut client, "none").unwrap();
    assert_eq!(found.headers.get("x-delivery-count"), Some(&Value::I64(21)));
}

#[test]
fn at_the_limit_without_an_exchange_a_message_is_gone() {
    let broker = broker();
    let mut client = Client::new(&broker);
    client
        .declare_with("q", &[quorum(), ("x-delivery-limit", Value::I32(0))])
        .unwrap();
    let _ = client.publish("q", &["a", "b", "c"]);
    client.poll();
    for _ in 0..3 {
        client.get("q", false).unwrap();
    }
    client.nack(2, Extent::One, GiveBack::Fail);
    client.nack(1, Extent::One, GiveBack::Requeue);
    client.ack(3, Extent::One);
    assert_eq!(bodies(&mut client, "q"), ["a"]);
}

#[test]
fn counts_survive_a_kill_once_it_is_durable_that_the_message_came_back() {
    let disk = SimDisk::new(5);
    let broker = open(&disk);
    let mut client = client(&broker, &[quorum(), ("x-delivery-limit", Value::I32(2))]);
    let _ = client.publish("q", &["x"]);
    for give_back in [GiveBack::Requeue, GiveBack::Fail, GiveBack::Fail] {
        client.poll();
        let tag = client.get("q", false).unwrap().tag;
        client.nack(tag, Extent::One, give_back);
    }
    disk.advance(10);
    client.poll();
    let disk = disk.after_kill();
    drop((client, broker));
    let broker = open(&disk);
    let mut client = Client::new(&broker);
    client.consume("q", "c", false).unwrap();
    client.poll();
    assert_eq!(client.seen.acquired, [Some(Value::I64(3))]);
    client.nack(1, Extent::One, GiveBack::Fail);
    let found = find(&mut client, "dead").unwrap();
    assert_eq!(deaths(&found), [("q".into(), "delivery_limit".into(), 1)]);
}

#[test]
fn what_never_reached_the_client_does_not_count() {
    let broker = broker();
    let mut client = client(&broker, &[quorum()]);
    client.consume("q", "c", false).unwrap();
    let _ = client.publish("q", &["x"]);
    sync(&broker);
    client.session.cancel(ONE, "c", NOW).unwrap();
    let found = find(&mut client, "q").unwrap();
    assert_eq!(
        found.headers.get("x-acquired-count"),
        Some(&Value::I64(1)),
        "as after a crash"
    );
    assert_eq!(found.headers.get("x-delivery-count"), None);
}

#[test]
fn what_the_disk_did_not_give_is_back_with_the_end_of_its_consumer_and_did_not_fail() {
    let disk = SimDisk::new(3);
    let broker = open(&disk);
    let mut client = client(&broker, &[quorum(), ("x-delivery-limit", Value::I32(0))]);
    let _ = client.publish("q", &["x"; 50]);
    client.poll();
    let disk = disk.after_kill();
    drop((client, broker));
    let broker = open(&disk);
    let mut client = Client::new(&broker);
    for end in ["cancel", "close", "connection"] {
        client.consume("q", "c", false).unwrap();
        sync(&broker);
        disk.set_faults(FaultPlan {
            read_error: 1 << 16,
            ..FaultPlan::default()
        });
        let _ = client.session.poll(usize::MAX, &mut client.seen, NOW);
        disk.set_faults(FaultPlan::default());
        assert_eq!(client.seen.deliveries, []);
        assert_eq!(client.session.core.withheld.len(), 1, "all of them are one run");
        match end {
            "cancel" => client.session.cancel(ONE, "c", NOW).unwrap(),
            "close" => {
                client.session.close_channel(ONE, NOW);
                client.reopen();
            }
            _ => client = Client::new(&broker),
        }
        assert_eq!(client.ready("q"), 50, "{end}");
    }
    assert_eq!(client.ready("dead"), 0);
    assert_eq!(bodies(&mut client, "q").len(), 50);
}
