//! Documents of definitions.

use super::*;
use crate::FirstContent;

const DOCUMENT: &str = r#"{
    "users": [{"name": "app", "password": "secret", "tags": ""}],
    "vhosts": [{"name": "work"}],
    "permissions": [{"user": "app", "vhost": "work", "configure": "^$", "write": "orders", "read": "q"}],
    "exchanges": [{"name": "orders", "vhost": "work", "type": "topic", "durable": true, "auto_delete": false,
                   "internal": false, "arguments": {}}],
    "queues": [{"name": "q", "vhost": "work", "durable": true, "auto_delete": false, "arguments": {}}],
    "bindings": [{"source": "orders", "vhost": "work", "destination": "q", "destination_type": "queue",
                  "routing_key": "eu.#", "arguments": {}}]
}"#;

fn app(broker: &Arc<Broker<SimDisk>>) -> Client {
    let login = broker.authenticate("app", b"secret", Peer::Remote).unwrap();
    let mut client = Client::new(broker);
    client.session = broker
        .connect(&login, "work", Waker::from(Arc::clone(&client.wakes)))
        .unwrap();
    client.session.open_channel(ONE).unwrap();
    client
}

#[test]
fn what_is_imported_works_also_after_a_restart_and_a_second_import() {
    let disk = SimDisk::new(9);
    let broker = open(&disk);
    for _ in 0..2 {
        let imported = broker.import_definitions(DOCUMENT.as_bytes(), NOW).unwrap();
        assert_eq!((imported.users, imported.queues, imported.bindings), (1, 1, 1));
    }
    let mut client = app(&broker);
    let _ = client.publish_with("orders", "eu.new", PERSISTENT, &["1"]);
    assert_eq!(client.get("q", true).unwrap().body, "1");
    sync(&broker);
    let survivor = disk.after_kill();
    drop((client, broker));
    let broker = open(&survivor);
    let mut client = app(&broker);
    let _ = client.publish_with("orders", "eu.new", PERSISTENT, &["2"]);
    assert_eq!(client.get("q", true).unwrap().body, "2");
}

#[test]
fn permissions_of_the_document_hold() {
    let broker = broker();
    broker.import_definitions(DOCUMENT.as_bytes(), NOW).unwrap();
    let mut client = app(&broker);
    assert_eq!(
        refusal(client.declare_as("mine", true, false, false)).1,
        "403 ACCESS_REFUSED - configure access to queue 'mine' in vhost 'work' refused for user 'app'"
    );
    client.reopen();
    let _ = client.publish_with("", "q", PERSISTENT, &["1"]);
    assert_eq!(
        client.failed[0].1.text,
        "ACCESS_REFUSED - write access to exchange 'amq.default' in vhost 'work' refused for user 'app'"
    );
}

#[test]
fn whoever_has_some_permission_on_a_name_may_look_whether_it_exists() {
    let broker = broker();
    broker.import_definitions(DOCUMENT.as_bytes(), NOW).unwrap();
    let mut client = app(&broker);
    let arguments = Arguments::new();
    let look = |client: &mut Client, name| {
        let request = ExchangeDeclare {
            name,
            kind: "topic",
            passive: true,
            durable: true,
            auto_delete: false,
            internal: false,
            arguments: &arguments,
        };
        client.session.exchange_declare(ONE, &request, NOW)
    };
    assert_eq!(&*client.declare_passively("q").unwrap().name, "q");
    look(&mut client, "orders").unwrap();
    assert_eq!(
        refusal(client.declare_passively("hidden")),
        (
            Scope::Channel,
            "403 ACCESS_REFUSED - configure access to queue 'hidden' in vhost 'work' refused for user 'app'"
                .to_owned()
        )
    );
    client.reopen();
    assert_eq!(
        refusal(look(&mut client, "hidden")).1,
        "403 ACCESS_REFUSED - configure access to exchange 'hidden' in vhost 'work' refused for user 'app'"
    );
    client.reopen();
    assert_eq!(
        refusal(look(&mut client, "")).1,
        "403 ACCESS_REFUSED - operation not permitted on the default exchange"
    );
}

#[test]
fn a_refused_item_is_named() {
    let broker = broker();
    let document = r#"{"vhosts": [{"name": "/"}], "queues": [{"name": "q", "vhost": "/", "durable": true,
        "auto_delete": false, "arguments": {"x-queue-type": "quorum", "x-delayed-retry-min": 1}}]}"#;
    let error = broker.import_definitions(document.as_bytes(), NOW).unwrap_err();
    assert_eq!(
        error.to_string(),
        "queue 'q' in vhost '/': NOT_IMPLEMENTED - x-delayed-retry-min"
    );
}

