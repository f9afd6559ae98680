//! The examples run, and each checks what it shows.

#[path = "../../examples/fixture.rs"]
#[expect(dead_code, reason = "a test makes the fixture where it looks at it")]
mod fixture;
#[path = "../../examples/job_queue.rs"]
mod job_queue;
#[path = "../../examples/outbox.rs"]
mod outbox;
#[path = "../../examples/replay.rs"]
mod replay;
#[path = "../../examples/spool.rs"]
mod spool;

#[test]
fn the_fixture_of_this_version_can_be_made_once_and_is_never_written_over() {
    let dir = tempfile::tempdir().unwrap();
    let made = fixture::make(dir.path()).unwrap();
    assert!(made.join("data/META").exists() && made.join("contents.txt").exists());
    assert!(fixture::make(dir.path()).is_err());
}

#[test]
fn the_job_queue_tries_again_and_gives_up_in_the_end() {
    job_queue::main().unwrap();
}

#[test]
fn the_outbox_tells_every_event_to_a_service_that_is_sometimes_away() {
    outbox::main().unwrap();
}

#[test]
fn the_spool_keeps_the_newest_while_the_uplink_is_down() {
    spool::main().unwrap();
}

#[test]
fn the_replay_shows_what_a_crash_left_and_takes_nothing() {
    replay::main().unwrap();
}
