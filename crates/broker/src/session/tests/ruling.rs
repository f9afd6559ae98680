//! Policies that set what arguments can set, on queues that exist and on those that come.

use super::*;
use crate::auth::Pattern;
use crate::policy::{ApplyTo, Policy, PolicyKind};

fn policy(kind: PolicyKind, definition: &[(&str, Value)]) -> Policy {
    Policy {
        vhost: "/".into(),
        name: "p".into(),
        kind,
        pattern: Pattern::new("^q").unwrap(),
        apply_to: ApplyTo::Queues,
        priority: 0,
        definition: definition
            .iter()
            .map(|(key, value)| ((*key).to_owned(), value.clone()))
            .collect(),
    }
}

fn put(broker: &Broker<SimDisk>, definition: &[(&str, Value)]) {
    broker
        .put_policy(policy(PolicyKind::User, definition), NOW)
        .unwrap();
}

fn clear(broker: &Broker<SimDisk>) {
    broker.delete_policy("/", PolicyKind::User, "p", NOW).unwrap();
}

fn taken(client: &mut Client, queue: &str) -> Vec<String> {
    client.poll();
    let bodies = std::iter::from_fn(|| {
        let got = client.get(queue, true);
        client.poll();
        got
    });
    bodies.map(|got| got.body).collect()
}

fn confirming(broker: &Arc<Broker<SimDisk>>) -> Client {
    let mut client = Client::new(broker);
    client.session.confirm_select(ONE, NOW).unwrap();
    client
}

fn nacked(client: &mut Client) -> usize {
    client.poll();
    client.seen.nacks.len()
}

#[test]
fn a_length_holds_at_once_and_no_longer_than_the_policy() {
    let broker = broker();
    let mut client = Client::new(&broker);
    client.declare("q");
    let _ = client.publish("q", &["a", "b", "c"]);
    client.poll();
    put(&broker, &[("max-length", Value::I64(2))]);
    client.poll();
    assert_eq!(client.ready("q"), 2);
    client.declare("q2");
    let _ = client.publish("q2", &["d", "e", "f"]);
    assert_eq!(taken(&mut client, "q2"), ["e", "f"]);
    clear(&broker);
    let _ = client.publish("q", &["d"]);
    assert_eq!(taken(&mut client, "q"), ["b", "c", "d"]);
}

#[test]
fn of_lengths_in_argument_policy_and_operator_policy_the_smallest_holds() {
    let broker = broker();
    let mut client = Client::new(&broker);
    client
        .declare_with("q", &[("x-max-length-bytes", Value::I32(4))])
        .unwrap();
    put(&broker, &[("max-length-bytes", Value::I64(3))]);
    let operator = policy(PolicyKind::Operator, &[("max-length-bytes", Value::I64(2))]);
    broker.put_policy(operator, NOW).unwrap();
    let _ = client.publish("q", &["a", "b", "c"]);
    assert_eq!(taken(&mut client, "q"), ["b", "c"]);
    broker.delete_policy("/", PolicyKind::Operator, "p", NOW).unwrap();
    let _ = client.publish("q", &["a", "b", "c", "d"]);
    assert_eq!(taken(&mut client, "q"), ["b", "c", "d"]);
    clear(&broker);
    let _ = client.publish("q", &["a", "b", "c", "d", "e"]);
    assert_eq!(taken(&mut client, "q"), ["b", "c", "d", "e"]);
}

#[test]
fn what_a_policy_has_a_full_queue_do_holds_for_publishers_that_have_been_there() {
    let broker = broker();
    let mut client = confirming(&broker);
    client
        .declare_with("q", &[("x-max-length", Value::I32(1))])
        .unwrap();
    let _ = client.publish("q", &["a"]);
    assert_eq!(nacked(&mut client), 0);
    put(&broker, &[("overflow", Value::str("reject-publish"))]);
    let _ = client.publish("q", &["b"]);
    assert_eq!(nacked(&mut client), 1);
    clear(&broker);
    let _ = client.publish("q", &["c"]);
    assert_eq!(nacked(&mut client), 1);
    assert_eq!(taken(&mut client, "q"), ["c"]);
}

