//! Namespaces of our own, so that no mount and no process outlives the tool, whatever ends it.
//!
//! Invariants:
//! - Mounts are seen by nobody else, and vanish with the last process of the namespace.
//! - The process inside is the first of its process namespace: when it ends, the kernel kills all others in it. It ends
//!   when the one outside does, be it by Ctrl-C.

use std::path::Path;
use std::process::{Command, ExitStatus};

use crate::command::run;
use anyhow::{Context, ensure};

/// Says that we are inside.
const INSIDE: &str = "LOGPOND_POWERCUT_INSIDE";

/// Runs this program again within namespaces, to its end. Nothing when we are inside already.
pub fn isolate() -> anyhow::Result<Option<ExitStatus>> {
    if std::env::var_os(INSIDE).is_some() {
        return Ok(None);
    }
    let missing = missing();
    ensure!(missing.is_empty(), "a power cut needs {}", missing.join("; "));
    let program = std::env::current_exe()?;
    let ended = Command::new("setpriv")
        .args(["--pdeathsig", "KILL", "unshare"])
        .args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--"])
        .arg(program)
        .args(std::env::args_os().skip(1))
        .env(INSIDE, "yes")
        .status();
    ended.map(Some).context("cannot start setpriv")
}

/// What this machine lacks, all at once.
fn missing() -> Vec<String> {
    let mut missing = Vec::new();
    if !rustix::process::geteuid().is_root() {
        missing.push("root, which mounts disks".to_owned());
    }
    if !Path::new("/dev/loop-control").exists() {
        missing.push("loop devices (/dev/loop-control)".to_owned());
    }
    let programs = [
        ("setpriv", "util-linux"),
        ("unshare", "util-linux"),
        ("mount", "mount"),
        ("mkfs.ext4", "e2fsprogs"),
        ("ldd", "libc-bin"),
        ("apt-get", "apt"),
        ("dpkg-deb", "dpkg"),
    ];
    for (program, package) in programs {
        let version = if program == "mkfs.ext4" { "-V" } else { "--version" };
        if run(Command::new(program).arg(version)).is_err() {
            missing.push(format!("{program} (package {package})"));
        }
    }
    missing
}
