//! The catalog on the simulated disk: a crash at any call, and another one during recovery.

use super::*;
use crate::disk::sim::{Loss, Rng, SimDisk};

const STORE: u128 = 42;
const OPTIONS: CatalogOptions = CatalogOptions {
    compact_bytes_min: 512,
};

/// What must be there (confirmed) and what may be (the change during which the machine stopped).
struct Model {
    confirmed: BTreeMap<Vec<u8>, Vec<u8>>,
    possible: BTreeMap<Vec<u8>, Vec<u8>>,
}

fn run(disk: &SimDisk, model: &mut Model, rng: &mut Rng) {
    let Ok((mut catalog, _)) = Catalog::open(disk.clone(), STORE, OPTIONS) else {
        assert!(disk.is_off());
        return;
    };
    for _ in 0..rng.below(60) {
        let mut changes = Changes::new();
        for _ in 0..rng.between(1, 4) {
            let key = vec![u8::try_from(rng.below(20)).unwrap()];
            if rng.chance(16384) {
                changes.delete(&key);
                model.possible.remove(&key);
            } else {
                let value = vec![7_u8; rng.index(300)];
                changes.put(&key, &value).unwrap();
                let mut bytes = Vec::new();
                codec::encode_into(&mut bytes, &value, 1000).unwrap();
                model.possible.insert(key, bytes);
            }
        }
        if catalog.commit(changes).is_err() {
            assert!(disk.is_off());
            return;
        }
        model.confirmed.clone_from(&model.possible);
    }
}

#[test]
fn a_crash_at_any_call_keeps_what_was_confirmed_and_invents_nothing() {
    for seed in 0..400 {
        let mut rng = Rng::new(seed);
        let mut disk = SimDisk::new(seed);
        let mut model = Model {
            confirmed: BTreeMap::new(),
            possible: BTreeMap::new(),
        };
        for _life in 0..4 {
            disk.crash_at(rng.between(1, 50));
            run(&disk, &mut model, &mut rng);
            disk = disk.after_crash(&mut rng);
            let (catalog, report) = Catalog::open(disk.clone(), STORE, OPTIONS).unwrap();
            assert!(
                report.damaged.is_empty(),
                "seed {seed}: a crash looks like damage: {report:?}"
            );
            let found = catalog.live.clone();
            assert!(found == model.confirmed || found == model.possible, "seed {seed}");
            drop(catalog);
            let (again, report) = Catalog::open(disk.clone(), STORE, OPTIONS).unwrap();
            assert!(
                report.is_clean() && again.live == found,
                "seed {seed}: recovering twice differs from once"
            );
            model = Model {
                confirmed: found.clone(),
                possible: found,
            };
        }
    }
}

#[test]
fn what_a_start_reads_after_a_failed_sync_is_durable() {
    for (seed, loss) in (0..20).flat_map(|seed| [Loss::All, Loss::Nothing].map(|loss| (seed, loss))) {
        let disk = SimDisk::new(seed);
        let (mut catalog, _) = Catalog::open(disk.clone(), STORE, OPTIONS).unwrap();
        catalog.put(b"a", &1_u32).unwrap();
        disk.fail_at(1);
        catalog.put(b"b", &2_u32).unwrap_err();
        drop(catalog);
        // The process ends, and the machine goes on.
        let disk = disk.after_kill();
        let (catalog, report) = Catalog::open(disk.clone(), STORE, OPTIONS).unwrap();
        assert!(report.is_clean());
        let told = catalog.get(b"b").is_some();
        drop(catalog);
        let (catalog, _) = Catalog::open(disk.after_loss(loss), STORE, OPTIONS).unwrap();
        assert_eq!(catalog.get(b"b").is_some(), told, "seed {seed}");
    }
}