#[test]
fn the_argument_for_overflow_wins_in_a_classic_queue_and_the_policy_in_a_quorum_queue() {
    let broker = broker();
    let mut client = confirming(&broker);
    let dropping = [
        ("x-max-length", Value::I32(1)),
        ("x-overflow", Value::str("drop-head")),
    ];
    client.declare_with("q-classic", &dropping).unwrap();
    let quorum = [&dropping[..], &[("x-queue-type", Value::str("quorum"))]].concat();
    client.declare_with("q-quorum", &quorum).unwrap();
    put(&broker, &[("overflow", Value::str("reject-publish"))]);
    let _ = client.publish("q-classic", &["a", "b"]);
    assert_eq!(nacked(&mut client), 0);
    let _ = client.publish("q-quorum", &["a", "b"]);
    assert_eq!(nacked(&mut client), 1);
    assert_eq!(taken(&mut client, "q-classic"), ["b"]);
    assert_eq!(taken(&mut client, "q-quorum"), ["a"]);
}

#[test]
fn a_time_to_live_holds_for_messages_that_come() {
    let disk = SimDisk::new(7);
    let broker = open(&disk);
    let mut client = Client::new(&broker);
    client
        .declare_with("q", &[("x-message-ttl", Value::I32(500))])
        .unwrap();
    put(&broker, &[("message-ttl", Value::I64(50))]);
    let _ = client.publish("q", &["brief"]);
    client.poll();
    disk.advance(50);
    client.poll();
    assert_eq!(client.ready("q"), 0);
    clear(&broker);
    let _ = client.publish("q", &["longer"]);
    client.poll();
    disk.advance(50);
    client.poll();
    assert_eq!(client.ready("q"), 1);
}

#[test]
fn dead_letters_go_where_the_policy_says_unless_the_queue_says_it() {
    let broker = broker();
    let mut client = Client::new(&broker);
    for queue in ["own", "theirs"] {
        client.declare(queue);
    }
    let own = [
        ("x-dead-letter-exchange", Value::str("")),
        ("x-dead-letter-routing-key", Value::str("own")),
        ("x-max-length", Value::I32(0)),
    ];
    client.declare_with("q-own", &own).unwrap();
    client
        .declare_with("q", &[("x-max-length", Value::I32(0))])
        .unwrap();
    let theirs = [
        ("dead-letter-exchange", Value::str("")),
        ("dead-letter-routing-key", Value::str("theirs")),
    ];
    put(&broker, &theirs);
    let _ = client.publish("q-own", &["a"]);
    let _ = client.publish("q", &["b"]);
    assert_eq!(
        (taken(&mut client, "own"), taken(&mut client, "theirs")),
        (vec!["a".into()], vec!["b".into()])
    );
    clear(&broker);
    let _ = client.publish("q", &["c"]);
    assert_eq!(taken(&mut client, "theirs"), [""; 0]);
}

#[test]
fn of_two_delivery_limits_the_stricter_holds() {
    let broker = broker();
    let mut client = Client::new(&broker);
    let arguments = [
        ("x-queue-type", Value::str("quorum")),
        ("x-delivery-limit", Value::I32(-1)),
    ];
    client.declare_with("q", &arguments).unwrap();
    let fails = |client: &mut Client| {
        let _ = client.publish("q", &["x"]);
        let mut fails = 0;
        client.poll();
        while fails < 30
            && let Some(got) = client.get("q", false)
        {
            client.nack(got.tag, Extent::One, GiveBack::Fail);
            client.poll();
            fails += 1;
        }
        fails
    };
    put(&broker, &[("delivery-limit", Value::I64(2))]);
    assert_eq!(fails(&mut client), 3);
    let operator = policy(PolicyKind::Operator, &[("delivery-limit", Value::I64(1))]);
    broker.put_policy(operator, NOW).unwrap();
    assert_eq!(fails(&mut client), 2);
    broker.delete_policy("/", PolicyKind::Operator, "p", NOW).unwrap();
    clear(&broker);
    assert_eq!(fails(&mut client), 30);
}

#[test]
fn what_policies_say_holds_after_a_restart_and_nothing_is_dropped_before_it_is_a_dead_letter() {
    let disk = SimDisk::new(7);
    let broker = open(&disk);
    let mut client = Client::new(&broker);
    client.declare("dead");
    client
        .declare_with("q", &[("x-max-length", Value::I32(2))])
        .unwrap();
    let _ = client.publish("q", &["a", "b"]);
    let definition = [
        ("dead-letter-exchange", Value::str("")),
        ("dead-letter-routing-key", Value::str("dead")),
        ("max-length", Value::I64(1)),
    ];
    // The disk has the policy, and nothing yet of what follows from it.
    sync(&broker);
    put(&broker, &definition);
    let survivor = disk.after_kill();
    drop((client, broker));
    let broker = open(&survivor);
    let mut client = Client::new(&broker);
    assert_eq!(
        (taken(&mut client, "dead"), taken(&mut client, "q")),
        (vec!["a".into()], vec!["b".into()])
    );
}
