//! Acknowledging, refusing, requeueing, and what ends do to outstanding messages.

use super::*;

fn three_taken(client: &mut Client) {
    client.declare("q");
    let _ = client.publish("q", &["0", "1", "2", "3"]);
    for tag in 1..=3 {
        assert_eq!(client.get("q", false).unwrap().tag, tag);
    }
}

#[test]
fn what_is_requeued_returns_to_its_place_and_says_so() {
    let broker = broker();
    let mut client = Client::new(&broker);
    three_taken(&mut client);
    client.nack(2, Extent::One, GiveBack::Requeue);
    client.nack(1, Extent::One, GiveBack::Requeue);
    let got: Vec<_> = (0..3)
        .map(|_| client.get("q", true).unwrap())
        .map(|got| (got.body, got.redelivered))
        .collect();
    let expected = [("0", true), ("1", true), ("3", false)];
    assert_eq!(
        got,
        expected.map(|(body, redelivered)| (body.to_owned(), redelivered))
    );
}

#[test]
fn a_requeued_message_is_delivered_again() {
    let broker = broker();
    let mut client = Client::new(&broker);
    client.declare("q");
    client.consume("q", "t", false).unwrap();
    let _ = client.publish("q", &["x"]);
    assert_eq!(client.bodies(), ["x"]);
    client.nack(1, Extent::One, GiveBack::Requeue);
    client.poll();
    let again = client.seen.deliveries.pop().unwrap();
    assert_eq!(
        (again.body.as_str(), again.tag, again.redelivered),
        ("x", 2, true)
    );
}

#[test]
fn what_is_refused_without_requeue_is_gone() {
    let broker = broker();
    let mut client = Client::new(&broker);
    three_taken(&mut client);
    client.nack(3, Extent::UpTo, GiveBack::Drop);
    client.session.close_channel(ONE, NOW);
    client.reopen();
    assert_eq!(client.ready("q"), 1);
}

#[test]
fn an_unknown_tag_closes_the_channel() {
    let broker = broker();
    for extent in [Extent::One, Extent::UpTo] {
        let mut client = Client::new(&broker);
        client.ack(99, extent);
        let (_, error) = client.failed.pop().unwrap();
        assert_eq!(error.scope, Scope::Channel);
        assert_eq!(error.text, "PRECONDITION_FAILED - unknown delivery tag 99");
    }
}

#[test]
fn a_tag_is_acknowledged_once() {
    let broker = broker();
    let mut client = Client::new(&broker);
    three_taken(&mut client);
    client.ack(1, Extent::One);
    client.ack(1, Extent::One);
    assert_eq!(
        client.failed[0].1.text,
        "PRECONDITION_FAILED - unknown delivery tag 1"
    );
}

#[test]
fn tag_zero_means_all_that_is_outstanding_even_if_that_is_nothing() {
    let broker = broker();
    let mut client = Client::new(&broker);
    client.ack(0, Extent::UpTo);
    three_taken(&mut client);
    client.ack(0, Extent::UpTo);
    client.session.recover(ONE, true, NOW).unwrap();
    assert_eq!(client.ready("q"), 1);
    assert!(client.failed.is_empty());
}

#[test]
fn recover_gives_back_what_is_outstanding() {
    let broker = broker();
    let mut client = Client::new(&broker);
    three_taken(&mut client);
    client.ack(2, Extent::One);
    client.session.recover(ONE, true, NOW).unwrap();
    assert_eq!(client.ready("q"), 3);
    assert_eq!(
        refusal(client.session.recover(ONE, false, NOW)),
        (
            Scope::Connection,
            "540 NOT_IMPLEMENTED - requeue=false".to_owned()
        )
    );
}

#[test]
fn closing_a_channel_gives_back_what_it_held() {
    let broker = broker();
    let mut client = Client::new(&broker);
    three_taken(&mut client);
    client.session.close_channel(ONE, NOW);
    client.reopen();
    let got = client.get("q", false).unwrap();
    assert_eq!((got.body.as_str(), got.redelivered, got.tag), ("0", true, 1));
}

#[test]
fn a_dropped_connection_gives_back_what_it_held_sent_or_not() {
    let broker = broker();
    let (mut client, mut other) = (Client::new(&broker), Client::new(&broker));
    client.declare("q");
    let _ = client.publish("q", &["1", "2", "3", "4"]);
    client.consume("q", "t", false).unwrap();
    sync(&broker);
    let _ = client.session.poll(2, &mut client.seen, NOW);
    let _ = client.publish("q", &["5"]);
    sync(&broker);
    drop(client);
    assert_eq!(other.ready("q"), 5);
    for body in ["1", "2", "3", "4", "5"] {
        assert_eq!(other.get("q", true).unwrap().body, body);
    }
}

#[test]
fn what_one_consumer_gives_back_another_gets() {
    let broker = broker();
    let (mut a, mut b) = (Client::new(&broker), Client::new(&broker));
    a.declare("q");
    a.consume("q", "a", false).unwrap();
    let _ = a.publish("q", &["1", "2"]);
    assert_eq!(a.bodies(), ["1", "2"]);
    b.consume("q", "b", false).unwrap();
    assert_eq!(b.bodies(), [""; 0]);
    drop(a);
    assert_eq!(b.bodies(), ["1", "2"]);
}

#[test]
fn acknowledging_after_the_queue_was_deleted_is_no_error() {
    let broker = broker();
    let mut client = Client::new(&broker);
    three_taken(&mut client);
    client.delete("q").unwrap();
    client.ack(2, Extent::UpTo);
    client.nack(3, Extent::One, GiveBack::Requeue);
    assert!(client.failed.is_empty());
}

#[test]
fn a_quorum_queue_says_how_often_a_message_was_taken_before() {
    let broker = broker();
    let mut client = Client::new(&broker);
    client
        .declare_with("q", &[("x-queue-type", Value::str("quorum"))])
        .unwrap();
    client.prefetch(1);
    client.consume("q", "t", false).unwrap();
    let _ = client.publish("q", &["1", "2"]);
    client.poll();
    client.nack(1, Extent::One, GiveBack::Requeue);
    client.poll();
    client.nack(2, Extent::One, GiveBack::Requeue);
    client.poll();
    client.ack(3, Extent::One);
    client.poll();
    let bodies: Vec<_> = client
        .seen
        .deliveries
        .iter()
        .map(|got| got.body.as_str())
        .collect();
    assert_eq!(bodies, ["1", "1", "1", "2"]);
    let acquired = [None, Some(Value::I64(1)), Some(Value::I64(2)), None];
    assert_eq!(client.seen.acquired, acquired);
}

#[test]
fn a_classic_queue_says_nothing_of_it() {
    let broker = broker();
    let mut client = Client::new(&broker);
    client.declare("q");
    client.consume("q", "t", false).unwrap();
    let _ = client.publish("q", &["1"]);
    client.poll();
    client.nack(1, Extent::One, GiveBack::Requeue);
    client.poll();
    assert_eq!(client.seen.acquired, [None, None]);
}
