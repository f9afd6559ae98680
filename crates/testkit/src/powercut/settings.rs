//! What host and guest agree on: the broker's settings, the disk's layout, and the words of the kernel's command line.
//!
//! Invariant: the file system ends where the mark's sector begins, so that a mark is in the log of writes and
//! in no file.

use std::collections::HashMap;

use anyhow::Context;

/// Size of the file system on the guest's disk.
pub const FILE_SYSTEM_BYTES: u64 = 64 << 20;
/// Where on the disk the mark stands.
pub const MARK_AT: u64 = FILE_SYSTEM_BYTES;
/// Size of the disk.
pub const DISK_BYTES: u64 = MARK_AT + (64 << 10);
/// The broker's data directory within the file system.
pub const DATA: &str = "store";
const WORD: &str = "powercut.";

/// What a guest is told on the kernel's command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuestSettings {
    /// What its messages are made from.
    pub seed: u64,
    /// How the broker writes.
    pub write_mode: String,
    /// Messages confirmed before the broker is killed and started again within the guest.
    pub life: u64,
}

impl GuestSettings {
    /// As words of the command line.
    pub fn words(&self) -> String {
        let Self {
            seed,
            write_mode,
            life,
        } = self;
        format!("{WORD}seed={seed} {WORD}mode={write_mode} {WORD}life={life}")
    }

    /// Finds them in a command line.
    pub fn parse(command_line: &str) -> anyhow::Result<Self> {
        let words = command_line.split_whitespace();
        let pairs = words.filter_map(|word| word.strip_prefix(WORD)?.split_once('='));
        let pairs: HashMap<&str, &str> = pairs.collect();
        let word = |name| {
            let value = pairs.get(name).copied();
            value.with_context(|| format!("the kernel's command line has no {WORD}{name}"))
        };
        Ok(Self {
            seed: word("seed")?.parse()?,
            write_mode: word("mode")?.to_owned(),
            life: word("life")?.parse()?,
        })
    }
}

/// Settings of the broker, in the guest and when an image is recovered: everything small, so that rolls, checkpoints
/// and recycling happen all the time.
pub fn broker_settings(write_mode: &str) -> Vec<String> {
    [
        &format!("store.write_mode={write_mode}"),
        "store.segment_bytes=65536",
        "store.slab_bytes=65536",
        "store.block_bytes_soft=16384",
        "store.checkpoint_bytes=131072",
        "store.checkpoint_ms=500",
    ]
    .map(str::to_owned)
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_survive_the_command_line() {
        let settings = GuestSettings {
            seed: 7,
            write_mode: "direct-dsync".into(),
            life: 300,
        };
        let line = format!("console=ttyS0 quiet {}", settings.words());
        assert_eq!(GuestSettings::parse(&line).unwrap(), settings);
        assert!(GuestSettings::parse("quiet").is_err());
    }
}
