//! Declaring, binding, deleting: what is refused, and in which words.

use rstest::rstest;

use super::*;

#[test]
fn a_queue_without_a_name_gets_one() {
    let broker = broker();
    let mut client = Client::new(&broker);
    let (a, b) = (client.declare(""), client.declare(""));
    assert!(a.starts_with("amq.gen-") && b.starts_with("amq.gen-") && a != b);
    client.bind("amq.fanout", "", "").unwrap();
}

#[rstest]
#[case("quorum")]
#[case("stream")]
fn a_queue_that_is_made_to_stay_needs_a_name(#[case] kind: &str) {
    let broker = broker();
    let mut client = Client::new(&broker);
    let text =
        format!("406 PRECONDITION_FAILED - Cannot declare a server-named queue for type rabbit_{kind}_queue");
    assert_eq!(
        refusal(client.declare_with("", &[("x-queue-type", Value::str(kind))])),
        (Scope::Channel, text)
    );
}

#[test]
fn a_different_declaration_is_refused_by_its_first_difference() {
    let broker = broker();
    let mut client = Client::new(&broker);
    client.declare("q");
    client.declare("q");
    assert_eq!(
        refusal(client.declare_as("q", false, false, false)),
        (
            Scope::Channel,
            "406 PRECONDITION_FAILED - inequivalent arg 'durable' for queue 'q' in vhost '/': \
             received 'false' but current is 'true'"
                .to_owned()
        )
    );
    client.reopen();
    client.exchange("x", "fanout", true).unwrap();
    assert_eq!(
        refusal(client.exchange("x", "topic", true)).1,
        "406 PRECONDITION_FAILED - inequivalent arg 'type' for exchange 'x' in vhost '/': \
         received 'topic' but current is 'fanout'"
    );
}

#[rstest]
#[case("classic", "x-queue-version", &Value::I32(2))]
#[case("classic", "x-queue-mode", &Value::str("lazy"))]
#[case("classic", "x-queue-master-locator", &Value::str("min-masters"))]
#[case("classic", "x-queue-leader-locator", &Value::str("balanced"))]
#[case("quorum", "x-max-in-memory-length", &Value::I32(2))]
#[case("quorum", "x-max-in-memory-bytes", &Value::I32(2))]
#[case("quorum", "x-quorum-initial-group-size", &Value::I32(1))]
fn a_declaration_repeats_every_argument_that_its_kind_of_queue_knows(
    #[case] kind: &str,
    #[case] name: &str,
    #[case] value: &Value,
) {
    let broker = broker();
    let mut client = Client::new(&broker);
    let kind = ("x-queue-type", Value::str(kind));
    let with = [kind.clone(), (name, value.clone())];
    client.declare_with("q", &with).unwrap();
    client.declare_with("q", &with).unwrap();
    let (scope, text) = refusal(client.declare_with("q", &[kind]));
    let told = format!(
        "406 PRECONDITION_FAILED - inequivalent arg '{name}' for queue 'q' in vhost '/': received none but"
    );
    assert!(scope == Scope::Channel && text.starts_with(&told), "{text}");
}

#[rstest]
#[case(None, "quorum", "classic")]
#[case(Some(Value::str("quorum")), "classic", "quorum")]
#[case(Some(Value::str("stream")), "classic", "stream")]
#[case(Some(Value::str("what")), "quorum", "what")]
#[case(Some(Value::I32(5)), "classic", "5")]
fn a_queue_that_exists_is_not_declared_as_one_of_another_kind(
    #[case] kind: Option<Value>,
    #[case] current: &str,
    #[case] received: &str,
) {
    let broker = broker();
    let mut client = Client::new(&broker);
    client
        .declare_with("q", &[("x-queue-type", Value::str(current))])
        .unwrap();
    let arguments: Vec<_> = kind.map(|kind| ("x-queue-type", kind)).into_iter().collect();
    assert_eq!(
        refusal(client.declare_with("q", &arguments)),
        (
            Scope::Channel,
            format!(
                "406 PRECONDITION_FAILED - inequivalent arg 'x-queue-type' for queue 'q' in vhost '/': \
                 received '{received}' but current is '{current}'"
            )
        )
    );
}

