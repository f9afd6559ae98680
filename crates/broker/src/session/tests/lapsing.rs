//! Deliveries that nobody acknowledges in time go back.

use super::*;

/// A time so many milliseconds after everything else.
fn later(ms: u64) -> Now {
    Now {
        wall_ms: NOW.wall_ms + ms,
        mono_ms: NOW.mono_ms + ms,
    }
}

fn quorum(client: &mut Client, name: &str, timeout_ms: i64) {
    let kind = ("x-queue-type", Value::str("quorum"));
    let timeout = ("x-consumer-timeout", Value::I64(timeout_ms));
    client.declare_with(name, &[kind, timeout]).unwrap();
}

fn lapse(client: &mut Client, ms: u64) {
    let failed = &mut client.failed;
    client
        .session
        .lapse(&mut client.seen, later(ms), &mut |channel, error| {
            failed.push((channel, error));
        });
    sync(&client.broker);
}

fn timed_out(client: &mut Client, timeout_ms: u64) {
    let (channel, error) = client.failed.pop().unwrap();
    let text = format!(
        "PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out. Timeout value used: {timeout_ms} ms. This timeout \
         value can be configured, see consumers doc guide to learn more"
    );
    assert_eq!((channel, error.scope, error.text), (ONE, Scope::Channel, text));
}

#[test]
fn what_a_consumer_does_not_acknowledge_in_time_goes_back_and_the_consumer_is_cancelled() {
    let broker = broker();
    let mut client = Client::new(&broker);
    quorum(&mut client, "q", 1000);
    client.consume("q", "slow", false).unwrap();
    let _ = client.publish("q", &["a", "b"]);
    assert_eq!(client.bodies(), ["a", "b"]);
    let at_ms = client.session.lapse_ms().unwrap();
    assert!(
        (NOW.mono_ms + 1000..NOW.mono_ms + 1016).contains(&at_ms),
        "{at_ms}"
    );
    lapse(&mut client, 999);
    assert_eq!((client.ready("q"), &*client.seen.cancelled), (0, &[][..]));
    lapse(&mut client, 1016);
    assert_eq!(client.seen.cancelled, ["slow"]);
    assert_eq!((client.ready("q"), client.session.lapse_ms()), (2, None));
    assert!(client.failed.is_empty(), "the channel lives");
    client.consume("q", "again", false).unwrap();
    client.seen.acquired.clear();
    assert_eq!(client.bodies(), ["a", "b"]);
    assert_eq!(client.seen.acquired, [Some(Value::I64(1)), Some(Value::I64(1))]);
}

#[test]
fn a_late_acknowledgement_is_no_error_and_settles_nothing() {
    let broker = broker();
    let mut client = Client::new(&broker);
    quorum(&mut client, "q", 1000);
    client.consume("q", "slow", false).unwrap();
    let _ = client.publish("q", &["a", "b", "c"]);
    assert_eq!(client.bodies().len(), 3);
    client.ack(2, Extent::One);
    lapse(&mut client, 2000);
    assert_eq!(client.ready("q"), 2);
    client.ack(1, Extent::One);
    client.nack(3, Extent::UpTo, GiveBack::Drop);
    client.poll();
    assert_eq!((client.ready("q"), client.failed.len()), (2, 0));
    client.ack(3, Extent::One);
    assert!(
        client
            .failed
            .pop()
            .unwrap()
            .1
            .text
            .ends_with("unknown delivery tag 3")
    );
}

#[test]
fn a_transaction_does_not_count_what_came_too_late() {
    let broker = broker();
    let mut client = Client::new(&broker);
    quorum(&mut client, "q", 1000);
    client.session.tx_select(ONE, NOW).unwrap();
    client.consume("q", "slow", false).unwrap();
    let mut other = Client::new(&broker);
    let _ = other.publish("q", &["a"]);
    assert_eq!(client.bodies(), ["a"]);
    lapse(&mut client, 2000);
    client.ack(1, Extent::One);
    client.session.tx_commit(ONE, NOW, &mut |_| {}).unwrap();
    assert_eq!(other.ready("q"), 1);
}

#[test]
fn what_is_delivered_later_has_a_later_deadline_and_outlives_its_consumer() {
    let broker = broker();
    let mut client = Client::new(&broker);
    quorum(&mut client, "q", 1000);
    client.consume("q", "slow", false).unwrap();
    let _ = client.publish("q", &["a"]);
    assert_eq!(client.bodies(), ["a"]);
    let _ = client.publish("q", &["b"]);
    sync(&broker);
    let _ = client.session.poll(usize::MAX, &mut client.seen, later(500));
    lapse(&mut client, 1100);
    assert_eq!(
        (client.ready("q"), &*client.seen.cancelled),
        (1, &["slow".to_owned()][..])
    );
    lapse(&mut client, 1600);
    assert_eq!(
        (
            client.ready("q"),
            client.seen.cancelled.len(),
            client.failed.len()
        ),
        (2, 1, 0)
    );
}

#[test]
fn the_channel_of_a_client_that_does_not_hear_of_cancellations_is_closed() {
    let broker = broker();
    let mut client = Client::new(&broker);
    quorum(&mut client, "q", 1000);
    client.seen.is_deaf = true;
    client.consume("q", "slow", false).unwrap();
    let _ = client.publish("q", &["a"]);
    assert_eq!(client.bodies(), ["a"]);
    lapse(&mut client, 2000);
    timed_out(&mut client, 1000);
    client.reopen();
    assert_eq!(client.ready("q"), 1);
}

