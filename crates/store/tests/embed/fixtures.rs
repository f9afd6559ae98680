//! Data directories that earlier builds wrote are opened, and give out what was put in.
//!
//! docs/format.md, "Versions", tells how a fixture is made.

use crate::support::copy_dir;
use logpond_store::disk::RealDisk;
use logpond_store::inspect::verify;
use logpond_store::{Attempts, FORMAT_VERSION, OpenError, Options, RecoveryReport, Store};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Whether the next delivery is marked as one that may not be the first, and how often the message came back.
type Again = (bool, Attempts);
/// Queue and seq; mark, timestamp, properties and body.
type Contents = BTreeMap<(String, u64), (Again, u64, String, String)>;

fn fixtures() -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let all = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    all.collect()
}

/// Every fixture in a directory of its own, and what has to come out of it.
fn copies() -> Vec<(tempfile::TempDir, Contents)> {
    let copy = |fixture: PathBuf| {
        let dir = tempfile::tempdir().unwrap();
        copy_dir(&fixture.join("data"), dir.path());
        (dir, put_in(&fixture.join("contents.txt")))
    };
    fixtures().into_iter().map(copy).collect()
}

fn put_in(list: &Path) -> Contents {
    let line = |line: &str| {
        let fields: Vec<&str> = line.split('\t').collect();
        let &[queue, seq, delivery, timestamp_ms, properties, text, repeated] = fields.as_slice() else {
            panic!("not a line of contents: {line}");
        };
        let body = text.repeat(repeated.parse().unwrap());
        let key = (queue.to_owned(), seq.parse().unwrap());
        let timestamp_ms = timestamp_ms.parse().unwrap();
        (
            key,
            (delivery_of(delivery), timestamp_ms, properties.to_owned(), body),
        )
    };
    fs::read_to_string(list).unwrap().lines().map(line).collect()
}

/// Whether the next delivery is `again`, and behind that how often the message came back and how often of these with a failure.
fn delivery_of(text: &str) -> (bool, Attempts) {
    let mut words = text.split(' ');
    let is_again = words.next() == Some("again");
    let mut count = || words.next().map_or(0, |count| count.parse().unwrap());
    let (returned, failed) = (count(), count());
    (is_again, Attempts { returned, failed })
}

fn options() -> Options {
    Options {
        slab_bytes: 128 << 10,
        ..Options::tiny()
    }
}

fn found_in(store: &Store) -> Contents {
    let mut found = Contents::new();
    for queue in store.queues() {
        for entry in queue.browse().map(Result::unwrap) {
            let text = |bytes| String::from_utf8(bytes).unwrap();
            let (properties, body) = (text(entry.properties), text(entry.body));
            let delivery = (entry.redelivered, entry.attempts);
            let is = (delivery, entry.timestamp_ms, properties, body);
            found.insert((queue.name().to_owned(), entry.seq.get()), is);
        }
        let listed = found.keys().filter(|(name, _)| name == queue.name()).count();
        assert_eq!(queue.len(), u64::try_from(listed).unwrap(), "{}", queue.name());
    }
    found
}

fn open(dir: &Path) -> (Store, RecoveryReport) {
    let (store, report) = Store::open(dir, options()).unwrap();
    assert_eq!((&report.quarantined, &report.lost), (&vec![], &vec![]));
    let names: Vec<_> = store
        .queues()
        .iter()
        .map(|queue| queue.name().to_owned())
        .collect();
    assert_eq!(names, ["kept", "limited", "orders", "passing"]);
    (store, report)
}

/// A start that was not told of an orderly stop marks more than was put back, and nothing less.
fn assert_same_but_for_marks(found: &Contents, expected: &Contents) {
    let without_marks = |contents: &Contents| -> Vec<_> {
        let entries = contents.iter();
        entries
            .map(|(key, ((_, attempts), ms, properties, body))| {
                (key.clone(), *attempts, *ms, properties.clone(), body.clone())
            })
            .collect()
    };
    assert_eq!(without_marks(found), without_marks(expected));
    for (key, (again, ..)) in expected {
        assert!(found[key].0.0 || !again.0, "{key:?} is marked as delivered");
    }
}

