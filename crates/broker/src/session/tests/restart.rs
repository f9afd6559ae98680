//! What is there after a restart, clean or not.

use super::*;
use crate::entries::{BindingEntry, binding_key};
use logpond_store::disk::sim::Rng;

fn restarted(disk: &SimDisk, broker: Arc<Broker<SimDisk>>) -> (SimDisk, Arc<Broker<SimDisk>>) {
    let survivor = disk.after_kill();
    drop(broker);
    let broker = open(&survivor);
    (survivor, broker)
}

#[test]
fn definitions_survive_and_work() {
    let disk = SimDisk::new(3);
    let broker = open(&disk);
    let mut client = Client::new(&broker);
    client.exchange("news", "topic", true).unwrap();
    client.declare("q");
    client.bind("news", "q", "a.*").unwrap();
    client.declare("gone");
    client.delete("gone").unwrap();
    drop(client);
    let (_disk, broker) = restarted(&disk, broker);
    let mut client = Client::new(&broker);
    let _ = client.publish_with("news", "a.b", PERSISTENT, &["x"]);
    assert_eq!(client.ready("q"), 1);
    assert!(client.declare_passively("gone").is_err());
}

#[test]
fn a_binding_that_would_be_refused_today_still_works() {
    let disk = SimDisk::new(3);
    let broker = open(&disk);
    let mut client = Client::new(&broker);
    client.declare("q");
    client.bind("amq.topic", "q", "never").unwrap();
    let vhost = broker.vhost("/").unwrap();
    let topology = vhost.topology();
    let bound = topology.routes.bindings_from(b"amq.topic").next().unwrap();
    let binding = logpond_routing::Binding {
        key: "#.#.#.b".into(),
        ..(**bound).clone()
    };
    let key = binding_key("/", &binding);
    let entry = BindingEntry {
        vhost: "/".into(),
        binding,
    };
    broker.store.catalog().put(&key, &entry).unwrap();
    drop((client, topology, vhost));
    let (_disk, broker) = restarted(&disk, broker);
    let mut client = Client::new(&broker);
    let _ = client.publish_with("amq.topic", "a.b", PERSISTENT, &["x"]);
    assert_eq!(client.ready("q"), 1);
}

#[test]
fn a_deleted_queue_leaves_no_binding_behind() {
    let disk = SimDisk::new(3);
    let broker = open(&disk);
    let mut client = Client::new(&broker);
    client.declare("q");
    client.bind("amq.direct", "q", "k").unwrap();
    client.delete("q").unwrap();
    client.declare("q");
    drop(client);
    let (_disk, broker) = restarted(&disk, broker);
    let mut client = Client::new(&broker);
    let _ = client.publish_with("amq.direct", "k", PERSISTENT, &["x"]);
    assert_eq!(client.returned, ["x"]);
}

#[test]
fn persistent_messages_of_durable_queues_survive_and_nothing_else() {
    let disk = SimDisk::new(4);
    let broker = open(&disk);
    let mut client = Client::new(&broker);
    client.declare("durable");
    client.declare_as("fleeting", false, false, false).unwrap();
    client.declare_as("mine", true, true, false).unwrap();
    for queue in ["durable", "fleeting", "mine"] {
        let _ = client.publish_with("", queue, PERSISTENT, &["kept"]);
        let _ = client.publish_with("", queue, PLAIN, &["lost"]);
    }
    sync(&broker);
    let survivor = disk.after_kill();
    drop((client, broker));
    let broker = open(&survivor);
    let mut client = Client::new(&broker);
    assert_eq!(client.get("durable", true).unwrap().body, "kept");
    assert_eq!(client.get("durable", true), None);
    assert!(client.declare_passively("fleeting").is_err());
    client.reopen();
    assert!(client.declare_passively("mine").is_err());
}

