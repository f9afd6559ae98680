//! Pages against a model: a map of page numbers to what was last put there.

use super::shrink::VacantSlab;
use super::*;
use crate::disk::Disk;
use crate::disk::sim::{Rng, SimDisk};
use crate::ids::{QueueId, Seq};
use crate::limits::PAGES_YOUNG_MAX;
use proptest::prelude::*;
use std::collections::BTreeMap;

const SLAB_BYTES: u64 = 1 << 20;

fn disk() -> SimDisk {
    let disk = SimDisk::new(1);
    disk.create_dir("shard-00").unwrap();
    disk.create_dir(INDEX_DIR).unwrap();
    disk.sync_dir("").unwrap();
    disk.sync_dir("shard-00").unwrap();
    disk
}

/// Pages with room in their slab for all that a test takes.
fn with_a_large_slab(disk: &SimDisk) -> Pages<SimDisk> {
    let mut pages = Pages::new(disk.clone(), 64 << 20);
    pages.open().unwrap();
    pages.ensure_slab().unwrap();
    pages
}

#[derive(Clone, Debug)]
enum Operation {
    Take(usize),
    /// The page at this place of those in use, and what is written to it.
    Change(usize, u64),
    Release(usize),
    /// All pages in use from this place on.
    ReleaseFrom(usize),
    /// After so many changes that come between its beginning and its end.
    Checkpoint(Vec<(usize, u64)>),
    /// Pages are moved out of the last slab, and it is given up if it is vacant.
    Shrink,
}

fn operations() -> impl Strategy<Value = Vec<Operation>> {
    let change = || (any::<usize>(), any::<u64>());
    let operation = prop_oneof![
        4 => (1..PAGES_YOUNG_MAX / 4).prop_map(Operation::Take),
        8 => change().prop_map(|(page, value)| Operation::Change(page, value)),
        4 => any::<usize>().prop_map(Operation::Release),
        2 => any::<usize>().prop_map(Operation::ReleaseFrom),
        2 => prop::collection::vec(change(), 0..9).prop_map(Operation::Checkpoint),
        2 => Just(Operation::Shrink),
    ];
    prop::collection::vec(operation, 1..60)
}

/// What a checkpoint recorded: of each page its checksum, and what it held.
type Recorded = BTreeMap<PageNumber, (u32, u64)>;

struct Tested {
    pages: Pages<SimDisk>,
    model: BTreeMap<PageNumber, u64>,
    checkpoint: Recorded,
}

fn value_of(page: &[u8]) -> u64 {
    page::owner(page).0.get()
}

impl Tested {
    fn chosen(&self, place: usize) -> Option<PageNumber> {
        let place = place.checked_rem(self.model.len())?;
        self.model.keys().nth(place).copied()
    }

    fn change(&mut self, place: usize, value: u64) {
        if let Some(page) = self.chosen(place) {
            let mut number = page;
            page::format(self.pages.writable(&mut number).unwrap(), QueueId::new(value), 0);
            self.model.remove(&page);
            self.model.insert(number, value);
        }
    }

    fn checkpoint(&mut self, between: &[(usize, u64)]) {
        let frozen = self.model.clone();
        let (generation, fresh) = self.pages.freeze();
        for (place, value) in between {
            self.change(*place, *value);
        }
        for pages in fresh.chunks(7) {
            self.pages.seal(generation, pages).unwrap();
        }
        self.pages.sync().unwrap();
        let checksum = |(page, value)| (page, (self.pages.checksum(page), value));
        self.checkpoint = frozen.into_iter().map(checksum).collect();
        // The one before it is not retained.
        self.pages.reclaim(generation - 1);
    }

    fn shrink(&mut self) {
        let mut numbers: Vec<_> = self.model.keys().copied().collect();
        self.pages.vacate_slab(numbers.iter_mut()).unwrap();
        let values = std::mem::take(&mut self.model).into_values();
        self.model = numbers.into_iter().zip(values).collect();
        while let Some(VacantSlab { number, file, map }) = self.pages.give_up_slab() {
            drop((file, map));
            self.pages.disk.remove(&slab_path(number)).unwrap();
            self.pages.slab_has_gone();
            let first = PageNumber::try_from(number * self.pages.pages_per_slab()).unwrap();
            let referred = self.model.keys().chain(self.checkpoint.keys());
            assert!(
                referred.into_iter().all(|page| *page < first),
                "a page in use has gone"
            );
        }
    }