#[test]
fn what_is_missing_is_not_found() {
    let broker = broker();
    let mut client = Client::new(&broker);
    assert_eq!(
        refusal(client.declare_passively("none")).1,
        "404 NOT_FOUND - no queue 'none' in vhost '/'"
    );
    client.reopen();
    assert_eq!(
        refusal(client.consume("none", "t", false)).1,
        "404 NOT_FOUND - no queue 'none' in vhost '/'"
    );
    client.reopen();
    client.declare("q");
    assert_eq!(
        refusal(client.bind("none", "q", "k")).1,
        "404 NOT_FOUND - no exchange 'none' in vhost '/'"
    );
    client.reopen();
    let passive = ExchangeDeclare {
        name: "none",
        kind: "direct",
        passive: true,
        durable: false,
        auto_delete: false,
        internal: false,
        arguments: &Arguments::new(),
    };
    assert_eq!(
        refusal(client.session.exchange_declare(ONE, &passive, NOW)).1,
        "404 NOT_FOUND - no exchange 'none' in vhost '/'"
    );
}

#[test]
fn deleting_and_unbinding_what_is_missing_is_fine() {
    let broker = broker();
    let mut client = Client::new(&broker);
    client.declare("q");
    assert_eq!(client.delete("none"), Ok(0));
    assert_eq!(client.session.exchange_delete(ONE, "none", false, NOW), Ok(()));
    let arguments = &Arguments::new();
    let binding = Binding {
        source: "amq.direct",
        destination: "q",
        routing_key: b"never",
        arguments,
    };
    assert_eq!(client.session.queue_unbind(ONE, &binding, NOW), Ok(()));
}

#[test]
fn reserved_names_are_refused() {
    let broker = broker();
    let mut client = Client::new(&broker);
    let mut refused = |answer: &dyn Fn(&mut Client) -> Answer<()>| {
        let (scope, text) = refusal(answer(&mut client));
        assert_eq!(scope, Scope::Channel);
        client.reopen();
        text
    };
    assert_eq!(
        refused(&|client| client.declare_as("amq.mine", true, false, false).map(|_| ())),
        "403 ACCESS_REFUSED - queue name 'amq.mine' contains reserved prefix 'amq.*'"
    );
    assert_eq!(
        refused(&|client| client.exchange("amq.mine", "direct", true)),
        "403 ACCESS_REFUSED - exchange name 'amq.mine' contains reserved prefix 'amq.*'"
    );
    assert_eq!(
        refused(&|client| client.session.exchange_delete(ONE, "amq.direct", false, NOW)),
        "403 ACCESS_REFUSED - deletion of system exchange 'amq.direct' in vhost '/' not allowed"
    );
    let default = "403 ACCESS_REFUSED - operation not permitted on the default exchange";
    assert_eq!(refused(&|client| client.exchange("", "direct", true)), default);
    assert_eq!(
        refused(&|client| {
            client.declare("q");
            client.bind("", "q", "k")
        }),
        default
    );
    assert_eq!(
        refused(&|client| client.exchange("x", "no-such-type", true)),
        "406 PRECONDITION_FAILED - unknown exchange type 'no-such-type'"
    );
}

#[test]
fn a_predeclared_exchange_may_be_declared_as_it_is() {
    let broker = broker();
    assert_eq!(Client::new(&broker).exchange("amq.topic", "topic", true), Ok(()));
}

#[test]
fn an_exclusive_queue_is_closed_to_others_and_goes_with_its_connection() {
    let broker = broker();
    let (mut client, mut other) = (Client::new(&broker), Client::new(&broker));
    client.declare_as("mine", false, true, false).unwrap();
    let locked = "405 RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'mine' in vhost '/'. \
                  It could be originally declared on another connection or the exclusive property value does \
                  not match that of the original declaration.";
    assert_eq!(refusal(other.declare_passively("mine")).1, locked);
    other.reopen();
    assert_eq!(refusal(other.delete("mine")).1, locked);
    other.reopen();
    assert_eq!(
        refusal(other.session.get(ONE, "mine", true, NOW, &mut |_, _| ())).1,
        locked
    );
    other.reopen();
    client.declare_as("mine", false, true, false).unwrap();
    client.session.close(NOW);
    assert_eq!(
        refusal(other.declare_passively("mine")).1,
        "404 NOT_FOUND - no queue 'mine' in vhost '/'"
    );
}

#[test]
fn an_exclusive_queue_is_never_durable_whatever_is_declared() {
    let broker = broker();
    let mut client = Client::new(&broker);
    client.declare_as("mine", false, true, false).unwrap();
    client.declare_as("mine", true, true, false).unwrap();
    client.declare_as("yours", true, true, false).unwrap();
    client.declare_as("yours", false, true, false).unwrap();
}

