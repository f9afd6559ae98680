//! One seed: a chain of lives on one disk, each ended by a crash, a kill or an orderly stop, and each recovery compared.

use std::panic::{AssertUnwindSafe, catch_unwind};

use logpond_store::disk::Disk;
use logpond_store::disk::sim::{FaultPlan, Rng, SimDisk};

use super::checker;
use super::derived;
use super::life::Life;
use super::model::{Candidate, Model};
use super::observer::{Observed, observe};
use super::recovery::{self, OpenStore, check_report, compare, open};
use super::rot;
use super::session::{Flow, Medium, Numbers, World};
use super::settings::Settings;
use super::statistics::Statistics;
use super::trace;
use super::verified;

/// An image with fewer unsynced operations is not counted as a crash point.
const UNSYNCED_MIN: usize = 10;

/// The chance, of 65536, that the image of a crash is also looked at without opening it.
const VERIFIED: u32 = 4096;

/// Runs one seed. An error is a violation of the promise, in words.
pub fn run_seed(seed: u64, statistics: &mut Statistics) -> Result<(), String> {
    let mut rng = Rng::new(seed);
    let settings = Settings::pick(&mut rng);
    let mut run = Run {
        disk: SimDisk::new(rng.bits()),
        settings,
        rng,
        model: Model::default(),
        numbers: Numbers::default(),
        statistics,
        life: 0,
        has_checkpoint: false,
    };
    let ended = catch_unwind(AssertUnwindSafe(|| run.all()));
    let violation = match ended {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(violation)) => violation,
        Err(panic) => format!("panic: {}", panic_text(panic.as_ref())),
    };
    Err(format!("life {}: {violation}", run.life))
}

/// What a panic said.
pub(super) fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("without words")
}

struct Run<'a> {
    disk: SimDisk,
    settings: Settings,
    rng: Rng,
    model: Model,
    numbers: Numbers,
    statistics: &'a mut Statistics,
    life: u64,
    /// Whether a checkpoint is durable: from then on no start may need the whole log.
    has_checkpoint: bool,
}

/// How a life is meant to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Close,
    Kill,
    Crash,
    CrashInBurst,
}

impl Ending {
    fn pick(rng: &mut Rng) -> Self {
        match rng.below(16) {
            0 => Self::Close,
            1 => Self::Kill,
            2 => Self::Crash,
            _ => Self::CrashInBurst,
        }
    }
}

