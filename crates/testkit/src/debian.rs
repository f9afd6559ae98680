//! Packages of Debian, unpacked below a folder of ours: nothing is installed on the machine.
//!
//! Invariant: a folder that [`unpacked`] returns is complete: a file says that everything is in it.

use crate::command::run;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Below a folder of packages: everything that is in them, as it would be below `/`.
pub const ROOT: &str = "root";
const COMPLETE: &str = "complete";

/// What is in a folder.
#[derive(Clone, Debug)]
pub struct Unpacked {
    folder: PathBuf,
}

impl Unpacked {
    /// Where everything lies, as it would below `/`.
    pub fn root(&self) -> PathBuf {
        self.folder.join(ROOT)
    }

    /// The version of a package, if it was unpacked.
    pub fn version(&self, package: &str) -> anyhow::Result<String> {
        for file in std::fs::read_dir(self.packages())? {
            let name = file?.file_name().to_string_lossy().into_owned();
            if let Some(version) = version_in(&name, package) {
                return Ok(version);
            }
        }
        anyhow::bail!("{} holds no {package}", self.packages().display())
    }

    fn packages(&self) -> PathBuf {
        self.folder.join("packages")
    }
}

/// What the name of a package's file says of its version. A colon in it is written `%3a` there.
fn version_in(file: &str, package: &str) -> Option<String> {
    let rest = file.strip_prefix(package)?.strip_prefix('_')?;
    let (version, _) = rest.split_once('_')?;
    Some(version.replace("%3a", ":"))
}

/// Downloads and unpacks packages, unless they lie in `folder` already.
pub fn unpacked(folder: &Path, names: impl Fn() -> anyhow::Result<Vec<String>>) -> anyhow::Result<Unpacked> {
    let complete = folder.join(COMPLETE);
    if complete.is_file() {
        let folder = folder.to_owned();
        return Ok(Unpacked { folder });
    }
    let unpacked = unpack(folder, names)?;
    std::fs::write(complete, "")?;
    Ok(unpacked)
}

/// Downloads and unpacks the newest versions of packages to `folder`, which then holds nothing else.
pub fn unpack(folder: &Path, names: impl Fn() -> anyhow::Result<Vec<String>>) -> anyhow::Result<Unpacked> {
    if folder.exists() {
        std::fs::remove_dir_all(folder)?;
    }
    let unpacked = Unpacked {
        folder: folder.to_owned(),
    };
    let packages = unpacked.packages();
    std::fs::create_dir_all(&packages)?;
    let download = || {
        let names = names()?;
        eprintln!("downloading {} packages to {}", names.len(), packages.display());
        run(Command::new("apt-get")
            .arg("download")
            .args(names)
            .current_dir(&packages))
    };
    if download().is_err() {
        // A fresh machine has no lists of packages yet, or old ones.
        run(Command::new("apt-get").arg("update"))?;
        download()?;
    }
    for package in std::fs::read_dir(&packages)? {
        run(Command::new("dpkg-deb")
            .arg("-x")
            .arg(package?.path())
            .arg(unpacked.root()))?;
    }
    Ok(unpacked)
}

/// A package and all that it needs, but for what is installed.
pub fn missing_for(package: &str) -> anyhow::Result<Vec<String>> {
    let simulated = ["install", "--simulate", "--no-install-recommends", package];
    let installs = run(Command::new("apt-get").args(simulated))?;
    let missing = installs.lines().filter_map(|line| line.strip_prefix("Inst "));
    Ok(missing
        .filter_map(|line| Some(line.split_whitespace().next()?.to_owned()))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_packages_file_tells_its_version() {
        let file = "erlang-base_1%3a25.2.3+dfsg-1+deb12u4_amd64.deb";
        assert_eq!(
            version_in(file, "erlang-base").as_deref(),
            Some("1:25.2.3+dfsg-1+deb12u4")
        );
        assert_eq!(version_in(file, "erlang"), None);
    }
}
