//! Index pages in mapped slabs: handed out, shadowed, given back.
//!
//! Invariants:
//! - A page may be changed in place only in the generation (the time between two checkpoints) in which
//!   it was handed out. Later, [`Pages::writable`] copies it to a fresh page, because a checkpoint refers
//!   to the old one and the kernel may write a mapped page back torn and at any time.
//! - A page that was let go is handed out again only when no retained checkpoint refers to it.
//! - A page that was handed out is filled in memory of our own (`young`) until there is no more place for it there; once a checkpoint has sealed
//!   it, it is in its slab.
//! - A page that came from a checkpoint is compared with its recorded checksum when it is first touched.
//! - Slabs are numbered without a gap: only the last one is ever given up, and only when none of its pages is in use or referred to. None is
//!   made while its file goes, which has the name of the next.
//!
//! Elsewhere: which page is handed out next (`free`), how slabs go again (`shrink`).

use crate::disk::{Disk, DiskFile, DiskMap, FileKind, is_full};
use crate::error::OpenError;
use crate::format::memory_offset;
use crate::index::free::FreePages;
use crate::index::page;
use crate::index::young::{Slot, Young, run_len};
use crate::limits::{PAGE_BYTES, PAGES_RESIDENT_MAX};
use crate::planted::{self, Planted};
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

/// Directory of the index of shard 0.
pub(crate) const INDEX_DIR: &str = "shard-00/x";

/// Number of a page, over all slabs.
pub(crate) type PageNumber = u32;

/// The file of a slab, relative to the data directory.
pub(crate) fn slab_path(slab: usize) -> String {
    format!("{INDEX_DIR}/{slab:04x}.idx")
}

/// A slab is made when less than this fraction of one is free …
const SLAB_WANTED_FRACTION: usize = 2;
/// … and nothing more is accepted when less than this one is: it is for what one batch brings.
const SLAB_KEPT_FRACTION: usize = 4;

/// So many pages go to their slabs together when there is no place for another young one.
const WRITTEN_TOGETHER: usize = 64;

/// Makes the file of a slab, durably and with all its blocks.
pub(crate) fn make_slab<D: Disk>(disk: &D, slab: usize, bytes: u64) -> io::Result<D::File> {
    let path = slab_path(slab);
    let file = match disk.create(&path, FileKind::Plain) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => disk.open(&path, FileKind::Plain)?,
        created => created?,
    };
    file.allocate(bytes)?;
    disk.sync_dir(INDEX_DIR)?;
    Ok(file)
}

/// A page whose bytes are not those that the checkpoint recorded. The log can rebuild it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct DamagedPage(pub PageNumber);

struct Slab<D: Disk> {
    file: Arc<D::File>,
    map: D::Map,
    dirty: bool,
}

#[derive(Clone, Copy)]
struct PageState {
    /// The generation in which the page was handed out; 0 for one that came from a checkpoint.
    generation: u32,
    /// Its checksum, once it is sealed.
    crc: u32,
    /// Whether its bytes were compared with the checksum, or made by this process.
    verified: bool,
    /// Whether the checksum is that of its bytes, and stands in them.
    sealed: bool,
    /// Where it is while its slab does not have it.
    young: Option<Slot>,
}

impl PageState {
    const fn fresh(generation: u32) -> Self {
        Self {
            generation,
            crc: 0,
            verified: true,
            sealed: false,
            young: None,
        }
    }
}

/// All index pages of a shard.
pub(crate) struct Pages<D: Disk> {
    disk: D,
    slab_bytes: usize,
    slabs: Vec<Slab<D>>,
    young: Young,
    /// Whether the file of a slab that was given up is being removed, and that of its successor would have its name.
    has_slab_going: bool,
    /// Whether what is left in the last slab was found not to move: it is damaged.
    is_stuck: bool,
    /// Pages on their way to a slab.
    written: Vec<u8>,
    states: Vec<PageState>,
    free: FreePages,
    /// Pages let go of, with the generation in which that happened, oldest first.
    retired: VecDeque<(u32, PageNumber)>,
    /// Pages handed out in this generation.
    fresh: Vec<PageNumber>,
    generation: u32,
    /// The page that was used last, and how many others were used since memory was given back.
    last_used: PageNumber,
    used: usize,
}

