//! Direct reply-to.

use super::*;
use crate::limits::REPLIES_MAX;

const REPLY_TO: &str = "amq.rabbitmq.reply-to";
/// Property flags and list for `reply-to` alone.
const ASKING: &[u8] = b"\x02\0\x15amq.rabbitmq.reply-to";

/// A client that asked, one that was asked, and the name under which the first waits.
fn asked(broker: &Arc<Broker<SimDisk>>) -> (Client, Client, String) {
    let (mut asking, mut answering) = (Client::new(broker), Client::new(broker));
    answering.declare("rpc");
    answering.consume("rpc", "server", true).unwrap();
    asking.consume(REPLY_TO, "replies", true).unwrap();
    let _ = asking.publish_with("", "rpc", ASKING, &["?"]);
    assert_eq!(answering.bodies(), ["?"]);
    let name = answering.seen.reply_to.pop().unwrap().unwrap();
    asking.poll();
    (asking, answering, name)
}

#[test]
fn a_reply_reaches_who_asked_without_the_store() {
    let broker = broker();
    let (mut asking, mut answering, name) = asked(&broker);
    assert!(name.starts_with("amq.rabbitmq.reply-to."), "{name}");
    assert!(!broker.step(), "the store is at rest");
    let _ = answering.publish(&name, &["!", "!!"]);
    assert!(!broker.step(), "and stays so");
    assert!(asking.wakes.0.load(Ordering::Relaxed) > 0);
    asking.poll();
    let got: Vec<_> = asking
        .seen
        .deliveries
        .iter()
        .map(|got| (&*got.consumer, got.tag, &*got.body))
        .collect();
    assert_eq!(got, [("replies", 1, "!"), ("replies", 2, "!!")]);
    assert_eq!(answering.returned, [""; 0]);
}

#[test]
fn a_reply_is_confirmed_like_any_publish() {
    let broker = broker();
    let (mut asking, mut answering, name) = asked(&broker);
    answering.session.confirm_select(ONE, NOW).unwrap();
    let _ = answering.publish(&name, &["!"]);
    answering.poll();
    assert_eq!(answering.seen.confirms, [(1, Extent::One)]);
    assert_eq!(asking.bodies(), ["!"]);
}

#[test]
fn a_consumer_of_replies_cannot_acknowledge() {
    let mut client = Client::new(&broker());
    assert_eq!(
        refusal(client.consume(REPLY_TO, "", false)),
        (
            Scope::Channel,
            "406 PRECONDITION_FAILED - reply consumer cannot acknowledge".into()
        )
    );
}

#[test]
fn a_channel_has_one_consumer_of_replies() {
    let mut client = Client::new(&broker());
    client.consume(REPLY_TO, "", true).unwrap();
    assert_eq!(
        refusal(client.consume(REPLY_TO, "", true)),
        (
            Scope::Channel,
            "406 PRECONDITION_FAILED - reply consumer already set".into()
        )
    );
}

#[test]
fn the_tag_of_a_consumer_of_replies_is_taken() {
    let mut client = Client::new(&broker());
    client.declare("q");
    client.consume(REPLY_TO, "t", true).unwrap();
    assert_eq!(
        refusal(client.consume("q", "t", true)),
        (
            Scope::Connection,
            "530 NOT_ALLOWED - attempt to reuse consumer tag 't'".into()
        )
    );
}

#[test]
fn who_asks_for_replies_must_wait_for_them() {
    let mut client = Client::new(&broker());
    client.declare("rpc");
    let _ = client.publish_with("", "rpc", ASKING, &["?"]);
    let (channel, error) = client.failed.pop().unwrap();
    assert_eq!((channel, error.scope), (ONE, Scope::Channel));
    assert_eq!(
        error.text,
        "PRECONDITION_FAILED - fast reply consumer does not exist"
    );
}

#[test]
fn a_reply_to_a_consumer_that_went_is_dropped_and_not_returned() {
    let broker = broker();
    let (mut asking, mut answering, name) = asked(&broker);
    asking.session.cancel(ONE, "replies", NOW).unwrap();
    let _ = answering.publish(&name, &["too late"]);
    assert_eq!(asking.bodies(), [""; 0]);
    assert_eq!(answering.returned, [""; 0]);
    let _ = answering.publish("amq.rabbitmq.reply-to.nobody", &["never"]);
    assert_eq!(
        answering.returned,
        ["never"],
        "what is no such name is unroutable"
    );
}

