//! Tests of `reader`: each states one thing that it keeps.

use logpond_routing::Arguments;
use rstest::rstest;

use super::*;
use crate::definitions::Credential;

const CLUSTER: &[u8] = include_bytes!("../fixtures/cluster.json");
const VHOST: &[u8] = include_bytes!("../fixtures/vhost.json");

fn cluster() -> Definitions {
    Definitions::parse(CLUSTER, None).unwrap()
}

#[test]
fn users_come_with_their_passwords_and_tags() {
    let users: Vec<_> = cluster()
        .users
        .into_iter()
        .map(|user| user.into_user([1; 4]).unwrap())
        .collect();
    assert_eq!(users[0].name, "ann");
    assert!(users[0].password.as_ref().unwrap().verify(b"test12"));
    assert_eq!(users[0].tags, ["administrator"]);
    assert!(users[1].password.as_ref().unwrap().verify(b"secret"));
    assert_eq!(users[1].tags, ["management", "monitoring"]);
    assert_eq!(users[2].password, None);
}

#[test]
fn virtual_hosts_come_with_their_metadata() {
    let vhosts = cluster().vhosts;
    assert_eq!(vhosts[0].name, "/");
    assert_eq!(vhosts[0].description, "Default virtual host");
    assert_eq!(vhosts[0].tags, ["a"]);
    assert_eq!(vhosts[0].default_queue_type.as_deref(), Some("classic"));
    assert_eq!(
        (vhosts[1].name.as_str(), &vhosts[1].default_queue_type),
        ("old", &None)
    );
}

#[test]
fn permissions_are_compiled() {
    let permissions = cluster().permissions;
    assert!(permissions[0].configure.matches(b"mine-1"));
    assert!(!permissions[0].configure.matches(b"yours"));
    assert!(permissions[0].write.matches(b"any"));
    assert!(!permissions[0].read.matches(b"any"));
}

#[test]
fn exchanges_queues_and_bindings_come_with_typed_arguments() {
    let Definitions {
        exchanges,
        queues,
        bindings,
        ..
    } = cluster();
    let orders = ExchangeSpec {
        internal: true,
        alternate: Some("lost".into()),
        arguments: Arguments::from_iter([("alternate-exchange", Value::str("lost"))]),
        ..ExchangeSpec::durable(ExchangeKind::Topic)
    };
    assert_eq!(
        exchanges[0],
        ExchangeDefinition {
            vhost: "/".into(),
            name: "orders".into(),
            spec: orders
        }
    );
    assert!(exchanges[1].spec.auto_delete && !exchanges[1].spec.durable);
    assert_eq!(exchanges.len(), 2);
    let deep = Value::Table(Arguments::from_iter([("deep", Value::Bool(true))]));
    let note = Value::Array(vec![Value::F64(1.5), Value::Void, deep]);
    assert_eq!(
        queues[0].arguments,
        Arguments::from_iter([("x-max-length", Value::I64(1000)), ("x-note", note)])
    );
    assert_eq!(
        queues[1].arguments,
        Arguments::from_iter([("x-queue-type", Value::str("quorum"))])
    );
    assert!(queues[1].durable);
    assert_eq!(bindings[0].destination, DestinationName::Queue("work".into()));
    assert_eq!(
        bindings[0].arguments,
        Arguments::from_iter([("k", Value::str("v"))])
    );
    assert_eq!(bindings[1].destination, DestinationName::Exchange("lost".into()));
    assert_eq!(bindings.len(), 2);
}

#[test]
fn what_is_left_out_is_listed() {
    let ignored: Vec<String> = cluster().ignored.iter().map(ToString::to_string).collect();
    let expected = [
        "exchanges[0]: exists in every virtual host or is the broker's own",
        "bindings[2]: the default exchange has its bindings by itself",
    ];
    assert_eq!(ignored, expected);
}

#[test]
fn unknown_sections_and_fields_are_listed() {
    let json = br#"{"shovels": [{}], "queues": [{"name": "q", "vhost": "/", "node": "n1"}], "empty": []}"#;
    let definitions = Definitions::parse(json, None).unwrap();
    let ignored: Vec<String> = definitions.ignored.iter().map(ToString::to_string).collect();
    assert_eq!(
        ignored,
        [
            "shovels[0]: not supported, left out",
            "queues[0].node: unknown, left out"
        ]
    );
}

#[test]
fn a_queue_is_a_stream_by_its_type_or_its_argument_and_in_its_own_virtual_host_only() {
    let json = br#"{"queues": [
        {"name": "a", "vhost": "/", "type": "stream"},
        {"name": "b", "vhost": "/", "arguments": {"x-queue-type": "stream"}},
        {"name": "a", "vhost": "other", "type": "classic"}
    ], "bindings": [
        {"source": "e", "vhost": "other", "destination": "a", "destination_type": "queue", "routing_key": ""},
        {"source": "e", "vhost": "/", "destination": "a", "destination_type": "exchange", "routing_key": ""},
        {"source": "e", "vhost": "/", "destination": "b", "destination_type": "queue", "routing_key": ""}
    ]}"#;
    let definitions = Definitions::parse(json, None).unwrap();
    assert_eq!((definitions.queues.len(), definitions.bindings.len()), (1, 2));
    let missing = definitions
        .ignored
        .iter()
        .map(|item| (item.path.as_str(), item.loss));
    let expected = ["queues[0]", "queues[1]", "bindings[2]"].map(|path| (path, Loss::Feature));
    assert_eq!(missing.collect::<Vec<_>>(), expected);
}