impl<D: Disk> Pages<D> {
    pub(crate) fn new(disk: D, slab_bytes: u64) -> Self {
        let slab_bytes = memory_offset(slab_bytes);
        Self {
            disk,
            slab_bytes,
            slabs: Vec::new(),
            young: Young::default(),
            has_slab_going: false,
            is_stuck: false,
            written: Vec::new(),
            states: Vec::new(),
            free: FreePages::new(slab_bytes / PAGE_BYTES),
            retired: VecDeque::new(),
            fresh: Vec::new(),
            generation: 1,
            last_used: 0,
            used: 0,
        }
    }

    pub(crate) fn slab_bytes(&self) -> u64 {
        u64::try_from(self.slab_bytes).expect("a slab is far below 2^64")
    }

    /// The time between two checkpoints that is now.
    pub(crate) const fn generation(&self) -> u32 {
        self.generation
    }

    fn pages_per_slab(&self) -> usize {
        self.slab_bytes / PAGE_BYTES
    }

    /// Maps the slabs that are there. All their pages count as free until [`Pages::adopt`] says otherwise.
    pub(crate) fn open(&mut self) -> Result<(), OpenError> {
        let names = self
            .disk
            .list(INDEX_DIR)
            .map_err(OpenError::io("listing", INDEX_DIR))?;
        while names.contains(&format!("{:04x}.idx", self.slabs.len())) {
            let path = slab_path(self.slabs.len());
            let file = self
                .disk
                .open(&path, FileKind::Plain)
                .map_err(OpenError::io("opening", &path))?;
            // A slab whose allocation was cut short is filled up: nothing is mapped without a block behind it.
            match file.allocate(self.slab_bytes()) {
                // Nothing refers to a slab that was never finished.
                Err(error) if is_full(&error) => break,
                allocated => allocated.map_err(OpenError::io("allocating", &path))?,
            }
            self.map(file).map_err(OpenError::io("mapping", path))?;
        }
        // A process that was killed may have left a slab whose name is not durable yet.
        self.disk
            .sync_dir(INDEX_DIR)
            .map_err(OpenError::io("syncing", INDEX_DIR))?;
        Ok(())
    }

    /// Takes a slab into use; all of its pages are free.
    fn map(&mut self, file: D::File) -> io::Result<()> {
        let map = self.disk.map(&file, self.slab_bytes)?;
        self.slabs.push(Slab {
            file: Arc::new(file),
            map,
            dirty: false,
        });
        let first = self.states.len();
        let end = first + self.pages_per_slab();
        self.states.resize(end, PageState::fresh(0));
        self.free.add_slab((first..end).map(number));
        Ok(())
    }

    /// Takes over pages that checkpoints refer to. `current` ones are in use, with their checksums;
    /// those that only an older checkpoint needs are kept from being handed out for a while.
    /// `false` when a page lies outside of all slabs: then the index must be rebuilt.
    pub(crate) fn adopt(
        &mut self,
        current: impl Iterator<Item = (PageNumber, u32)>,
        older: impl Iterator<Item = PageNumber>,
    ) -> bool {
        let mut used = vec![false; self.states.len()];
        for (page, crc) in current {
            let Some(state) = self.states.get_mut(index(page)) else {
                return false;
            };
            *state = PageState {
                generation: 0,
                crc,
                verified: false,
                sealed: true,
                young: None,
            };
            used[index(page)] = true;
        }
        for page in older {
            if let Some(used) = used.get_mut(index(page))
                && !*used
            {
                *used = true;
                self.retired.push_back((self.generation, page));
            }
        }
        self.free.retain(|page| !used[index(page)]);
        true
    }

    /// Hands out a page with arbitrary contents. Fails when the index cannot be written.
    pub(crate) fn take(&mut self) -> io::Result<PageNumber> {
        if self.free.next().is_none() {
            self.add_slab()?;
        }
        let page = self.free.next().expect("a new slab has free pages");
        let slot = match self.young.take(page) {
            Some(slot) => slot,
            None => {
                let oldest = self.young.oldest(WRITTEN_TOGETHER);
                self.write(&oldest)?;
                self.young.take(page).expect("pages have left")
            }
        };
        self.free.take();
        // One that was let go of in this generation is among them already.
        if self.states[index(page)].generation != self.generation {
            self.fresh.push(page);
        }
        self.states[index(page)] = PageState {
            young: Some(slot),
            ..PageState::fresh(self.generation)
        };
        Ok(page)
    }

