//! `logpond consume`.

use crate::broker::{Broker, closed};

/// Puts five messages into the queue `q`.
fn publish_five(broker: &Broker) {
    let arguments = ["--declare", "--queue", "q", "--body", "hi", "--count", "5"];
    assert!(broker.client("publish", &arguments).status.success());
}

/// Whether so many messages are still to be had from the queue `q`; takes them out.
fn has_left(broker: &Broker, count: &str) -> bool {
    let told = broker.client("consume", &["--queue", "q", "--count", count, "--timeout", "10"]);
    told.status.success()
}

#[test]
fn what_is_beyond_the_count_stays_in_the_queue_however_it_is_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::start(dir.path());
    for how in ["manual", "auto", "reject"] {
        publish_five(&broker);
        let told = broker.client("consume", &["--queue", "q", "--count", "2", "--ack", how]);
        assert_eq!(told.stdout, b"hi\nhi\n", "{told:?}");
        assert!(has_left(&broker, "3"), "{how}");
    }
}

#[test]
fn what_nobody_reads_stays_in_the_queue_however_it_is_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::start(dir.path());
    for how in ["manual", "auto", "reject"] {
        publish_five(&broker);
        let mut consume = broker.client_command("consume", &["--queue", "q", "--ack", how]);
        assert_eq!(consume.stdout(closed()).status().unwrap().code(), Some(0));
        assert!(has_left(&broker, "5"), "{how}");
    }
}

#[test]
fn a_timeout_that_no_clock_reaches_is_none() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::start(dir.path());
    publish_five(&broker);
    let told = broker.client("consume", &["--queue", "q", "--count", "5", "--timeout", "1e19"]);
    assert_eq!(told.status.code(), Some(0), "{told:?}");
}
