//! All of it: recorded runs and their images, plain kills, and controls with a broker that does not sync.
//!
//! Invariant: a campaign whose controls are not caught has failed: it would prove nothing.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, ensure};

use super::expectation::Expectation;
use super::jury::{Jury, Tally};
use super::machine::{Files, Recording};
use super::mark::Mark;
use super::message::Messages;
use super::mount::Mount;
use super::packages::Packages;
use super::recovery::recover;
use super::session::{self, Ground};
use super::settings::GuestSettings;
use super::{initial, sparse};
use crate::random::Random;
use crate::report::{Finding, Report};

/// Write modes whose images are made. Of these, the first leaves nothing unsynced in the guest's memory.
const RECORDED_MODES: [&str; 2] = ["direct-dsync", "buffered-fdatasync"];
/// What a killed machine takes with it is in its memory, so only this mode makes sense for plain kills.
const KILLED_MODE: &str = "buffered-fdatasync";
/// So many kills hit the same disk, one life after the other.
const KILLS_OF_A_DISK: u32 = 5;
/// Images of the control: one in so many of all, and so many at least.
const CONTROL_IMAGES_SHARE: usize = 20;
const CONTROL_IMAGES_MIN: usize = 20;
/// Kills of the control at most; the first that shows the loss is enough.
const CONTROL_KILLS: u32 = 3;
/// The broker is killed within the guest so often before the power is cut.
const LIVES: u64 = 3;
/// Failures that are told in full.
const TOLD_MAX: usize = 5;

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

/// A broker and the guest's initial file system around it.
struct Subject {
    initial: PathBuf,
    failures: Failures,
}

/// Whether a failure is something to look into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failures {
    /// What failed is kept.
    Kept,
    /// They are what the broker is there for.
    Wanted,
}

/// A campaign under way.
struct Campaign<'a> {
    options: &'a CampaignOptions,
    packages: Packages,
    scratch: PathBuf,
}

/// Runs everything, with progress on stderr.
pub fn run(options: &CampaignOptions) -> anyhow::Result<Report> {
    eprintln!("seed {}", options.seed);
    let scratch = options.folder.join("scratch");
    let scratch = Mount::memory(&scratch).context("a file system in memory")?;
    let campaign = Campaign {
        options,
        packages: Packages::get(&options.folder.join("packages"))?,
        scratch: scratch.path().to_owned(),
    };
    let programs = std::env::current_exe()?;
    let programs = programs.parent().context("this program lies nowhere")?;
    let load = programs.join("powercut-guest");
    let broker = std::env::var_os("LOGPOND_BIN").context("LOGPOND_BIN does not name a broker binary")?;
    let honest = campaign.subject(Path::new(&broker), &load, None)?;
    let planted = programs.join("planted-broker");
    let planted = campaign.subject(&planted, &load, Some(&options.control))?;

    let mut findings = vec![
        campaign.control_images(&planted)?,
        campaign.control_kills(&planted)?,
    ];
    findings.extend(campaign.recorded_runs(&honest)?);
    findings.push(campaign.plain_kills(&honest)?);
    Ok(Report::new(
        format!(
            "{} images of {} runs and {} kills, seed {}",
            options.images, options.runs, options.kills, options.seed
        ),
        findings,
    ))
}

