//! The settings of a store; tests make everything small, so that it rolls and recycles all the time.

use crate::limits;
use crate::units::Layout;

/// Sizes and times of a store. `Options::default()` is right for production.
#[derive(Clone, Debug)]
pub struct Options {
    /// Size of a segment file in bytes; a multiple of 4096, from 64 KiB to 1 GiB.
    pub segment_bytes: u64,
    /// Size of an index slab in bytes; a multiple of 4096. A start with another size than the last rebuilds the index.
    pub slab_bytes: u64,
    /// A block is closed when its records reach this size.
    pub block_bytes_soft: u64,
    /// Bytes of recent blocks that stay in memory.
    pub ring_bytes: u64,
    /// Transient messages that the log does not hold take this many bytes of memory; what is beyond is written to files that
    /// the next start removes, most of it newest first. While the disk does not take them, nobody may publish from twice this much on.
    /// While more than half of it is used, as much again may be kept for what comes.
    pub transient_bytes: u64,
    /// A checkpoint is due after this many bytes of log.
    pub checkpoint_bytes: u64,
    /// A checkpoint is due after this many milliseconds.
    pub checkpoint_ms: u64,
    /// Spare segments kept for recycling, beside those that take the room which survivors might take (`evacuation_slack_bytes`) and do not.
    pub spare_segments_max: usize,
    /// Whether new segments are written once with zeros before the log comes to them, where there is time for it: a synced write to a
    /// file that was written before takes about two thirds of the time of one to a new file. Recycled segments need no such thing, and a
    /// file system that writes everything to a new place (btrfs, ZFS, bcachefs, F2FS) gets none.
    pub prewrite_segments: bool,
    /// Spare segments kept back for a full disk, so that acknowledgements and whatever makes room go on there, and a start finds
    /// the segment that it needs. Made when the log first goes on to another segment. With none, a full disk may refuse to be opened.
    pub reserve_segments: usize,
    /// Segments may take twice the bytes that live in them, and this much more, before survivors are evacuated.
    pub evacuation_slack_bytes: u64,
    /// While messages come in, evacuation reads and writes at most this many bytes for each byte of log. Below 4 it may
    /// fall behind, and the disk fills.
    pub evacuation_pace: u64,
    /// A sealed segment gets a footer, from which the index can be rebuilt without reading bodies, when that takes at most the
    /// segment's blocks divided by this; 0 for no footers.
    pub footer_fraction: u64,
    /// Messages that a queue may deliver beyond its durable delivery mark.
    pub delivery_mark_step: u64,
    /// What to do when damage is found.
    pub damage: DamagePolicy,
}

/// What an open does when it meets damaged bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DamagePolicy {
    /// Set them aside, list what was lost, start with everything that is intact.
    Quarantine,
    /// Refuse to start, and change nothing.
    Refuse,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            segment_bytes: limits::SEGMENT_BYTES,
            slab_bytes: limits::SLAB_BYTES,
            block_bytes_soft: limits::BLOCK_BYTES_SOFT,
            ring_bytes: limits::RING_BYTES,
            transient_bytes: limits::TRANSIENT_BYTES,
            checkpoint_bytes: limits::CHECKPOINT_BYTES,
            checkpoint_ms: limits::CHECKPOINT_MS,
            spare_segments_max: limits::SPARE_SEGMENTS_MAX,
            prewrite_segments: true,
            reserve_segments: limits::RESERVE_SEGMENTS,
            evacuation_slack_bytes: limits::EVACUATION_SLACK_BYTES,
            evacuation_pace: limits::EVACUATION_PACE,
            footer_fraction: limits::FOOTER_FRACTION,
            delivery_mark_step: limits::DELIVERY_MARK_STEP,
            damage: DamagePolicy::Quarantine,
        }
    }
}

impl Options {
    /// The smallest of everything: segments of 64 KiB, so that a short test rolls and recycles often, and every sealed one gets a
    /// footer. When the log goes on to another segment depends on nothing but what was written.
    #[must_use]
    pub fn tiny() -> Self {
        Self {
            segment_bytes: limits::SEGMENT_BYTES_MIN,
            slab_bytes: 256 << 10,
            block_bytes_soft: 8 << 10,
            ring_bytes: 64 << 10,
            transient_bytes: 32 << 10,
            checkpoint_bytes: 64 << 10,
            checkpoint_ms: 1_000,
            spare_segments_max: 2,
            prewrite_segments: false,
            reserve_segments: 2,
            evacuation_slack_bytes: 4 * limits::SEGMENT_BYTES_MIN,
            evacuation_pace: limits::EVACUATION_PACE,
            footer_fraction: 1,
            delivery_mark_step: 8,
            damage: DamagePolicy::Quarantine,
        }
    }

    /// What is wrong with these options, if anything.
    ///
    /// # Errors
    /// A sentence that names the option, its value and its range.
    pub fn check(&self) -> Result<(), String> {
        let aligned = |name: &str, value: u64, least: u64, most: u64| {
            if value < least || value > most || !value.is_multiple_of(limits::ALIGNMENT) {
                return Err(format!(
                    "{name} is {value}, but must be a multiple of {} from {least} to {most}",
                    limits::ALIGNMENT
                ));
            }
            Ok(())
        };
        aligned(
            "segment_bytes",
            self.segment_bytes,
            limits::SEGMENT_BYTES_MIN,
            limits::SEGMENT_BYTES_MAX,
        )?;
        aligned("slab_bytes", self.slab_bytes, 64 << 10, 1 << 30)?;
        if self.block_bytes_soft > self.segment_bytes / 4 {
            return Err(format!(
                "block_bytes_soft is {}, but must be at most a quarter of segment_bytes",
                self.block_bytes_soft
            ));
        }
        if self.transient_bytes < limits::ALIGNMENT {
            return Err(format!(
                "transient_bytes is {}, but must be at least {}",
                self.transient_bytes,
                limits::ALIGNMENT
            ));
        }
        if self.evacuation_pace == 0 {
            return Err("evacuation_pace is 0, but must be at least 1".to_owned());
        }
        if self.delivery_mark_step == 0 {
            return Err("delivery_mark_step is 0, but must be at least 1".to_owned());
        }
        Ok(())
    }

    /// A unit of transient messages that the log does not hold is closed at this size.
    pub(crate) fn unit_bytes(&self) -> u64 {
        let bytes = self.transient_bytes / limits::UNITS_IN_MEMORY;
        bytes.clamp(limits::ALIGNMENT, limits::UNIT_BYTES_MAX)
    }

    /// A file of the spill takes no more than memory may for transient messages, or than so many units need.
    pub(crate) fn spill_layout(&self) -> Layout {
        let slot_bytes = self.unit_bytes().next_multiple_of(limits::ALIGNMENT);
        let slots = u32::try_from(self.transient_bytes / slot_bytes).unwrap_or(u32::MAX);
        Layout {
            slot_bytes,
            slots: slots.clamp(1, limits::SPILL_SLOTS_MAX),
        }
    }

    /// The largest block that fits into an empty segment, header and padding included.
    #[must_use]
    pub const fn block_bytes_max(&self) -> u64 {
        self.segment_bytes - limits::SEGMENT_HEADER_BYTES
    }
}