#[test]
fn a_reply_on_its_way_does_not_reach_a_later_consumer() {
    let broker = broker();
    let (mut asking, mut answering, name) = asked(&broker);
    let _ = answering.publish(&name, &["for the first"]);
    asking.session.close_channel(ONE, NOW);
    asking.reopen();
    asking.consume(REPLY_TO, "second", true).unwrap();
    assert_eq!(asking.bodies(), [""; 0]);
}

#[test]
fn declaring_the_name_says_whether_its_consumer_is_there() {
    let broker = broker();
    let (mut asking, mut answering, name) = asked(&broker);
    let declared = answering.declare_passively(&name).unwrap();
    assert_eq!((declared.message_count, declared.consumer_count), (0, 1));
    assert_eq!(
        answering.declare_as(&name, false, false, false).unwrap(),
        declared
    );
    answering.declare_passively(REPLY_TO).unwrap();
    asking.session.cancel(ONE, "replies", NOW).unwrap();
    assert_eq!(
        refusal(answering.declare_passively(&name)),
        (
            Scope::Channel,
            format!("404 NOT_FOUND - no queue '{name}' in vhost '/'")
        )
    );
}

#[test]
fn the_name_is_no_queue_for_anything_else() {
    let broker = broker();
    let (_asking, mut answering, name) = asked(&broker);
    assert_eq!(
        refusal(answering.bind("amq.fanout", &name, "")).1,
        "403 ACCESS_REFUSED - cannot bind or unbind to a volatile (direct reply-to) queue"
    );
    answering.reopen();
    assert_eq!(
        refusal(answering.consume(&name, "thief", true)).1,
        format!(
            "406 PRECONDITION_FAILED - only creator channel may consume from queue '{name}' in vhost '/'"
        )
    );
    answering.reopen();
    assert_eq!(
        refusal(answering.session.get(ONE, &name, true, NOW, &mut |_, _| {})),
        (
            Scope::Connection,
            format!("540 NOT_IMPLEMENTED - basic.get not supported by volatile queue '{name}' in vhost '/'")
        )
    );
}

#[test]
fn another_virtual_host_cannot_reply() {
    let broker = broker();
    let (mut asking, _answering, name) = asked(&broker);
    broker.declare_vhost("other").unwrap();
    let definitions = br#"{"permissions": [{"user": "guest", "vhost": "other", "configure": ".*", "write": ".*", "read": ".*"}]}"#;
    broker.import_definitions(definitions, NOW).unwrap();
    let mut other = Client::in_vhost(&broker, "other");
    let _ = other.publish(&name, &["from elsewhere"]);
    assert_eq!(asking.bodies(), [""; 0]);
}

#[test]
fn a_reply_of_a_transaction_leaves_with_its_commit() {
    let broker = broker();
    let (mut asking, mut answering, name) = asked(&broker);
    answering.session.tx_select(ONE, NOW).unwrap();
    let _ = answering.publish(&name, &["!"]);
    assert_eq!(asking.bodies(), [""; 0]);
    answering
        .session
        .tx_commit(ONE, NOW, &mut |_| panic!("a reply is not unroutable"))
        .unwrap();
    assert_eq!(asking.bodies(), ["!"]);
}

#[test]
fn replies_to_a_client_that_does_not_look_are_bounded() {
    let broker = broker();
    let (mut asking, mut answering, name) = asked(&broker);
    let many = vec!["!"; REPLIES_MAX + 10];
    let _ = answering.publish(&name, &many);
    assert_eq!(asking.bodies().len(), REPLIES_MAX);
    let _ = answering.publish(&name, &["again"]);
    assert_eq!(asking.bodies(), ["again"]);
}

#[test]
fn replies_are_handed_over_in_portions() {
    let broker = broker();
    let (mut asking, mut answering, name) = asked(&broker);
    let _ = answering.publish(&name, &["1", "2", "3"]);
    let polled = asking.session.poll(1, &mut asking.seen, NOW);
    assert!(polled.more);
    assert_eq!(asking.seen.deliveries.len(), 1);
    assert_eq!(asking.bodies(), ["1", "2", "3"]);
}
