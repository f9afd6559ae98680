//! What a look at all files found: plain values for people and programs.

use crate::ids::Lsn;
use crate::report::{LostEntries, TornRange};
use serde::Serialize;
use std::fmt;

/// Bytes that are not as they were written, or do not say what the log says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The file, relative to the data directory.
    pub file: String,
    /// First byte of what is damaged.
    pub offset: u64,
    /// How many bytes are covered by what does not validate.
    pub bytes: u64,
    /// What stands there.
    pub part: Part,
    /// Intact records within the range; they are kept.
    pub records_kept: u64,
    /// Entries that were lost with these bytes, as far as the index still knows them.
    pub lost: Vec<LostEntries>,
    /// A repair has copied exactly these bytes aside: they are known.
    pub set_aside: bool,
}

impl Finding {
    pub(super) fn new(file: impl Into<String>, offset: u64, bytes: u64, part: Part) -> Self {
        let file = file.into();
        Self {
            file,
            offset,
            bytes,
            part,
            records_kept: 0,
            lost: Vec::new(),
            set_aside: false,
        }
    }
}

/// What a damaged range is part of.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Part {
    /// A slot of META, or both. The other one, or the segments, say the same, and the next start writes it anew.
    MetaSlot,
    /// A frame of the catalog: definitions. The next start keeps the bytes aside and goes on behind them.
    CatalogFrame,
    /// Bytes behind the last frame of the catalog that must be zero. The next start cuts them.
    CatalogEnd,
    /// The catalog as a whole: it is not there, though the store had one. The next start goes on with an empty one.
    MissingCatalog,
    /// A segment's header. Its blocks say the same.
    SegmentHeader,
    /// A page of a block whose header is unreadable. Intact records in it are kept.
    Block,
    /// A record of a block whose header is sound.
    Record,
    /// Zeros between or behind the records of a block that are none. Costs nothing.
    Padding,
    /// A segment's footer. A rebuild of the index reads the segment's blocks instead.
    Footer,
    /// A segment that the newest checkpoint speaks of and that is not there.
    MissingSegment,
    /// A checkpoint. The other one, or the log, says the same.
    Checkpoint,
    /// An index page whose checksum is wrong. The log rebuilds it.
    IndexPage,
    /// An index entry that leads to something else than its message. The log rebuilds it.
    IndexEntry,
}

impl Part {
    /// Whether the range is derived from the journal, which rebuilds it.
    #[must_use]
    pub const fn is_derived(self) -> bool {
        matches!(
            self,
            Self::Footer | Self::Checkpoint | Self::IndexPage | Self::IndexEntry
        )
    }

    /// Whether the range lies in a segment.
    #[must_use]
    pub const fn is_journal(self) -> bool {
        matches!(
            self,
            Self::SegmentHeader | Self::Block | Self::Record | Self::Padding | Self::MissingSegment
        )
    }
}

/// Something that could not be judged, because a running store changed it meanwhile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unjudged {
    /// The file, relative to the data directory.
    pub file: String,
    /// Why not.
    pub why: WhyUnjudged,
}

/// Why something could not be judged.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum WhyUnjudged {
    /// The segment was recycled while it was being read: nothing in it is needed any more.
    Recycled,
    /// Newer checkpoints replaced the one that the index was compared with, several times.
    CheckpointReplaced,
    /// The file changed between any two looks.
    KeepsChanging,
}

impl fmt::Display for WhyUnjudged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Recycled => "recycled meanwhile; nothing in it is needed any more",
            Self::CheckpointReplaced => "newer checkpoints replaced the one that it was compared with",
            Self::KeepsChanging => "it changed between any two looks",
        })
    }
}

/// What a look can say of the index as a whole.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum IndexState {
    /// No checkpoint is sound, so there is no index that anything relies on: the next start rebuilds it from the log.
    #[default]
    NoCheckpoint,
    /// The index of this checkpoint, the newest sound one, was compared with the log.
    Compared {
        /// Everything below is in it.
        checkpoint: Lsn,
    },
    /// It was not compared to the end: what it would have shown is not among the findings, nor is what was lost with it.
    NotJudged {
        /// Why not.
        why: WhyUnjudged,
    },
}

/// Everything that a look at all files of a store found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct VerifyReport {
    /// Identity of the store, 32 hex digits.
    pub store: String,
    /// Whether META says that the store was stopped in order. A running one says no.
    pub clean: bool,
    /// Segments of the log.
    pub segments: u64,
    /// Sound blocks, and blocks of which only some records are sound.
    pub blocks: u64,
    /// Records whose checksums hold.
    pub records: u64,
    /// Bytes of blocks, padding included.
    pub journal_bytes: u64,
    /// Footers that say what the blocks of their segments say.
    pub footers: u64,
    /// Sound frames of the catalog.
    pub catalog_frames: u64,
    /// Live entries of the catalog.
    pub catalog_entries: u64,
    /// Sound checkpoints.
    pub checkpoints: u64,
    /// Whether the index was compared with the log.
    pub index: IndexState,
    /// Index pages that it refers to and that are sound.
    pub index_pages: u64,
    /// Live entries in them that lead to their message.
    pub index_entries: u64,
    /// What is damaged, in the order in which it was found.
    pub findings: Vec<Finding>,
    /// Remains of a write that a crash interrupted, or that is still under way. No damage: it was never confirmed.
    pub torn: Vec<TornRange>,
    /// All entries that are in no intact record, by queue and seq.
    pub lost: Vec<LostEntries>,
    /// Entries that the index leads to damage, while an intact record elsewhere holds them: as long as the index stands they
    /// cannot be read, and a repair, which lets the next start rebuild it, brings them back.
    pub astray: Vec<LostEntries>,
    /// What a running store kept from being judged.
    pub unjudged: Vec<Unjudged>,
}

impl VerifyReport {
    /// Whether nothing is damaged but what a repair has set aside before.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.findings.iter().all(|finding| finding.set_aside)
    }

    /// Whether all that is needed was judged: what was recycled meanwhile is not.
    #[must_use]
    pub fn is_judged(&self) -> bool {
        let is_needed = |unjudged: &Unjudged| unjudged.why != WhyUnjudged::Recycled;
        !self.unjudged.iter().any(is_needed)
    }

    /// Damage that no repair has set aside yet.
    #[must_use]
    pub fn new_damage(&self) -> usize {
        self.findings.iter().filter(|finding| !finding.set_aside).count()
    }
}
