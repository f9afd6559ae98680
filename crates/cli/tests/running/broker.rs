//! A broker in a process of its own, on a port that the system chooses.
//!
//! Invariant: it never outlives the test: dropping it kills it.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};

/// A broker that listens, or is about to.
pub struct Broker {
    child: Child,
    address: SocketAddr,
}

impl Broker {
    /// Starts one with a command of one's own, and waits until it says where it listens.
    pub fn of(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let said = BufReader::new(child.stdout.take().unwrap());
        let address = said.lines().find_map(|line| {
            let line = line.unwrap();
            line.strip_prefix("listening on ")?
                .split(' ')
                .next()?
                .parse()
                .ok()
        });
        Self {
            address: address.expect("it says where it listens"),
            child,
        }
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Runs a client against it.
    pub fn client(&self, command: &str, arguments: &[&str]) -> Output {
        let mut client = logpond();
        client.args([command, "--url", &format!("amqp://{}", self.address)]);
        client.args(arguments).stdin(Stdio::null()).output().unwrap()
    }

    /// Whether it takes a message, and gives it out again.
    pub fn serves(&self) -> bool {
        let queue = ["--declare", "--queue", "probe"];
        let sent = self.client("publish", &[&queue[..], &["--body", "hi"]].concat());
        let got = self.client("consume", &[&queue[..], &["--count", "1"]].concat());
        sent.status.success() && got.stdout == b"hi\n"
    }

    /// SIGTERM, and how it ended.
    pub fn stop(mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.child.wait().unwrap()
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The broker's command on the directory `data` in `dir`, without an address.
pub fn serve(dir: &Path) -> Command {
    let mut command = logpond();
    command
        .current_dir(dir)
        .args([OsStr::new("serve"), OsStr::new("--data"), OsStr::new("data")]);
    command
}

fn logpond() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_logpond"));
    command.env_remove("RUST_LOG");
    command
}