#[test]
fn what_was_got_and_not_acknowledged_closes_the_channel() {
    let broker = broker();
    let mut client = Client::new(&broker);
    quorum(&mut client, "q", 1000);
    let _ = client.publish("q", &["a"]);
    client.poll();
    assert_eq!(client.get("q", false).unwrap().body, "a");
    lapse(&mut client, 2000);
    timed_out(&mut client, 1000);
    client.reopen();
    assert_eq!(client.ready("q"), 1);
}

#[test]
fn a_consumer_may_say_how_long_it_takes_and_the_setting_holds_otherwise() {
    let broker = broker();
    let mut client = Client::new(&broker);
    client
        .declare_with("q", &[("x-queue-type", Value::str("quorum"))])
        .unwrap();
    let own = [("x-consumer-timeout", Value::I32(60_000))].into_iter().collect();
    client.consume_with("q", "own", false, false, &own).unwrap();
    let _ = client.publish("q", &["a"]);
    assert_eq!(client.bodies(), ["a"]);
    assert!(client.session.lapse_ms().unwrap() < NOW.mono_ms + 61_000);
    client.session.cancel(ONE, "own", NOW).unwrap();
    lapse(&mut client, 61_000);
    assert_eq!((client.ready("q"), client.failed.len()), (1, 0));
    client.consume("q", "default", false).unwrap();
    assert_eq!(client.bodies(), ["a"]);
    let half_an_hour = NOW.mono_ms + 30 * 60 * 1000;
    assert!((half_an_hour..half_an_hour + 30_000).contains(&client.session.lapse_ms().unwrap()));
}

#[test]
fn classic_queues_and_consumers_without_acknowledgements_have_no_timeout() {
    let broker = broker();
    let mut client = Client::new(&broker);
    client.declare("classic");
    quorum(&mut client, "q", 1000);
    client.consume("classic", "one", false).unwrap();
    client.consume("q", "two", true).unwrap();
    let _ = client.publish("classic", &["a"]);
    let _ = client.publish("q", &["b"]);
    assert_eq!(client.bodies().len(), 2);
    assert_eq!(client.session.lapse_ms(), None);
}

#[test]
fn messages_of_a_deleted_queue_lapse_without_a_word() {
    let broker = broker();
    let mut client = Client::new(&broker);
    quorum(&mut client, "q", 1000);
    let _ = client.publish("q", &["a"]);
    client.poll();
    assert!(client.get("q", false).is_some());
    client.delete("q").unwrap();
    lapse(&mut client, 2000);
    assert!(client.failed.is_empty());
}

#[test]
fn a_channel_on_which_too_much_lapsed_is_closed() {
    let broker = broker();
    let mut client = Client::new(&broker);
    quorum(&mut client, "q", 1);
    client.prefetch(8192);
    let bodies = vec!["m"; 4096];
    for _ in 0..2 {
        let _ = client.publish("q", &bodies);
        client.poll();
    }
    for round in 0..8 {
        assert!(client.failed.is_empty(), "round {round}");
        client.consume("q", "c", false).unwrap();
        client.poll();
        lapse(&mut client, 10);
    }
    assert!(client.failed.is_empty(), "65,536 are remembered");
    client.consume("q", "c", false).unwrap();
    client.poll();
    lapse(&mut client, 10);
    timed_out(&mut client, 1);
}

/// A client whose transaction acknowledges "a" of the queue "q", which gives it a second.
fn acknowledging(broker: &Arc<Broker<SimDisk>>) -> Client {
    let mut client = Client::new(broker);
    quorum(&mut client, "q", 1000);
    let _ = client.publish("q", &["a"]);
    client.session.tx_select(ONE, NOW).unwrap();
    client.consume("q", "slow", false).unwrap();
    assert_eq!(client.bodies(), ["a"]);
    client.ack(1, Extent::One);
    client
}

#[test]
fn an_acknowledgement_that_is_not_committed_in_time_comes_too_late() {
    let broker = broker();
    let mut client = acknowledging(&broker);
    lapse(&mut client, 1016);
    assert_eq!(client.seen.cancelled, ["slow"]);
    assert_eq!((client.ready("q"), client.session.lapse_ms()), (1, None));
    let mut other = Client::new(&broker);
    assert_eq!(other.get("q", false).unwrap().body, "a");
    client.session.tx_commit(ONE, later(1016), &mut |_| {}).unwrap();
    assert_eq!(other.ready("q"), 0, "another one holds it");
    other.session.close_channel(ONE, NOW);
    other.reopen();
    assert_eq!(other.ready("q"), 1);
}

#[test]
fn what_a_transaction_is_told_too_late_goes_back_once_when_its_channel_ends() {
    let broker = broker();
    let mut client = acknowledging(&broker);
    lapse(&mut client, 1016);
    let mut other = Client::new(&broker);
    assert_eq!(other.get("q", false).unwrap().body, "a");
    client.session.close_channel(ONE, NOW);
    client.poll();
    assert_eq!(other.ready("q"), 0, "another one holds it");
}

#[test]
fn after_a_rollback_a_tag_that_has_lapsed_is_still_known() {
    let broker = broker();
    let mut client = acknowledging(&broker);
    lapse(&mut client, 1016);
    client.session.tx_rollback(ONE, later(1016)).unwrap();
    assert_eq!(client.session.lapse_ms(), None);
    client.ack(1, Extent::One);
    client.session.tx_commit(ONE, later(1016), &mut |_| {}).unwrap();
    assert_eq!((client.ready("q"), client.failed.len()), (1, 0));
}

#[test]
fn a_rollback_brings_deliveries_back_with_their_deadline() {
    let broker = broker();
    let mut client = acknowledging(&broker);
    client.session.tx_rollback(ONE, later(500)).unwrap();
    assert!(client.session.lapse_ms().is_some());
    lapse(&mut client, 1016);
    assert_eq!(
        (client.ready("q"), &*client.seen.cancelled),
        (1, &["slow".to_owned()][..])
    );
}
