//! What does not end a broker, and what does.

use std::process::Stdio;

use rustix::process::Signal;

use crate::broker::{Broker, closed, full, serve};

#[test]
fn a_log_that_cannot_be_written_does_not_end_the_broker() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::of(serve(dir.path()).args(["--listen", "127.0.0.1:0"]).stderr(full()));
    assert!(broker.serves());
    assert_eq!(broker.stop().code(), Some(0));
}

#[test]
fn a_broker_that_cannot_say_where_it_listens_does_not_end_for_that() {
    for stdout in [Stdio::from(closed()), Stdio::from(full())] {
        let dir = tempfile::tempdir().unwrap();
        let broker = Broker::silent(dir.path(), stdout);
        assert!(broker.serves());
        assert_eq!(broker.stop().code(), Some(0));
    }
}

#[test]
fn sighup_does_not_end_a_broker_without_tls() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::of(serve(dir.path()).args(["--listen", "127.0.0.1:0"]));
    broker.signal(Signal::HUP);
    assert!(broker.serves());
    assert_eq!(broker.stop().code(), Some(0));
}