fn checkpoints(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir.join("shard-00")).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut found: Vec<PathBuf> = paths
        .filter(|path| path.to_string_lossy().contains("/ckpt-"))
        .collect();
    found.sort();
    found
}

#[test]
fn the_present_format_version_has_a_fixture_with_everything_in_it() {
    let names: Vec<_> = fixtures();
    let ours = format!("format-{FORMAT_VERSION}");
    let data = names
        .iter()
        .find(|path| path.ends_with(&ours))
        .unwrap()
        .join("data");
    assert_eq!(checkpoints(&data).len(), 2);
    assert!(fs::read_dir(data.join("shard-00/c")).unwrap().count() > 0);
    assert!(fs::read_dir(data.join("shard-00/j")).unwrap().count() > 1);
}

#[test]
fn a_fixture_is_sound() {
    for (dir, _) in copies() {
        let report = verify(&RealDisk::open_read_only(dir.path()).unwrap(), &mut ()).unwrap();
        assert!(report.is_sound() && report.lost.is_empty(), "{report:?}");
        assert!(report.clean && report.torn.is_empty(), "{report:?}");
        assert!(report.index_entries > 0 && report.records > 0, "{report:?}");
    }
}

#[test]
fn a_fixture_is_opened_with_its_index() {
    for (dir, expected) in copies() {
        let (store, report) = open(dir.path());
        assert!(report.clean && !report.index_rebuilt, "{report:?}");
        assert_eq!(found_in(&store), expected);
    }
}

#[test]
fn a_fixture_is_opened_with_its_older_checkpoint_and_what_the_log_says_behind_it() {
    for (dir, expected) in copies() {
        fs::remove_file(&checkpoints(dir.path())[1]).unwrap();
        let (store, report) = open(dir.path());
        assert!(!report.index_rebuilt && report.blocks_replayed > 0, "{report:?}");
        assert_same_but_for_marks(&found_in(&store), &expected);
    }
}

#[test]
fn a_fixture_is_opened_by_its_log_alone() {
    for (dir, expected) in copies() {
        for checkpoint in checkpoints(dir.path()) {
            fs::remove_file(checkpoint).unwrap();
        }
        fs::remove_dir_all(dir.path().join("shard-00/x")).unwrap();
        let (store, report) = open(dir.path());
        assert!(report.index_rebuilt);
        assert_same_but_for_marks(&found_in(&store), &expected);
    }
}

#[test]
fn a_directory_of_a_newer_format_is_refused_with_what_where_and_what_to_do() {
    for (dir, _) in copies() {
        let meta = dir.path().join("META");
        let mut bytes = fs::read(&meta).unwrap();
        for slot in bytes.chunks_mut(4096) {
            slot[8..12].copy_from_slice(&(FORMAT_VERSION + 1).to_le_bytes());
            let crc = crc32fast::hash(&slot[..56]);
            slot[56..60].copy_from_slice(&crc.to_le_bytes());
        }
        fs::write(&meta, &bytes).unwrap();
        let refused = Store::open(dir.path(), options()).map(|_| ()).unwrap_err();
        assert!(matches!(refused, OpenError::Format { .. }), "{refused:?}");
        assert_eq!(
            refused.to_string(),
            format!(
                "META: this data directory has format {}, and this version reads format {FORMAT_VERSION}: start it with the \
                 version that wrote it, or choose another directory",
                FORMAT_VERSION + 1
            )
        );
        assert_eq!(fs::read(&meta).unwrap(), bytes, "a refusal changes nothing");
        let looked = verify(&RealDisk::open_read_only(dir.path()).unwrap(), &mut ());
        assert_eq!(looked.unwrap_err().to_string(), refused.to_string());
    }
}
