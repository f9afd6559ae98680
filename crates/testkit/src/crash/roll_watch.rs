//! Tells when the broker takes a segment into use.

use anyhow::Context;
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::io::Errno;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;

/// Watches the folder of the journal's segments.
pub struct RollWatch {
    fd: OwnedFd,
}

impl RollWatch {
    /// Watches from now on.
    pub fn new(data: &Path) -> anyhow::Result<Self> {
        let folder = data.join("shard-00/j");
        let fd = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        inotify::add_watch(&fd, &folder, WatchFlags::CREATE | WatchFlags::MOVED_TO)
            .with_context(|| format!("cannot watch {}", folder.display()))?;
        Ok(Self { fd })
    }

    /// Whether a segment appeared since the last call.
    pub fn has_rolled(&self) -> anyhow::Result<bool> {
        let mut space = [MaybeUninit::uninit(); 4096];
        let mut reader = inotify::Reader::new(&self.fd, &mut space);
        let mut has_rolled = false;
        loop {
            match reader.next() {
                Ok(event) => {
                    let name = event.file_name().unwrap_or_default();
                    has_rolled |= name.to_bytes().ends_with(b".seg");
                }
                Err(Errno::AGAIN) => return Ok(has_rolled),
                Err(error) => return Err(error).context("cannot read what happened in the journal's folder"),
            }
        }
    }
}
