//! The tools that look at a data directory, run as people run them.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use logpond_store::Priority;
use logpond_store::disk::{RealDisk, WriteMode};
use logpond_store::{Engine, NewMessage, Options, Persistence, QueueDurability};
use serde_json::Value;
use std::fs::File;
use std::path::Path;
use std::process::{Command, Output};

const ROTTEN: &[u8] = b"message number 13 rots";

#[test]
fn a_sound_directory_is_sound_with_code_0() {
    let dir = store();
    let told = logpond(dir.path(), &["verify"]);
    assert_eq!(told.status.code(), Some(0), "{told:?}");
    assert!(text(&told).ends_with("sound\n"), "{}", text(&told));
    let report = json(&logpond(dir.path(), &["verify", "--output", "json"]));
    assert_eq!(report["index_entries"], 30);
    assert_eq!(report["index"]["state"], "compared");
    assert!(
        text(&told).contains("\nindex compared, as of the checkpoint at lsn "),
        "{}",
        text(&told)
    );
    assert_eq!(report["findings"], Value::Array(Vec::new()));
    let repaired = logpond(dir.path(), &["repair"]);
    assert_eq!(repaired.status.code(), Some(0));
    assert!(text(&repaired).ends_with("nothing to repair\n"));
    assert!(!dir.path().join("quarantine").exists());
}

#[test]
fn damage_ends_with_code_7_and_names_file_offset_queue_and_seq_until_a_repair_has_set_it_aside() {
    let dir = store();
    let offset = rot(&dir.path().join("shard-00/j/0000000000000001.seg"), ROTTEN);
    let verified = logpond(dir.path(), &["verify", "--output", "json"]);
    assert_eq!(verified.status.code(), Some(7));
    let report = json(&verified);
    let finding = &report["findings"][0];
    assert_eq!(finding["file"], "shard-00/j/0000000000000001.seg");
    let (first, bytes) = (
        finding["offset"].as_u64().unwrap(),
        finding["bytes"].as_u64().unwrap(),
    );
    assert!((first..first + bytes).contains(&offset), "{finding}");
    assert_eq!(report["lost"][0]["first"], 13);
    assert!(text(&logpond(dir.path(), &["verify"])).contains("lost queue 1 seq 13 to 13\n"));

    let planned = logpond(dir.path(), &["repair", "--plan"]);
    assert_eq!(planned.status.code(), Some(7));
    assert!(!dir.path().join("quarantine").exists(), "a plan changes nothing");
    assert_eq!(logpond(dir.path(), &["repair"]).status.code(), Some(0));
    let list = std::fs::read(dir.path().join("quarantine/0001/damage.json")).unwrap();
    let list: Value = serde_json::from_slice(&list).unwrap();
    assert_eq!(list["lost"][0]["first"], 13);
    let verified = logpond(dir.path(), &["verify"]);
    assert_eq!(verified.status.code(), Some(0), "{}", text(&verified));
    assert!(text(&verified).contains("that a repair has set aside"));
}

#[test]
fn a_repair_refuses_a_directory_that_is_in_use_with_code_3_and_verify_does_not() {
    let dir = store();
    let (store, _) = Engine::open(disk(dir.path()), Options::tiny(), ()).unwrap();
    assert_eq!(logpond(dir.path(), &["repair"]).status.code(), Some(3));
    assert_eq!(logpond(dir.path(), &["verify"]).status.code(), Some(0));
    store.close().unwrap();
}

