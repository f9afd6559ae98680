//! Images against a model that knows every version that a sector may have.

use std::collections::BTreeSet;

use super::*;
use crate::powercut::write_log::recorded::Recorded;
use proptest::prelude::*;

const SECTORS: u64 = 16;

/// What a sector may hold: the version that is durable, and those after it.
#[derive(Clone, Debug)]
struct Model(Vec<Vec<u8>>);

impl Model {
    fn new() -> Self {
        Self(vec![vec![0]; usize::try_from(SECTORS).unwrap()])
    }

    fn apply(&mut self, log: &WriteLog, operation: &Operation) {
        let Operation::Write(write) = operation else {
            for versions in &mut self.0 {
                versions.drain(..versions.len() - 1);
            }
            return;
        };
        let data = log.data(write).unwrap();
        for (sector, bytes) in (write.sector..).zip(data.chunks_exact(512)) {
            let versions = &mut self.0[usize::try_from(sector).unwrap()];
            if write.lasting == Lasting::AtOnce {
                versions.clear();
            }
            versions.push(bytes[0]);
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Flush,
    Write(u64, u64, Lasting),
}

fn step() -> impl Strategy<Value = Step> {
    let lasting = prop_oneof![4 => Just(Lasting::UntilFlushed), 1 => Just(Lasting::AtOnce)];
    prop_oneof![
        1 => Just(Step::Flush),
        4 => (0..SECTORS - 4, 1..=4_u64, lasting).prop_map(|(sector, sectors, lasting)| Step::Write(sector, sectors, lasting)),
    ]
}

/// A log in which no two writes write the same.
fn recorded(steps: &[Step]) -> Recorded {
    let mut recorded = Recorded::default();
    let mut version = 0;
    for step in steps {
        match *step {
            Step::Flush => recorded.flush(),
            Step::Write(sector, sectors, lasting) => {
                version += 1;
                recorded.write(sector, &vec![version; usize::try_from(sectors).unwrap()], lasting);
            }
        }
    }
    recorded
}

fn log_of(steps: &[Step], folder: &Path) -> WriteLog {
    std::fs::write(
        folder.join("base"),
        vec![0; usize::try_from(SECTORS * SECTOR_BYTES).unwrap()],
    )
    .unwrap();
    recorded(steps).open(folder, SECTORS * SECTOR_BYTES).unwrap()
}

/// The first byte of each sector of each image; no sector is torn within.
fn images(log: &WriteLog, folder: &Path, cuts: &[Cut]) -> Vec<Vec<u8>> {
    let mut images = Images::new(log, &folder.join("base"), &folder.join("floor")).unwrap();
    let built = cuts.iter().map(|cut| {
        images.build(cut, &folder.join("image")).unwrap();
        let bytes = std::fs::read(folder.join("image")).unwrap();
        let sector = |sector: &[u8]| {
            assert!(sector.iter().all(|byte| *byte == sector[0]));
            sector[0]
        };
        bytes.chunks_exact(512).map(sector).collect()
    });
    built.collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Flushed versions are a floor, and nothing is there that was not written since.
    #[test]
    fn each_sector_of_an_image_has_a_version_that_it_may_have(
        steps in prop::collection::vec(step(), 0..40),
        seed in any::<u64>(),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let log = log_of(&steps, folder.path());
        let cuts = draw(&log, 20, &mut Random::new(seed));
        let built = images(&log, folder.path(), &cuts);
        for (cut, image) in cuts.iter().zip(built) {
            let mut model = Model::new();
            for operation in &log.operations()[..cut.at] {
                model.apply(&log, operation);
            }
            for (versions, byte) in model.0.iter().zip(image) {
                prop_assert!(versions.contains(&byte), "{cut:?}: {byte} is none of {versions:?}");
                match cut.loss {
                    Loss::Everything => prop_assert_eq!(byte, versions[0]),
                    Loss::Nothing => prop_assert_eq!(Some(&byte), versions.last()),
                    _ => {}
                }
            }
        }
    }
}

#[test]
fn a_later_write_can_be_kept_and_an_earlier_lost() {
    let steps = [0, 8].map(|sector| Step::Write(sector, 4, Lasting::UntilFlushed));
    let folder = tempfile::tempdir().unwrap();
    let log = log_of(&steps, folder.path());
    let cuts: Vec<Cut> = (0..50)
        .map(|seed| Cut {
            at: 2,
            loss: Loss::SomeWrites,
            seed,
        })
        .collect();
    let seen: BTreeSet<_> = images(&log, folder.path(), &cuts)
        .into_iter()
        .map(|image| (image[0], image[8]))
        .collect();
    assert_eq!(seen, BTreeSet::from([(0, 0), (0, 2), (1, 0), (1, 2)]));
}

#[test]
fn a_write_can_be_torn_at_either_end_and_in_the_middle() {
    let folder = tempfile::tempdir().unwrap();
    let log = log_of(&[Step::Write(0, 3, Lasting::UntilFlushed)], folder.path());
    let cuts: Vec<Cut> = [Loss::SomeSectors, Loss::SomeWritesTorn]
        .into_iter()
        .flat_map(|loss| (0..100).map(move |seed| Cut { at: 1, loss, seed }))
        .collect();
    let seen: BTreeSet<_> = images(&log, folder.path(), &cuts)
        .into_iter()
        .map(|image| [image[0], image[1], image[2]])
        .collect();
    assert_eq!(seen.len(), 8, "{seen:?}");
}

#[test]
fn half_of_the_cuts_come_right_before_a_flush_and_none_where_nothing_is_at_stake() {
    let mut steps = vec![Step::Write(0, 1, Lasting::UntilFlushed); 100];
    steps.extend([Step::Flush, Step::Write(0, 1, Lasting::AtOnce), Step::Flush]);
    let folder = tempfile::tempdir().unwrap();
    let log = log_of(&steps, folder.path());
    let cuts = draw(&log, 40, &mut Random::new(1));
    assert_eq!(cuts.len(), 40);
    assert!(cuts.iter().filter(|cut| cut.at == 100).count() >= 20);
    assert!(cuts.iter().all(|cut| (1..=100).contains(&cut.at)));
}

#[test]
fn an_image_that_was_built_before_is_not_counted_again() {
    let folder = tempfile::tempdir().unwrap();
    let log = log_of(&[Step::Write(0, 1, Lasting::UntilFlushed)], folder.path());
    let mut images = Images::new(&log, &folder.path().join("base"), &folder.path().join("floor")).unwrap();
    let distinct = [Loss::Everything, Loss::Nothing, Loss::Everything].map(|loss| {
        let cut = Cut { at: 1, loss, seed: 1 };
        images.build(&cut, &folder.path().join("image")).unwrap().distinct
    });
    assert_eq!(distinct, [1, 1, 0]);
}

#[test]
fn a_superblock_is_never_torn_while_what_stands_beside_it_is() {
    let steps = [Step::Write(0, 8, Lasting::UntilFlushed)];
    let folder = tempfile::tempdir().unwrap();
    let log = log_of(&steps, folder.path());
    let cuts: Vec<Cut> = (0..50)
        .map(|seed| Cut {
            at: 1,
            loss: Loss::SomeSectors,
            seed,
        })
        .collect();
    let built = images(&log, folder.path(), &cuts);
    assert!(built.iter().all(|image| image[2] == image[3]));
    assert!(
        built
            .iter()
            .any(|image| image[0] != image[1] && image[4] != image[5])
    );
}