#[test]
fn a_stream_is_left_out_by_name_and_the_rest_is_imported() {
    let stream = r#""queues": [{"name": "audit", "vhost": "work", "type": "stream", "durable": true, "auto_delete": false,
                    "arguments": {"x-queue-type": "stream", "x-max-age": "7D"}},"#;
    let binding = r#""bindings": [{"source": "orders", "vhost": "work", "destination": "audit", "destination_type": "queue",
                     "routing_key": "us.#", "arguments": {}},"#;
    let document = DOCUMENT
        .replace(r#""queues": ["#, stream)
        .replace(r#""bindings": ["#, binding);
    let broker = broker();
    let imported = broker.import_definitions(document.as_bytes(), NOW).unwrap();
    assert_eq!((imported.queues, imported.bindings), (1, 1));
    assert_eq!(
        imported.left_out,
        [
            "queues[0]: queue 'audit' in vhost 'work' is a stream, not supported, left out",
            "bindings[0]: the binding from exchange 'orders' in vhost 'work' with the key 'us.#' leads to the stream 'audit', left out with it"
        ]
    );
    let mut client = app(&broker);
    let _ = client.publish_with("orders", "eu.new", PERSISTENT, &["1"]);
    assert_eq!(client.get("q", true).unwrap().body, "1");
}

#[test]
fn a_virtual_host_says_which_kind_queues_are_that_name_none() {
    let document = DOCUMENT
        .replace(
            r#"{"name": "work"}"#,
            r#"{"name": "work", "default_queue_type": "quorum"}"#,
        )
        .replace("^$", ".*");
    let disk = SimDisk::new(9);
    let broker = open(&disk);
    broker.import_definitions(document.as_bytes(), NOW).unwrap();
    sync(&broker);
    let survivor = disk.after_kill();
    drop(broker);
    let broker = open(&survivor);
    let mut client = app(&broker);
    client.declare_with("replicated", &[]).unwrap();
    let quorum = [("x-queue-type", Value::str("quorum"))];
    client.declare_with("replicated", &quorum).unwrap();
    client.declare_with("replicated", &[]).unwrap();
    // What the document lists without a kind has that of the virtual host, too.
    client.declare_with("q", &quorum).unwrap();
    client.declare_with("q", &[]).unwrap();
    for (durable, exclusive) in [(false, false), (true, true)] {
        // Of these there are no quorum queues.
        let name = format!("{durable} {exclusive}");
        client.declare_as(&name, durable, exclusive, false).unwrap();
    }
}

#[test]
fn a_virtual_host_of_streams_is_refused() {
    let document = DOCUMENT.replace(
        r#"{"name": "work"}"#,
        r#"{"name": "work", "default_queue_type": "stream"}"#,
    );
    let error = open(&SimDisk::new(9))
        .import_definitions(document.as_bytes(), NOW)
        .unwrap_err();
    assert!(error.to_string().contains("default_queue_type=stream"), "{error}");
}

#[test]
fn what_exists_otherwise_is_kept_and_told() {
    let broker = broker();
    broker.import_definitions(DOCUMENT.as_bytes(), NOW).unwrap();
    let other = DOCUMENT
        .replace(r#""type": "topic""#, r#""type": "fanout""#)
        .replace(
            r#""arguments": {}}],
    "bindings""#,
            r#""arguments": {"x-max-length": 1}}],
    "bindings""#,
        );
    let imported = broker.import_definitions(other.as_bytes(), NOW).unwrap();
    assert_eq!(
        imported.left_out,
        [
            "exchange 'orders' in vhost 'work' exists and stays as it is: PRECONDITION_FAILED - inequivalent arg 'type' \
             for exchange 'orders' in vhost 'work': received 'fanout' but current is 'topic'",
            "queue 'q' in vhost 'work' exists and stays as it is: PRECONDITION_FAILED - inequivalent arg 'x-max-length' \
             for queue 'q' in vhost 'work': received the value '1' of type 'long' but current is none",
        ]
    );
    let mut client = app(&broker);
    let _ = client.publish_with("orders", "us.new", PERSISTENT, &["0"]);
    let _ = client.publish_with("orders", "eu.new", PERSISTENT, &["1"]);
    let _ = client.publish_with("orders", "eu.new", PERSISTENT, &["2"]);
    assert_eq!(client.get("q", true).unwrap().body, "1");
}

#[test]
fn a_new_user_gets_the_permissions_that_stand_in_the_user() {
    let user = r#"{"name": "eve", "password": "secret", "tags": "",
        "permissions": {"work": {"configure": "^mine$", "write": "", "read": ""}}}"#;
    let document = |user: &str| format!(r#"{{"vhosts": [{{"name": "work"}}], "users": [{user}]}}"#);
    let broker = broker();
    let log_in = || {
        let login = broker.authenticate("eve", b"secret", Peer::Remote).unwrap();
        let mut client = Client::new(&broker);
        client.session = broker
            .connect(&login, "work", Waker::from(Arc::clone(&client.wakes)))
            .unwrap();
        client.session.open_channel(ONE).unwrap();
        client
    };
    let imported = broker.import_definitions(document(user).as_bytes(), NOW).unwrap();
    assert_eq!(imported.ignored, [""; 0]);
    log_in().declare("mine");
    // Of a user who exists they change nothing.
    let other = document(&user.replace("mine", "yours"));
    broker.import_definitions(other.as_bytes(), NOW).unwrap();
    log_in().declare("mine");
}

#[test]
fn a_data_directory_for_definitions_has_nothing_of_its_own() {
    let open = |disk: &SimDisk| {
        let options = BrokerOptions {
            store: logpond_store::Options::tiny(),
            first_content: FirstContent::Nothing,
            ..BrokerOptions::default()
        };
        Broker::open(disk.clone(), options).unwrap().0
    };
    let disk = SimDisk::new(9);
    let broker = open(&disk);
    assert_eq!(broker.accounts().directory().users().count(), 0);
    assert!(broker.vhost("/").is_none());
    broker.import_definitions(DOCUMENT.as_bytes(), NOW).unwrap();
    sync(&broker);
    let survivor = disk.after_kill();
    drop(broker);
    let broker = open(&survivor);
    let directory = broker.accounts().directory();
    assert_eq!(
        directory.users().map(|user| &*user.name).collect::<Vec<_>>(),
        ["app"]
    );
    assert!(broker.vhost("/").is_none() && broker.vhost("work").is_some());
}