    fn run(&mut self, operation: Operation) {
        match operation {
            Operation::Take(count) => {
                for _ in 0..count {
                    let mut page = self.pages.take().unwrap();
                    let bytes = self.pages.writable(&mut page).unwrap();
                    page::format(bytes, QueueId::new(7), 0);
                    assert_eq!(self.model.insert(page, 7), None, "a page in use was handed out");
                    assert!(!self.checkpoint.contains_key(&page), "a checkpoint refers to it");
                }
            }
            Operation::Change(place, value) => self.change(place, value),
            Operation::Release(place) => {
                if let Some(page) = self.chosen(place) {
                    self.pages.release(page);
                    self.model.remove(&page);
                }
            }
            Operation::ReleaseFrom(place) => {
                if let Some(first) = self.chosen(place) {
                    for page in self.model.split_off(&first).into_keys() {
                        self.pages.release(page);
                    }
                }
            }
            Operation::Checkpoint(between) => self.checkpoint(&between),
            Operation::Shrink => self.shrink(),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn a_page_reads_as_it_was_changed_last_and_after_a_crash_as_the_checkpoint_recorded_it(
        operations in operations(),
    ) {
        let disk = disk();
        let mut pages = Pages::new(disk.clone(), SLAB_BYTES);
        pages.open().unwrap();
        let mut tested = Tested { pages, model: BTreeMap::new(), checkpoint: BTreeMap::new() };
        for operation in operations {
            tested.run(operation);
            for (page, value) in &tested.model {
                prop_assert_eq!(value_of(tested.pages.read(*page).unwrap()), *value);
            }
        }
        let recorded = std::mem::take(&mut tested.checkpoint);
        drop(tested);
        let mut pages = Pages::new(disk.after_crash(&mut Rng::new(2)), SLAB_BYTES);
        pages.open().unwrap();
        let current = recorded.iter().map(|(page, (crc, _))| (*page, *crc));
        prop_assert!(pages.adopt(current, std::iter::empty()));
        for (page, (_, value)) in recorded {
            prop_assert_eq!(value_of(pages.read(page).unwrap()), value);
        }
    }
}

#[test]
fn a_page_that_is_let_go_of_while_it_is_young_is_never_written() {
    let disk = disk();
    let mut pages = Pages::new(disk, SLAB_BYTES);
    pages.open().unwrap();
    for _ in 0..4 * PAGES_YOUNG_MAX {
        let page = pages.take().unwrap();
        pages.release(page);
    }
    assert!(pages.dirty_files().is_empty());
    let (generation, fresh) = pages.freeze();
    assert_eq!(fresh.len(), 1, "it is the same page each time");
    pages.seal(generation, &fresh).unwrap();
    assert!(pages.dirty_files().is_empty());
}

#[test]
fn entries_of_a_page_that_went_to_its_slab_can_still_be_changed_before_the_checkpoint() {
    let mut pages = Pages::new(disk(), SLAB_BYTES);
    pages.open().unwrap();
    pages.take().unwrap();
    let mut first = pages.take().unwrap();
    let entry = page::Entry {
        len: 9,
        ..page::Entry::ABSENT
    };
    page::format(pages.writable(&mut first).unwrap(), QueueId::new(1), 0);
    for _ in 0..PAGES_YOUNG_MAX {
        pages.take().unwrap();
    }
    assert!(!pages.dirty_files().is_empty(), "the oldest were written");
    let used = pages.used;
    page::put(pages.writable(&mut first).unwrap(), Seq::new(5), &entry);
    assert_eq!(pages.used, used + 1, "it is resident now");
    let (generation, fresh) = pages.freeze();
    pages.seal(generation, &fresh).unwrap();
    let crc = pages.checksum(first);
    let bytes = pages.read(first).unwrap();
    assert!(page::is_intact(bytes, crc));
    assert_eq!(page::entry(bytes, Seq::new(5)), entry);
}

#[test]
fn pages_of_a_growing_backlog_go_to_their_slab_together_however_often_their_places_were_used() {
    let disk = disk();
    let mut pages = with_a_large_slab(&disk);
    let before = disk.calls().changes();
    for _ in 0..4 * PAGES_YOUNG_MAX {
        pages.take().unwrap();
    }
    let writes = usize::try_from(disk.calls().changes() - before).unwrap();
    assert_eq!(writes, 3 * PAGES_YOUNG_MAX / WRITTEN_TOGETHER);
}

#[test]
fn pages_that_could_not_be_written_are_not_taken_for_written() {
    let disk = disk();
    let mut pages = with_a_large_slab(&disk);
    for _ in 0..PAGES_YOUNG_MAX {
        pages.take().unwrap();
    }
    let (generation, fresh) = pages.freeze();
    disk.fail_at(1);
    assert!(
        pages.take().is_err(),
        "there is no place but for one that is written"
    );
    disk.fail_at(1);
    assert!(pages.seal(generation, &fresh).is_err());
    assert!(
        fresh
            .iter()
            .all(|page| pages.states[index(*page)].young.is_some())
    );
    pages.seal(generation, &fresh).unwrap();
    assert!(
        fresh
            .iter()
            .all(|page| pages.states[index(*page)].young.is_none())
    );
}

#[test]
fn no_slab_is_made_while_the_file_that_has_its_name_goes() {
    let mut pages = Pages::new(disk(), SLAB_BYTES);
    pages.open().unwrap();
    let taken: Vec<_> = (0..3 * pages.pages_per_slab())
        .map(|_| pages.take().unwrap())
        .collect();
    for page in taken {
        pages.release(page);
    }
    let VacantSlab { number, .. } = pages.give_up_slab().unwrap();
    assert_eq!(number, 2);
    for _ in 0..2 * pages.pages_per_slab() {
        pages.take().unwrap();
    }
    assert!(pages.take().is_err());
    pages.disk.remove(&slab_path(number)).unwrap();
    pages.slab_has_gone();
    pages.take().unwrap();
}

#[test]
fn a_slab_that_was_given_up_and_made_again_between_two_checkpoints_has_each_page_once() {
    let disk = disk();
    let mut pages = Pages::new(disk.clone(), SLAB_BYTES);
    pages.open().unwrap();
    let many = 2 * pages.pages_per_slab() + 3;
    let taken: Vec<_> = (0..many).map(|_| pages.take().unwrap()).collect();
    for page in taken {
        pages.release(page);
    }
    let VacantSlab { number, .. } = pages.give_up_slab().unwrap();
    disk.remove(&slab_path(number)).unwrap();
    pages.slab_has_gone();
    for _ in 0..many {
        pages.take().unwrap();
    }
    let (generation, mut fresh) = pages.freeze();
    for together in fresh.chunks(PAGES_YOUNG_MAX) {
        pages.seal(generation, together).unwrap();
    }
    fresh.sort_unstable();
    let handed_out = fresh.len();
    fresh.dedup();
    assert_eq!((handed_out, fresh.len()), (many, many));
}