impl Run<'_> {
    fn all(&mut self) -> Result<(), String> {
        self.statistics.seeds += 1;
        let candidates = self.model.candidates().into();
        let mut store = self.recover(candidates)?;
        for life in 0..self.settings.lives {
            self.life = life;
            trace::note(|| format!("life {life}"));
            let candidates = self.live(store)?;
            store = self.recover(candidates)?;
        }
        self.rot(store)
    }

    /// The last life, at the end of which bits flip on the disk.
    fn rot(&mut self, store: OpenStore) -> Result<(), String> {
        let operations = self.rng.below(60);
        let in_order = self.rng.chance(32768);
        let world = World {
            settings: &self.settings,
            statistics: self.statistics,
            model: &mut self.model,
            numbers: &mut self.numbers,
        };
        let mut life = Life::new(&mut self.rng, world, self.disk.clone(), store, Medium::Sound);
        life.session.decide_again()?;
        life.work(operations)?;
        life.session.come_to_rest()?;
        life.session.tally();
        if in_order {
            life.session.close()?;
        } else if !life.session.write_out()? {
            return Err("the journal does not come to rest".to_owned());
        }
        drop(life);
        let disk = self.disk.after_kill();
        verified::crash_is_no_damage(&disk)?;
        let damage = rot::check(&disk, &self.settings, &self.model, &mut self.rng)?;
        self.statistics.damaged_images += damage.images;
        self.statistics.entries_lost_to_damage += damage.lost;
        Ok(())
    }

    /// One life; leaves in `self.disk` what the next one finds, and returns what that may be.
    fn live(&mut self, store: OpenStore) -> Result<Vec<Candidate>, String> {
        let medium = self.pick_medium();
        if medium == Medium::Failing {
            self.disk.set_faults(self.settings.faults);
        }
        if self.rng.chance(8192) {
            self.disk.crash_at(self.rng.between(1, 200));
        }
        let before = self.disk.calls();
        let ending = Ending::pick(&mut self.rng);
        let stopped_in_order = self.work(store, medium, ending)?;
        let calls = self.disk.calls();
        trace::note(|| format!("ended ({ending:?}): {calls:?}"));
        self.statistics.blocks += calls.synced_writes - before.synced_writes;
        self.statistics.failed_writes += calls.injected_faults - before.injected_faults;
        let candidates = if stopped_in_order {
            self.statistics.clean_stops += 1;
            // A full disk may have kept the last blocks from being written; they were not confirmed.
            let full = (medium != Medium::Sound).then(|| self.model.candidates());
            std::iter::once(self.model.complete())
                .chain(full.into_iter().flatten())
                .collect()
        } else {
            self.model.candidates().into()
        };
        if stopped_in_order || (ending == Ending::Kill && !self.disk.is_off()) {
            self.statistics.kills += u64::from(!stopped_in_order);
            self.disk = self.disk.after_kill();
        } else {
            self.count_crash();
            self.disk = self.disk.after_crash(&mut self.rng);
        }
        self.disk.set_faults(FaultPlan::default());
        self.disk.set_capacity(None);
        if self.rng.chance(VERIFIED) {
            verified::crash_is_no_damage(&self.disk)?;
            self.statistics.images_verified += 1;
        }
        Ok(candidates)
    }

    fn pick_medium(&mut self) -> Medium {
        if self.rng.chance(self.settings.failing_life) {
            Medium::Failing
        } else if self.rng.chance(self.settings.cramped_life) {
            let segments = self.rng.below(8);
            let room = segments * self.settings.options.segment_bytes + self.rng.below(1 << 16);
            self.disk.set_capacity(Some(self.disk.used_bytes() + room));
            Medium::Cramped
        } else {
            Medium::Sound
        }
    }

    /// The work of one life. Whether it stopped in good order.
    fn work(&mut self, store: OpenStore, medium: Medium, ending: Ending) -> Result<bool, String> {
        let most = 1 << self.rng.below(7);
        let operations = self.rng.below(most);
        let world = World {
            settings: &self.settings,
            statistics: self.statistics,
            model: &mut self.model,
            numbers: &mut self.numbers,
        };
        let mut life = Life::new(&mut self.rng, world, self.disk.clone(), store, medium);
        let stopped =
            life.session.decide_again()? == Flow::Stopped || life.work(operations)? == Flow::Stopped;
        let mut in_order = false;
        match ending {
            Ending::Close if !stopped => in_order = life.session.close()? == Flow::On,
            Ending::CrashInBurst if !stopped => life.burst_until_off()?,
            Ending::Close | Ending::Kill | Ending::Crash | Ending::CrashInBurst => {}
        }
        self.has_checkpoint |= life.session.tally().checkpoints > 0;
        Ok(in_order)
    }

    fn count_crash(&mut self) {
        let unsynced = self.model.pending_count();
        self.statistics.unsynced_operations += u64::try_from(unsynced).expect("a small number");
        if unsynced >= UNSYNCED_MIN {
            self.statistics.crash_points += 1;
        } else {
            self.statistics.small_crash_points += 1;
        }
    }

    /// A start on a disk that fails says what it could not do with which file, and takes nothing from the next start.
    fn fail_to_start(&mut self) -> Result<(), String> {
        self.disk.set_faults(self.settings.start_faults);
        let opened = recovery::try_open(&self.disk, &self.settings);
        self.disk.set_faults(FaultPlan::default());
        if let Err(error) = opened {
            trace::note(|| format!("failed to start: {error}"));
            recovery::check_refusal(&error)?;
            self.statistics.failed_starts += 1;
        }
        self.disk = self.disk.after_kill();
        Ok(())
    }

    /// Opens the store, perhaps with crashes on the way, and compares it with what it may be.
    fn recover(&mut self, mut candidates: Vec<Candidate>) -> Result<OpenStore, String> {
        if self.rng.chance(4096) {
            self.compare_rebuilds_of_image(&candidates)?;
        }
        if self.rng.chance(self.settings.failing_start) {
            self.fail_to_start()?;
        }
        let mut crashes = if self.rng.chance(16384) {
            self.rng.between(1, 2)
        } else {
            0
        };
        let (mut store, report) = loop {
            if crashes > 0 {
                self.disk.crash_at(self.rng.between(1, 14));
            }
            match open(&self.disk, &self.settings) {
                Ok(opened) if !self.disk.is_off() => {
                    self.disk.cancel_crash();
                    break opened;
                }
                Err(reason) if !self.disk.is_off() => return Err(reason),
                Ok(_) | Err(_) => {
                    self.statistics.crashes_during_recovery += 1;
                    crashes -= 1;
                    self.disk = self.disk.after_crash(&mut self.rng);
                }
            }
        };
        trace::note(|| format!("recovered: {report:?}"));
        check_report(&report)?;
        if self.has_checkpoint && report.index_rebuilt {
            return Err("the whole log was read although there is a checkpoint".to_owned());
        }
        self.statistics.torn_tails += u64::from(report.torn.is_some());
        self.statistics.appended_again += report.records_appended_again;
        let (mut observed, _) = compare(&store, &mut candidates, &self.settings, &self.model.policies)?;
        if self.rng.chance(8192) {
            self.compare_rebuild(&observed)?;
        }
        if self.rng.chance(8192) {
            drop(store);
            (store, observed) = self.compare_second_recovery(&observed, report.clean)?;
        }
        let durable = store.lock().shard().durable().end().get();
        let (settings, policies) = (&self.settings, &self.model.policies);
        let mark_step = |queue| settings.mark_step(policies, queue);
        let mut contents = checker::accept(&observed, &candidates, &mark_step)?;
        recovery::adopt_numbers(&store, &mut contents)?;
        self.model.restart(contents, durable);
        Ok(store)
    }

    /// Without index and checkpoints the log alone gives the same, read with footers or without.
    fn compare_rebuild(&mut self, observed: &Observed) -> Result<(), String> {
        self.statistics.full_rebuilds_compared += 1;
        let mut rebuilt = self.rebuild()?;
        // The log knows only up to where deliveries may have gone; a clean checkpoint knows how far they went.
        forgive_redelivered(observed, &mut rebuilt);
        // A checkpoint knows what was given back and is not durable yet; the log may never say it.
        forgive_forgotten(observed, &mut rebuilt);
        same(observed, &rebuilt, "a rebuild from the log alone")
    }

    /// What a crash left, without index and checkpoints, is one of the states that were possible, with footers or without.
    fn compare_rebuilds_of_image(&mut self, candidates: &[Candidate]) -> Result<(), String> {
        // A crash can have come before there was a directory.
        if self.disk.list(derived::INDEX_DIR).is_err() {
            return Ok(());
        }
        self.statistics.crash_rebuilds_compared += 1;
        let rebuilt = self.rebuild()?;
        let (settings, policies) = (&self.settings, &self.model.policies);
        let mark_step = |queue| settings.mark_step(policies, queue);
        checker::accept(&rebuilt, candidates, &mark_step)
            .map_err(|reason| format!("a rebuild from the log alone: {reason}"))?;
        Ok(())
    }

    /// What a start finds without index and checkpoints: the same with footers and without.
    fn rebuild(&mut self) -> Result<Observed, String> {
        let from_blocks = self.rebuild_with(Footers::Removed)?;
        let from_footers = self.rebuild_with(Footers::Kept)?;
        same(&from_blocks, &from_footers, "a rebuild from footers")?;
        Ok(from_blocks)
    }

    fn rebuild_with(&mut self, footers: Footers) -> Result<Observed, String> {
        let disk = self.disk.fork();
        derived::remove(&disk)?;
        if footers == Footers::Removed {
            derived::remove_footers(&disk)?;
        }
        let (store, report) = open(&disk, &self.settings)?;
        if !report.quarantined.is_empty() || !report.lost.is_empty() {
            let (damaged, lost) = (report.quarantined, report.lost);
            return Err(format!("{footers:?} footers: {damaged:?}, lost {lost:?}"));
        }
        if footers == Footers::Kept {
            self.statistics.segments_from_footers += report.segments_from_footers;
            self.statistics.segments_from_blocks += report.segments_from_blocks;
        }
        observe(&store).map_err(|reason| format!("{footers:?} footers: {reason}"))
    }

    /// Recovering twice equals recovering once.
    fn compare_second_recovery(
        &mut self,
        observed: &Observed,
        clean: bool,
    ) -> Result<(OpenStore, Observed), String> {
        self.statistics.second_recoveries_compared += 1;
        self.disk = self.disk.after_kill();
        let (store, report) = open(&self.disk, &self.settings)?;
        check_report(&report)?;
        let second = observe(&store)?;
        let mut compared = second.clone();
        if clean {
            // What a clean stop knew exactly is a guess on the safe side after an unclean one.
            forgive_redelivered(observed, &mut compared);
        }
        same(observed, &compared, "a second recovery")?;
        Ok((store, second))
    }
}

