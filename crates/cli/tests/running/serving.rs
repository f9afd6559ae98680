//! What does not end a broker, and what does.

use std::fs::File;
use std::process::Stdio;

use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::Signal;

use crate::broker::{Broker, closed, full, serve, signal_to};

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
    let broker = Broker::start(dir.path());
    broker.signal(Signal::HUP);
    assert!(broker.serves());
    assert_eq!(broker.stop().code(), Some(0));
}

#[test]
fn sigterm_and_sigint_end_a_broker_that_starts_and_sighup_does_not() {
    for signal in [Signal::TERM, Signal::INT] {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("definitions.json");
        mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let mut command = serve(dir.path());
        command.args(["--listen", "127.0.0.1:0", "--definitions", "definitions.json"]);
        let mut child = command.stdout(Stdio::null()).spawn().unwrap();
        // It opens once the broker does, which then waits for definitions as long as we have it.
        let _unwritten = File::options().write(true).open(&pipe).unwrap();
        signal_to(&child, Signal::HUP);
        signal_to(&child, signal);
        assert_eq!(child.wait().unwrap().code(), Some(0), "{signal:?}");
    }
}

#[test]
fn empty_variables_leave_the_defaults() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = serve(dir.path());
    for name in ["USER", "PASS", "VHOST"] {
        command.env(format!("RABBITMQ_DEFAULT_{name}"), "");
    }
    let broker = Broker::of(command.args(["--listen", "127.0.0.1:0"]));
    assert!(broker.serves());
}
