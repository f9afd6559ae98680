//! Messages that an exchange puts off.

use super::dying::{bodies, deaths, declare_dying, find, reject, to};
use super::*;
use logpond_store::disk::Disk as _;
use logpond_store::disk::sim::{FaultPlan, Rng};

/// Persistent, with a delay of so many milliseconds.
fn delayed(ms: i32) -> Vec<u8> {
    let table = [b"\x07x-delayI".as_slice(), &ms.to_be_bytes()].concat();
    let len = u32::try_from(table.len()).unwrap().to_be_bytes();
    [&[0x30, 0], &len[..], &table, &[2]].concat()
}

fn declare_delaying(client: &mut Client, name: &str, kind: &str, durable: bool) -> Answer<()> {
    let arguments = [("x-delayed-type", Value::str(kind))].into_iter().collect();
    client.exchange_with(name, "x-delayed-message", durable, &arguments)
}

/// The exchange "later", which puts off, and the queue "q" bound to it by "k".
fn client(broker: &Arc<Broker<SimDisk>>) -> Client {
    let mut client = Client::new(broker);
    declare_delaying(&mut client, "later", "direct", true).unwrap();
    client.declare("q");
    client.bind("later", "q", "k").unwrap();
    client
}

fn put_off(client: &mut Client, ms: i32, body: &str) {
    let _ = client.publish_with("later", "k", &delayed(ms), &[body]);
    client.poll();
}

fn after(disk: &SimDisk, client: &mut Client, ms: u64) -> Vec<String> {
    disk.advance(ms);
    client.poll();
    bodies(client, "q")
}

#[test]
fn each_message_is_routed_when_its_time_has_come() {
    let disk = SimDisk::new(1);
    let broker = open(&disk);
    let mut client = client(&broker);
    for (ms, body) in [(300, "c"), (100, "a"), (200, "b"), (0, "now"), (-5, "past")] {
        put_off(&mut client, ms, body);
    }
    let _ = client.publish_with("later", "k", PERSISTENT, &["plain"]);
    assert_eq!(after(&disk, &mut client, 99), ["now", "past", "plain"]);
    assert_eq!(after(&disk, &mut client, 1), ["a"]);
    assert_eq!(after(&disk, &mut client, 150), ["b"]);
    disk.advance(100);
    client.poll();
    let found = find(&mut client, "q").unwrap();
    assert_eq!(found.body, "c");
    assert_eq!(found.headers.get("x-delay"), Some(&Value::I64(-300)));
    assert_eq!(deaths(&found), [], "it did not die");
}

#[test]
fn what_was_confirmed_survives_a_kill_and_comes_when_it_is_due() {
    let disk = SimDisk::new(2);
    let broker = open(&disk);
    let mut client = client(&broker);
    client.session.confirm_select(ONE, NOW).unwrap();
    for (ms, body) in [(300, "b"), (100, "a")] {
        put_off(&mut client, ms, body);
    }
    assert_eq!(client.seen.confirms.last().unwrap().0, 2);
    let disk = disk.after_kill();
    drop((client, broker));
    let broker = open(&disk);
    let mut client = Client::new(&broker);
    assert_eq!(after(&disk, &mut client, 100), ["a"]);
    put_off(&mut client, 50, "new");
    assert_eq!(after(&disk, &mut client, 999), ["new", "b"]);
    let disk = disk.after_kill();
    drop((client, broker));
    let mut client = Client::new(&open(&disk));
    assert_eq!(
        after(&disk, &mut client, 999),
        [""; 0],
        "what came does not wait any more"
    );
}