impl Campaign<'_> {
    fn subject(&self, broker: &Path, load: &Path, planted: Option<&str>) -> anyhow::Result<Subject> {
        let (name, failures) = match planted {
            None => ("honest", Failures::Kept),
            Some(_) => ("planted", Failures::Wanted),
        };
        let initial = self.scratch.join(name);
        let packed = initial::pack(&self.packages, broker, load, planted)?;
        std::fs::write(&initial, packed)?;
        Ok(Subject { initial, failures })
    }

    /// Runs whose disk is recorded, and their share of the images.
    fn recorded_runs(&self, subject: &Subject) -> anyhow::Result<Vec<Finding>> {
        let mut tallies = RECORDED_MODES.map(|mode| (mode, 0, Tally::default()));
        let runs = usize::try_from(self.options.runs)?;
        for run in 0..runs {
            let (mode, count, tally) = &mut tallies[run % RECORDED_MODES.len()];
            let images = self.options.images / runs + usize::from(run < self.options.images % runs);
            *count += 1;
            tally.add(self.recorded(&format!("run-{run}"), subject, mode, images)?);
        }
        let done = tallies.into_iter().filter(|(_, count, _)| *count > 0);
        Ok(done
            .map(|(mode, count, tally)| {
                let name = format!("images, {mode}");
                Finding::new(
                    name,
                    tally.failures.is_empty(),
                    told(&tally, &format!("{count} runs")),
                )
            })
            .collect())
    }

    /// One run and its images.
    fn recorded(&self, name: &str, subject: &Subject, mode: &str, images: usize) -> anyhow::Result<Tally> {
        let folder = tempfile::tempdir_in(&self.scratch)?;
        let files = Files::in_folder(folder.path());
        files.make_disk()?;
        let base = folder.path().join("base");
        sparse::copy(&std::fs::File::open(&files.disk)?, &base)?;
        let mut random = self.random(name);
        let settings = self.guest(mode, &mut random);
        self.cut_power(name, subject, &files, Recording::On, &settings, &mut random)?;
        let began = Instant::now();
        let jury = Jury {
            base: &base,
            files: &files,
            write_mode: mode,
            messages: Messages::new(settings.seed),
            jobs: self.options.jobs,
            scratch: folder.path(),
            kept: (subject.failures == Failures::Kept).then(|| self.kept(name)),
        };
        let tally = jury.judge(images, &mut random);
        let tally = tally.with_context(|| self.keep(name, &files))?;
        ensure!(
            tally.images == u64::try_from(images)?,
            "{name}: too little was at stake for {images} images"
        );
        let failed = tally.failures.len();
        eprintln!(
            "  {images} images in {:.1} s, {failed} failed",
            began.elapsed().as_secs_f64()
        );
        if subject.failures == Failures::Kept {
            for failure in tally.failures.iter().take(TOLD_MAX) {
                eprintln!("  {failure}");
            }
        }
        Ok(tally)
    }

    /// Machines that are killed, each disk several times.
    fn plain_kills(&self, subject: &Subject) -> anyhow::Result<Finding> {
        let mut tally = Tally::default();
        let mut kill = 0;
        while kill < self.options.kills {
            let kills = KILLS_OF_A_DISK.min(self.options.kills - kill);
            tally.add(self.killed(&format!("kill-{kill}"), subject, kills)?);
            kill += kills;
        }
        let detail = told(&tally, &format!("{kill} kills"));
        Ok(Finding::new(
            format!("kills, {KILLED_MODE}"),
            tally.failures.is_empty(),
            detail,
        ))
    }

    /// Kills machines on one disk, one after the other, and recovers a copy of the disk after each.
    fn killed(&self, name: &str, subject: &Subject, kills: u32) -> anyhow::Result<Tally> {
        let folder = tempfile::tempdir_in(&self.scratch)?;
        let files = Files::in_folder(folder.path());
        files.make_disk()?;
        let mut random = self.random(name);
        let settings = self.guest(KILLED_MODE, &mut random);
        let mut marks: Vec<Mark> = Vec::new();
        let mut tally = Tally::default();
        for kill in 0..kills {
            let name = format!("{name}-{kill}");
            self.cut_power(&name, subject, &files, Recording::Off, &settings, &mut random)?;
            let sent = files.marks_sent()?;
            let on_disk = files.mark_on_disk()?;
            let newest = sent.last().context("nothing left the guest")?;
            ensure!(
                newest.serial <= on_disk.serial,
                "a mark left the guest before the disk had it"
            );
            marks.extend(sent);
            marks.push(on_disk);
            let expectation = Expectation::of(marks.iter().copied());
            let image = folder.path().join("image");
            sparse::copy(&std::fs::File::open(&files.disk)?, &image)?;
            let messages = Messages::new(settings.seed);
            let recovered = recover(&image, folder.path(), KILLED_MODE, messages);
            if !tally.count(&name, &expectation, messages, recovered) && subject.failures == Failures::Kept {
                eprintln!("  {}", tally.failures.last().map_or("", String::as_str));
                self.keep(&name, &files);
            }
        }
        Ok(tally)
    }

    /// Images of a broker that does not sync: some must show it.
    fn control_images(&self, subject: &Subject) -> anyhow::Result<Finding> {
        let images = CONTROL_IMAGES_MIN.max(self.options.images / CONTROL_IMAGES_SHARE);
        let tally = self.recorded("control", subject, RECORDED_MODES[0], images)?;
        let detail = format!("{} of {} images lost messages", tally.lossy, tally.images);
        let name = format!("control, {}: images", self.options.control);
        Ok(Finding::new(name, tally.lossy > 0, detail))
    }

    /// Kills of a broker that does not sync: one must show it.
    fn control_kills(&self, subject: &Subject) -> anyhow::Result<Finding> {
        let mut tally = Tally::default();
        while tally.lossy == 0 && tally.images < u64::from(CONTROL_KILLS) {
            tally.add(self.killed(&format!("control-kill-{}", tally.images), subject, 1)?);
        }
        let detail = format!("{} of {} kills lost messages", tally.lossy, tally.images);
        let name = format!("control, {}: kills", self.options.control);
        Ok(Finding::new(name, tally.lossy > 0, detail))
    }

    fn cut_power(
        &self,
        name: &str,
        subject: &Subject,
        files: &Files,
        recording: Recording,
        settings: &GuestSettings,
        random: &mut Random,
    ) -> anyhow::Result<()> {
        let ground = Ground {
            packages: &self.packages,
            initial: &subject.initial,
            accelerator: &self.options.accelerator,
            confirmed: self.options.confirmed,
        };
        let told = session::run(&ground, files, recording, settings, random);
        let told = told.with_context(|| self.keep(name, files))?;
        let newest = files.mark_on_disk()?;
        eprintln!(
            "{name}: {}, power cut after {:.1} s, of which {:.1} s of boot; confirmed up to {} in {} lives",
            settings.write_mode,
            told.whole.as_secs_f64(),
            told.boot.as_secs_f64(),
            newest.first + newest.confirmed,
            newest.life + 1
        );
        Ok(())
    }

    /// Keeps the files of a machine that failed, and says where.
    fn keep(&self, name: &str, files: &Files) -> String {
        let folder = self.kept(name);
        let kept = std::fs::create_dir_all(&folder).and_then(|()| {
            let Files {
                disk,
                log,
                port,
                console,
            } = files;
            for file in [disk, log, port, console, &console.with_extension("qemu")] {
                if let Some(name) = file.file_name().filter(|_| file.exists()) {
                    std::fs::copy(file, folder.join(name))?;
                }
            }
            Ok(())
        });
        match kept {
            Ok(()) => format!("{name}, kept in {}", folder.display()),
            Err(error) => format!("{name}, which cannot be kept: {error}"),
        }
    }

    fn kept(&self, name: &str) -> PathBuf {
        self.options
            .folder
            .join(format!("failed-{}-{name}", self.options.seed))
    }

    fn guest(&self, mode: &str, random: &mut Random) -> GuestSettings {
        GuestSettings {
            seed: random.number(),
            write_mode: mode.to_owned(),
            life: (self.options.confirmed / LIVES).max(1) + random.below(100),
        }
    }

    fn random(&self, name: &str) -> Random {
        Random::of(self.options.seed, u64::from(crc32fast::hash(name.as_bytes())))
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
