//! The programs that a virtual machine needs, taken from Debian's packages without installing anything.
//!
//! Invariant: what the machine has already is used; what is downloaded stays in a folder of ours.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail, ensure};

use crate::command::run;
use crate::debian;

const QEMU: &str = "qemu-system-x86_64";

/// Where everything lies.
#[derive(Clone, Debug)]
pub struct Packages {
    root: PathBuf,
    kernel: PathBuf,
    release: String,
}

impl Packages {
    /// Downloads and unpacks what is missing.
    pub fn get(folder: &Path) -> anyhow::Result<Self> {
        ensure!(
            cfg!(target_arch = "x86_64"),
            "the virtual machine is an x86-64 one, and so must this machine be"
        );
        let root = debian::unpacked(folder, names)?.root();
        let boot = root.join("boot");
        for entry in std::fs::read_dir(&boot)? {
            let name = entry?.file_name();
            let name = name.to_string_lossy();
            if let Some(release) = name.strip_prefix("vmlinuz-") {
                return Ok(Self {
                    kernel: boot.join(&*name),
                    release: release.to_owned(),
                    root,
                });
            }
        }
        bail!("there is no kernel in {}", boot.display())
    }

    /// The emulator, with what it needs to start.
    pub fn qemu(&self) -> Command {
        let own = self.root.join("usr/bin").join(QEMU);
        if !own.is_file() {
            return Command::new(QEMU);
        }
        let mut command = Command::new(own);
        let libraries =
            ["usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"].map(|folder| self.root.join(folder));
        let libraries = libraries.map(|folder| folder.display().to_string()).join(":");
        command.env("LD_LIBRARY_PATH", libraries);
        for firmware in ["usr/share/qemu", "usr/share/seabios", "usr/lib/ipxe/qemu"] {
            command.arg("-L").arg(self.root.join(firmware));
        }
        command
    }

    /// The guest's kernel.
    pub fn kernel(&self) -> &Path {
        &self.kernel
    }

    /// Its modules.
    pub fn modules(&self) -> PathBuf {
        self.root.join("lib/modules").join(&self.release).join("kernel")
    }

    /// A shell and more for the guest, which needs no library.
    pub fn busybox(&self) -> PathBuf {
        self.root.join("bin/busybox")
    }
}

/// What has to be downloaded: the kernel, busybox, and qemu with all that it needs unless it is installed.
fn names() -> anyhow::Result<Vec<String>> {
    let mut names = vec!["busybox-static".to_owned()];
    let depends = run(Command::new("apt-cache").args(["depends", "linux-image-cloud-amd64"]))?;
    let kernel = depends
        .lines()
        .find_map(|line| line.trim().strip_prefix("Depends: "));
    names.push(kernel.context("there is no package of a kernel")?.to_owned());
    if run(Command::new(QEMU).arg("--version")).is_err() {
        names.extend(debian::missing_for("qemu-system-x86")?);
    }
    Ok(names)
}
