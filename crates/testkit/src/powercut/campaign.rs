//! All of it: recorded runs and their images, plain kills, and controls with a broker that does not sync.
//!
//! Invariant: a campaign whose controls are not caught has failed: it would prove nothing.

use std::path::{Path, PathBuf};

use anyhow::Context;

use super::mount::Mount;
use super::tally::Tally;
use super::trials::{KILLED_MODE, Subject, Trials};
use crate::report::{Finding, Report};

/// Write modes whose images are made. Of these, the first leaves nothing unsynced in the guest's memory.
const RECORDED_MODES: [&str; 2] = ["direct-dsync", "buffered-fdatasync"];
/// So many kills hit the same disk, one life after the other.
const KILLS_OF_A_DISK: u32 = 5;
/// Images of the control: one in so many of all, and so many at least.
const CONTROL_IMAGES_SHARE: usize = 20;
const CONTROL_IMAGES_MIN: usize = 20;
/// Kills of the control at most; the first that shows the loss is enough.
const CONTROL_KILLS: u32 = 3;

/// What to do.
#[derive(Clone, Debug)]
pub struct CampaignOptions {
    /// Recorded runs.
    pub runs: u32,
    /// Images of all of them.
    pub images: usize,
    /// Plain kills.
    pub kills: u32,
    /// What everything random is made from.
    pub seed: u64,
    /// Messages confirmed before the power is cut.
    pub confirmed: u64,
    /// Images recovered at a time.
    pub jobs: usize,
    /// How qemu runs the machine.
    pub accelerator: String,
    /// The bug of the control, as the store describes it.
    pub control: String,
    /// Where packages and failures are kept.
    pub folder: PathBuf,
}

/// A campaign under way.
struct Campaign<'a> {
    options: &'a CampaignOptions,
    trials: Trials<'a>,
}

/// Runs everything, with progress on stderr.
pub fn run(options: &CampaignOptions) -> anyhow::Result<Report> {
    eprintln!("seed {}", options.seed);
    let scratch = options.folder.join("scratch");
    let scratch = Mount::memory(&scratch).context("a file system in memory")?;
    let campaign = Campaign {
        options,
        trials: Trials::new(options, scratch.path())?,
    };
    let programs = std::env::current_exe()?;
    let programs = programs.parent().context("this program lies nowhere")?;
    let load = programs.join("powercut-guest");
    let broker = std::env::var_os("LOGPOND_BIN").context("LOGPOND_BIN does not name a broker binary")?;
    let honest = campaign.trials.subject(Path::new(&broker), &load, None)?;
    let planted = programs.join("planted-broker");
    let planted = campaign.trials.subject(&planted, &load, Some(&options.control))?;

    let mut findings = vec![
        campaign.control_images(&planted)?,
        campaign.control_kills(&planted)?,
    ];
    findings.extend(campaign.recorded_runs(&honest)?);
    findings.extend(campaign.plain_kills(&honest)?);
    Ok(Report::new(
        format!(
            "{} images of {} runs and {} kills, seed {}",
            options.images, options.runs, options.kills, options.seed
        ),
        findings,
    ))
}

impl Campaign<'_> {
    /// Runs whose disk is recorded, and their share of the images.
    fn recorded_runs(&self, subject: &Subject) -> anyhow::Result<Vec<Finding>> {
        let mut tallies = RECORDED_MODES.map(|mode| (mode, 0, Tally::default()));
        let runs = usize::try_from(self.options.runs)?;
        for run in 0..runs {
            let (mode, count, tally) = &mut tallies[run % RECORDED_MODES.len()];
            let images = self.options.images / runs + usize::from(run < self.options.images % runs);
            *count += 1;
            tally.add(
                self.trials
                    .recorded(&format!("run-{run}"), subject, mode, images)?,
            );
        }
        let done = tallies.into_iter().filter(|(_, count, _)| *count > 0);
        Ok(done
            .map(|(mode, count, tally)| {
                let name = format!("images, {mode}");
                Finding::new(name, tally.is_good(), told(&tally, &format!("{count} runs")))
            })
            .collect())
    }

    /// Machines that are killed, each disk several times.
    fn plain_kills(&self, subject: &Subject) -> anyhow::Result<Option<Finding>> {
        let mut tally = Tally::default();
        let mut kill = 0;
        if self.options.kills == 0 {
            return Ok(None);
        }
        while kill < self.options.kills {
            let kills = KILLS_OF_A_DISK.min(self.options.kills - kill);
            tally.add(self.trials.killed(&format!("kill-{kill}"), subject, kills)?);
            kill += kills;
        }
        let detail = told(&tally, &format!("{kill} kills"));
        let name = format!("kills, {KILLED_MODE}");
        Ok(Some(Finding::new(name, tally.is_good(), detail)))
    }

    /// Images of a broker that does not sync: some must show it.
    fn control_images(&self, subject: &Subject) -> anyhow::Result<Finding> {
        let images = CONTROL_IMAGES_MIN.max(self.options.images / CONTROL_IMAGES_SHARE);
        let tally = self
            .trials
            .recorded("control", subject, RECORDED_MODES[0], images)?;
        let detail = format!("{} of {} images lost messages", tally.lossy, tally.images);
        let name = format!("control, {}: images", self.options.control);
        Ok(Finding::new(name, tally.lossy > 0, detail))
    }

    /// Kills of a broker that does not sync: one must show it.
    fn control_kills(&self, subject: &Subject) -> anyhow::Result<Finding> {
        let mut tally = Tally::default();
        while tally.lossy == 0 && tally.images < u64::from(CONTROL_KILLS) {
            tally.add(
                self.trials
                    .killed(&format!("control-kill-{}", tally.images), subject, 1)?,
            );
        }
        let detail = format!("{} of {} kills lost messages", tally.lossy, tally.images);
        let name = format!("control, {}: kills", self.options.control);
        Ok(Finding::new(name, tally.lossy > 0, detail))
    }
}

fn told(tally: &Tally, what: &str) -> String {
    let Tally {
        images,
        fates,
        confirmed,
        evacuated,
        failures,
        ..
    } = tally;
    let mut told = format!(
        "{what}, {images} disks recovered, {evacuated} of them with evacuated segments; {confirmed} confirms asked for"
    );
    if fates.distinct > 0 {
        told += &format!(
            "; {} distinct images; of the writes that no flush covered {} kept, {} dropped, {} torn",
            fates.distinct, fates.kept, fates.dropped, fates.torn
        );
    }
    if let Some(first) = failures.first() {
        told = format!("{} failed, first {first}; {told}", failures.len());
    }
    told
}
