//! `logpond publish`.

use crate::broker::{Broker, closed, full};

#[test]
fn a_summary_that_nobody_reads_is_no_failure_and_one_that_has_no_room_is() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::start(dir.path());
    let arguments = ["--declare", "--queue", "q", "--body", "hi"];
    let mut publish = broker.client_command("publish", &arguments);
    assert_eq!(publish.stdout(closed()).status().unwrap().code(), Some(0));
    let told = publish.stdout(full()).output().unwrap();
    assert_eq!(told.status.code(), Some(1));
    assert_eq!(
        String::from_utf8(told.stderr).unwrap(),
        "logpond: cannot write the result: No space left on device (os error 28)\n"
    );
}
