//! Transactions: all or nothing, and never before commit.

use super::*;
use crate::session::channel::Mode;
use logpond_store::disk::sim::Rng;

fn transactional(broker: &Arc<Broker<SimDisk>>) -> Client {
    let mut client = Client::new(broker);
    client.declare("q");
    client.session.tx_select(ONE, NOW).unwrap();
    client
}

fn commit(client: &mut Client) {
    try_commit(client).unwrap();
}

fn try_commit(client: &mut Client) -> Answer<()> {
    let returned = &mut client.returned;
    client.session.tx_commit(ONE, NOW, &mut |message| {
        let Body::Whole(body) = message.body else {
            panic!("bodies are whole here")
        };
        returned.push(String::from_utf8(body.to_vec()).unwrap());
    })
}

/// A commit of which a full queue refuses something; the channel is open again afterwards.
fn commit_in_part(client: &mut Client) {
    let text = "406 PRECONDITION_FAILED - partial tx completion".to_owned();
    assert_eq!(refusal(try_commit(client)), (Scope::Channel, text));
    client.reopen();
}

#[test]
fn what_a_transaction_gives_back_may_be_delivered_again() {
    for queue_type in ["classic", "quorum"] {
        let broker = broker();
        let mut client = transactional(&broker);
        let of_type = [("x-queue-type", Value::str(queue_type))];
        client.declare_with("typed", &of_type).unwrap();
        let _ = client.publish("typed", &["1", "2"]);
        commit(&mut client);
        client.prefetch(1);
        client.consume("typed", "t", false).unwrap();
        assert_eq!(client.bodies(), ["1"]);
        client.nack(1, Extent::One, GiveBack::Requeue);
        commit(&mut client);
        assert_eq!(client.bodies(), ["1"], "{queue_type}");
    }
}

#[test]
fn a_publish_goes_where_it_was_bound_when_it_was_published() {
    let broker = broker();
    let mut client = transactional(&broker);
    client.exchange("x", "fanout", true).unwrap();
    let _ = client.publish_with("x", "", PERSISTENT, &["too early"]);
    client.bind("x", "q", "").unwrap();
    let _ = client.publish_with("x", "", PERSISTENT, &["in time"]);
    client.session.exchange_delete(ONE, "x", false, NOW).unwrap();
    commit(&mut client);
    assert_eq!(client.returned, ["too early"]);
    assert_eq!(client.get("q", true).unwrap().body, "in time");
    assert_eq!(client.ready("q"), 0);
}

#[test]
fn a_publish_to_a_queue_that_is_gone_at_the_commit_is_returned() {
    let broker = broker();
    let mut client = transactional(&broker);
    let _ = client.publish("q", &["late"]);
    client.delete("q").unwrap();
    commit(&mut client);
    assert_eq!(client.returned, ["late"]);
}

#[test]
fn a_commit_of_which_a_full_queue_refuses_something_says_so() {
    let broker = broker();
    let mut client = transactional(&broker);
    let limits = [
        ("x-max-length", Value::I32(1)),
        ("x-overflow", Value::str("reject-publish")),
    ];
    client.declare_with("full", &limits).unwrap();
    let _ = client.publish("full", &["1", "2"]);
    commit_in_part(&mut client);
    assert_eq!(client.ready("full"), 1);
}

#[test]
fn nothing_is_published_before_the_commit() {
    let broker = broker();
    let mut client = transactional(&broker);
    let _ = client.publish("q", &["1", "2"]);
    assert_eq!(client.ready("q"), 0);
    commit(&mut client);
    assert_eq!(client.ready("q"), 2);
}

#[test]
fn a_rollback_forgets_publishes_and_takes_acknowledgements_back() {
    let broker = broker();
    let mut client = transactional(&broker);
    let _ = client.publish("q", &["1"]);
    commit(&mut client);
    let got = client.get("q", false).unwrap();
    let _ = client.publish("q", &["2"]);
    client.ack(got.tag, Extent::One);
    client.session.tx_rollback(ONE, NOW).unwrap();
    client.session.close_channel(ONE, NOW);
    client.reopen();
    assert_eq!(client.ready("q"), 1);
    assert_eq!(client.get("q", true).unwrap().body, "1");
}

#[test]
fn acknowledgements_count_from_the_commit_on() {
    let broker = broker();
    let mut client = transactional(&broker);
    let _ = client.publish("q", &["1", "2"]);
    commit(&mut client);
    client.prefetch(1);
    client.consume("q", "t", false).unwrap();
    assert_eq!(client.bodies(), ["1"]);
    client.ack(1, Extent::One);
    assert_eq!(client.bodies(), [""; 0]);
    commit(&mut client);
    assert_eq!(client.bodies(), ["2"]);
}

