//! What a crash leaves of a file: for each sector that was not synced, old, new, torn, or garbage.

use super::image::Image;
use super::inode::{Inode, Pending};
use super::rng::Rng;

/// What a disk writes at once, if it is lucky.
pub(super) const SECTOR_BYTES: usize = 512;

/// The manner of a crash. Mixing manners finds more than mixing sectors alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Nothing that was not synced has arrived.
    AllLost,
    /// Everything has arrived.
    AllKept,
    /// Everything up to some moment has arrived; the write at that moment is torn.
    Prefix,
    /// Each write has arrived or not.
    EachWrite,
    /// Each sector has arrived or not, or is torn.
    EachSector,
}

impl Fate {
    pub(super) fn pick(rng: &mut Rng) -> Self {
        match rng.below(8) {
            0 => Self::AllLost,
            1 => Self::AllKept,
            2 | 3 => Self::Prefix,
            4 => Self::EachWrite,
            _ => Self::EachSector,
        }
    }
}

impl Inode {
    /// The image that a crash leaves, and how many sectors came out other than wholly old or wholly new.
    pub(super) fn after_crash(&self, fate: Fate, rng: &mut Rng) -> (Image, u64) {
        let mut crash = Crash {
            image: self.durable.clone(),
            durable_len: self.durable.len(),
            torn: 0,
        };
        if self.pending.is_empty() {
            return (crash.image, 0);
        }
        let moment = rng.index(self.pending.len());
        for (index, pending) in self.pending.iter().enumerate() {
            match fate {
                Fate::AllLost => {}
                Fate::AllKept => crash.keep(pending),
                Fate::Prefix if index < moment => crash.keep(pending),
                Fate::Prefix if index > moment => {}
                Fate::EachWrite => {
                    if rng.chance(32768) {
                        crash.keep(pending);
                    }
                }
                Fate::Prefix | Fate::EachSector => crash.tear(pending, rng),
            }
        }
        (crash.image, crash.torn)
    }
}

struct Crash {
    image: Image,
    durable_len: usize,
    torn: u64,
}

impl Crash {
    fn keep(&mut self, pending: &Pending) {
        match pending {
            Pending::Write { offset, bytes } => self.image.write(bytes, *offset),
            Pending::Grow { len } => self.image.grow(*len),
        }
    }

    fn tear(&mut self, pending: &Pending, rng: &mut Rng) {
        match pending {
            Pending::Grow { len } => {
                if rng.chance(32768) {
                    self.image.grow(*len);
                }
            }
            Pending::Write { offset, bytes } => {
                let end = offset + bytes.len();
                // The size changes at once or not at all, and may be durable although the bytes are not.
                if end > self.image.len() {
                    if rng.chance(32768) {
                        return;
                    }
                    self.image.grow(end);
                }
                let keep_parts = [8192, 32768, 57344][rng.index(3)];
                let mut at = 0;
                while at < bytes.len() {
                    let part = (SECTOR_BYTES - (offset + at) % SECTOR_BYTES).min(bytes.len() - at);
                    self.tear_sector(&bytes[at..at + part], offset + at, keep_parts, rng);
                    at += part;
                }
            }
        }
    }

    fn tear_sector(&mut self, new: &[u8], offset: usize, keep_parts: u32, rng: &mut Rng) {
        if rng.chance(4096) {
            self.torn += 1;
            let mut mixed = vec![0; new.len()];
            if offset >= self.durable_len && rng.chance(16384) {
                rng.fill(&mut mixed);
            } else {
                self.image.read(&mut mixed, offset);
                let cut = rng.index(new.len());
                if rng.chance(49152) {
                    mixed[..cut].copy_from_slice(&new[..cut]);
                } else {
                    mixed[cut..].copy_from_slice(&new[cut..]);
                }
            }
            self.image.write(&mixed, offset);
        } else if rng.chance(keep_parts) {
            self.image.write(new, offset);
        }
    }
}