#[test]
fn a_directory_without_a_store_is_an_error_and_is_left_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    for tool in [&["verify"][..], &["repair"], &["inspect", "segments"]] {
        let told = logpond(dir.path(), tool);
        assert_eq!(told.status.code(), Some(1), "{tool:?}");
        let missing = logpond(&dir.path().join("missing"), tool);
        assert_eq!(missing.status.code(), Some(1), "{tool:?}");
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn each_part_of_a_store_can_be_looked_at_as_text_as_json_and_as_bytes() {
    let dir = store();
    let block = json(&logpond(
        dir.path(),
        &["inspect", "segment", "1", "--output", "json"],
    ));
    let offset = block["blocks"][1]["offset"].as_u64().unwrap();
    let spot = format!("1@{offset}");
    let records = json(&logpond(
        dir.path(),
        &["inspect", "block", &spot, "--output", "json"],
    ));
    let record = format!("1@{}", records["records"][0]["offset"]);
    for part in [
        &["segments"][..],
        &["segment", "1"],
        &["block", &spot],
        &["record", &record],
        &["index"],
        &["index", "0:0"],
        &["checkpoint"],
        &["meta"],
        &["catalog"],
        &["queues"],
    ] {
        for how in [&[][..], &["--hex"], &["--output", "json"]] {
            let told = logpond(dir.path(), &[&["inspect"], part, how].concat());
            assert_eq!(told.status.code(), Some(0), "{part:?} {how:?}: {told:?}");
            assert!(!told.stdout.is_empty(), "{part:?} {how:?}");
        }
    }
    let dump = text(&logpond(dir.path(), &["inspect", "record", &record, "--hex"]));
    assert!(dump.starts_with("61 bytes: message, body 21 bytes"), "{dump}");
    assert_eq!(dump.lines().count(), 1 + 4, "{dump}");
}

#[test]
fn the_bytes_of_a_part_are_in_its_json_when_they_are_asked_for() {
    let dir = store();
    let told = |part: &[&str], how: &[&str]| {
        let arguments = [&["inspect"], part, how, &["--output", "json"]].concat();
        json(&logpond(dir.path(), &arguments))
    };
    let segment = told(&["segment", "1"], &[]);
    let block = format!("1@{}", segment["blocks"][1]["offset"]);
    let record = format!("1@{}", told(&["block", &block], &[])["records"][0]["offset"]);
    let stands = |part: &[&str], file: &str, offset: &Value, len: &Value| {
        let bytes = std::fs::read(dir.path().join(file)).unwrap();
        let at = |number: &Value| usize::try_from(number.as_u64().unwrap()).unwrap();
        let bytes = &bytes[at(offset)..at(offset) + at(len)];
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let (mut with, without) = (told(part, &["--hex"]), told(part, &[]));
        assert_eq!(
            with.as_object_mut().unwrap().remove("hex"),
            Some(hex.into()),
            "{part:?}"
        );
        assert_eq!(with, without, "nothing else is different");
    };
    let file = "shard-00/j/0000000000000001.seg";
    let (first, page) = (Value::from(0), Value::from(4096));
    stands(&["segment", "1"], file, &first, &page);
    let info = &segment["blocks"][1];
    stands(&["block", &block], file, &info["offset"], &info["bytes"]);
    let info = told(&["record", &record], &[]);
    stands(&["record", &record], file, &info["offset"], &info["bytes"]);
    stands(&["index", "0:0"], "shard-00/x/0000.idx", &first, &page);
    stands(&["meta"], "META", &first, &Value::from(8192));
}

#[test]
fn a_closed_output_leaves_the_code_of_the_finding_and_a_full_one_ends_with_code_1() {
    let dir = store();
    rot(&dir.path().join("shard-00/j/0000000000000001.seg"), ROTTEN);
    for (code, tool) in [
        (7, &["verify"][..]),
        (7, &["repair", "--plan"]),
        (0, &["inspect", "segments"]),
        (0, &["inspect", "segment", "1", "--hex"]),
    ] {
        for how in ["text", "json"] {
            let mut command = command(dir.path(), &[tool, &["--output", how]].concat());
            let unread = command.stdout(std::io::pipe().unwrap().1).output().unwrap();
            assert_eq!(unread.status.code(), Some(code), "{tool:?}: {unread:?}");
            assert!(unread.stderr.is_empty(), "{unread:?}");
            let full = || File::options().write(true).open("/dev/full").unwrap();
            let unwritten = command.stdout(full()).output().unwrap();
            assert_eq!(unwritten.status.code(), Some(1), "{tool:?}: {unwritten:?}");
            let said = String::from_utf8(unwritten.stderr).unwrap();
            assert!(said.starts_with("logpond: cannot write the result: "), "{said}");
            assert_eq!(
                command.stderr(full()).status().unwrap().code(),
                Some(1),
                "{tool:?}"
            );
        }
    }
}

#[test]
fn a_part_that_does_not_exist_is_an_error_that_says_where_to_look() {
    let dir = store();
    for part in [
        &["segment", "99"][..],
        &["segment", "c1"],
        &["block", "1@5"],
        &["block", "1@18446744073709551615"],
        &["record", "1@18446744073709551615"],
        &["record", "1@0"],
        &["index", "0:999999"],
    ] {
        let told = logpond(dir.path(), &[&["inspect"], part].concat());
        assert_eq!(told.status.code(), Some(1), "{part:?}: {told:?}");
        assert!(!told.stderr.is_empty());
    }
    let told = logpond(dir.path(), &["inspect", "segment", "99"]);
    let said = String::from_utf8(told.stderr).unwrap();
    assert!(said.contains("which has 1"), "{said}");
    let told = logpond(dir.path(), &["inspect", "block", "nonsense"]);
    assert_eq!(told.status.code(), Some(2));
}

#[test]
fn a_segment_is_found_by_its_number_and_by_its_file() {
    let dir = store();
    let by_number = logpond(dir.path(), &["inspect", "segment", "1"]);
    assert_eq!(by_number.status.code(), Some(0), "{by_number:?}");
    let path = dir.path().join("shard-00/j/0000000000000001.seg");
    for name in [
        "0000000000000001.seg",
        "0000000000000001",
        "0x1",
        path.to_str().unwrap(),
    ] {
        assert_eq!(
            logpond(dir.path(), &["inspect", "segment", name]),
            by_number,
            "{name}"
        );
    }
    let elsewhere = store();
    let told = logpond(elsewhere.path(), &["inspect", "segment", path.to_str().unwrap()]);
    assert_eq!(told.status.code(), Some(1), "{told:?}");
}

/// A directory with thirty messages in a queue, stopped in order.
fn store() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = Engine::open(disk(dir.path()), Options::tiny(), ()).unwrap();
    let id = store.next_queue_id();
    let created = store
        .lock()
        .shard()
        .create_queue(id, QueueDurability::Durable, b"orders");
    store.wait_durable(created.unwrap()).unwrap();
    for number in 0..30 {
        let body = format!("message number {number} rots");
        let message = NewMessage {
            queues: &[id],
            properties: &[],
            body: &[body.as_bytes()],
            persistence: Persistence::Persistent,
            priority: Priority::NONE,
            timestamp_ms: 1,
            expires_ms: None,
        };
        let block = store.lock().shard().publish(&message).unwrap();
        store.commit(1);
        store.wait_durable(block).unwrap();
    }
    store.close().unwrap();
    dir
}

fn disk(dir: &Path) -> RealDisk {
    RealDisk::open(dir, WriteMode::DirectDsync).unwrap()
}

fn logpond(data: &Path, arguments: &[&str]) -> Output {
    command(data, arguments).output().unwrap()
}

fn command(data: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_logpond"));
    command.args(arguments).arg("--data").arg(data);
    command
}

fn text(told: &Output) -> String {
    String::from_utf8(told.stdout.clone()).unwrap()
}

fn json(told: &Output) -> Value {
    serde_json::from_slice(&told.stdout).unwrap()
}

/// Flips a bit of the first byte of `needle`; returns its offset.
fn rot(path: &Path, needle: &[u8]) -> u64 {
    let mut bytes = std::fs::read(path).unwrap();
    let at = bytes
        .windows(needle.len())
        .position(|window| window == needle)
        .unwrap();
    bytes[at] ^= 1;
    std::fs::write(path, bytes).unwrap();
    u64::try_from(at).unwrap()
}