#[test]
fn an_acknowledgement_that_was_not_committed_goes_back_with_the_channel() {
    let broker = broker();
    let mut client = transactional(&broker);
    let _ = client.publish("q", &["1"]);
    commit(&mut client);
    let got = client.get("q", false).unwrap();
    client.ack(got.tag, Extent::One);
    client.session.close_channel(ONE, NOW);
    client.reopen();
    assert_eq!(client.ready("q"), 1);
}

#[test]
fn an_unroutable_mandatory_message_is_returned_at_the_commit() {
    let broker = broker();
    let mut client = transactional(&broker);
    let _ = client.publish("nobody", &["lost"]);
    assert!(client.returned.is_empty());
    commit(&mut client);
    assert_eq!(client.returned, ["lost"]);
}

#[test]
fn confirms_and_transactions_exclude_each_other() {
    let broker = broker();
    let mut client = transactional(&broker);
    assert_eq!(
        refusal(client.session.confirm_select(ONE, NOW)).1,
        "406 PRECONDITION_FAILED - cannot switch from tx to confirm mode"
    );
    client.reopen();
    client.session.confirm_select(ONE, NOW).unwrap();
    assert_eq!(
        refusal(client.session.tx_select(ONE, NOW)).1,
        "406 PRECONDITION_FAILED - cannot switch from confirm to tx mode"
    );
    client.reopen();
    assert_eq!(
        refusal(client.session.tx_commit(ONE, NOW, &mut |_| ())).1,
        "406 PRECONDITION_FAILED - channel is not transactional"
    );
}

#[test]
fn after_a_crash_a_transaction_is_there_as_a_whole_or_not_at_all() {
    for seed in 0..40 {
        let disk = SimDisk::new(seed);
        let broker = open(&disk);
        let mut client = transactional(&broker);
        for round in 0..5 {
            // Together more than a block takes of its own accord.
            let bodies: Vec<String> = (0..20).map(|n| format!("{round}-{n:01000}")).collect();
            let _ = client.publish("q", &bodies.iter().map(String::as_str).collect::<Vec<_>>());
            if round < 4 {
                commit(&mut client);
            }
        }
        // The last commit meets the end of the power at some call.
        disk.crash_at(1 + seed % 7);
        let _ = client.session.tx_commit(ONE, NOW, &mut |_| ());
        let survivor = disk.after_crash(&mut Rng::new(seed));
        drop((client, broker));
        let broker = open(&survivor);
        let mut client = Client::new(&broker);
        let ready = client.ready("q");
        assert!(ready == 80 || ready == 100, "seed {seed}: {ready} messages");
    }
}

#[test]
fn what_a_commit_that_fails_would_have_acknowledged_goes_back() {
    let broker = broker();
    let mut client = transactional(&broker);
    let _ = client.publish("q", &["1", "2"]);
    commit(&mut client);
    let got = client.get("q", false).unwrap();
    client.ack(got.tag, Extent::One);
    let _ = client.publish("q", &[&body_beside(&broker, 0, 0), "no room"]);
    assert_eq!(refused_commit(&mut client).0, Scope::Channel);
    client.reopen();
    assert_eq!(client.ready("q"), 2, "both are there for the next");
    assert_eq!(client.get("q", true).unwrap().body, "1");
}

#[test]
fn acknowledgements_that_follow_one_another_are_collected_as_one() {
    let broker = broker();
    let mut client = transactional(&broker);
    let _ = client.publish("q", &["1", "2", "3", "4", "5"]);
    commit(&mut client);
    client.consume("q", "t", false).unwrap();
    assert_eq!(client.bodies().len(), 5);
    for tag in [1, 2, 4] {
        client.ack(tag, Extent::One);
    }
    client.nack(5, Extent::One, GiveBack::Requeue);
    let channel = client.session.core.channels.get(ONE).unwrap();
    let Mode::Transactional(transaction) = &channel.mode else {
        panic!("tx.select came first")
    };
    let runs: Vec<_> = transaction.settled.iter().map(|(run, _)| run.count).collect();
    assert_eq!(runs, [2, 1, 1]);
    client.session.tx_rollback(ONE, NOW).unwrap();
    client.ack(5, Extent::UpTo);
    commit(&mut client);
    client.session.close_channel(ONE, NOW);
    client.reopen();
    assert_eq!(client.ready("q"), 0);
}

