//! Full queues that pass on what they refuse, and dead letters for queues that do.

use super::dying::*;
use super::*;

#[test]
fn a_full_queue_that_passes_on_nacks_and_has_the_letter_elsewhere() {
    let broker = broker();
    let full = [
        ("x-max-length", Value::I32(1)),
        ("x-overflow", Value::str("reject-publish-dlx")),
    ];
    let mut client = client(&broker, &full);
    client.session.confirm_select(ONE, NOW).unwrap();
    let _ = client.publish("q", &["a", "b"]);
    client.poll();
    assert_eq!(client.seen.confirms, [(1, Extent::One)]);
    assert_eq!(client.seen.nacks, [(2, Extent::One)]);
    let found = find(&mut client, "dead").unwrap();
    assert_eq!(
        (&*found.body, deaths(&found)),
        ("b", vec![("q".into(), "maxlen".into(), 1)])
    );
    assert_eq!(bodies(&mut client, "q"), ["a"]);
}

#[test]
fn a_transaction_passes_on_as_well() {
    let broker = broker();
    let full = [
        ("x-max-length", Value::I32(0)),
        ("x-overflow", Value::str("reject-publish-dlx")),
    ];
    let mut client = client(&broker, &full);
    client.session.tx_select(ONE, NOW).unwrap();
    let _ = client.publish("q", &["a"]);
    let committed = client.session.tx_commit(ONE, NOW, &mut |_| {});
    assert_eq!(
        committed.unwrap_err().text,
        "PRECONDITION_FAILED - partial tx completion"
    );
    client.reopen();
    assert_eq!(bodies(&mut client, "dead"), ["a"]);
}

#[test]
fn full_queues_that_pass_on_to_each_other_come_to_an_end() {
    let broker = broker();
    let mut client = Client::new(&broker);
    let full = |key| {
        let full = [
            ("x-max-length", Value::I32(0)),
            ("x-overflow", Value::str("reject-publish-dlx")),
        ];
        [to("", Some(key)), full.to_vec()].concat()
    };
    client.declare_with("a", &full("b")).unwrap();
    client.declare_with("b", &full("a")).unwrap();
    let _ = client.publish("a", &["x"]);
    client.declare_with("c", &full("d")).unwrap();
    client.declare_with("d", &full("e")).unwrap();
    client.declare("e");
    let _ = client.publish("c", &["y"]);
    let found = find(&mut client, "e").unwrap();
    assert_eq!(
        deaths(&found),
        [("d".into(), "maxlen".into(), 1), ("c".into(), "maxlen".into(), 1)]
    );
    assert_eq!((client.ready("a"), client.ready("b")), (0, 0));
}

#[test]
fn a_quorum_queue_drops_its_head_where_a_classic_one_passes_on() {
    let broker = broker();
    let full = [
        quorum(),
        ("x-max-length", Value::I32(1)),
        ("x-overflow", Value::str("reject-publish-dlx")),
    ];
    let mut client = client(&broker, &full);
    client.session.confirm_select(ONE, NOW).unwrap();
    let _ = client.publish("q", &["a", "b"]);
    client.poll();
    assert_eq!(client.seen.nacks, []);
    assert_eq!(bodies(&mut client, "dead"), ["a"]);
}

#[test]
fn a_target_that_refuses_goes_without_the_letter() {
    let broker = broker();
    let mut client = client(&broker, &[]);
    let refusing = [
        ("x-max-length", Value::I32(0)),
        ("x-overflow", Value::str("reject-publish")),
    ];
    client.declare_with("full", &refusing).unwrap();
    client.declare_with("from", &to("amq.fanout", None)).unwrap();
    for queue in ["full", "dead"] {
        client.bind("amq.fanout", queue, "").unwrap();
    }
    let _ = client.publish("from", &["x"]);
    reject(&mut client, "from");
    assert_eq!(
        (bodies(&mut client, "dead"), client.ready("full")),
        (vec!["x".into()], 0)
    );
}

#[test]
fn copies_that_are_larger_than_a_block_together_all_arrive() {
    let broker = broker();
    let mut client = client(&broker, &[]);
    let passing_on = [
        ("x-max-length", Value::I32(0)),
        ("x-overflow", Value::str("reject-publish-dlx")),
    ];
    declare_dying(&mut client, "full", &passing_on).unwrap();
    client.declare("plain");
    client.declare_with("from", &to("amq.fanout", None)).unwrap();
    for queue in ["full", "plain"] {
        client.bind("amq.fanout", queue, "").unwrap();
    }
    let half = usize::try_from(broker.store.lock().shard().transaction_bytes_max()).unwrap() / 2;
    let body = "x".repeat(half);
    let _ = client.publish("from", &[&body]);
    reject(&mut client, "from");
    for queue in ["plain", "dead"] {
        assert_eq!(bodies(&mut client, queue), [&*body]);
    }
    assert_eq!(client.ready("from"), 0);
}

