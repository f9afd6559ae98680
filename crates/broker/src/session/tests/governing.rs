//! Policies: what holds for queues and exchanges by their names.

use super::*;
use crate::auth::Pattern;
use crate::policy::{ApplyTo, Policy, PolicyKind};
use logpond_store::disk::Disk as _;

fn policy(name: &str, pattern: &str, definition: &[(&str, Value)]) -> Policy {
    Policy {
        vhost: "/".into(),
        name: name.into(),
        kind: PolicyKind::User,
        pattern: Pattern::new(pattern).unwrap(),
        apply_to: ApplyTo::All,
        priority: 0,
        definition: definition
            .iter()
            .map(|(key, value)| ((*key).to_owned(), value.clone()))
            .collect(),
    }
}

fn expiring(name: &str, pattern: &str, after_ms: i64) -> Policy {
    policy(name, pattern, &[("expires", Value::I64(after_ms))])
}

/// After how many milliseconds without use the queue goes.
fn expires_ms(broker: &Broker<SimDisk>, queue: &str) -> Option<u64> {
    let id = broker.vhost("/").unwrap().topology().queue(queue).unwrap();
    let mut guard = broker.store.lock();
    let (_, state) = guard.parts();
    state.queues[&id].expiry.map(|expiry| expiry.after_ms)
}

#[test]
fn a_policy_holds_for_queues_that_exist_and_for_those_that_come() {
    let broker = broker();
    let mut client = Client::new(&broker);
    client.declare("temp-1");
    client.declare("kept");
    broker.put_policy(expiring("p", "^temp", 100), NOW).unwrap();
    client.declare("temp-2");
    assert_eq!(expires_ms(&broker, "temp-1"), Some(100));
    assert_eq!(expires_ms(&broker, "temp-2"), Some(100));
    assert_eq!(expires_ms(&broker, "kept"), None);
    broker.delete_policy("/", PolicyKind::User, "p", NOW).unwrap();
    assert_eq!(expires_ms(&broker, "temp-1"), None);
}

#[test]
fn who_waits_for_a_tick_hears_of_a_policy_that_makes_queues_expire() {
    let broker = broker();
    Client::new(&broker).declare("q");
    let wakes = Arc::new(Wakes::default());
    broker.watch_ticks(Waker::from(Arc::clone(&wakes)));
    assert_eq!(broker.next_tick_ms(NOW), None);
    broker.put_policy(expiring("p", "q", 100), NOW).unwrap();
    assert_eq!(wakes.0.load(Ordering::Relaxed), 1);
    assert_eq!(broker.next_tick_ms(NOW), Some(101));
}

#[test]
fn who_watches_the_store_hears_of_its_end_when_nothing_else_wakes_them() {
    let disk = SimDisk::new(7);
    let broker = open(&disk);
    let mut client = Client::new(&broker);
    client.declare("q");
    sync(&broker);
    let wakes = Arc::new(Wakes::default());
    broker.watch_store(Waker::from(Arc::clone(&wakes)));
    let _ = client.publish("q", &["a"]);
    // Without having been asked whether the store rests, no write wakes anybody.
    disk.fail_at(1);
    sync(&broker);
    assert!(broker.poisoned().is_some());
    assert_eq!(wakes.0.load(Ordering::Relaxed), 1);
}

#[test]
fn the_policy_with_the_highest_priority_holds_alone() {
    let broker = broker();
    Client::new(&broker).declare("q");
    broker
        .put_policy(
            Policy {
                priority: 1,
                ..expiring("low", "q", 50)
            },
            NOW,
        )
        .unwrap();
    broker
        .put_policy(
            Policy {
                priority: 7,
                ..expiring("high", "q", 900)
            },
            NOW,
        )
        .unwrap();
    assert_eq!(expires_ms(&broker, "q"), Some(900));
    let other = policy("highest", "q", &[("max-length", Value::I64(5))]);
    broker.put_policy(Policy { priority: 8, ..other }, NOW).unwrap();
    assert_eq!(expires_ms(&broker, "q"), None, "policies are not added up");
}

#[test]
fn an_operator_policy_is_merged_and_the_smaller_limit_holds() {
    let broker = broker();
    Client::new(&broker).declare("q");
    broker.put_policy(expiring("p", "", 500), NOW).unwrap();
    let operator = |after_ms| Policy {
        kind: PolicyKind::Operator,
        ..expiring("p", "", after_ms)
    };
    broker.put_policy(operator(900), NOW).unwrap();
    assert_eq!(expires_ms(&broker, "q"), Some(500));
    broker.put_policy(operator(200), NOW).unwrap();
    assert_eq!(expires_ms(&broker, "q"), Some(200));
    broker.delete_policy("/", PolicyKind::User, "p", NOW).unwrap();
    assert_eq!(expires_ms(&broker, "q"), Some(200), "it has a name of its own");
}

#[test]
fn of_a_limit_in_argument_and_policy_the_smaller_holds() {
    let broker = broker();
    let mut client = Client::new(&broker);
    client
        .declare_with("q", &[("x-expires", Value::I32(300))])
        .unwrap();
    broker.put_policy(expiring("p", "q", 400), NOW).unwrap();
    assert_eq!(expires_ms(&broker, "q"), Some(300));
    broker.put_policy(expiring("p", "q", 200), NOW).unwrap();
    assert_eq!(expires_ms(&broker, "q"), Some(200));
}

