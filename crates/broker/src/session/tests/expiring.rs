//! Queues that go when nobody uses them.

use super::*;
use logpond_store::disk::Disk as _;

fn at(mono_ms: u64) -> Now {
    Now { mono_ms, ..NOW }
}

/// A client, and a queue "q" that expires after a hundred milliseconds, declared at the first.
fn client(broker: &Arc<Broker<SimDisk>>) -> Client {
    let mut client = Client::new(broker);
    client
        .declare_with("q", &[("x-expires", Value::I32(100))])
        .unwrap();
    client
}

fn exists(client: &Client) -> bool {
    // A declaration, even a passive one, would count as use.
    client.broker.vhost("/").unwrap().topology().queue("q").is_some()
}

fn passive(client: &mut Client, now: Now) {
    let arguments = &Arguments::new();
    let request = QueueDeclare {
        name: "q",
        passive: true,
        durable: false,
        exclusive: false,
        auto_delete: false,
        arguments,
    };
    client.session.queue_declare(ONE, &request, now).unwrap();
}

#[test]
fn a_queue_that_nobody_uses_goes_after_its_time_and_not_before() {
    let broker = broker();
    let mut client = client(&broker);
    let _ = client.publish("q", &["publishing is no use"]);
    keep_up(&broker, at(100));
    assert!(exists(&client));
    keep_up(&broker, at(101));
    assert!(!exists(&client));
    assert_eq!(
        refusal(client.declare_passively("q")).1,
        "404 NOT_FOUND - no queue 'q' in vhost '/'"
    );
}

#[test]
fn who_waits_for_a_tick_is_woken_when_one_is_due_earlier() {
    let broker = broker();
    let wakes = Arc::new(Wakes::default());
    broker.watch_ticks(Waker::from(Arc::clone(&wakes)));
    assert_eq!(broker.next_tick_ms(NOW), None);
    let mut client = client(&broker);
    assert_eq!(wakes.0.load(Ordering::Relaxed), 1, "a queue that expires");
    assert_eq!(broker.next_tick_ms(NOW), Some(101));
    client
        .declare_with("later", &[("x-expires", Value::I32(1_000))])
        .unwrap();
    assert_eq!(wakes.0.load(Ordering::Relaxed), 1, "one that expires later");
    client
        .declare_with("earlier", &[("x-expires", Value::I32(50))])
        .unwrap();
    assert_eq!(wakes.0.load(Ordering::Relaxed), 2, "one that expires earlier");
    assert_eq!(broker.next_tick_ms(NOW), Some(51));
}

#[test]
fn who_waits_for_a_tick_hears_of_a_consumer_that_was_the_last() {
    let broker = broker();
    let mut client = client(&broker);
    client.consume("q", "t", false).unwrap();
    keep_up(&broker, at(10_000));
    let wakes = Arc::new(Wakes::default());
    broker.watch_ticks(Waker::from(Arc::clone(&wakes)));
    assert_eq!(broker.next_tick_ms(at(10_000)), None);
    client.session.cancel(ONE, "t", at(20_000)).unwrap();
    assert_eq!(wakes.0.load(Ordering::Relaxed), 1);
}

#[test]
fn declaring_and_getting_are_use() {
    let broker = broker();
    let mut client = client(&broker);
    passive(&mut client, at(90));
    keep_up(&broker, at(150));
    assert!(exists(&client));
    client
        .session
        .get(ONE, "q", true, at(180), &mut |_, _| {})
        .unwrap();
    keep_up(&broker, at(250));
    assert!(exists(&client));
    keep_up(&broker, at(280));
    assert!(!exists(&client));
}

#[test]
fn a_queue_with_a_consumer_does_not_expire_and_its_time_begins_when_that_goes() {
    let broker = broker();
    let mut client = client(&broker);
    client.consume("q", "t", false).unwrap();
    keep_up(&broker, at(10_000));
    assert!(exists(&client));
    client.session.cancel(ONE, "t", at(20_000)).unwrap();
    keep_up(&broker, at(20_099));
    assert!(exists(&client));
    keep_up(&broker, at(20_100));
    assert!(!exists(&client));
}

#[test]
fn a_consumer_that_goes_with_its_channel_counts_as_well() {
    let broker = broker();
    let mut client = client(&broker);
    client.consume("q", "t", false).unwrap();
    keep_up(&broker, at(10_000));
    client.session.close_channel(ONE, at(20_000));
    keep_up(&broker, at(20_100));
    assert!(!exists(&client));
}

#[test]
fn a_queue_that_was_deleted_and_declared_again_has_a_time_of_its_own() {
    let broker = broker();
    let mut client = client(&broker);
    client.delete("q").unwrap();
    client.declare("q");
    keep_up(&broker, at(10_000));
    assert!(exists(&client));
}

#[test]
fn after_a_restart_the_time_begins_again() {
    let disk = SimDisk::new(5);
    let before = open(&disk);
    drop(client(&before));
    let survivor = disk.after_kill();
    drop(before);
    let after = open(&survivor);
    let client = Client::new(&after);
    let start = survivor.now().mono_ms;
    keep_up(&after, at(start + 99));
    assert!(exists(&client));
    keep_up(&after, at(start + 100));
    assert!(!exists(&client));
}

#[test]
fn an_expired_queue_stays_away_after_a_restart() {
    let disk = SimDisk::new(5);
    let before = open(&disk);
    let client = client(&before);
    keep_up(&before, at(10_000));
    drop(client);
    let survivor = disk.after_kill();
    drop(before);
    let client = Client::new(&open(&survivor));
    assert!(!exists(&client));
}

#[test]
fn queues_and_consumers_that_come_and_go_leave_nothing_behind() {
    let broker = broker();
    let mut client = client(&broker);
    let long = [("x-expires", Value::I32(i32::MAX))];
    for _ in 0..3_000 {
        client.consume("q", "t", true).unwrap();
        client.session.cancel(ONE, "t", NOW).unwrap();
        client.declare_with("other", &long).unwrap();
        client.delete("other").unwrap();
        sync(&broker);
    }
    let kept = broker.store.lock().parts().1.expirations.len();
    assert!(kept < 1100, "{kept}");
    keep_up(&broker, at(101));
    assert!(!exists(&client));
}

#[test]
fn an_expiry_that_a_policy_shortens_holds_at_once() {
    let broker = broker();
    let mut client = Client::new(&broker);
    client
        .declare_with("q", &[("x-expires", Value::I32(100_000))])
        .unwrap();
    let document =
        br#"{"policies": [{"vhost": "/", "name": "p", "pattern": "q", "definition": {"expires": 50}}]}"#;
    broker.import_definitions(document, at(1000)).unwrap();
    keep_up(&broker, at(1049));
    assert!(exists(&client));
    keep_up(&broker, at(1050));
    assert!(!exists(&client));
}
