//! A broker in a process of its own, whichever it is: started, waited for, stopped, killed.
//!
//! Invariants:
//! - It does not outlive its owner: dropping it kills it, and what was started beside it, by their process ids; and should the
//!   owner be killed, the kernel kills what [`command`] made.
//! - Every wait has an end.
//!
//! Elsewhere: how each one is called (`peers`).

use super::limits::START_MAX;
use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};
use std::ffi::OsStr;
use std::fs::OpenOptions;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const STEP: Duration = Duration::from_millis(5);
const CONNECT_MAX: Duration = Duration::from_millis(500);

/// A broker that runs.
pub struct Server {
    child: Child,
    companions: Vec<Companion>,
    address: SocketAddr,
    executed: Instant,
    log: PathBuf,
}

/// A process without which a broker cannot run. Dropping it kills it.
pub struct Companion(Child);

impl Companion {
    /// Starts it.
    pub fn start(command: &mut Command, log: &Path) -> anyhow::Result<Self> {
        Ok(Self(spawn(command, log)?))
    }
}

impl Drop for Companion {
    fn drop(&mut self) {
        // An error means that it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Server {
    /// Executes a broker that will listen there, and waits until it does.
    pub fn start(
        command: &mut Command,
        companions: Vec<Companion>,
        address: SocketAddr,
        log: PathBuf,
    ) -> anyhow::Result<Self> {
        let executed = Instant::now();
        let mut server = Self {
            child: spawn(command, &log)?,
            companions,
            address,
            executed,
            log,
        };
        server.wait_until_it_listens()?;
        Ok(server)
    }

    fn wait_until_it_listens(&mut self) -> anyhow::Result<()> {
        while TcpStream::connect_timeout(&self.address, CONNECT_MAX).is_err() {
            if let Some(status) = self.child.try_wait()? {
                bail!(
                    "it ended with {status} before it listened; its log is {}",
                    self.log.display()
                );
            }
            if self.executed.elapsed() > START_MAX {
                bail!(
                    "it does not listen within {START_MAX:?}; its log is {}",
                    self.log.display()
                );
            }
            std::thread::sleep(STEP);
        }
        Ok(())
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its first process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// When it was executed.
    pub fn executed(&self) -> Instant {
        self.executed
    }

    /// SIGTERM, and waits for its end. One that does not end is killed, and that is an error.
    pub fn stop(mut self) -> anyhow::Result<()> {
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw);
        kill_process(pid.context("no process id")?, Signal::TERM)?;
        let asked = Instant::now();
        while self.child.try_wait()?.is_none() {
            if asked.elapsed() > START_MAX {
                bail!("it does not end within {START_MAX:?} after SIGTERM");
            }
            std::thread::sleep(STEP);
        }
        self.companions.clear();
        Ok(())
    }

    /// SIGKILL, and waits for its end.
    pub fn kill(self) {
        drop(self);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // An error means that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A command whose process the kernel kills when ours ends, however that comes about.
pub fn command(program: impl AsRef<OsStr>) -> Command {
    // The call for this needs `unsafe` in the child of a fork, which util-linux does instead of us.
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]).arg(program);
    command
}

fn spawn(command: &mut Command, log: &Path) -> anyhow::Result<Child> {
    let out = OpenOptions::new().create(true).append(true).open(log)?;
    command
        .stdin(Stdio::null())
        .stdout(out.try_clone()?)
        .stderr(out)
        .spawn()
        .with_context(|| format!("cannot start {command:?}"))
}

/// A port of this machine that nobody listens on at the moment.
pub fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

#[cfg(test)]
mod tests {
    use super::{Server, command, free_address};

    #[test]
    fn a_broker_that_ends_before_it_listens_is_an_error_that_names_its_log() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let mut broker = command("sh");
        broker.args(["-c", "echo no licence; exit 3"]);
        let error = Server::start(&mut broker, Vec::new(), free_address().unwrap(), log.clone());
        let error = error.err().unwrap().to_string();
        assert!(
            error.contains('3') && error.contains(&log.display().to_string()),
            "{error}"
        );
        assert_eq!(std::fs::read_to_string(log).unwrap(), "no licence\n");
    }
}