#[rstest]
#[case(None, "shop")]
#[case(Some("other"), "other")]
fn a_single_virtual_host_goes_where_it_came_from_or_where_it_is_told(
    #[case] vhost: Option<&str>,
    #[case] expected: &str,
) {
    let definitions = Definitions::parse(VHOST, vhost).unwrap();
    assert_eq!(definitions.vhosts[0].name, expected);
    assert_eq!(definitions.vhosts[0].description, "The shop");
    assert_eq!(
        definitions.vhosts[0].default_queue_type.as_deref(),
        Some("quorum")
    );
    assert_eq!(definitions.exchanges[0].vhost, expected);
    assert_eq!(definitions.queues[0].vhost, expected);
    assert_eq!(definitions.bindings[0].vhost, expected);
    assert_eq!(definitions.ignored, []);
}

#[rstest]
#[case("[]", "the document: expected an object, found a list")]
#[case(r#"{"queues": {}}"#, "queues: expected a list, found an object")]
#[case(r#"{"queues": [1]}"#, "queues[0]: expected an object, found a number")]
#[case(r#"{"queues": [{"vhost": "/"}]}"#, "queues[0].name: is missing")]
#[case(
    r#"{"queues": [{"name": "", "vhost": "/"}]}"#,
    "queues[0].name: a queue needs a name"
)]
#[case(r#"{"queues": [{"name": "q"}]}"#, "queues[0].vhost: is missing")]
#[case(
    r#"{"queues": [{"name": "q", "vhost": 1}]}"#,
    "queues[0].vhost: expected a string, found a number"
)]
#[case(
    r#"{"queues": [{"name": "q", "vhost": "/", "durable": "yes"}]}"#,
    "queues[0].durable: expected true or false, found a string"
)]
#[case(
    r#"{"queues": [{"name": "q", "vhost": "/", "arguments": {"a": [18446744073709551615]}}]}"#,
    "queues[0].arguments.a[0]: the number 18446744073709551615 is too large"
)]
#[case(
    r#"{"exchanges": [{"name": "x", "vhost": "/", "type": "x-recent-history"}]}"#,
    "exchanges[0].type: unknown exchange type 'x-recent-history'"
)]
#[case(
    r#"{"exchanges": [{"name": "x", "vhost": "/", "type": "topic", "arguments": {"alternate-exchange": 1}}]}"#,
    "exchanges[0].arguments.alternate-exchange: expected a string"
)]
#[case(
    r#"{"bindings": [{"source": "x", "vhost": "/", "destination": "q", "destination_type": "topic"}]}"#,
    "bindings[0].destination_type: expected 'queue' or 'exchange', found 'topic'"
)]
#[case(
    r#"{"permissions": [{"user": "u", "vhost": "/", "configure": "(", "write": "", "read": ""}]}"#,
    "permissions[0].configure: the pattern '(' is no regular expression: unclosed group"
)]
#[case(
    r#"{"users": [{"name": "u", "password_hash": "AAAA"}]}"#,
    "users[0].password_hash: the password hash has 3 bytes, its algorithm makes 36"
)]
#[case(
    r#"{"users": [{"name": "u", "password_hash": "AAAA", "hashing_algorithm": "rabbit_password_hashing_own"}]}"#,
    "users[0].hashing_algorithm: passwords hashed with 'rabbit_password_hashing_own' are not supported; set the password anew"
)]
#[case(
    r#"{"users": [{"name": "u", "password": ""}]}"#,
    "users[0].password: a password may not be empty"
)]
#[case(
    r#"{"users": [{"name": "u", "tags": [1]}]}"#,
    "users[0].tags: expected a list of strings"
)]
fn what_cannot_be_imported_is_named_by_its_path(#[case] json: &str, #[case] expected: &str) {
    assert_eq!(
        Definitions::parse(json.as_bytes(), None).unwrap_err().to_string(),
        expected
    );
}

#[test]
fn what_is_no_json_is_refused_with_its_place() {
    let refused = Definitions::parse(b"{\n  \"queues\": [}", None)
        .unwrap_err()
        .to_string();
    assert_eq!(
        refused,
        "the definitions are no JSON: expected value at line 2 column 14"
    );
    let deep = "[".repeat(100_000);
    assert!(matches!(
        Definitions::parse(deep.as_bytes(), None),
        Err(DefinitionsError::Json(_))
    ));
}

