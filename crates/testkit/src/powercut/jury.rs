//! Recovers the images of one recorded run, several at a time, and counts verdicts.
//!
//! Invariants:
//! - Images are built one after the other, in the order of the log; recovering them may overlap.
//! - An image that fails is built once more and kept, for the first few.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use anyhow::{Context, ensure};

use super::expectation::Expectation;
use super::history::History;
use super::image::{Cut, Fates, Images};
use super::machine::Files;
use super::message::Messages;
use super::recovery::{self, Recovered, recover};
use super::settings::DISK_BYTES;
use super::write_log::{Operation, WriteLog};
use crate::random::Random;

/// Failed images that are kept in each run.
const KEPT_MAX: usize = 3;

/// What became of some images.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Images recovered.
    pub images: u64,
    /// Writes that no flush covered, over all images.
    pub fates: Fates,
    /// Confirmed messages that images had to account for, over all images.
    pub confirmed: u64,
    /// Images that lost messages.
    pub lossy: u64,
    /// Images of stores that had evacuated segments.
    pub evacuated: u64,
    /// What was wrong, image by image.
    pub failures: Vec<String>,
}

/// A recorded run and how it is judged.
pub struct Jury<'a> {
    /// The disk before the run.
    pub base: &'a Path,
    /// Log and console of the run.
    pub files: &'a Files,
    /// The broker's write mode.
    pub write_mode: &'a str,
    /// What was published.
    pub messages: Messages,
    /// Images recovered at a time.
    pub jobs: usize,
    /// For images and mounts.
    pub scratch: &'a Path,
    /// Where what failed is kept, if it is.
    pub kept: Option<PathBuf>,
}

impl Tally {
    /// Adds what became of others.
    pub fn add(&mut self, other: Self) {
        self.images += other.images;
        self.confirmed += other.confirmed;
        self.lossy += other.lossy;
        self.evacuated += other.evacuated;
        self.fates.add(other.fates);
        self.failures.extend(other.failures);
    }

    /// Adds one disk, and says whether it is as it must be.
    pub fn count(
        &mut self,
        name: &str,
        expectation: &Expectation,
        messages: Messages,
        recovered: anyhow::Result<Recovered>,
    ) -> bool {
        self.images += 1;
        self.confirmed += expectation.confirmed();
        let mut wrong = Vec::new();
        match recovered {
            Err(error) => wrong.push(format!("{error:#}")),
            Ok(Recovered {
                contents,
                complaint,
                evacuated,
            }) => {
                self.evacuated += u64::from(evacuated > 0);
                let verdict = expectation.judge(messages, &contents);
                self.lossy += u64::from(verdict.lost > 0);
                wrong.extend((!verdict.is_good()).then(|| verdict.to_string()));
                wrong.extend(complaint);
            }
        }
        if !wrong.is_empty() {
            self.failures.push(format!("{name}: {}", wrong.join("; ")));
        }
        wrong.is_empty()
    }
}

impl Jury<'_> {
    /// Draws so many cuts, and recovers what each leaves.
    pub fn judge(&self, count: usize, random: &mut Random) -> anyhow::Result<Tally> {
        let log = WriteLog::open(&self.files.log, DISK_BYTES)?;
        let history = History::of(&log)?;
        let operations = log.operations();
        let flushes = operations
            .iter()
            .filter(|operation| **operation == Operation::Flush);
        let (flushes, marks) = (flushes.count(), history.mark_count());
        ensure!(
            flushes > 0 && marks > 0,
            "{flushes} flushes and {marks} marks prove nothing"
        );
        eprintln!(
            "  {} operations of the disk, {flushes} of them flushes, and {marks} marks",
            operations.len()
        );
        let cuts = super::image::draw(&log, count, random);
        let builder = Mutex::new((
            Images::new(&log, self.base, &self.scratch.join("floor"))?,
            cuts.iter(),
        ));
        let tally = Mutex::new(Tally::default());
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..self.jobs.max(1))
                .map(|worker| {
                    let slot = self.scratch.join(format!("slot-{worker}"));
                    let (log, history, builder, tally) = (&log, &history, &builder, &tally);
                    scope.spawn(move || self.work(&slot, log, history, builder, tally))
                })
                .collect();
            let mut results = workers
                .into_iter()
                .map(|worker| worker.join().expect("a worker does not panic"));
            results.find(Result::is_err).unwrap_or(Ok(()))
        })?;
        Ok(tally.into_inner().expect("no holder panics"))
    }

    fn work(
        &self,
        slot: &Path,
        log: &WriteLog,
        history: &History,
        builder: &Mutex<(Images<'_>, std::slice::Iter<'_, Cut>)>,
        tally: &Mutex<Tally>,
    ) -> anyhow::Result<()> {
        std::fs::create_dir_all(slot)?;
        let image = slot.join("image");
        loop {
            let (cut, fates) = {
                let (images, cuts) = &mut *builder.lock().expect("no holder panics");
                let Some(cut) = cuts.next() else {
                    return Ok(());
                };
                (cut, images.build(cut, &image)?)
            };
            let expectation = history.expectation_at(cut.at);
            let recovered = recover(&image, slot, self.write_mode, self.messages);
            let mut tally = tally.lock().expect("no holder panics");
            tally.fates.add(fates);
            let name = format!("{cut:?}");
            if !tally.count(&name, &expectation, self.messages, recovered)
                && tally.failures.len() <= KEPT_MAX
                && let Some(kept) = &self.kept
            {
                let kept = kept.join(format!("image-{}", tally.failures.len()));
                self.keep(log, cut, slot, &kept)
                    .context("keeping a failed image")?;
            }
        }
    }

    fn keep(&self, log: &WriteLog, cut: &Cut, slot: &Path, kept: &Path) -> anyhow::Result<()> {
        if let Some(folder) = kept.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let mut again = Images::new(log, self.base, &slot.join("again"))?;
        again.build(cut, kept)?;
        let told = slot.join(recovery::LOG);
        if told.exists() {
            std::fs::copy(&told, kept.with_extension("log"))?;
            std::fs::remove_file(&told)?;
        }
        Ok(())
    }
}
