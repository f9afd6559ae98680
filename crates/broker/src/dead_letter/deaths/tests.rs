//! The past of a message, told and read again: counts, order, and what a client made up.

use super::*;

fn death(queue: &str, reason: Reason) -> Death {
    Death {
        queue: queue.as_bytes().into(),
        reason: reason.as_str().as_bytes().into(),
        count: 1,
        time_s: 7,
        exchange: b"x"[..].into(),
        keys: vec![b"k"[..].into(), b""[..].into()],
        expiration: (reason == Reason::Expired).then(|| b"60"[..].into()),
    }
}

fn deaths(of: &[(&str, Reason)]) -> Deaths {
    let mut deaths = Deaths::default();
    for (queue, reason) in of {
        deaths.record(death(queue, *reason));
    }
    deaths
}

fn counted(deaths: &Deaths) -> Vec<(String, String, i64)> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let deaths = deaths.0.iter();
    deaths
        .map(|death| (text(&death.queue), text(&death.reason), death.count))
        .collect()
}

#[test]
fn what_the_headers_say_is_read_back() {
    let all = deaths(&[
        ("a", Reason::Expired),
        ("b", Reason::Rejected),
        ("a", Reason::Full),
    ]);
    assert_eq!(Deaths::read(&all.headers(b"", false)), all);
    assert_eq!(Deaths::read(b"\x07x-deathI\0\0\0\x05"), Deaths::default());
    assert_eq!(Deaths::read(b""), Deaths::default());
}

#[test]
fn a_death_in_the_same_queue_of_the_same_cause_is_counted_and_becomes_the_newest() {
    let all = deaths(&[
        ("a", Reason::Expired),
        ("b", Reason::Rejected),
        ("a", Reason::Expired),
    ]);
    assert_eq!(
        counted(&all),
        [
            ("a".into(), "expired".into(), 2),
            ("b".into(), "rejected".into(), 1)
        ]
    );
    let all = deaths(&[("a", Reason::Expired), ("a", Reason::Rejected)]);
    assert_eq!(
        counted(&all),
        [
            ("a".into(), "rejected".into(), 1),
            ("a".into(), "expired".into(), 1)
        ]
    );
}

#[test]
fn a_cycle_is_one_in_which_nobody_rejected() {
    let all = deaths(&[("a", Reason::Expired), ("b", Reason::Full)]);
    assert!(all.is_cycle(b"a") && all.is_cycle(b"b") && !all.is_cycle(b"c"));
    let all = deaths(&[
        ("a", Reason::Expired),
        ("b", Reason::Rejected),
        ("c", Reason::Expired),
    ]);
    assert!(!all.is_cycle(b"a") && !all.is_cycle(b"b"));
    assert!(all.is_cycle(b"c"), "it was rejected before");
}

#[test]
fn headers_are_sorted_and_a_clients_own_history_is_none() {
    let theirs = b"\x01zt\x01\x07x-deathI\0\0\0\x05\x14x-first-death-reasonS\0\0\0\x01?\x01at\x01";
    let headers = deaths(&[("q", Reason::Full)]).headers(theirs, false);
    let names: Vec<_> = raw_fields(&headers)
        .map(|field| String::from_utf8(field.name.to_vec()).unwrap())
        .collect();
    let expected = [
        "a",
        "x-death",
        "x-first-death-exchange",
        "x-first-death-queue",
        "x-first-death-reason",
        "x-last-death-exchange",
        "x-last-death-queue",
        "x-last-death-reason",
        "z",
    ];
    assert_eq!(names, expected);
    assert_eq!(
        table::arguments(&headers).get("x-first-death-reason"),
        Some(&Value::str("maxlen"))
    );
}

#[test]
fn the_first_death_stays_the_first() {
    let mut all = deaths(&[("q", Reason::Full)]);
    let headers = all.headers(b"", false);
    all.record(death("r", Reason::Rejected));
    let read = table::arguments(&all.headers(&headers, true));
    let said = |name| read.get(name).and_then(Value::as_str_bytes).unwrap().to_vec();
    assert_eq!(
        (said("x-first-death-queue"), said("x-last-death-queue")),
        (b"q".to_vec(), b"r".to_vec())
    );
}

#[test]
fn the_oldest_deaths_are_forgotten_at_the_bound() {
    let mut all = Deaths::default();
    for queue in 0..=DEATHS_MAX {
        all.record(death(&queue.to_string(), Reason::Expired));
    }
    assert_eq!(all.0.len(), DEATHS_MAX);
    assert!(!all.is_cycle(b"0") && all.is_cycle(b"1"));
}
