//! A virtual machine whose disk is recorded, and whose power is cut.
//!
//! Invariants:
//! - A machine never outlives its owner here.
//! - The host's disk is never flushed for the guest: the host does not lose its power, and the log says when the guest asked for it.
//! - A recorded machine is told to end, so that its log is complete; the guest does not notice that either.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use rustix::process::{Pid, Signal, kill_process};

use super::mark::{MARK_BYTES, Mark};
use super::packages::Packages;
use super::settings::{DISK_BYTES, FILE_SYSTEM_BYTES, GuestSettings, MARK_AT};
use crate::command::run;

/// Longest that a machine may take to end when it is told to.
const END_TIME_MAX: Duration = Duration::from_secs(60);

/// Whether the writes of the disk are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recording {
    /// Each write and flush goes to a log.
    On,
    /// Only the disk is there in the end.
    Off,
}

/// Files of a machine.
#[derive(Clone, Debug)]
pub struct Files {
    /// Its disk.
    pub disk: PathBuf,
    /// What the disk was asked for, if it is recorded.
    pub log: PathBuf,
    /// What the guest sent.
    pub port: PathBuf,
    /// What the guest's kernel said.
    pub console: PathBuf,
}

/// How to start one.
pub struct Start<'a> {
    /// The programs.
    pub packages: &'a Packages,
    /// The guest's initial file system.
    pub initial: &'a Path,
    /// Whether to record.
    pub recording: Recording,
    /// What the guest is told.
    pub settings: &'a GuestSettings,
    /// `tcg`, which works everywhere, or `kvm`.
    pub accelerator: &'a str,
}

/// A machine that runs.
pub struct Machine {
    child: Child,
    files: Files,
}

impl Files {
    /// In a folder.
    pub fn in_folder(folder: &Path) -> Self {
        Self {
            disk: folder.join("disk"),
            log: folder.join("writes"),
            port: folder.join("port"),
            console: folder.join("console"),
        }
    }

    /// Makes the disk, with an empty file system.
    pub fn make_disk(&self) -> anyhow::Result<()> {
        let disk = File::create(&self.disk)?;
        disk.set_len(DISK_BYTES)?;
        let blocks = (FILE_SYSTEM_BYTES / 4096).to_string();
        let mut make = Command::new("mkfs.ext4");
        make.args(["-q", "-F", "-b", "4096", "-J", "size=4"])
            .args(["-E", "nodiscard,lazy_itable_init=0,lazy_journal_init=0"])
            .arg(&self.disk)
            .arg(blocks);
        run(&mut make)?;
        Ok(())
    }

    /// The marks that left the guest, in order.
    pub fn marks_sent(&self) -> anyhow::Result<Vec<Mark>> {
        let bytes = std::fs::read(&self.port)?;
        let marks = bytes.chunks_exact(MARK_BYTES).map(Mark::of);
        let marks: Option<Vec<Mark>> = marks.collect();
        marks.context("something else than a mark left the guest")
    }

    /// The mark that the disk holds.
    pub fn mark_on_disk(&self) -> anyhow::Result<Mark> {
        let mut sector = [0; MARK_BYTES];
        File::open(&self.disk)?.read_exact_at(&mut sector, MARK_AT)?;
        Mark::of(&sector).context("there is no mark on the disk")
    }
}

impl Machine {
    /// Starts a machine on files whose disk is made.
    pub fn start(start: &Start<'_>, files: &Files) -> anyhow::Result<Self> {
        let node = |driver: &str, name: &str, path: &Path| {
            let path = path.display().to_string().replace(',', ",,");
            format!("driver={driver},node-name={name},filename={path},cache.no-flush=on")
        };
        let mut command = start.packages.qemu();
        command
            .args(["-nodefaults", "-no-user-config", "-no-reboot", "-display", "none"])
            .args([
                "-accel",
                start.accelerator,
                "-cpu",
                "max",
                "-smp",
                "2",
                "-m",
                "512",
            ])
            .arg("-kernel")
            .arg(start.packages.kernel())
            .arg("-initrd")
            .arg(start.initial)
            .arg("-append")
            .arg(format!(
                "console=ttyS0 quiet panic=-1 mitigations=off no_timer_check {}",
                start.settings.words()
            ))
            .arg("-serial")
            .arg(chardev(&files.console));
        let drive = if start.recording == Recording::On {
            File::create(&files.log)?;
            command
                .args(["-blockdev", &node("file", "disk", &files.disk)])
                .args(["-blockdev", &node("file", "log", &files.log)])
                .args([
                    "-blockdev",
                    "driver=blklogwrites,node-name=recorded,file=disk,log=log,log-sector-size=512",
                ]);
            "recorded"
        } else {
            command.args(["-blockdev", &node("file", "disk", &files.disk)]);
            "disk"
        };
        let device = format!("virtio-blk-pci,drive={drive},write-cache=on,discard=off,write-zeroes=off");
        command
            .args(["-device", &device])
            .args(["-device", "virtio-serial-pci"])
            .arg("-chardev")
            .arg(format!(
                "file,id=port,path={}",
                files.port.display().to_string().replace(',', ",,")
            ))
            .args(["-device", "virtserialport,chardev=port,name=powercut"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(files.console.with_extension("qemu"))?);
        File::create(&files.port)?;
        let child = command
            .spawn()
            .with_context(|| format!("cannot start {command:?}"))?;
        Ok(Self {
            child,
            files: files.clone(),
        })
    }

    /// The mark that left the guest last; an error when the machine has ended.
    pub fn newest_mark(&mut self) -> anyhow::Result<Option<Mark>> {
        if let Some(status) = self.child.try_wait()? {
            let console = std::fs::read(&self.files.console)?;
            let console = String::from_utf8_lossy(&console).into_owned();
            let first = console.lines().next().unwrap_or_default();
            anyhow::bail!("the machine ended by itself ({status}); its console begins with: {first}");
        }
        let port = File::open(&self.files.port)?;
        let mark_bytes = u64::try_from(MARK_BYTES)?;
        let whole = port.metadata()?.len() / mark_bytes;
        let Some(last) = whole.checked_sub(1) else {
            return Ok(None);
        };
        let mut sector = [0; MARK_BYTES];
        port.read_exact_at(&mut sector, last * mark_bytes)?;
        Ok(Some(
            Mark::of(&sector).context("something else than a mark left the guest")?,
        ))
    }

    /// Cuts the power with nothing left to do for anyone.
    pub fn kill(mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Cuts the power and lets the recorder come to its end.
    pub fn end(mut self) -> anyhow::Result<()> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.context("the machine has no process id")?, Signal::TERM)?;
        let until = Instant::now() + END_TIME_MAX;
        loop {
            if let Some(status) = self.child.try_wait()? {
                ensure!(status.success(), "the machine ended with {status}");
                return Ok(());
            }
            ensure!(Instant::now() < until, "the machine does not end");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // An error means that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn chardev(path: &Path) -> String {
    format!("file:{}", path.display())
}