/// Queues bound to `amq.fanout` that had a transient message each: of every one of them the log has to say what it skipped, in the
/// block of the next message.
fn bind_gaps(broker: &Arc<Broker<SimDisk>>, count: usize) {
    let mut client = Client::new(broker);
    for at in 0..count {
        let queue = format!("gap-{at}");
        client.declare(&queue);
        client.bind("amq.fanout", &queue, "").unwrap();
    }
    let _ = client.publish_with("amq.fanout", "", PLAIN, &["transient"]);
    sync(broker);
}

/// The largest body, or little less, that a transaction publishes to so many queues while it acknowledges so much.
fn body_beside(broker: &Broker<SimDisk>, queues: usize, acks: usize) -> String {
    let limit = usize::try_from(broker.store.lock().shard().transaction_bytes_max()).unwrap();
    "x".repeat(limit - 128 - 24 * (queues + acks))
}

fn refused_commit(client: &mut Client) -> (Scope, String) {
    refusal(client.session.tx_commit(ONE, NOW, &mut |_| ()))
}

#[test]
fn a_commit_that_its_block_has_no_room_for_is_refused_and_acknowledges_nothing() {
    let broker = broker();
    bind_gaps(&broker, 156);
    let mut client = transactional(&broker);
    let bodies: Vec<String> = (0..40).map(|n| n.to_string()).collect();
    let _ = client.publish("q", &bodies.iter().map(String::as_str).collect::<Vec<_>>());
    commit(&mut client);
    client.consume("q", "t", false).unwrap();
    assert_eq!(client.bodies().len(), 40);
    for tag in (1..=40).step_by(2) {
        client.ack(tag, Extent::One);
    }
    let _ = client.publish_with("amq.fanout", "", PERSISTENT, &[&body_beside(&broker, 156, 20)]);
    let (scope, text) = refused_commit(&mut client);
    assert_eq!(scope, Scope::Channel);
    assert!(
        text.starts_with("406 PRECONDITION_FAILED - a transaction of ")
            && text.ends_with(" is larger than the limit of 57480"),
        "{text}"
    );
    client.session.close_channel(ONE, NOW);
    client.reopen();
    assert_eq!((client.ready("q"), client.ready("gap-0")), (40, 1));
}

#[test]
fn a_commit_of_which_the_last_message_finds_no_room_publishes_none() {
    let broker = broker();
    bind_gaps(&broker, 200);
    let mut client = transactional(&broker);
    let _ = client.publish("q", &["first"]);
    let _ = client.publish_with("amq.fanout", "", PERSISTENT, &[&body_beside(&broker, 200, 4)]);
    assert_eq!(refused_commit(&mut client).0, Scope::Channel);
    client.reopen();
    assert_eq!((client.ready("q"), client.ready("gap-0")), (0, 1));
}

#[test]
fn a_commit_that_fills_its_block_is_done_as_a_whole() {
    let broker = broker();
    bind_gaps(&broker, 10);
    let mut client = transactional(&broker);
    let _ = client.publish("q", &["1", "2", "3"]);
    commit(&mut client);
    client.consume("q", "t", false).unwrap();
    assert_eq!(client.bodies().len(), 3);
    client.ack(1, Extent::One);
    client.nack(3, Extent::One, GiveBack::Drop);
    let _ = client.publish_with("amq.fanout", "", PERSISTENT, &[&body_beside(&broker, 2 * 10, 2)]);
    commit(&mut client);
    client.session.close_channel(ONE, NOW);
    client.reopen();
    assert_eq!((client.ready("q"), client.ready("gap-9")), (1, 2));
}

#[test]
fn a_commit_that_the_storage_does_not_take_ends_the_connection() {
    let disk = SimDisk::new(7);
    let broker = open(&disk);
    let mut client = transactional(&broker);
    let _ = client.publish("q", &["1"]);
    commit(&mut client);
    let got = client.get("q", false).unwrap();
    disk.turn_off();
    let _ = Client::new(&broker).publish("q", &["2"]);
    sync(&broker);
    client.ack(got.tag, Extent::One);
    let (scope, text) = refused_commit(&mut client);
    assert_eq!(scope, Scope::Connection);
    assert!(text.starts_with("541 INTERNAL_ERROR - storage: "), "{text}");
}

/// A queue without room that passes on what it refuses, to `dead`.
fn declare_full(client: &mut Client, name: &str) {
    client.declare("dead");
    let passing_on = [
        ("x-max-length", Value::I32(0)),
        ("x-overflow", Value::str("reject-publish-dlx")),
        ("x-dead-letter-exchange", Value::str("")),
        ("x-dead-letter-routing-key", Value::str("dead")),
    ];
    client.declare_with(name, &passing_on).unwrap();
}

