//! A broker in a process of its own, on a port that the system chooses.
//!
//! Invariant: it never outlives the test: dropping it kills it.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead, BufReader, PipeWriter};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};

/// A broker that listens, or is about to.
pub struct Broker {
    child: Child,
    address: SocketAddr,
}

impl Broker {
    /// Starts one on the directory `data` in `dir`, and waits until it listens.
    pub fn start(dir: &Path) -> Self {
        Self::of(serve(dir).args(["--listen", "127.0.0.1:0"]))
    }

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

    /// Starts one that cannot say where it listens, and waits until somebody answers at a free address.
    pub fn silent(dir: &Path, stdout: impl Into<Stdio>) -> Self {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut command = serve(dir);
        command.args(["--listen", &address.to_string()]).stdout(stdout);
        let mut child = command.spawn().unwrap();
        while TcpStream::connect(address).is_err() {
            assert_eq!(child.try_wait().unwrap(), None, "it runs");
            std::thread::yield_now();
        }
        Self { child, address }
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        signal_to(&self.child, signal);
    }

    /// Runs a client against it.
    pub fn client(&self, command: &str, arguments: &[&str]) -> Output {
        self.client_command(command, arguments).output().unwrap()
    }

    /// A client that is to use it.
    pub fn client_command(&self, command: &str, arguments: &[&str]) -> Command {
        let mut client = logpond();
        client.args([command, "--url", &format!("amqp://{}", self.address)]);
        client.args(arguments).stdin(Stdio::null());
        client
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

/// Sends a process of ours a signal.
pub fn signal_to(child: &Child, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

/// A standard output that nobody reads.
pub fn closed() -> PipeWriter {
    std::io::pipe().unwrap().1
}

/// A standard output that has no room.
pub fn full() -> File {
    File::options().write(true).open("/dev/full").unwrap()
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
