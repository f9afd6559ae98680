//! Limits of virtual hosts and users, and permissions on topics.

use super::*;
use crate::auth::{TopicPermission, UserLimits};

fn limit_user(broker: &Broker<SimDisk>, max_connections: Option<u64>, max_channels: Option<u64>) {
    let mut draft = broker.accounts.draft();
    draft
        .put_limits(UserLimits {
            user: "guest".into(),
            max_connections,
            max_channels,
        })
        .unwrap();
    let (directory, changes) = draft.into_parts();
    broker.store.catalog().commit(changes).unwrap();
    broker.accounts.publish(directory);
}

fn connect(broker: &Arc<Broker<SimDisk>>) -> Result<Session<SimDisk>, String> {
    let login = broker.authenticate("guest", b"guest", Peer::Loopback).unwrap();
    broker
        .connect(&login, "/", Waker::noop().clone())
        .map_err(|error| error.to_string())
}

#[test]
fn a_virtual_host_has_no_more_connections_than_its_limit() {
    let broker = broker();
    let limits = VhostLimits {
        max_connections: Some(1),
        max_queues: None,
    };
    broker.set_vhost_limits("/", limits).unwrap();
    let first = connect(&broker).unwrap();
    assert_eq!(
        connect(&broker).err().unwrap(),
        "NOT_ALLOWED - access to vhost '/' refused for user 'guest': connection limit (1) is reached"
    );
    drop(first);
    connect(&broker).unwrap();
}

#[test]
fn a_user_has_no_more_connections_than_the_limit() {
    let broker = broker();
    limit_user(&broker, Some(1), None);
    let first = connect(&broker).unwrap();
    assert_eq!(
        connect(&broker).err().unwrap(),
        "NOT_ALLOWED - connection refused for user 'guest': user connection limit (1) is reached"
    );
    first.close(NOW);
    connect(&broker).unwrap();
}

#[test]
fn a_user_has_no_more_channels_than_the_limit() {
    let broker = broker();
    limit_user(&broker, None, Some(2));
    let (mut a, mut b) = (connect(&broker).unwrap(), connect(&broker).unwrap());
    a.open_channel(ONE).unwrap();
    b.open_channel(ONE).unwrap();
    a.close_channel(ONE, NOW);
    a.open_channel(TWO).unwrap();
    assert_eq!(
        refusal(b.open_channel(TWO)),
        (
            Scope::Connection,
            "530 NOT_ALLOWED - number of channels opened for user 'guest' has reached the maximum allowed user limit \
             of 2"
                .into()
        )
    );
    drop(b);
    a.open_channel(ONE).unwrap();
}

#[test]
fn a_virtual_host_has_no_more_queues_than_its_limit() {
    let broker = broker();
    let mut client = Client::new(&broker);
    client.declare("a");
    let limits = VhostLimits {
        max_connections: None,
        max_queues: Some(1),
    };
    broker.set_vhost_limits("/", limits).unwrap();
    client.declare("a");
    assert_eq!(
        refusal(client.declare_as("b", true, false, false)),
        (
            Scope::Channel,
            "406 PRECONDITION_FAILED - cannot declare queue 'b': queue limit in vhost '/' (1) is reached"
                .into()
        )
    );
    client.reopen();
    client.delete("a").unwrap();
    client.declare("b");
}

#[test]
fn limits_and_topic_permissions_are_imported_and_survive_a_restart() {
    let disk = SimDisk::new(12);
    let before = open(&disk);
    let document = br#"{
        "users": [{"name": "app", "password": "secret", "tags": [], "limits": {"max-connections": 3, "max-channels": -1}}],
        "vhosts": [{"name": "work", "limits": {"max-queues": 7}}],
        "parameters": [{"component": "vhost-limits", "vhost": "/", "name": "limits", "value": {"max-connections": 9}}],
        "topic_permissions": [{"user": "app", "vhost": "work", "exchange": "amq.topic", "write": "^a", "read": ""}]
    }"#;
    assert_eq!(before.import_definitions(document, NOW).unwrap().ignored, [""; 0]);
    let survivor = disk.after_kill();
    drop(before);
    let after = open(&survivor);
    let limits = |name| after.vhost(name).unwrap().limits();
    assert_eq!(
        (limits("work").max_queues, limits("/").max_connections),
        (Some(7), Some(9))
    );
    let of_user = after.accounts.limits("app");
    assert_eq!((of_user.max_connections, of_user.max_channels), (Some(3), None));
    let topics: Vec<_> = after.accounts.directory().topic_permissions().cloned().collect();
    assert_eq!((topics.len(), &*topics[0].write), (1, "^a"));
}

fn with_topics(write: &str, read: &str) -> Client {
    let broker = broker();
    let mut draft = broker.accounts.draft();
    draft
        .put_topic_permission(TopicPermission {
            user: "guest".into(),
            vhost: "/".into(),
            exchange: "amq.topic".into(),
            write: write.into(),
            read: read.into(),
        })
        .unwrap();
    let (directory, changes) = draft.into_parts();
    broker.store.catalog().commit(changes).unwrap();
    broker.accounts.publish(directory);
    Client::new(&broker)
}

#[test]
fn a_topic_permission_narrows_which_keys_may_be_published_with() {
    let mut client = with_topics("^{username}\\.", ".*");
    let _ = client.publish_with("amq.topic", "guest.news", PERSISTENT, &["1"]);
    assert_eq!(client.failed, []);
    let _ = client.publish_with("amq.topic", "other.news", PERSISTENT, &["2"]);
    assert_eq!(
        client.failed[0].1.text,
        "ACCESS_REFUSED - write access to topic 'other.news' in exchange 'amq.topic' in vhost '/' refused for user 'guest'"
    );
    client.reopen();
    let _ = client.publish_with("amq.direct", "other.news", PERSISTENT, &["3"]);
    assert_eq!(client.failed.len(), 1, "other exchanges are free");
}

#[test]
fn a_key_in_cc_needs_the_topic_permission_as_well() {
    let mut client = with_topics("^a", ".*");
    // One header: CC, an array of one long string, "b".
    let properties = b"\x20\0\0\0\0\x0e\x02CCA\0\0\0\x06S\0\0\0\x01b";
    let _ = client.publish_with("amq.topic", "a", properties, &["1"]);
    assert!(
        client.failed[0].1.text.contains("topic 'b'"),
        "{:?}",
        client.failed
    );
}

#[test]
fn a_topic_permission_narrows_which_keys_may_be_bound_with() {
    let mut client = with_topics(".*", "^a");
    client.declare("q");
    client.bind("amq.topic", "q", "a.#").unwrap();
    assert_eq!(
        refusal(client.bind("amq.topic", "q", "#")).1,
        "403 ACCESS_REFUSED - read access to topic '#' in exchange 'amq.topic' in vhost '/' refused for user 'guest'"
    );
}
