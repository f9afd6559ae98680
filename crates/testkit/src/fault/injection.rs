//! Which call fails, how, and when.

use std::ffi::OsString;
use std::fmt;
use std::path::Path;
use std::time::Duration;

/// How the broker is told to write its journal, as its setting names it.
pub const WRITE_MODES: [&str; 3] = ["direct-dsync", "buffered-dsync", "buffered-fdatasync"];
/// Everything that a verdict needs to see: what is written, what is synced, and what clients are told.
const CALLS: &str = "trace=pwritev2,pwrite64,fdatasync,fsync,sendto,write,writev,sendmsg";
/// Longest string that strace shows: a whole block of the journal.
const STRING_BYTES_MAX: usize = 64 << 20;

/// What becomes of the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The medium failed.
    Io,
    /// The file system is full.
    NoSpace,
    /// The call claims to have taken so many bytes. It writes none of them: strace skips a call whose result it makes up.
    Short(u32),
    /// The call succeeds after so many milliseconds.
    Slow(u32),
}

/// One fault in one run.
#[derive(Clone, Debug)]
pub struct Injection {
    /// The broker's write mode.
    pub mode: &'static str,
    /// The system call.
    pub call: &'static str,
    /// What becomes of it.
    pub fault: Fault,
    /// Which one, counted from 1 for each thread.
    pub nth: u32,
}

impl Injection {
    /// Every kind of fault in every write mode, at the calls that the mode makes.
    pub fn kinds() -> Vec<(&'static str, &'static str, Fault)> {
        let mut kinds = Vec::new();
        for mode in WRITE_MODES {
            let journal = if mode == "buffered-fdatasync" {
                "pwrite64"
            } else {
                "pwritev2"
            };
            for call in ["pwritev2", "pwrite64", "fdatasync", "fsync"] {
                // Without RWF_DSYNC nothing is written with pwritev2.
                if call != "pwritev2" || journal == "pwritev2" {
                    kinds.push((mode, call, Fault::Io));
                }
            }
            kinds.push((mode, journal, Fault::NoSpace));
            kinds.push((mode, journal, Fault::Short(100)));
            let synced = if journal == "pwritev2" {
                journal
            } else {
                "fdatasync"
            };
            kinds.push((mode, synced, Fault::Slow(2500)));
        }
        kinds
    }

    /// Whether the broker may go on: the rest of a short write is written by the next call, a slow disk is waited for.
    pub const fn is_survivable(&self) -> bool {
        matches!(self.fault, Fault::Short(_) | Fault::Slow(_))
    }

    /// How long the call takes because of the fault. strace tells of a slow call before it waits.
    pub fn duration(&self) -> Duration {
        match self.fault {
            Fault::Slow(ms) => Duration::from_millis(ms.into()),
            Fault::Io | Fault::NoSpace | Fault::Short(_) => Duration::ZERO,
        }
    }

    /// strace as a grandchild, so that the child is the broker itself.
    pub fn strace(&self, trace: &Path) -> Vec<OsString> {
        let size = STRING_BYTES_MAX.to_string();
        let inject = format!("inject={}:{}:when={}", self.call, self.fault, self.nth);
        let words = ["strace", "-D", "-f", "--seccomp-bpf", "-tt", "-y", "-xx", "-s"];
        let mut words: Vec<OsString> = words.map(OsString::from).into();
        words.extend([&size, "-e", CALLS, "-e", &inject, "-o"].map(OsString::from));
        words.push(trace.into());
        words
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io => f.write_str("error=EIO"),
            Self::NoSpace => f.write_str("error=ENOSPC"),
            Self::Short(bytes) => write!(f, "retval={bytes}"),
            Self::Slow(ms) => write!(f, "delay_exit={}", ms * 1000),
        }
    }
}

impl fmt::Display for Injection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            mode,
            call,
            fault,
            nth,
        } = self;
        write!(f, "{mode}, {call} {nth}: {fault}")
    }
}
