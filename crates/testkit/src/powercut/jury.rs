//! Recovers the images of one recorded run, several at a time, and counts verdicts.
//!
//! Invariants:
//! - Images are built one after the other, in the order of the log; recovering them may overlap.
//! - An image that fails is built once more and kept, for the first few.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use anyhow::{Context, ensure};

use super::history::History;
use super::image::{Cut, Images, draw};
use super::machine::Files;
use super::message::Messages;
use super::recovery::{self, recover};
use super::settings::DISK_BYTES;
use super::tally::Tally;
use super::write_log::{Operation, WriteLog};
use crate::random::Random;

/// Failed images that are kept in each run.
const KEPT_MAX: usize = 3;

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
        let cuts = draw(&log, count, random);
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