#[test]
fn whenever_the_power_goes_what_was_confirmed_comes_once() {
    for step in 1..60 {
        let disk = SimDisk::new(step);
        let broker = open(&disk);
        let mut client = client(&broker);
        client.session.confirm_select(ONE, NOW).unwrap();
        sync(&broker);
        disk.crash_at(step);
        for (ms, body) in [(200, "b"), (100, "a")] {
            put_off(&mut client, ms, body);
        }
        disk.advance(150);
        client.poll();
        let confirmed = client.seen.confirms.last().map_or(0, |(tag, _)| *tag);
        let disk = disk.after_crash(&mut Rng::new(step));
        drop((client, broker));
        let mut client = Client::new(&open(&disk));
        let mut all = after(&disk, &mut client, 999);
        all.sort();
        let mut once = all.clone();
        once.dedup();
        assert_eq!(all, once, "step {step}");
        let count = u64::try_from(all.len()).unwrap();
        assert!(count >= confirmed, "step {step}: {all:?} of {confirmed}");
    }
}

#[test]
fn bindings_count_when_the_time_has_come_and_what_reaches_nobody_then_is_dropped() {
    let disk = SimDisk::new(3);
    let broker = open(&disk);
    let mut client = Client::new(&broker);
    declare_delaying(&mut client, "later", "topic", true).unwrap();
    client.declare("q");
    put_off(&mut client, 100, "bound in time");
    client.bind("later", "q", "#").unwrap();
    assert_eq!(after(&disk, &mut client, 100), ["bound in time"]);
    let _ = client.publish_with("later", "k", &delayed(100), &["nobody's"]);
    client.delete("q").unwrap();
    disk.advance(100);
    client.poll();
    client.declare("q");
    client.bind("later", "q", "#").unwrap();
    assert_eq!(after(&disk, &mut client, 100), [""; 0]);
}

#[test]
fn a_mandatory_message_that_is_put_off_is_returned_and_comes_all_the_same() {
    let disk = SimDisk::new(4);
    let broker = open(&disk);
    let mut client = client(&broker);
    put_off(&mut client, 100, "x");
    assert_eq!(client.returned, ["x"]);
    assert_eq!(after(&disk, &mut client, 100), ["x"]);
}

#[test]
fn a_transaction_puts_off_what_it_commits() {
    let disk = SimDisk::new(5);
    let broker = open(&disk);
    let mut client = client(&broker);
    client.session.tx_select(ONE, NOW).unwrap();
    put_off(&mut client, 100, "x");
    let mut other = Client::new(&broker);
    assert_eq!(after(&disk, &mut other, 100), [""; 0]);
    client.session.tx_commit(ONE, NOW, &mut |_| {}).unwrap();
    assert_eq!(after(&disk, &mut other, 100), ["x"]);
}

#[test]
fn an_expiration_counts_from_when_the_time_has_come() {
    let disk = SimDisk::new(6);
    let broker = open(&disk);
    let mut client = client(&broker);
    let mut properties = delayed(100);
    properties[0] |= 1;
    properties.extend(b"\x0250");
    let _ = client.publish_with("later", "k", &properties, &["x"]);
    disk.advance(100);
    client.poll();
    disk.advance(40);
    client.poll();
    assert_eq!(client.ready("q"), 1);
    disk.advance(20);
    client.poll();
    assert_eq!(client.ready("q"), 0);
}

#[test]
fn what_other_exchanges_and_dead_letters_bring_is_put_off_once() {
    let disk = SimDisk::new(7);
    let broker = open(&disk);
    let mut client = client(&broker);
    let arguments = &Arguments::new();
    client.exchange("front", "fanout", true).unwrap();
    let binding = Binding {
        source: "front",
        destination: "later",
        routing_key: b"",
        arguments,
    };
    client.session.exchange_bind(ONE, &binding, NOW).unwrap();
    let _ = client.publish_with("front", "k", &delayed(100), &["bound"]);
    assert_eq!(after(&disk, &mut client, 99), [""; 0]);
    assert_eq!(after(&disk, &mut client, 1), ["bound"]);

    client.declare_with("work", &to("later", Some("k"))).unwrap();
    let _ = client.publish_with("", "work", &delayed(100), &["again"]);
    reject(&mut client, "work");
    assert_eq!(after(&disk, &mut client, 99), [""; 0]);
    disk.advance(1);
    client.poll();
    let found = find(&mut client, "q").unwrap();
    assert_eq!(found.body, "again");
    assert_eq!(deaths(&found), [("work".into(), "rejected".into(), 1)]);
}

