//! One file: what is certainly on the medium, what was written since, and what a cache may pretend.
//!
//! Invariants:
//! - `current` is `durable` with all of `pending` applied in order.
//! - No pending write touches bytes that were made durable after it.

use std::sync::Arc;

use super::crash::{Fate, SECTOR_BYTES};
use super::image::{Image, PAGE_BYTES};
use super::rng::Rng;

/// A change that no sync has covered.
#[derive(Clone, Debug)]
pub(super) enum Pending {
    Write { offset: usize, bytes: Arc<[u8]> },
    Grow { len: usize },
}

/// How many overwritten pages a file remembers, for stale reads.
const REMEMBERED_PAGES_MAX: usize = 4;

#[derive(Clone, Debug, Default)]
pub(super) struct Inode {
    pub(super) durable: Image,
    /// What direct reads see: the device, its volatile cache included.
    pub(super) current: Image,
    /// What buffered reads see, once a failed sync has parted the page cache from the device.
    cache: Option<Image>,
    pub(super) pending: Vec<Pending>,
    remembered: Vec<(usize, Arc<[u8]>)>,
}

impl Inode {
    pub(super) fn seen_by(&self, direct: bool) -> &Image {
        match &self.cache {
            Some(cache) if !direct => cache,
            _ => &self.current,
        }
    }

    pub(super) fn write(&mut self, bytes: &[u8], offset: usize) {
        self.remember(offset);
        self.current.write(bytes, offset);
        if let Some(cache) = &mut self.cache {
            cache.write(bytes, offset);
        }
        self.pending.push(Pending::Write {
            offset,
            bytes: bytes.into(),
        });
    }

    pub(super) fn grow(&mut self, len: usize) {
        if len > self.current.len() {
            self.current.grow(len);
            if let Some(cache) = &mut self.cache {
                cache.grow(len);
            }
            self.pending.push(Pending::Grow { len });
        }
    }

    /// Gives back what lies behind `len`. Durable at once: where a removed name comes back after a crash, its contents do not.
    pub(super) fn shorten(&mut self, len: usize) {
        let images = [&mut self.current, &mut self.durable];
        for image in images.into_iter().chain(&mut self.cache) {
            image.shorten(len);
        }
    }

    /// Writes and makes durable just these bytes, with the size that they need.
    pub(super) fn write_synced(&mut self, bytes: &[u8], offset: usize) {
        self.remember(offset);
        let end = offset + bytes.len();
        self.current.write(bytes, offset);
        if let Some(cache) = &mut self.cache {
            cache.write(bytes, offset);
        }
        if self.pending.is_empty()
            || (offset.is_multiple_of(PAGE_BYTES) && bytes.len().is_multiple_of(PAGE_BYTES))
        {
            self.durable.share_pages(&self.current, offset, end);
        } else {
            self.durable.write(bytes, offset);
        }
        self.forget_pending(offset, end);
    }

    /// Makes everything durable.
    pub(super) fn sync(&mut self) {
        if self.pending.is_empty() {
            return;
        }
        for pending in self.pending.drain(..) {
            match pending {
                Pending::Write { offset, bytes } => {
                    self.durable
                        .share_pages(&self.current, offset, offset + bytes.len());
                }
                Pending::Grow { len } => self.durable.grow(len),
            }
        }
        self.durable.grow(self.current.len());
    }

    /// A sync that failed: all counts as clean, some has arrived, the rest is gone; only the page cache still shows it.
    pub(super) fn fail_sync(&mut self, rng: &mut Rng) {
        if self.cache.is_none() {
            self.cache = Some(self.current.clone());
        }
        let (image, _) = self.after_crash(Fate::EachSector, rng);
        self.durable = image.clone();
        self.current = image;
        self.pending.clear();
    }

    /// A synced write that failed: some sectors have arrived in the device, none is certainly durable.
    pub(super) fn fail_write(&mut self, bytes: &[u8], offset: usize, rng: &mut Rng) {
        if self.cache.is_none() {
            self.cache = Some(self.current.clone());
        }
        if let Some(cache) = &mut self.cache {
            cache.write(bytes, offset);
        }
        for (index, sector) in bytes.chunks(SECTOR_BYTES).enumerate() {
            if rng.chance(32768) {
                let at = offset + index * SECTOR_BYTES;
                self.current.write(sector, at);
                self.pending.push(Pending::Write {
                    offset: at,
                    bytes: sector.into(),
                });
            }
        }
    }

    /// From now on buffered reads see what direct ones do.
    pub(super) fn forget_cached(&mut self) {
        self.cache = None;
    }

    /// A page as it was before its last change, if that is remembered.
    pub(super) fn stale(&self, offset: usize) -> Option<&[u8]> {
        let page = offset / PAGE_BYTES;
        self.remembered
            .iter()
            .rev()
            .find(|(index, _)| *index == page)
            .map(|(_, bytes)| &bytes[..])
    }

    /// The file as a new machine finds it.
    pub(super) fn rebooted(&self, fate: Fate, rng: &mut Rng) -> (Self, u64) {
        let (image, torn) = self.after_crash(fate, rng);
        (Self::of(image), torn)
    }

    /// A file with nothing pending.
    pub(super) fn of(image: Image) -> Self {
        Self {
            current: image.clone(),
            durable: image,
            ..Self::default()
        }
    }

    /// The process died and the machine went on: the page cache stays as it is.
    pub(super) fn after_kill(&self) -> Self {
        self.clone()
    }

    fn remember(&mut self, offset: usize) {
        let index = offset / PAGE_BYTES;
        if self.remembered.len() == REMEMBERED_PAGES_MAX {
            self.remembered.remove(0);
        }
        self.remembered
            .push((index, Arc::from(&self.current.page(index)[..])));
    }

    /// Cuts `from..to` out of what is pending: a newer version of it is durable now.
    fn forget_pending(&mut self, from: usize, to: usize) {
        let overlaps = |pending: &Pending| matches!(pending, Pending::Write { offset, bytes } if *offset < to && offset + bytes.len() > from);
        if !self.pending.iter().any(overlaps) {
            return;
        }
        let mut kept = Vec::with_capacity(self.pending.len() + 1);
        for pending in self.pending.drain(..) {
            match pending {
                Pending::Write { offset, bytes } if offset < to && offset + bytes.len() > from => {
                    if offset < from {
                        kept.push(Pending::Write {
                            offset,
                            bytes: bytes[..from - offset].into(),
                        });
                    }
                    if offset + bytes.len() > to {
                        kept.push(Pending::Write {
                            offset: to,
                            bytes: bytes[to - offset..].into(),
                        });
                    }
                }
                other => kept.push(other),
            }
        }
        self.pending = kept;
    }
}
