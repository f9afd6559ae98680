//! What does not end a broker, and what does.

use std::fs::File;

use crate::broker::{Broker, serve};

#[test]
fn a_log_that_cannot_be_written_does_not_end_the_broker() {
    let dir = tempfile::tempdir().unwrap();
    let full = File::options().write(true).open("/dev/full").unwrap();
    let broker = Broker::of(serve(dir.path()).args(["--listen", "127.0.0.1:0"]).stderr(full));
    assert!(broker.serves());
    assert_eq!(broker.stop().code(), Some(0));
}