#[test]
fn a_commit_waits_for_the_copies_of_what_a_full_queue_refused() {
    let disk = SimDisk::new(7);
    let broker = open(&disk);
    let mut client = transactional(&broker);
    declare_full(&mut client, "full");
    // More than a block takes of its own accord, so that the copy goes into the next one.
    let _ = client.publish("q", &[&"x".repeat(9000)]);
    let _ = client.publish("full", &["refused"]);
    commit_in_part(&mut client);
    let survivor = disk.after_crash(&mut Rng::new(7));
    drop((client, broker));
    let mut client = Client::new(&open(&survivor));
    assert_eq!((client.ready("q"), client.ready("dead")), (1, 1));
}

#[test]
fn a_commit_is_done_although_the_copy_of_what_a_full_queue_refused_is_too_large() {
    let broker = broker();
    let mut client = transactional(&broker);
    declare_full(&mut client, "full");
    client.bind("amq.fanout", "q", "").unwrap();
    client.bind("amq.fanout", "full", "").unwrap();
    let _ = client.publish("q", &["1"]);
    commit(&mut client);
    let got = client.get("q", false).unwrap();
    client.ack(got.tag, Extent::One);
    let _ = client.publish_with("amq.fanout", "", PERSISTENT, &[&body_beside(&broker, 2, 1)]);
    commit_in_part(&mut client);
    assert_eq!((client.ready("q"), client.ready("dead")), (1, 0));
}

/// Binds to `amq.fanout` two queues that pass on what they refuse. Of the body that is returned the copy of the one, `full`, fits into
/// a block, and the copy of the other, bound before or after it, does not: its name, which stands in the copy, is so long.
fn bind_full_and_long(client: &mut Client, long_at: usize) -> String {
    let long = "l".repeat(250);
    let mut names = vec!["full"];
    names.insert(long_at, &long);
    for name in names {
        declare_full(client, name);
        client.bind("amq.fanout", name, "").unwrap();
    }
    let limit = usize::try_from(client.broker.store.lock().shard().transaction_bytes_max()).unwrap();
    "x".repeat(limit - 800)
}

#[test]
fn a_commit_waits_for_the_copy_of_one_full_queue_although_that_of_another_is_too_large() {
    for long_at in [0, 1] {
        let disk = SimDisk::new(7);
        let broker = open(&disk);
        let mut client = transactional(&broker);
        let body = bind_full_and_long(&mut client, long_at);
        // The copy does not fit into its block.
        let _ = client.publish("q", &["taken"]);
        let _ = client.publish_with("amq.fanout", "", PERSISTENT, &[&body]);
        commit_in_part(&mut client);
        let survivor = disk.after_crash(&mut Rng::new(7));
        drop((client, broker));
        let mut client = Client::new(&open(&survivor));
        assert_eq!((client.ready("q"), client.ready("dead")), (1, 1));
    }
}

#[test]
fn a_publish_of_which_a_copy_is_too_large_leaves_its_channel_open_and_reaches_its_other_queues() {
    for long_at in [0, 1] {
        let broker = broker();
        let mut client = Client::new(&broker);
        client.declare("q");
        client.bind("amq.fanout", "q", "").unwrap();
        let body = bind_full_and_long(&mut client, long_at);
        client.session.confirm_select(ONE, NOW).unwrap();
        let _ = client.publish_with("amq.fanout", "", PERSISTENT, &[&body]);
        let _ = client.publish("q", &["next"]);
        client.poll();
        assert_eq!(client.failed, []);
        assert_eq!(client.seen.nacks, [(1, Extent::One)]);
        assert_eq!(client.seen.confirms, [(2, Extent::One)]);
        assert_eq!((client.ready("q"), client.ready("dead")), (2, 1));
    }
}

#[test]
fn a_commit_is_counted_no_further_than_to_the_first_message_that_it_has_no_room_for() {
    let broker = broker();
    let mut client = transactional(&broker);
    let body = "x".repeat(40_000);
    let _ = client.publish("q", &[body.as_str(); 4]);
    let (scope, text) = refused_commit(&mut client);
    assert_eq!(scope, Scope::Channel);
    assert!(
        text.starts_with("406 PRECONDITION_FAILED - a transaction of 800")
            && text.ends_with(" bytes or more is larger than the limit of 57480"),
        "{text}"
    );
    client.reopen();
    assert_eq!(client.ready("q"), 0);
}