#[test]
fn a_document_has_a_longest_length() {
    let len = DOCUMENT_BYTES_MAX + 1;
    assert_eq!(
        Definitions::parse(&vec![b' '; len], None),
        Err(DefinitionsError::TooLong { len })
    );
}

#[test]
fn names_have_at_most_255_bytes() {
    let json = format!(
        r#"{{"queues": [{{"name": "{}", "vhost": "/"}}]}}"#,
        "q".repeat(256)
    );
    let refused = Definitions::parse(json.as_bytes(), None).unwrap_err().to_string();
    assert_eq!(refused, "queues[0].name: has 256 bytes, at most 255 are possible");
}

#[test]
fn a_parameter_whose_value_is_a_list_is_left_out() {
    let json = br#"{"parameters": [
        {"component": "federation-upstream-set", "vhost": "/", "name": "all", "value": [{"upstream": "a"}]},
        {"component": "vhost-limits", "vhost": "/", "name": "limits", "value": {"max-queues": 5}}
    ]}"#;
    let definitions = Definitions::parse(json, None).unwrap();
    assert_eq!(definitions.vhost_limits.len(), 1);
    let ignored: Vec<String> = definitions.ignored.iter().map(ToString::to_string).collect();
    assert_eq!(ignored, ["parameters[0]: not supported, left out"]);
}

#[test]
fn names_that_a_server_gave_are_left_out_with_their_bindings() {
    let json = br#"{"exchanges": [{"name": "amq.own", "vhost": "/", "type": "topic"}],
        "queues": [{"name": "amq.gen-1", "vhost": "/"}, {"name": "q", "vhost": "/"}],
        "bindings": [
        {"source": "e", "vhost": "/", "destination": "amq.gen-1", "destination_type": "queue", "routing_key": "a"},
        {"source": "amq.own", "vhost": "/", "destination": "q", "destination_type": "queue", "routing_key": "b"},
        {"source": "amq.rabbitmq.log", "vhost": "/", "destination": "q", "destination_type": "queue", "routing_key": "c"},
        {"source": "e", "vhost": "/", "destination": "amq.own", "destination_type": "exchange", "routing_key": "d"},
        {"source": "amq.topic", "vhost": "/", "destination": "q", "destination_type": "queue", "routing_key": "e"},
        {"source": "e", "vhost": "/", "destination": "amq.fanout", "destination_type": "exchange", "routing_key": "f"}
    ]}"#;
    let definitions = Definitions::parse(json, None).unwrap();
    assert_eq!((definitions.exchanges.len(), definitions.queues.len()), (0, 1));
    let keys = definitions
        .bindings
        .iter()
        .map(|binding| binding.routing_key.as_str());
    assert_eq!(keys.collect::<Vec<_>>(), ["e", "f"]);
    assert!(definitions.ignored.iter().all(|item| item.loss == Loss::Feature));
    let ignored: Vec<String> = definitions.ignored.iter().map(ToString::to_string).collect();
    assert_eq!(
        ignored,
        [
            "exchanges[0]: exchange 'amq.own' in vhost '/' has a name that only a server gives, left out",
            "queues[0]: queue 'amq.gen-1' in vhost '/' has a name that only a server gives, left out",
            "bindings[0]: the binding from exchange 'e' in vhost '/' with the key 'a' leads to the queue 'amq.gen-1', left out with it",
            "bindings[1]: the binding from exchange 'amq.own' in vhost '/' with the key 'b' leads from there, left out with it",
            "bindings[2]: the binding from exchange 'amq.rabbitmq.log' in vhost '/' with the key 'c' leads from there, left out with it",
            "bindings[3]: the binding from exchange 'e' in vhost '/' with the key 'd' leads to the exchange 'amq.own', left out with it",
        ]
    );
}

#[test]
fn a_user_whose_password_is_hashed_with_md5_comes_without_it() {
    let json = br#"{"users": [{"name": "old", "tags": "", "hashing_algorithm": "rabbit_password_hashing_md5",
        "password_hash": "uoTlqY+K0NwwF2nq3Xh6cq1oZ8Q="}]}"#;
    let definitions = Definitions::parse(json, None).unwrap();
    assert_eq!(definitions.users[0].credential, Credential::None);
    let ignored: Vec<String> = definitions.ignored.iter().map(ToString::to_string).collect();
    assert_eq!(
        ignored,
        [
            "users[0].password_hash: the password of user 'old' is hashed with MD5, not supported, left out: \
             the user cannot log in with a password"
        ]
    );
    assert_eq!(definitions.ignored[0].loss, Loss::Feature);
}

#[rstest]
#[case(b"\xef\xbb\xbf{\"vhosts\": [{\"name\": \"work\"}]}", 1)]
#[case(b"", 0)]
#[case(b"\xef\xbb\xbf \r\n", 0)]
fn a_byte_order_mark_means_nothing_and_an_empty_document_has_nothing(
    #[case] json: &[u8],
    #[case] vhosts: usize,
) {
    let definitions = Definitions::parse(json, None).unwrap();
    assert_eq!(definitions.vhosts.len(), vhosts);
}
