//! What a crash can leave: each image recovered and compared, and crashed again during that.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Mutex;

use logpond_store::disk::sim::{Loss, SimDisk};

use super::RecoveryCrashes;
use super::exhausted::Exhausted;
use super::machine::Remains;
use crate::sim::model::Candidate;
use crate::sim::recovery::{check_report, compare, open};
use crate::sim::settings::Settings;

/// All images that were met.
pub(super) struct Images {
    recovery: RecoveryCrashes,
    /// Fingerprints of images with what they may be. Two that collide among a million: one chance in ten million.
    met: Mutex<HashSet<u64>>,
}

impl Images {
    pub(super) fn new(recovery: RecoveryCrashes) -> Self {
        Self {
            recovery,
            met: Mutex::default(),
        }
    }

    /// Recovers everything that a machine that was turned off can have left.
    pub(super) fn judge(
        &self,
        remains: &Remains,
        settings: &Settings,
        done: &mut Exhausted,
        what: &dyn Fn() -> String,
    ) {
        for loss in Loss::each(remains.disk.unsynced_operations()) {
            let image = remains.disk.after_loss(loss);
            if !self.is_new(&image, &remains.candidates) {
                done.repeated_images += 1;
                continue;
            }
            done.images += 1;
            let judged = recover(&image, remains, settings)
                .and_then(|calls| self.crash_again(&image, calls, remains, settings, done));
            if let Err(violation) = judged {
                done.violations
                    .push(format!("{}, lost {loss:?}: {violation}", what()));
            }
        }
    }

    /// Crashes at each of the calls that a recovery makes.
    fn crash_again(
        &self,
        image: &SimDisk,
        calls: u64,
        remains: &Remains,
        settings: &Settings,
        done: &mut Exhausted,
    ) -> Result<(), String> {
        if self.recovery == RecoveryCrashes::Nowhere {
            return Ok(());
        }
        for call in 1..=calls {
            let disk = image.fork();
            disk.crash_at(call);
            drop(open(&disk, settings));
            for loss in Loss::each(disk.unsynced_operations()) {
                let second = disk.after_loss(loss);
                if !self.is_new(&second, &remains.candidates) {
                    done.repeated_images += 1;
                    continue;
                }
                done.second_images += 1;
                recover(&second, remains, settings).map_err(|violation| {
                    format!("crashed again at call {call}, lost {loss:?}: {violation}")
                })?;
            }
        }
        Ok(())
    }

    fn is_new(&self, image: &SimDisk, candidates: &[Candidate]) -> bool {
        let mut hasher = DefaultHasher::new();
        image.fingerprint().hash(&mut hasher);
        candidates.hash(&mut hasher);
        self.met.lock().expect("no holder panics").insert(hasher.finish())
    }
}

/// Opens a copy and compares it in full; how many calls that took.
pub(super) fn recover(image: &SimDisk, remains: &Remains, settings: &Settings) -> Result<u64, String> {
    let disk = image.fork();
    let before = disk.calls().changes();
    let (store, report) = open(&disk, settings)?;
    let calls = disk.calls().changes() - before;
    check_report(&report)?;
    if remains.has_checkpoint && report.index_rebuilt {
        return Err("the whole log was read although there is a checkpoint".to_owned());
    }
    compare(
        &store,
        &mut remains.candidates.clone(),
        settings,
        &remains.policies,
    )?;
    Ok(calls)
}
