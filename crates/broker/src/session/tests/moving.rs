//! Dead letters on their way: crashes, deletions, many at once.

use super::dying::*;
use super::*;

#[test]
fn letters_and_their_history_survive_a_kill_and_nothing_is_there_twice() {
    let disk = SimDisk::new(3);
    let broker = open(&disk);
    let mut client = client(&broker, &[("x-max-length", Value::I32(2))]);
    let _ = client.publish("q", &["a", "b", "c", "d"]);
    client.poll();
    reject(&mut client, "q");
    let survivor = disk.after_kill();
    drop((client, broker));
    let broker = open(&survivor);
    let mut client = Client::new(&broker);
    let found = find(&mut client, "dead").unwrap();
    assert_eq!(
        (&*found.body, deaths(&found)),
        ("a", vec![("q".into(), "maxlen".into(), 1)])
    );
    assert_eq!(bodies(&mut client, "dead"), ["b", "c"]);
    assert_eq!(bodies(&mut client, "q"), ["d"]);
}

#[test]
fn whenever_the_power_goes_a_message_is_in_one_queue_and_not_in_both() {
    for step in 1..60 {
        let disk = SimDisk::new(step);
        let broker = open(&disk);
        let mut client = client(&broker, &[("x-max-length", Value::I32(1))]);
        client.session.confirm_select(ONE, NOW).unwrap();
        sync(&broker);
        disk.crash_at(step);
        let _ = client.publish("q", &["a", "b"]);
        client.poll();
        let confirmed = client.seen.confirms.last().map_or(0, |(tag, _)| *tag);
        let survivor = disk.after_crash(&mut logpond_store::disk::sim::Rng::new(step));
        drop((client, broker));
        let broker = open(&survivor);
        let mut client = Client::new(&broker);
        let mut all = bodies(&mut client, "q");
        all.extend(bodies(&mut client, "dead"));
        all.sort();
        let mut once = all.clone();
        once.dedup();
        assert_eq!(all, once, "step {step}");
        assert!(
            u64::try_from(all.len()).unwrap() >= confirmed,
            "step {step}: {all:?} of {confirmed}"
        );
    }
}

#[test]
fn who_rejects_a_message_and_asks_for_its_letter_gets_it() {
    let broker = broker();
    let mut client = client(&broker, &[]);
    let _ = client.publish("q", &["x", "y"]);
    client.poll();
    for body in ["x", "y"] {
        let tag = client.get("q", false).unwrap().tag;
        client.nack(tag, Extent::One, GiveBack::Drop);
        assert_eq!(
            client.get("dead", true).map(|got| got.body).as_deref(),
            Some(body)
        );
        assert_eq!(client.get("dead", true), None);
    }
}

#[test]
fn letters_of_a_deleted_queue_go_nowhere() {
    let broker = broker();
    let mut client = client(&broker, &[]);
    let _ = client.publish("q", &["x", "y"]);
    client.poll();
    let tag = client.get("q", false).unwrap().tag;
    client.nack(tag, Extent::One, GiveBack::Drop);
    client.delete("q").unwrap();
    assert_eq!(bodies(&mut client, "dead"), [""; 0]);
}

#[test]
fn more_letters_than_are_moved_at_once_all_arrive_in_order() {
    let broker = broker();
    let mut client = client(&broker, &[("x-max-length", Value::I32(0))]);
    let bodies_sent: Vec<_> = (0..300).map(|n| format!("{n:03}")).collect();
    for body in &bodies_sent {
        let _ = client.publish("q", &[body]);
    }
    assert_eq!(bodies(&mut client, "dead"), bodies_sent);
}

#[test]
fn whoever_moves_letters_is_woken_once_until_it_has_looked() {
    let broker = broker();
    let wakes = Arc::new(Wakes::default());
    broker.watch_dead_letters(Waker::from(Arc::clone(&wakes)));
    let mut client = client(&broker, &[("x-max-length", Value::I32(0))]);
    let store = |broker: &Broker<SimDisk>| while broker.store.step() {};
    let _ = client.publish("q", &["a"]);
    store(&broker);
    let _ = client.publish("q", &["b"]);
    store(&broker);
    assert_eq!(wakes.0.load(Ordering::Relaxed), 1);
    while broker.move_dead_letters(NOW) {}
    let _ = client.publish("q", &["c"]);
    store(&broker);
    assert_eq!(wakes.0.load(Ordering::Relaxed), 2);
}

#[test]
fn a_history_goes_on_after_a_kill() {
    let disk = SimDisk::new(3);
    let broker = open(&disk);
    let mut client = Client::new(&broker);
    client.declare_with("a", &to("", Some("b"))).unwrap();
    client.declare_with("b", &to("", Some("a"))).unwrap();
    let _ = client.publish("a", &["x"]);
    for queue in ["a", "b"] {
        reject(&mut client, queue);
    }
    let survivor = disk.after_kill();
    drop((client, broker));
    let broker = open(&survivor);
    let mut client = Client::new(&broker);
    reject(&mut client, "a");
    let found = find(&mut client, "b").unwrap();
    let expected = [
        ("a".into(), "rejected".into(), 2),
        ("b".into(), "rejected".into(), 1),
    ];
    assert_eq!(deaths(&found), expected);
}

#[test]
fn whenever_the_power_goes_what_was_rejected_is_there_once() {
    for step in 1..40 {
        let disk = SimDisk::new(step);
        let broker = open(&disk);
        let mut client = client(&broker, &[]);
        let _ = client.publish("q", &["a", "b", "c"]);
        client.poll();
        for _ in 0..3 {
            client.get("q", false).unwrap();
        }
        sync(&broker);
        disk.crash_at(step);
        client.nack(3, Extent::UpTo, GiveBack::Drop);
        client.poll();
        let survivor = disk.after_crash(&mut logpond_store::disk::sim::Rng::new(step));
        drop((client, broker));
        let broker = open(&survivor);
        let mut client = Client::new(&broker);
        let mut all = bodies(&mut client, "q");
        all.extend(bodies(&mut client, "dead"));
        all.sort();
        assert_eq!(all, ["a", "b", "c"], "step {step}");
    }
}