#[test]
fn a_quorum_queue_that_is_to_pass_on_what_it_refuses_drops_its_head_as_in_rabbitmq() {
    let broker = broker();
    let full = [
        quorum(),
        ("x-max-length", Value::I32(1)),
        ("x-overflow", Value::str("reject-publish-dlx")),
    ];
    let mut client = client(&broker, &full);
    client.session.confirm_select(ONE, NOW).unwrap();
    let _ = client.publish("q", &["a", "b"]);
    client.poll();
    assert_eq!(client.seen.nacks, []);
    assert_eq!(bodies(&mut client, "dead"), ["a"]);
    assert_eq!(bodies(&mut client, "q"), ["b"]);
}

/// Queues `full.0`, `full.1`, … which take one message and pass the others on to the exchange that they are bound to, and `all`, which takes
/// whatever comes there.
fn circle(client: &mut Client, count: usize) {
    let full = [
        to("amq.fanout", None),
        vec![
            ("x-max-length", Value::I32(1)),
            ("x-overflow", Value::str("reject-publish-dlx")),
        ],
    ]
    .concat();
    for number in 0..count {
        let name = format!("full.{number}");
        client.declare_with(&name, &full).unwrap();
        client.bind("amq.fanout", &name, "").unwrap();
    }
    client.declare("all");
    client.bind("amq.fanout", "all", "").unwrap();
}

#[test]
fn full_queues_that_pass_on_to_one_exchange_do_so_once_for_a_message() {
    let broker = broker();
    let mut client = Client::new(&broker);
    circle(&mut client, 12);
    let _ = client.publish_with("amq.fanout", "", PERSISTENT, &["fills"]);
    assert_eq!(bodies(&mut client, "all"), ["fills"]);
    let _ = client.publish_with("amq.fanout", "", PERSISTENT, &["x"]);
    let mut died_in = Vec::new();
    while let Some(found) = find(&mut client, "all") {
        died_in.push(
            deaths(&found)
                .into_iter()
                .map(|(queue, ..)| queue)
                .collect::<Vec<_>>(),
        );
    }
    died_in.sort();
    let mut expected = vec![vec![]];
    expected.extend((0..12).map(|number| vec![format!("full.{number}")]));
    expected.sort();
    assert_eq!(died_in, expected);
}

#[test]
fn a_dead_letter_is_passed_on_once_by_each_full_queue() {
    let broker = broker();
    let mut client = Client::new(&broker);
    circle(&mut client, 12);
    client.declare_with("from", &to("amq.fanout", None)).unwrap();
    let _ = client.publish_with("amq.fanout", "", PERSISTENT, &["fills"]);
    assert_eq!(bodies(&mut client, "all"), ["fills"]);
    let _ = client.publish("from", &["x"]);
    reject(&mut client, "from");
    assert_eq!(bodies(&mut client, "all"), ["x"; 13]);
}

#[test]
fn a_full_queue_passes_on_what_comes_with_another_key() {
    let broker = broker();
    let mut client = Client::new(&broker);
    let full = |exchange, key| {
        let full = [
            ("x-max-length", Value::I32(0)),
            ("x-overflow", Value::str("reject-publish-dlx")),
        ];
        [to(exchange, key), full.to_vec()].concat()
    };
    client.exchange("between", "fanout", true).unwrap();
    client
        .declare_with("a", &full("between", Some("from a")))
        .unwrap();
    client
        .declare_with("b", &full("between", Some("from b")))
        .unwrap();
    client.declare_with("last", &full("amq.direct", None)).unwrap();
    client.bind("between", "last", "").unwrap();
    for queue in ["a", "b"] {
        client.bind("amq.fanout", queue, "").unwrap();
    }
    for key in ["from a", "from b"] {
        client.declare(key);
        client.bind("amq.direct", key, key).unwrap();
    }
    let _ = client.publish_with("amq.fanout", "", PERSISTENT, &["x"]);
    assert_eq!(bodies(&mut client, "from a"), ["x"]);
    assert_eq!(bodies(&mut client, "from b"), ["x"]);
}