#[test]
fn hidden_keys_route_what_was_put_off_and_a_history_goes_on() {
    let disk = SimDisk::new(8);
    let broker = open(&disk);
    let mut client = client(&broker);
    declare_dying(&mut client, "work", &to("later", None)).unwrap();
    client.bind("later", "q", "work").unwrap();
    // BCC: ["k"], and x-delay.
    let table = [
        b"\x03BCCA\0\0\0\x06S\0\0\0\x01k".as_slice(),
        b"\x07x-delayI\0\0\0\x64",
    ]
    .concat();
    let len = u32::try_from(table.len()).unwrap().to_be_bytes();
    let properties = [&[0x30, 0], &len[..], &table, &[2]].concat();
    let _ = client.publish_with("later", "nobody's", &properties, &["hidden"]);
    assert_eq!(after(&disk, &mut client, 99), [""; 0]);
    disk.advance(1);
    client.poll();
    let found = find(&mut client, "q").unwrap();
    assert_eq!((&*found.body, found.headers.get("BCC")), ("hidden", None));
}

#[test]
fn what_waits_goes_with_its_exchange() {
    let disk = SimDisk::new(9);
    let broker = open(&disk);
    let mut client = client(&broker);
    put_off(&mut client, 100, "gone");
    client.session.exchange_delete(ONE, "later", false, NOW).unwrap();
    declare_delaying(&mut client, "later", "direct", true).unwrap();
    client.bind("later", "q", "k").unwrap();
    put_off(&mut client, 100, "new");
    let disk = disk.after_kill();
    drop((client, broker));
    let broker = open(&disk);
    let mut client = Client::new(&broker);
    assert_eq!(after(&disk, &mut client, 200), ["new"]);
    client.session.exchange_delete(ONE, "later", false, NOW).unwrap();
    let disk = disk.after_kill();
    drop((client, broker));
    let store = logpond_store::Options::tiny();
    let options = BrokerOptions {
        store,
        ..BrokerOptions::default()
    };
    let (_, report) = Broker::open(disk, options).unwrap();
    assert_eq!(report.warnings, [""; 0]);
}

#[test]
fn an_exchange_whose_deletion_was_interrupted_puts_off_again() {
    for step in 1..12 {
        let disk = SimDisk::new(step);
        let broker = open(&disk);
        let mut client = client(&broker);
        sync(&broker);
        disk.crash_at(step);
        let _interrupted = client.session.exchange_delete(ONE, "later", false, NOW);
        let disk = disk.after_crash(&mut Rng::new(step));
        drop((client, broker));
        let broker = open(&disk);
        let mut client = Client::new(&broker);
        declare_delaying(&mut client, "later", "direct", true).unwrap();
        client.bind("later", "q", "k").unwrap();
        put_off(&mut client, 100, "x");
        assert_eq!(after(&disk, &mut client, 99), [""; 0], "step {step}");
        assert_eq!(after(&disk, &mut client, 1), ["x"], "step {step}");
    }
}

#[test]
fn an_exchange_that_is_not_durable_puts_off_too_and_leaves_nothing() {
    let disk = SimDisk::new(10);
    let broker = open(&disk);
    let mut client = client(&broker);
    declare_delaying(&mut client, "fleeting", "fanout", false).unwrap();
    client.bind("fleeting", "q", "").unwrap();
    let _ = client.publish_with("fleeting", "", &delayed(100), &["x"]);
    assert_eq!(after(&disk, &mut client, 100), ["x"]);
    let _ = client.publish_with("fleeting", "", &delayed(300), &["lost"]);
    client.poll();
    let disk = disk.after_kill();
    drop((client, broker));
    let mut client = Client::new(&open(&disk));
    assert_eq!(after(&disk, &mut client, 300), [""; 0]);
}

