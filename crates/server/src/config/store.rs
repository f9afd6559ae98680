//! `[store]`: sizes and times of the store's files. The defaults suit production; tests make them small.

use logpond_broker::{DamagePolicy, StoreOptions};
use serde::Deserialize;

use super::file::replace;

/// The keys of `[store]`. What is absent keeps the store's default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StoreKeys {
    /// Size of a journal segment.
    pub segment_bytes: Option<u64>,
    /// Size of an index slab.
    pub slab_bytes: Option<u64>,
    /// A block is closed when its records reach this size.
    pub block_bytes_soft: Option<u64>,
    /// Bytes of recent blocks that stay in memory.
    pub ring_bytes: Option<u64>,
    /// Memory for transient messages, beyond which they are written to files; twice as much while those cannot be written.
    pub transient_bytes: Option<u64>,
    /// A checkpoint is due after this many bytes of log.
    pub checkpoint_bytes: Option<u64>,
    /// A checkpoint is due after this many milliseconds.
    pub checkpoint_ms: Option<u64>,
    /// Spare segments kept for recycling, beside those that take room which the store may use anyway (docs/ARCHITECTURE.md).
    pub spare_segments_max: Option<usize>,
    /// How the journal is written.
    pub write_mode: Option<WriteMode>,
    /// What an open does with damaged bytes.
    pub damage: Option<Damage>,
}

/// How the journal reaches the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WriteMode {
    /// `O_DIRECT` and `RWF_DSYNC`: the fastest where the file system has both.
    DirectDsync,
    /// Through the page cache, `RWF_DSYNC`.
    BufferedDsync,
    /// Through the page cache, then `fdatasync`.
    BufferedFdatasync,
}

impl From<WriteMode> for logpond_broker::WriteMode {
    fn from(mode: WriteMode) -> Self {
        match mode {
            WriteMode::DirectDsync => Self::DirectDsync,
            WriteMode::BufferedDsync => Self::BufferedDsync,
            WriteMode::BufferedFdatasync => Self::BufferedFdatasync,
        }
    }
}

/// What an open does when it meets damaged bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Damage {
    /// Sets them aside and starts with everything that is intact.
    Quarantine,
    /// Refuses to start.
    Refuse,
}

impl StoreKeys {
    /// Takes over what `other` says.
    pub(super) fn overlay(&mut self, other: &Self) {
        replace(&mut self.segment_bytes, other.segment_bytes);
        replace(&mut self.slab_bytes, other.slab_bytes);
        replace(&mut self.block_bytes_soft, other.block_bytes_soft);
        replace(&mut self.ring_bytes, other.ring_bytes);
        replace(&mut self.transient_bytes, other.transient_bytes);
        replace(&mut self.checkpoint_bytes, other.checkpoint_bytes);
        replace(&mut self.checkpoint_ms, other.checkpoint_ms);
        replace(&mut self.spare_segments_max, other.spare_segments_max);
        replace(&mut self.write_mode, other.write_mode);
        replace(&mut self.damage, other.damage);
    }

    /// The store's options with these keys; what is wrong with them, if anything.
    pub(crate) fn options(&self) -> Result<StoreOptions, String> {
        let mut options = StoreOptions::default();
        let set = |slot: &mut u64, value: Option<u64>| *slot = value.unwrap_or(*slot);
        set(&mut options.segment_bytes, self.segment_bytes);
        set(&mut options.slab_bytes, self.slab_bytes);
        set(&mut options.block_bytes_soft, self.block_bytes_soft);
        set(&mut options.ring_bytes, self.ring_bytes);
        set(&mut options.transient_bytes, self.transient_bytes);
        set(&mut options.checkpoint_bytes, self.checkpoint_bytes);
        set(&mut options.checkpoint_ms, self.checkpoint_ms);
        options.spare_segments_max = self.spare_segments_max.unwrap_or(options.spare_segments_max);
        if self.damage == Some(Damage::Refuse) {
            options.damage = DamagePolicy::Refuse;
        }
        // A small segment without further wishes means a small everything.
        if self.block_bytes_soft.is_none() {
            options.block_bytes_soft = options.block_bytes_soft.min(options.segment_bytes / 4);
        }
        options.check()?;
        Ok(options)
    }
}