#[test]
fn what_was_not_acknowledged_comes_back_redelivered_and_what_was_does_not() {
    let disk = SimDisk::new(5);
    let broker = open(&disk);
    let mut client = Client::new(&broker);
    client.declare("q");
    let _ = client.publish("q", &["1", "2", "3"]);
    client.consume("q", "t", false).unwrap();
    assert_eq!(client.bodies(), ["1", "2", "3"]);
    client.ack(2, Extent::One);
    sync(&broker);
    let survivor = disk.after_kill();
    drop((client, broker));
    let broker = open(&survivor);
    let mut client = Client::new(&broker);
    for body in ["1", "3"] {
        let got = client.get("q", true).unwrap();
        assert_eq!((got.body.as_str(), got.redelivered), (body, true));
    }
    assert_eq!(client.get("q", true), None);
}

#[test]
fn after_power_loss_everything_that_was_answered_is_there() {
    for seed in 0..60 {
        let disk = SimDisk::new(seed);
        let broker = open(&disk);
        let mut client = Client::new(&broker);
        client.session.confirm_select(ONE, NOW).unwrap();
        disk.crash_at(20 + seed * 3);
        let mut declared = Vec::new();
        for n in 0..10 {
            let name = format!("q{n}");
            if client.declare_as(&name, true, false, false).is_err() {
                break;
            }
            declared.push(name.clone());
            if client.bind("amq.fanout", &name, "").is_err() {
                break;
            }
            let _ = client.publish_with("amq.fanout", "", PERSISTENT, &[&n.to_string()]);
            client.poll();
        }
        let confirmed = client.seen.confirms.last().map_or(0, |&(tag, _)| tag);
        let survivor = disk.after_crash(&mut Rng::new(seed));
        drop((client, broker));
        let broker = open(&survivor);
        let mut client = Client::new(&broker);
        for (n, name) in declared.iter().enumerate() {
            let ready = u64::from(client.ready(name));
            // Queue n was bound before publish n, which is tag n + 1.
            let promised = confirmed.saturating_sub(u64::try_from(n).unwrap());
            assert!(ready >= promised, "seed {seed}: {name} has {ready} of {promised}");
        }
    }
}

#[test]
fn a_deletion_that_was_interrupted_leaves_nothing_that_publishes_stumble_over() {
    for step in 1..30 {
        let disk = SimDisk::new(step);
        let broker = open(&disk);
        let mut client = Client::new(&broker);
        client.declare("q");
        client.bind("amq.fanout", "q", "").unwrap();
        let _ = client.publish("q", &["1"]);
        sync(&broker);
        disk.crash_at(step);
        let _ = client.delete("q");
        let survivor = disk.after_crash(&mut Rng::new(step));
        drop((client, broker));
        let broker = open(&survivor);
        let mut client = Client::new(&broker);
        let _ = client.publish_with("amq.fanout", "", PERSISTENT, &["2"]);
        assert_eq!(client.failed, []);
        client.declare("q");
        client.bind("amq.fanout", "q", "").unwrap();
        let _ = client.publish_with("amq.fanout", "", PERSISTENT, &["3"]);
        assert_eq!(client.failed, []);
        let mut last = None;
        while let Some(got) = client.get("q", true) {
            last = Some(got.body);
        }
        assert_eq!(last.as_deref(), Some("3"), "step {step}");
    }
}

#[test]
fn a_clean_stop_keeps_everything() {
    let disk = SimDisk::new(6);
    let broker = open(&disk);
    let mut client = Client::new(&broker);
    client.declare("q");
    let _ = client.publish("q", &["1"]);
    client.session.close(NOW);
    broker.close().unwrap();
    let broker = open(&disk.after_kill());
    assert_eq!(Client::new(&broker).get("q", true).unwrap().body, "1");
}

#[test]
fn when_a_write_fails_nothing_is_confirmed_and_the_connection_is_told() {
    let disk = SimDisk::new(8);
    let broker = open(&disk);
    let mut client = Client::new(&broker);
    client.declare("q");
    client.session.confirm_select(ONE, NOW).unwrap();
    sync(&broker);
    disk.crash_at(1);
    let _ = client.publish("q", &["1"]);
    client.poll();
    assert_eq!(client.seen.confirms, []);
    assert_eq!(client.seen.closed.len(), 1);
    assert_eq!(client.seen.closed[0].code, ReplyCode::InternalError);
}
