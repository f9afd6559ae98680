//! What the process says when it cannot do what was asked, run as people run it.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

/// Runs the broker in a directory of its own, where it fails: its code and its last words.
fn serve(dir: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    failed(dir, "serve", &[&["--listen", "127.0.0.1:0"], arguments].concat())
}

fn failed(dir: &Path, command: &str, arguments: &[&str]) -> (Option<i32>, String) {
    let mut process = Command::new(env!("CARGO_BIN_EXE_logpond"));
    process.current_dir(dir).env_remove("RUST_LOG");
    let (code, said) = output(process.arg(command).args(arguments));
    (code, said.lines().last().unwrap_or_default().to_owned())
}

fn output(process: &mut Command) -> (Option<i32>, String) {
    let output = process.output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn a_file_that_cannot_be_had_is_told_with_its_cause_once() {
    let tls = ["--set", "tls.certificate=none", "--set", "tls.key=none"];
    let cases: [(i32, &[&str]); 4] = [
        (2, &["--config", "none.toml"]),
        (2, &["--definitions", "none.json"]),
        (1, &["--data", "file/data"]),
        (2, &tls),
    ];
    for (code, arguments) in cases {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("file"), "").unwrap();
        let (found, said) = serve(dir.path(), arguments);
        assert_eq!(found, Some(code), "{said}");
        assert!(!dir.path().join("logpond-data").exists(), "{said}");
        assert_eq!(said.matches("os error").count(), 1, "{said}");
    }
}

#[test]
fn an_address_that_is_taken_is_told_with_its_cause_once() {
    let dir = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let (code, said) = failed(dir.path(), "serve", &["--listen", &address.to_string()]);
    assert_eq!(code, Some(1));
    assert_eq!(
        said,
        format!("logpond: cannot listen on {address}: Address already in use (os error 98)")
    );
    assert!(!dir.path().join("logpond-data").exists());
}

#[test]
fn a_broker_that_does_not_answer_is_told_with_its_cause_once() {
    let dir = tempfile::tempdir().unwrap();
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("amqp://{free}");
    let (code, said) = failed(dir.path(), "consume", &["--url", &url, "--queue", "q"]);
    assert_eq!(code, Some(5), "{said}");
    assert_eq!(said.matches("os error").count(), 1, "{said}");
}

#[test]
fn what_the_command_line_cannot_ask_for_is_wrong_usage_before_any_connection() {
    let long = "x".repeat(256);
    let cases: [(&str, &[&str]); 9] = [
        ("consume", &["--queue", "q", "--ack", "requeue"]),
        ("consume", &["--queue", "q", "--arguments", "x"]),
        ("consume", &["--queue", "q", "--arguments", "[]"]),
        ("consume", &["--queue", "q", "--timeout", "-1"]),
        ("consume", &["--queue", &long]),
        ("publish", &["--body", "hi", "--headers-json", "x"]),
        ("publish", &["--body", "hi", "--headers-json", "[]"]),
        ("publish", &["--body", "hi", "--header", "x"]),
        ("publish", &["--body", "hi", "--routing-key", &long]),
    ];
    let dir = tempfile::tempdir().unwrap();
    for (command, arguments) in cases {
        let nowhere = ["--url", "amqp://127.0.0.1:1"];
        let (code, said) = failed(dir.path(), command, &[&nowhere, arguments].concat());
        assert_eq!(code, Some(2), "{arguments:?}: {said}");
    }
}

#[test]
fn a_log_level_that_means_nothing_is_a_bad_setting() {
    let dir = tempfile::tempdir().unwrap();
    let (code, said) = serve(dir.path(), &["--set", "log.level=bogus=xx"]);
    assert_eq!(code, Some(2));
    assert!(said.starts_with("logpond: `log.level`: bogus=xx: "), "{said}");
    let (code, said) = serve(dir.path(), &["--set", "log.level=inof"]);
    assert_eq!(code, Some(2));
    assert!(
        said.starts_with("logpond: `log.level`: `inof` is no level: "),
        "{said}"
    );
}

#[test]
fn a_start_without_the_catalog_names_the_file_and_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    // What ends each start once the store is open.
    std::fs::write(dir.path().join("wrong.json"), "no definitions").unwrap();
    let start = || {
        let mut process = Command::new(env!("CARGO_BIN_EXE_logpond"));
        process
            .current_dir(dir.path())
            .env_remove("RUST_LOG")
            .arg("serve");
        let (code, said) = output(process.args(["--listen", "127.0.0.1:0", "--definitions", "wrong.json"]));
        assert_eq!(code, Some(1), "{said}");
        said
    };
    assert!(!start().contains("catalog.log"));
    std::fs::remove_file(dir.path().join("logpond-data/catalog.log")).unwrap();
    let said = start();
    let line = said.lines().find(|line| line.contains("catalog.log"));
    let line = line.unwrap_or_else(|| panic!("{said}"));
    assert!(
        line.contains("ERROR") && line.contains("put the file back"),
        "{line}"
    );
    assert!(!start().contains("catalog.log"), "it has one again");
}