#[test]
fn nobody_waits_for_many_that_are_due_together() {
    const MANY: u32 = 4200;
    let disk = SimDisk::new(11);
    let broker = open(&disk);
    let mut client = client(&broker);
    let mut other = Client::new(&broker);
    other.declare("other");
    for _ in 0..MANY {
        let _ = client.publish_with("later", "k", &delayed(100), &["x"]);
    }
    sync(&broker);
    disk.advance(100);
    while client.ready("q") < MANY {
        for _ in 0..8 {
            broker.step();
        }
        assert_eq!(other.publish("other", &["x"]), Flow::Continue);
    }
}

#[test]
fn what_the_disk_does_not_give_when_it_is_due_comes_when_it_does() {
    let disk = SimDisk::new(12);
    let broker = open(&disk);
    let mut client = client(&broker);
    put_off(&mut client, 100, "x");
    declare_dying(&mut client, "work", &[("x-message-ttl", Value::I32(100))]).unwrap();
    client.declare("dead");
    let _ = client.publish("work", &["y"]);
    client.poll();
    let disk = disk.after_kill();
    drop((client, broker));
    let broker = open(&disk);
    let mut client = Client::new(&broker);
    disk.advance(100);
    let due = broker.store.lock().shard().expire(disk.now(), 9);
    assert_eq!(due.unwrap(), 2);
    disk.set_faults(FaultPlan {
        read_error: 1 << 16,
        ..FaultPlan::default()
    });
    for _ in 0..3 {
        assert!(broker.move_dead_letters(disk.now()));
        keep_up(&broker, disk.now());
    }
    disk.set_faults(FaultPlan::default());
    assert_eq!(bodies(&mut client, "q"), ["x"]);
    let found = find(&mut client, "dead").unwrap();
    assert_eq!(deaths(&found), [("work".into(), "expired".into(), 1)]);
    keep_up(&broker, disk.now());
    assert_eq!(after(&disk, &mut client, 100), [""; 0], "once");
}

#[test]
fn an_exchange_that_could_not_put_off_is_not_there() {
    let disk = SimDisk::new(13);
    let broker = open(&disk);
    let mut client = Client::new(&broker);
    client.declare("q");
    disk.set_faults(FaultPlan {
        write_error: 1 << 16,
        ..FaultPlan::default()
    });
    let _ = client.publish("q", &["x"]);
    sync(&broker);
    disk.set_faults(FaultPlan::default());
    declare_delaying(&mut client, "later", "direct", true).unwrap_err();
    let vhost = broker.vhost("/").unwrap();
    assert!(vhost.topology().exchange(b"later").is_none());
}

#[test]
fn how_an_exchange_chooses_later_is_checked_in_the_plugins_words() {
    let broker = broker();
    let mut client = Client::new(&broker);
    let refused = |client: &mut Client, arguments: &[(&str, Value)]| {
        let arguments = arguments.iter().cloned().collect();
        let answer = client.exchange_with("e", "x-delayed-message", true, &arguments);
        client.reopen();
        refusal(answer).1
    };
    assert_eq!(
        refused(&mut client, &[]),
        "406 PRECONDITION_FAILED - Invalid argument, 'x-delayed-type' must be an existing exchange type"
    );
    assert_eq!(
        refused(
            &mut client,
            &[("x-delayed-type", Value::str("x-delayed-message"))]
        ),
        "406 PRECONDITION_FAILED - Invalid argument, 'x-delayed-message' can't be used for 'x-delayed-type'"
    );
    assert_eq!(
        refused(&mut client, &[("x-delayed-type", Value::str("what"))]),
        "406 PRECONDITION_FAILED - unknown exchange type 'what'"
    );
}