    /// Seals young pages, which are in the order of their numbers, and writes them to their slabs.
    fn write(&mut self, pages: &[(PageNumber, Slot)]) -> io::Result<()> {
        let mut rest = pages;
        while let Some((first, _)) = rest.first() {
            let (number, at) = self.slab_of(*first);
            let (run, behind) = rest.split_at(run_len(rest).min(self.pages_per_slab() - at));
            self.written.clear();
            for (page, slot) in run {
                self.states[index(*page)].crc = page::seal(self.young.bytes_mut(*slot));
                self.written.extend_from_slice(self.young.bytes(*slot));
            }
            let slab = &mut self.slabs[number];
            slab.dirty = true;
            slab.map.write(&self.written, at * PAGE_BYTES)?;
            for (page, slot) in run {
                let state = &mut self.states[index(*page)];
                (state.sealed, state.young) = (true, None);
                self.young.leave(*slot);
            }
            rest = behind;
        }
        Ok(())
    }

    fn add_slab(&mut self) -> io::Result<()> {
        if self.has_slab_going {
            // Those that are kept free while one goes are for more than may come meanwhile.
            return Err(io::Error::other("the last slab is still being removed"));
        }
        let slab = self.slabs.len();
        let file = make_slab(&self.disk, slab, self.slab_bytes())?;
        self.enter_slab(slab, file)
    }

    /// Sees that there is a slab at all.
    pub(crate) fn ensure_slab(&mut self) -> io::Result<()> {
        if self.slabs.is_empty() {
            self.add_slab()
        } else {
            Ok(())
        }
    }

    /// Pages that can be handed out without another slab.
    pub(crate) const fn free(&self) -> usize {
        self.free.count()
    }

    /// Pages that are kept for the next batch.
    pub(crate) fn kept(&self) -> usize {
        self.pages_per_slab() / SLAB_KEPT_FRACTION
    }

    /// The slab to make before the pages of the others are used up, should only so many be left.
    pub(crate) fn wanted_slab(&self, left: usize) -> Option<usize> {
        let is_low = left < self.pages_per_slab() / SLAB_WANTED_FRACTION;
        is_low.then_some(self.slabs.len())
    }

    /// Takes a slab into use; one that was made twice only once.
    pub(crate) fn enter_slab(&mut self, slab: usize, file: D::File) -> io::Result<()> {
        if slab != self.slabs.len() {
            return Ok(());
        }
        self.map(file)
    }

    /// Lets go of a page.
    pub(crate) fn release(&mut self, page: PageNumber) {
        if self.states[index(page)].generation == self.generation
            || planted::is(Planted::ReuseFreedPageTooEarly)
        {
            // No checkpoint has seen it.
            let state = &mut self.states[index(page)];
            state.sealed = true;
            if let Some(slot) = state.young.take() {
                self.young.leave(slot);
            }
            self.free.put(page);
        } else {
            self.retired.push_back((self.generation, page));
        }
    }

    /// The bytes of a page.
    pub(crate) fn read(&mut self, page: PageNumber) -> Result<&[u8], DamagedPage> {
        self.verify(page)?;
        Ok(self.bytes(page))
    }

    /// The bytes of a page, to change; `page` becomes the number of the copy when one had to be made.
    pub(crate) fn writable(&mut self, page: &mut PageNumber) -> Result<&mut [u8], PageError> {
        let shadow = !planted::is(Planted::ChangeCheckpointedPage);
        if self.states[index(*page)].generation != self.generation && shadow {
            self.move_page(page)?;
        }
        self.states[index(*page)].sealed = false;
        Ok(self.bytes_mut(*page))
    }

    /// Copies a page to a fresh one, and lets go of it.
    fn move_page(&mut self, page: &mut PageNumber) -> Result<(), PageError> {
        self.verify(*page).map_err(PageError::Damaged)?;
        let copy = self.take().map_err(PageError::Io)?;
        let mut bytes = [0; PAGE_BYTES];
        bytes.copy_from_slice(self.bytes(*page));
        self.bytes_mut(copy).copy_from_slice(&bytes);
        self.release(*page);
        *page = copy;
        Ok(())
    }

    fn verify(&mut self, page: PageNumber) -> Result<(), DamagedPage> {
        let state = self.states[index(page)];
        if page != self.last_used && state.young.is_none() {
            self.count_use(page);
        }
        if !state.verified && !planted::is(Planted::TrustIndexOverLog) {
            if !page::is_intact(self.bytes(page), state.crc) {
                return Err(DamagedPage(page));
            }
            self.states[index(page)].verified = true;
        }
        Ok(())
    }

    /// Mapped pages count as resident: whoever walks a long backlog would hold all of its index.
    fn count_use(&mut self, page: PageNumber) {
        self.last_used = page;
        self.used += 1;
        if self.used >= PAGES_RESIDENT_MAX {
            self.give_back();
        }
    }

