//! One disk at a time: a recorded run with its images, or machines that are killed one after the other.
//!
//! Invariants:
//! - A trial begins with an empty file system, and leaves nothing but its tally.
//! - What fails is kept, unless the broker is one that has to fail.
//!
//! Elsewhere: how many trials there are, and what must come of them (`campaign`).

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, ensure};

use super::campaign::CampaignOptions;
use super::expectation::Expectation;
use super::jury::Jury;
use super::machine::{Files, Recording, Start};
use super::mark::Mark;
use super::message::Messages;
use super::packages::Packages;
use super::recovery::recover;
use super::session::{self, Ground};
use super::settings::GuestSettings;
use super::tally::Tally;
use super::{initial, sparse};
use crate::random::Random;

/// What a killed machine takes with it is in its memory, so only this mode makes sense for plain kills.
pub const KILLED_MODE: &str = "buffered-fdatasync";
/// The broker is killed within the guest so often before the power is cut.
const LIVES: u64 = 3;
/// How often a machine is started that does not come up.
const STARTS_MAX: u32 = 3;
/// Failures that are told in full.
const TOLD_MAX: usize = 5;

/// A broker and the guest's initial file system around it.
pub struct Subject {
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

/// What trials have in common.
pub struct Trials<'a> {
    options: &'a CampaignOptions,
    packages: Packages,
    scratch: PathBuf,
}

impl<'a> Trials<'a> {
    /// Gets what virtual machines need; disks are made in `scratch`.
    pub fn new(options: &'a CampaignOptions, scratch: &Path) -> anyhow::Result<Self> {
        Ok(Self {
            options,
            packages: Packages::get(&options.folder.join("packages"))?,
            scratch: scratch.to_owned(),
        })
    }

    /// Packs a broker, with the bug that is planted in it, if there is one.
    pub fn subject(&self, broker: &Path, load: &Path, planted: Option<&str>) -> anyhow::Result<Subject> {
        let (name, failures) = match planted {
            None => ("honest", Failures::Kept),
            Some(_) => ("planted", Failures::Wanted),
        };
        let initial = self.scratch.join(name);
        let packed = initial::pack(&self.packages, broker, load, planted)?;
        std::fs::write(&initial, packed)?;
        Ok(Subject { initial, failures })
    }

    /// One run and its images.
    pub fn recorded(
        &self,
        name: &str,
        subject: &Subject,
        mode: &str,
        images: usize,
    ) -> anyhow::Result<Tally> {
        let folder = tempfile::tempdir_in(&self.scratch)?;
        let files = Files::in_folder(folder.path());
        files.make_disk()?;
        let base = folder.path().join("base");
        std::fs::rename(&files.disk, &base)?;
        let mut random = self.random(name);
        let settings = self.guest(mode, &mut random);
        let ground = self.ground(subject, Recording::On, &settings);
        // The log is one of changes to the base, so each start must find the base.
        let restore = || sparse::copy(&File::open(&base)?, &files.disk).map(drop);
        self.cut_power(name, &ground, &files, restore, &mut random)?;
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

    /// Kills machines on one disk, one after the other, and recovers a copy of the disk after each.
    pub fn killed(&self, name: &str, subject: &Subject, kills: u32) -> anyhow::Result<Tally> {
        let folder = tempfile::tempdir_in(&self.scratch)?;
        let files = Files::in_folder(folder.path());
        files.make_disk()?;
        let mut random = self.random(name);
        let settings = self.guest(KILLED_MODE, &mut random);
        let ground = self.ground(subject, Recording::Off, &settings);
        let mut marks: Vec<Mark> = Vec::new();
        let mut tally = Tally::default();
        for kill in 0..kills {
            let name = format!("{name}-{kill}");
            self.cut_power(&name, &ground, &files, || Ok(()), &mut random)?;
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
            sparse::copy(&File::open(&files.disk)?, &image)?;
            let messages = Messages::new(settings.seed);
            let recovered = recover(&image, folder.path(), KILLED_MODE, messages);
            if !tally.count(&name, &expectation, messages, recovered) && subject.failures == Failures::Kept {
                eprintln!("  {}", tally.failures.last().map_or("", String::as_str));
                self.keep(&name, &files);
            }
        }
        Ok(tally)
    }

    fn ground<'g>(
        &'g self,
        subject: &'g Subject,
        recording: Recording,
        settings: &'g GuestSettings,
    ) -> Ground<'g> {
        Ground {
            start: Start {
                packages: &self.packages,
                initial: &subject.initial,
                recording,
                settings,
                accelerator: &self.options.accelerator,
            },
            confirmed: self.options.confirmed,
        }
    }

    /// Runs a machine. One that ends before it has begun its work, as emulated ones do on a busy machine, is started again.
    fn cut_power(
        &self,
        name: &str,
        ground: &Ground<'_>,
        files: &Files,
        restore: impl Fn() -> anyhow::Result<()>,
        random: &mut Random,
    ) -> anyhow::Result<()> {
        let mut starts = 0;
        let told = loop {
            restore()?;
            starts += 1;
            match session::run(ground, files, random) {
                Err(error) if starts < STARTS_MAX && files.marks_sent()?.is_empty() => {
                    eprintln!("{name}: once more: {error:#}");
                }
                told => break told.with_context(|| self.keep(name, files))?,
            }
        };
        let newest = files.mark_on_disk()?;
        eprintln!(
            "{name}: {}, power cut after {:.1} s, of which {:.1} s of boot; confirmed up to {} in {} lives",
            ground.start.settings.write_mode,
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
