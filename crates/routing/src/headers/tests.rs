//! Tests of `headers`: each states one thing that it keeps.

use proptest::prelude::*;
use rstest::rstest;

use super::*;

fn table(pairs: &[(&str, Value)]) -> Arguments {
    pairs.iter().cloned().collect()
}

fn fits(arguments: &[(&str, Value)], headers: &[(&str, Value)]) -> bool {
    let arguments = table(arguments);
    MatchRule::of(&arguments)
        .unwrap()
        .matches(&arguments, &table(headers))
}

/// Measured on RabbitMQ 4.3.6, for the headers {}, {a: 1}, {a: "1"}, {b: 7} and {x-a: 1}.
#[rstest]
#[case(&[], [true, true, true, true, true])]
#[case(&[("x-match", Value::str("any"))], [false, false, false, false, false])]
#[case(&[("x-match", Value::str("all")), ("a", Value::I32(1))], [false, true, false, false, false])]
#[case(&[("x-match", Value::str("any")), ("a", Value::I32(1)), ("b", Value::Void)], [false, true, false, true, false])]
#[case(&[("x-match", Value::str("all-with-x")), ("x-a", Value::I32(1))], [false, false, false, false, true])]
fn headers_match_as_in_rabbitmq(#[case] arguments: &[(&str, Value)], #[case] expected: [bool; 5]) {
    let headers: [&[(&str, Value)]; 5] = [
        &[],
        &[("a", Value::I32(1))],
        &[("a", Value::str("1"))],
        &[("b", Value::I32(7))],
        &[("x-a", Value::I32(1))],
    ];
    assert_eq!(headers.map(|headers| fits(arguments, headers)), expected);
}

#[rstest]
#[case(Value::U8(1), Value::I64(1), true)]
#[case(Value::I16(-1), Value::I64(-1), true)]
#[case(Value::I32(1), Value::F64(1.0), false)]
#[case(Value::F32(0.5), Value::F64(0.5), true)]
#[case(Value::F32(0.1), Value::F64(0.1), false)]
#[case(Value::F64(0.0), Value::F64(-0.0), false)]
#[case(Value::str("a"), Value::Bytes(Box::from(*b"a")), true)]
#[case(Value::Bool(true), Value::str("true"), false)]
#[case(Value::Bool(true), Value::Bool(true), true)]
#[case(Value::Void, Value::I32(0), false)]
#[case(Value::I32(0), Value::Void, true)]
#[case(Value::Timestamp(5), Value::Timestamp(5), true)]
#[case(Value::Timestamp(5), Value::I64(5), false)]
#[case(Value::Array(vec![Value::I32(1)]), Value::Array(vec![Value::I32(1)]), true)]
#[case(Value::Array(vec![Value::I32(1)]), Value::Array(vec![Value::I64(1)]), false)]
fn values_match_by_content(#[case] header: Value, #[case] argument: Value, #[case] expected: bool) {
    assert_eq!(fits(&[("a", argument)], &[("a", header)]), expected);
}

#[test]
fn x_headers_count_only_when_asked_for() {
    let one = Value::I32(1);
    assert!(fits(&[("x-a", one.clone())], &[]));
    assert!(!fits(
        &[("x-match", Value::str("any")), ("x-a", one.clone())],
        &[("x-a", one.clone())]
    ));
    assert!(fits(
        &[("x-match", Value::str("any-with-x")), ("x-a", one.clone())],
        &[("x-a", one)]
    ));
    assert!(!fits(
        &[("x-match", Value::str("any-with-x"))],
        &[("x-match", Value::str("any-with-x"))]
    ));
}

#[rstest]
#[case(
    Value::str("what"),
    "Invalid x-match field value <<\"what\">>; expected all, any, all-with-x, or any-with-x"
)]
#[case(
    Value::I32(1),
    "Invalid x-match field type signedint (value 1); expected longstr"
)]
fn a_wrong_x_match_is_refused_in_rabbitmqs_words(#[case] value: Value, #[case] expected: &str) {
    let refused = MatchRule::of(&table(&[("x-match", value)])).unwrap_err();
    assert_eq!(refused.to_string(), expected);
}

fn small_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        (0_i32..3).prop_map(Value::I32),
        (0_u8..3).prop_map(Value::U8),
        prop::sample::select(&["0", "1"][..]).prop_map(Value::str),
        any::<bool>().prop_map(Value::Bool),
        Just(Value::Void),
    ]
}

fn small_table() -> impl Strategy<Value = Arguments> {
    let name = prop::sample::select(&["a", "b", "x-a", "x-b"][..]);
    prop::collection::vec((name, small_value()), 0..4).prop_map(|pairs| pairs.into_iter().collect())
}

/// The definition, over lists.
fn naive(rule: &str, arguments: &Arguments, headers: &Arguments) -> bool {
    let text = |value: &Value| match value {
        Value::I32(n) => format!("number {n}"),
        Value::U8(n) => format!("number {n}"),
        other => format!("{other:?}"),
    };
    let mut verdicts = Vec::new();
    for (name, wanted) in arguments.iter().filter(|(name, _)| name.to_text() != "x-match") {
        if rule.ends_with("-with-x") || !name.to_text().starts_with("x-") {
            let header = headers.iter().find(|(have, _)| *have == name);
            verdicts
                .push(header.is_some_and(|(_, have)| *wanted == Value::Void || text(have) == text(wanted)));
        }
    }
    if rule.starts_with("all") {
        !verdicts.contains(&false)
    } else {
        verdicts.contains(&true)
    }
}

proptest! {
    #[test]
    fn matching_is_what_the_definition_says(
        rule in prop::sample::select(&["all", "any", "all-with-x", "any-with-x"][..]),
        mut arguments in small_table(),
        headers in small_table(),
    ) {
        arguments.insert("x-match", Value::str(rule));
        let expected = naive(rule, &arguments, &headers);
        prop_assert_eq!(MatchRule::of(&arguments).unwrap().matches(&arguments, &headers), expected);
    }
}