#[test]
fn names_in_bindings_lose_their_line_breaks() {
    let broker = broker();
    let mut client = Client::new(&broker);
    client.declare("q");
    client.exchange("x", "fanout", true).unwrap();
    let between = Binding {
        source: "amq.fanout\n",
        destination: "\rx",
        routing_key: b"",
        arguments: &Arguments::new(),
    };
    client.session.exchange_bind(ONE, &between, NOW).unwrap();
    client.bind("x\n", "q\r\n", "").unwrap();
    let _ = client.publish_with("amq.fanout", "", PERSISTENT, &["1"]);
    assert_eq!(client.get("q", true).unwrap().body, "1");
    client.session.exchange_unbind(ONE, &between, NOW).unwrap();
    let _ = client.publish_with("amq.fanout", "", PERSISTENT, &["2"]);
    let queue = Binding {
        source: "\nx",
        destination: "q\n",
        ..between
    };
    client.session.queue_unbind(ONE, &queue, NOW).unwrap();
    let _ = client.publish_with("x", "", PERSISTENT, &["3"]);
    assert_eq!(client.returned, ["2", "3"]);
}

#[test]
fn a_name_of_line_breaks_is_the_default_exchanges() {
    let broker = broker();
    let mut client = Client::new(&broker);
    client.declare("q");
    let text = "403 ACCESS_REFUSED - operation not permitted on the default exchange";
    assert_eq!(refusal(client.exchange("\r\n", "direct", true)).1, text);
    client.reopen();
    assert_eq!(refusal(client.bind("\n", "q", "k")).1, text);
    client.reopen();
    assert_eq!(
        refusal(client.session.exchange_delete(ONE, "\n", false, NOW)).1,
        text
    );
}

#[test]
fn of_a_binding_between_things_that_are_missing_the_exchange_is_named() {
    let broker = broker();
    let mut client = Client::new(&broker);
    assert_eq!(
        refusal(client.bind("nowhere", "nothing", "k")).1,
        "404 NOT_FOUND - no exchange 'nowhere' in vhost '/'"
    );
}

#[rstest]
#[case("topic", &[])]
#[case("x-delayed-message", &[("x-delayed-type", Value::str("topic"))])]
fn a_pattern_has_two_words_for_any_number_of_words_at_most(
    #[case] kind: &str,
    #[case] arguments: &[(&str, Value)],
) {
    let broker = broker();
    let mut client = Client::new(&broker);
    client.declare("q");
    let arguments = arguments.iter().cloned().collect();
    client.exchange_with("t", kind, true, &arguments).unwrap();
    client.exchange("x", "fanout", true).unwrap();
    client.bind("t", "q", "#.a.#.b#.#c").unwrap();
    let text =
        "406 PRECONDITION_FAILED - Topic binding key '#.a.#.#' uses 3 '#' wildcards, at most 2 are allowed";
    assert_eq!(
        refusal(client.bind("t", "q", "#.a.#.#")),
        (Scope::Channel, text.into())
    );
    client.reopen();
    let between = Binding {
        source: "t",
        destination: "x",
        routing_key: b"#.a.#.#",
        arguments: &Arguments::new(),
    };
    assert_eq!(refusal(client.session.exchange_bind(ONE, &between, NOW)).1, text);
    client.reopen();
    client.session.exchange_unbind(ONE, &between, NOW).unwrap();
    client.bind("x", "q", "#.#.#").unwrap();
}

#[test]
fn an_auto_delete_queue_goes_with_its_last_consumer() {
    let broker = broker();
    let (mut client, mut other) = (Client::new(&broker), Client::new(&broker));
    client.declare_as("q", true, false, true).unwrap();
    client.consume("q", "a", false).unwrap();
    other.consume("q", "b", false).unwrap();
    client.session.cancel(ONE, "a", NOW).unwrap();
    assert_eq!(client.declare_passively("q").unwrap().consumer_count, 1);
    drop(other);
    assert!(client.declare_passively("q").is_err());
}

#[test]
fn deletions_keep_their_conditions() {
    let broker = broker();
    let mut client = Client::new(&broker);
    client.declare("q");
    let _ = client.publish("q", &["x"]);
    let request = QueueDelete {
        name: "q",
        if_unused: false,
        if_empty: true,
    };
    assert_eq!(
        refusal(client.session.queue_delete(ONE, &request, NOW)).1,
        "406 PRECONDITION_FAILED - queue 'q' in vhost '/' not empty"
    );
    client.reopen();
    client.consume("q", "t", false).unwrap();
    let request = QueueDelete {
        name: "q",
        if_unused: true,
        if_empty: false,
    };
    assert_eq!(
        refusal(client.session.queue_delete(ONE, &request, NOW)).1,
        "406 PRECONDITION_FAILED - queue 'q' in vhost '/' in use"
    );
    client.reopen();
    client.bind("amq.fanout", "q", "").unwrap();
    client.exchange("x", "fanout", true).unwrap();
    client.bind("x", "q", "").unwrap();
    assert_eq!(
        refusal(client.session.exchange_delete(ONE, "x", true, NOW)).1,
        "406 PRECONDITION_FAILED - exchange 'x' in vhost '/' in use"
    );
    client.reopen();
    client.delete("q").unwrap();
    assert_eq!(client.session.exchange_delete(ONE, "x", true, NOW), Ok(()));
}