    fn bytes(&self, page: PageNumber) -> &[u8] {
        if let Some(slot) = self.states[index(page)].young {
            return self.young.bytes(slot);
        }
        let (slab, at) = self.slab_of(page);
        &self.slabs[slab].map.bytes()[at * PAGE_BYTES..][..PAGE_BYTES]
    }

    fn bytes_mut(&mut self, page: PageNumber) -> &mut [u8] {
        if let Some(slot) = self.states[index(page)].young {
            return self.young.bytes_mut(slot);
        }
        if page != self.last_used {
            self.count_use(page);
        }
        let (slab, at) = self.slab_of(page);
        let slab = &mut self.slabs[slab];
        slab.dirty = true;
        &mut slab.map.bytes_mut()[at * PAGE_BYTES..][..PAGE_BYTES]
    }

    /// In which slab a page lies, and as which of its pages.
    fn slab_of(&self, page: PageNumber) -> (usize, usize) {
        let per_slab = self.pages_per_slab();
        (index(page) / per_slab, index(page) % per_slab)
    }

    /// Begins a checkpoint: from now on no page that is in use is changed in place. Returns the
    /// generation that ends here and the pages that were handed out in it.
    pub(crate) fn freeze(&mut self) -> (u32, Vec<PageNumber>) {
        let ended = self.generation;
        self.generation += 1;
        (ended, std::mem::take(&mut self.fresh))
    }

    /// Computes and stores the checksums of pages that were frozen with `generation`; afterwards all of them are in their slabs. After
    /// an error nothing is known about what the slabs hold.
    pub(crate) fn seal(&mut self, generation: u32, pages: &[PageNumber]) -> io::Result<()> {
        let mut young = Vec::with_capacity(pages.len());
        for page in pages {
            // Those that were let go of before it ended are nobody's, or another generation's, or have gone with their slab.
            let state = self.states.get(index(*page)).copied();
            let Some(state) = state.filter(|state| !state.sealed && state.generation == generation) else {
                continue;
            };
            match state.young {
                Some(slot) => young.push((*page, slot)),
                None => {
                    let crc = page::seal(self.bytes_mut(*page));
                    let state = &mut self.states[index(*page)];
                    (state.crc, state.sealed) = (crc, true);
                }
            }
        }
        young.sort_unstable_by_key(|(page, _)| *page);
        self.write(&young)
    }

    /// The checksum that a frozen page must have from now on.
    pub(crate) fn checksum(&self, page: PageNumber) -> u32 {
        self.states[index(page)].crc
    }

    /// Files of slabs that were changed since the last [`Pages::sync`]; syncing them first, without any
    /// lock, leaves little to do for it.
    pub(crate) fn dirty_files(&self) -> Vec<Arc<D::File>> {
        self.slabs
            .iter()
            .filter(|slab| slab.dirty)
            .map(|slab| Arc::clone(&slab.file))
            .collect()
    }

    /// Makes all changes durable.
    pub(crate) fn sync(&mut self) -> io::Result<()> {
        for slab in self.slabs.iter_mut().filter(|slab| slab.dirty) {
            slab.map.sync()?;
            slab.dirty = false;
        }
        Ok(())
    }

    /// After a checkpoint became durable: pages that were let go of before generation `oldest` ended are
    /// referred to by no retained checkpoint any more. `oldest` is the generation that ended with the older
    /// retained checkpoint.
    pub(crate) fn reclaim(&mut self, oldest: u32) {
        while let Some((generation, page)) = self.retired.front().copied()
            && generation <= oldest
        {
            self.retired.pop_front();
            self.free.put(page);
        }
    }

    /// Gives the memory of all pages back to the kernel; their contents stay.
    pub(crate) fn give_back(&mut self) {
        self.used = 0;
        for slab in &self.slabs {
            slab.map.give_back(0, self.slab_bytes);
        }
    }
}

/// Why a page could not be made writable.
#[derive(Debug)]
pub(crate) enum PageError {
    Damaged(DamagedPage),
    Io(io::Error),
}

pub(super) fn index(page: PageNumber) -> usize {
    usize::try_from(page).expect("memory is addressed with at least 32 bits")
}

fn number(index: usize) -> PageNumber {
    PageNumber::try_from(index).expect("an index of 16 TiB is beyond every disk")
}

pub(crate) mod shrink;
#[cfg(test)]
#[cfg(feature = "sim")]
mod tests;
