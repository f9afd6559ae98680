//! What a process holds in memory and what a folder takes on disk, and how to make the kernel forget what it cached.

use anyhow::Context;
use std::fmt;
use std::io::ErrorKind;
use std::path::Path;

/// Resident memory of a process, by what it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resident {
    anonymous_kb: u64,
    file_kb: u64,
    shared_kb: u64,
}

impl Resident {
    /// Asks the kernel.
    pub fn of(pid: u32) -> anyhow::Result<Self> {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).context("the broker is gone")?;
        Ok(Self::parse(&status))
    }

    fn parse(status: &str) -> Self {
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim_start_matches(':')
                .trim()
                .trim_end_matches(" kB")
                .parse()
                .ok()
        };
        let kb = |name| field(name).unwrap_or(0);
        Self {
            anonymous_kb: kb("RssAnon"),
            file_kb: kb("RssFile"),
            shared_kb: kb("RssShmem"),
        }
    }

    /// All of it.
    pub fn total_kb(&self) -> u64 {
        self.anonymous_kb + self.file_kb + self.shared_kb
    }
}

impl fmt::Display for Resident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [total, anonymous, file, shared] =
            [self.total_kb(), self.anonymous_kb, self.file_kb, self.shared_kb].map(|kb| kb / 1_000);
        write!(
            f,
            "{total} MB resident: {anonymous} anonymous, {file} mapped files, {shared} shared"
        )
    }
}

/// Writes everything back and forgets all clean pages, entries and inodes. Needs root.
pub fn drop_page_cache() -> std::io::Result<()> {
    rustix::fs::sync();
    std::fs::write("/proc/sys/vm/drop_caches", "3")
}

/// Bytes of all files below a folder, as they are allocated. What goes while it is looked at counts as nothing.
pub fn disk_bytes(folder: &Path) -> anyhow::Result<u64> {
    use std::os::unix::fs::MetadataExt;
    let mut sum = 0;
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        sum += match path.symlink_metadata() {
            Ok(metadata) if metadata.is_dir() => disk_bytes(&path)?,
            Ok(metadata) => metadata.blocks() * 512,
            Err(error) if error.kind() == ErrorKind::NotFound => 0,
            Err(error) => return Err(error.into()),
        };
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::Resident;

    #[test]
    fn the_three_kinds_are_added() {
        let status = "VmRSS:\t  9 kB\nRssAnon:\t    1200 kB\nRssFile:\t    3400 kB\nRssShmem:\t       5 kB\n";
        assert_eq!(Resident::parse(status).total_kb(), 4605);
    }
}