#[test]
fn a_purge_takes_what_is_ready_and_leaves_what_is_outstanding() {
    let broker = broker();
    let mut client = Client::new(&broker);
    client.declare("q");
    let _ = client.publish("q", &["1", "2", "3"]);
    client.get("q", false).unwrap();
    assert_eq!(client.session.queue_purge(ONE, "q", NOW), Ok(2));
    assert_eq!(client.ready("q"), 0);
    client.session.recover(ONE, true, NOW).unwrap();
    assert_eq!(client.get("q", true).unwrap().body, "1");
}

#[test]
fn an_internal_exchange_takes_no_publishes() {
    let broker = broker();
    let mut client = Client::new(&broker);
    let internal = ExchangeDeclare {
        name: "inner",
        kind: "fanout",
        passive: false,
        durable: true,
        auto_delete: false,
        internal: true,
        arguments: &Arguments::new(),
    };
    client.session.exchange_declare(ONE, &internal, NOW).unwrap();
    let _ = client.publish_with("inner", "", PLAIN, &["x"]);
    assert_eq!(
        client.failed[0].1.text,
        "ACCESS_REFUSED - cannot publish to internal exchange 'inner' in vhost '/'"
    );
}

#[test]
fn channels_are_opened_once_and_before_use() {
    let broker = broker();
    let mut client = Client::new(&broker);
    assert_eq!(refusal(client.session.open_channel(ONE)).0, Scope::Connection);
    let mut client = Client::new(&broker);
    client.session.close_channel(ONE, NOW);
    assert_eq!(
        refusal(client.declare_passively("q")),
        (
            Scope::Connection,
            "504 CHANNEL_ERROR - expected 'channel.open'".to_owned()
        )
    );
}

#[test]
fn a_queue_with_more_arguments_than_the_journal_keeps_is_refused_and_leaves_nothing_in_the_catalog() {
    let broker = broker();
    let mut client = Client::new(&broker);
    let note = "x".repeat(16_000);
    let refused = client.declare_with("q", &[("x-note", Value::str(&note))]);
    let text = "406 PRECONDITION_FAILED - name and arguments of queue 'q' in vhost '/' take 64048 bytes, and may take 15360";
    assert_eq!(refusal(refused), (Scope::Channel, text.into()));
    let key = crate::entries::queue_key("/", "q");
    let is_named = || broker.store.catalog().get(&key).is_some();
    assert!(!is_named());
    client.reopen();
    client
        .declare_with("q", &[("x-note", Value::str("short"))])
        .unwrap();
    assert!(is_named());
}

#[test]
fn a_passive_declaration_without_a_name_finds_no_queue() {
    let broker = broker();
    let mut client = Client::new(&broker);
    client.declare("q");
    assert_eq!(
        refusal(client.declare_passively("")),
        (
            Scope::Channel,
            "404 NOT_FOUND - no queue '' in vhost '/'".to_owned()
        )
    );
}

#[rstest]
#[case(true, false, "if-unused")]
#[case(false, true, "if-empty")]
#[case(true, true, "if-unused")]
fn a_quorum_queue_is_deleted_without_conditions(
    #[case] if_unused: bool,
    #[case] if_empty: bool,
    #[case] flag: &str,
) {
    let broker = broker();
    let mut client = Client::new(&broker);
    let quorum = [("x-queue-type", Value::str("quorum"))];
    client.declare_with("q", &quorum).unwrap();
    let request = QueueDelete {
        name: "q",
        if_unused,
        if_empty,
    };
    let text = format!(
        "540 NOT_IMPLEMENTED - cannot delete queue 'q' in vhost '/'. queue.delete operations with {flag} flag set are not \
         supported by quorum queues"
    );
    assert_eq!(
        refusal(client.session.queue_delete(ONE, &request, NOW)),
        (Scope::Connection, text)
    );
    assert_eq!(Client::new(&broker).ready("q"), 0);
}
