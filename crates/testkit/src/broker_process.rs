//! A real broker in a process of its own: started, waited for, killed, stopped.
//!
//! Invariants:
//! - A broker never outlives its owner here: dropping it kills it and waits for its end.
//! - [`BrokerProcess::kill`] is SIGKILL: the broker runs no code of its own after it.
//!
//! Elsewhere: which moment is a good one to kill it (`crash`).

use anyhow::Context;
use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// Longest that a broker may take from exec to listening, or from SIGTERM to its end.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// How to start a broker.
#[derive(Clone, Debug)]
pub struct Launch {
    binary: PathBuf,
    data: PathBuf,
    settings: Vec<String>,
    wrapper: Vec<OsString>,
}

impl Launch {
    /// The binary that `LOGPOND_BIN` names, on a data directory.
    pub fn from_environment(data: &Path) -> anyhow::Result<Self> {
        let binary = std::env::var_os("LOGPOND_BIN").context("LOGPOND_BIN does not name a broker binary")?;
        let binary = PathBuf::from(binary);
        anyhow::ensure!(binary.is_file(), "LOGPOND_BIN: there is no {}", binary.display());
        Ok(Self {
            binary,
            data: data.to_owned(),
            settings: Vec::new(),
            wrapper: Vec::new(),
        })
    }

    /// Adds a setting, as `key=value`.
    #[must_use]
    pub fn set(mut self, setting: impl Into<String>) -> Self {
        self.settings.push(setting.into());
        self
    }

    /// Starts the broker through another program, which must `exec` it, so that the process is the broker.
    #[must_use]
    pub fn under(mut self, wrapper: Vec<OsString>) -> Self {
        self.wrapper = wrapper;
        self
    }

    /// The data directory.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Where the broker's log goes.
    pub fn log(&self) -> PathBuf {
        self.data.with_extension("log")
    }

    /// Executes the broker, and returns before it listens.
    pub fn start(&self) -> anyhow::Result<Starting> {
        let log = OpenOptions::new().create(true).append(true).open(self.log())?;
        let mut words = self.wrapper.clone();
        words.push(self.binary.clone().into_os_string());
        let mut command = Command::new(&words[0]);
        command
            .args(&words[1..])
            .arg("serve")
            .arg("--data")
            .arg(&self.data)
            .args(["--listen", "127.0.0.1:0"]);
        for setting in &self.settings {
            command.args(["--set", setting]);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
        let executed = Instant::now();
        let mut child = command
            .spawn()
            .with_context(|| format!("cannot start {command:?}"))?;
        let stdout = child.stdout.take().expect("stdout is piped three lines above");
        Ok(Starting {
            process: BrokerProcess {
                child,
                address: None,
                told: addresses_in(stdout),
                executed,
            },
            log: self.log(),
        })
    }

    /// Executes the broker and waits until it listens.
    pub fn start_and_wait(&self) -> anyhow::Result<BrokerProcess> {
        self.start()?.wait(PATIENCE)
    }
}

/// Reads what the broker prints, to its end, and passes on the addresses.
fn addresses_in(stdout: ChildStdout) -> mpsc::Receiver<SocketAddr> {
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if let Some(address) = address_of(&line) {
                // Nobody may be listening any more; the pipe is read on, or the broker would block on it.
                let _ = tell.send(address);
            }
        }
    });
    told
}

/// The first `ADDR:PORT` in a line.
fn address_of(line: &str) -> Option<SocketAddr> {
    let is_part = |c: char| c.is_ascii_hexdigit() || matches!(c, '.' | ':' | '[' | ']');
    line.split(|c| !is_part(c)).find_map(|word| word.parse().ok())
}

/// A broker that was executed and does not listen yet.
pub struct Starting {
    process: BrokerProcess,
    log: PathBuf,
}

impl Starting {
    /// Kills it, and says whether it had not listened yet.
    pub fn kill_before_listening(mut self) -> anyhow::Result<bool> {
        self.process.kill()?;
        Ok(self.process.told.try_recv().is_err())
    }

    /// Process id of the broker.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Waits until it listens.
    pub fn wait(mut self, patience: Duration) -> anyhow::Result<BrokerProcess> {
        match self.process.told.recv_timeout(patience) {
            Ok(address) => {
                self.process.address = Some(address);
                Ok(self.process)
            }
            Err(mpsc::RecvTimeoutError::Timeout) => {
                anyhow::bail!(
                    "the broker does not listen within {patience:?}; its log is {}",
                    self.log.display()
                )
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                let status = self.process.child.wait()?;
                anyhow::bail!(
                    "the broker ended before it listened: {status}; its log is {}",
                    self.log.display()
                )
            }
        }
    }
}

/// A broker that listens.
pub struct BrokerProcess {
    child: Child,
    address: Option<SocketAddr>,
    told: mpsc::Receiver<SocketAddr>,
    executed: Instant,
}

impl BrokerProcess {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
            .expect("only `Starting` has none, and does not hand itself out")
    }

    /// Where else it listens: the next address that it has told.
    pub fn further_address(&self) -> anyhow::Result<SocketAddr> {
        let address = self.told.recv_timeout(PATIENCE);
        address.context("the broker has told no further address")
    }

    /// Its address as clients want it.
    pub fn url(&self) -> String {
        format!("amqp://guest:guest@{}/", self.address())
    }

    /// When it was executed.
    pub fn executed(&self) -> Instant {
        self.executed
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL, and waits for its end.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        // An error means that it has ended already; `wait` tells.
        let _ = self.child.kill();
        self.child.wait().context("the broker cannot be waited for")?;
        Ok(())
    }

    /// SIGTERM, and waits for a clean end.
    pub fn stop(mut self) -> anyhow::Result<()> {
        let pid = i32::try_from(self.pid())
            .ok()
            .and_then(rustix::process::Pid::from_raw);
        let pid = pid.context("the broker has no process id")?;
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        let status = self.ended_within(PATIENCE)?;
        let status =
            status.with_context(|| format!("the broker has not ended within {PATIENCE:?} after SIGTERM"))?;
        anyhow::ensure!(status.success(), "the broker ended with {status} after SIGTERM");
        Ok(())
    }

    /// Waits for the broker to end by itself. Nothing if it lives on.
    pub fn ended_within(&mut self, patience: Duration) -> anyhow::Result<Option<ExitStatus>> {
        let until = Instant::now() + patience;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(Some(status));
            }
            if Instant::now() >= until {
                return Ok(None);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for BrokerProcess {
    fn drop(&mut self) {
        // Whoever drops a running broker does not need to know how it ended.
        let _ = self.kill();
    }
}

#[cfg(test)]
mod tests {
    use super::address_of;

    #[test]
    fn the_address_is_found_in_a_line() {
        let address = address_of("listening on 127.0.0.1:40123, data in ./x").unwrap();
        assert_eq!(address.port(), 40123);
        assert_eq!(address_of("amqp://[::1]:5672/").unwrap().port(), 5672);
        assert!(address_of("started at 12:30:01").is_none());
    }
}