/// What becomes of the footers when all else that is derived is taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Footers {
    Kept,
    Removed,
}

/// Takes back marks of redelivery that `before` did not have.
fn forgive_redelivered(before: &Observed, after: &mut Observed) {
    for (queue, entries) in after {
        let before = before.get(queue).map_or(&[][..], Vec::as_slice);
        for (seen, before) in entries.iter_mut().zip(before) {
            seen.redelivered &= before.redelivered;
        }
    }
}

/// Takes back that less is known of how often messages came back than `before`.
fn forgive_forgotten(before: &Observed, after: &mut Observed) {
    for (queue, entries) in after {
        let before = before.get(queue).map_or(&[][..], Vec::as_slice);
        for (seen, before) in entries.iter_mut().zip(before) {
            let (found, known) = (seen.attempts, before.attempts);
            if found.returned <= known.returned && found.failed <= known.failed {
                seen.attempts = known;
            }
        }
    }
}

fn same(first: &Observed, second: &Observed, what: &str) -> Result<(), String> {
    if first == second {
        return Ok(());
    }
    for (queue, entries) in first {
        let others = second.get(queue).map_or(&[][..], Vec::as_slice);
        if let Some(seen) = entries.iter().find(|seen| !others.contains(seen)) {
            let other = others.iter().find(|other| other.seq == seen.seq);
            return Err(format!(
                "{what} differs: queue {queue} had {seen:?}, then {other:?} of {}",
                others.len()
            ));
        }
    }
    let more: Vec<_> = second
        .iter()
        .flat_map(|(queue, entries)| entries.iter().map(move |seen| (queue, seen)))
        .find(|(queue, seen)| !first.get(queue).is_some_and(|entries| entries.contains(seen)))
        .into_iter()
        .collect();
    Err(format!("{what} differs: it has {more:?}"))
}