#[test]
fn a_policy_that_a_kind_of_queue_cannot_obey_is_not_for_it() {
    let broker = broker();
    let mut client = Client::new(&broker);
    client.declare("classic");
    client
        .declare_with("quorum", &[("x-queue-type", Value::str("quorum"))])
        .unwrap();
    let definition = [("expires", Value::I64(100)), ("delivery-limit", Value::I64(5))];
    broker.put_policy(policy("p", "", &definition), NOW).unwrap();
    assert_eq!(expires_ms(&broker, "classic"), None);
    assert_eq!(expires_ms(&broker, "quorum"), Some(100));
    let for_classic = Policy {
        apply_to: ApplyTo::ClassicQueues,
        ..expiring("p", "", 100)
    };
    broker.put_policy(for_classic, NOW).unwrap();
    assert_eq!(expires_ms(&broker, "classic"), Some(100));
    assert_eq!(expires_ms(&broker, "quorum"), None);
}

#[test]
fn a_policy_gives_an_exchange_its_alternate() {
    let broker = broker();
    let mut client = Client::new(&broker);
    client.declare("lost");
    client.bind("amq.fanout", "lost", "").unwrap();
    client.exchange("orders", "direct", true).unwrap();
    let alternate = [("alternate-exchange", Value::str("amq.fanout"))];
    broker
        .put_policy(policy("p", "^orders$", &alternate), NOW)
        .unwrap();
    let _ = client.publish_with("orders", "nobody", PERSISTENT, &["1"]);
    client.poll();
    assert_eq!(client.ready("lost"), 1);
    let arguments = [("alternate-exchange", Value::str("nowhere"))]
        .into_iter()
        .collect();
    client
        .exchange_with("orders-own", "direct", true, &arguments)
        .unwrap();
    broker
        .put_policy(policy("p", "^orders", &alternate), NOW)
        .unwrap();
    let _ = client.publish_with("orders-own", "nobody", PERSISTENT, &["2"]);
    assert_eq!(client.returned, ["2"], "its own argument goes first");
    broker.delete_policy("/", PolicyKind::User, "p", NOW).unwrap();
    let _ = client.publish_with("orders", "nobody", PERSISTENT, &["3"]);
    assert_eq!(client.returned, ["2", "3"]);
}

#[test]
fn policies_survive_a_restart() {
    let disk = SimDisk::new(11);
    let before = open(&disk);
    let mut client = Client::new(&before);
    client.declare("q");
    client.exchange("x", "direct", true).unwrap();
    let definition = [
        ("expires", Value::I64(100)),
        ("alternate-exchange", Value::str("amq.fanout")),
    ];
    before.put_policy(policy("p", "", &definition), NOW).unwrap();
    before.put_policy(expiring("gone", "", 1), NOW).unwrap();
    before.delete_policy("/", PolicyKind::User, "gone", NOW).unwrap();
    drop(client);
    let survivor = disk.after_kill();
    drop(before);
    let after = open(&survivor);
    assert_eq!(after.policies("/").unwrap(), [policy("p", "", &definition)]);
    assert_eq!(expires_ms(&after, "q"), Some(100));
    let vhost = after.vhost("/").unwrap();
    let topology = vhost.topology();
    assert_eq!(
        topology.exchange(b"x").unwrap().spec().alternate,
        Some("amq.fanout".into())
    );
    keep_up(
        &after,
        Now {
            mono_ms: survivor.now().mono_ms + 100,
            ..NOW
        },
    );
    assert_eq!(vhost.topology().queue("q"), None);
}

#[test]
fn a_policy_that_nothing_obeys_is_refused() {
    let broker = broker();
    let refused = broker.put_policy(policy("p", "", &[("max-length", Value::I64(-1))]), NOW);
    assert_eq!(
        refusal(refused).1,
        "406 PRECONDITION_FAILED - -1 is not a valid maximum length"
    );
    let elsewhere = Policy {
        vhost: "elsewhere".into(),
        ..expiring("p", "", 1)
    };
    assert_eq!(
        refusal(broker.put_policy(elsewhere, NOW)).1,
        "404 NOT_FOUND - no vhost 'elsewhere'"
    );
}

#[test]
fn a_policy_that_delays_retries_says_from_when_on() {
    let broker = broker();
    let put = |definition: &[(&str, Value)]| broker.put_policy(policy("p", "", definition), NOW);
    let (all, disabled) = (Value::str("all"), Value::str("disabled"));
    assert_eq!(
        refusal(put(&[("delayed-retry-type", all.clone())])).1,
        "406 PRECONDITION_FAILED - delayed-retry-min is required when delayed-retry-type is all"
    );
    let (five, four) = (Value::I64(5), Value::I64(4));
    let longer = [
        ("delayed-retry-min", five.clone()),
        ("delayed-retry-max", four.clone()),
    ];
    assert_eq!(
        refusal(put(&longer)).1,
        "406 PRECONDITION_FAILED - delayed-retry-max (4) must not be smaller than delayed-retry-min (5)"
    );
    put(&[("delayed-retry-type", disabled)]).unwrap();
    put(&[
        ("delayed-retry-type", all),
        ("delayed-retry-min", four),
        ("delayed-retry-max", five),
    ])
    .unwrap();
}

#[test]
fn policies_are_imported_with_the_definitions() {
    let broker = broker();
    Client::new(&broker).declare("q");
    let document = br#"{
        "policies": [{"vhost": "/", "name": "p", "pattern": "^q$", "apply-to": "queues", "definition": {"expires": 500}, "priority": 3}],
        "parameters": [{"vhost": "/", "component": "operator_policy", "name": "op", "value":
            {"pattern": ".*", "apply-to": "queues", "definition": {"expires": 90}, "priority": 0}}]
    }"#;
    let imported = broker.import_definitions(document, NOW).unwrap();
    assert_eq!((imported.policies, imported.ignored.len()), (2, 0));
    assert_eq!(expires_ms(&broker, "q"), Some(90));
}
