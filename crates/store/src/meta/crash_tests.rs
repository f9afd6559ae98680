//! META on the simulated disk: a crash at any call.

use super::*;
use crate::disk::sim::{Rng, SimDisk};

#[test]
fn a_crash_during_a_write_leaves_the_old_state_or_the_new() {
    for seed in 0..2000 {
        let mut rng = Rng::new(seed);
        let mut disk = SimDisk::new(seed);
        let first = Meta {
            store: 7,
            epoch: 1,
            begun: 0,
            shutdown: Shutdown::Unclean,
        };
        MetaFile::create(&disk, first).unwrap();
        let mut confirmed = first;
        for _life in 0..3 {
            let mut file = MetaFile::open(&disk).unwrap();
            assert!(
                file.meta().epoch == confirmed.epoch || file.meta().epoch == confirmed.epoch + 1,
                "seed {seed}"
            );
            confirmed = file.meta();
            disk.crash_at(rng.between(1, 4));
            while let Ok(()) = file.write(Meta {
                epoch: confirmed.epoch + 1,
                ..confirmed
            }) {
                confirmed = file.meta();
            }
            disk = disk.after_crash(&mut rng);
        }
    }
}

#[test]
fn a_crash_while_it_is_created_leaves_none_or_a_whole_one() {
    for seed in 0..1000 {
        let mut rng = Rng::new(seed);
        let disk = SimDisk::new(seed);
        disk.crash_at(rng.between(1, 5));
        let meta = Meta {
            store: 7,
            epoch: 1,
            begun: 0,
            shutdown: Shutdown::Unclean,
        };
        let created = MetaFile::create(&disk, meta).is_ok();
        let disk = disk.after_crash(&mut rng);
        match MetaFile::open(&disk) {
            Ok(file) => assert_eq!(file.meta(), meta),
            Err(MetaError::Missing) => assert!(!created, "seed {seed}"),
            Err(error) => panic!("seed {seed}: {error}"),
        }
        assert!(MetaFile::create(&disk, meta).is_ok());
    }
}
