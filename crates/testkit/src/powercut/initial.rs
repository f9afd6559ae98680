//! The guest's initial file system: busybox, the kernel's modules, the broker and the load.
//!
//! Elsewhere: how it is packed (`archive`), what it does (`load`).

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;

use super::archive::Archive;
use super::packages::Packages;
use crate::command::run;

/// Drivers of the disk and of the port to the host; what they need is found out.
const DRIVERS: [&str; 3] = ["virtio_pci", "virtio_blk", "virtio_console"];

/// Packs everything. `planted` is the bug of the broker, if it has one.
pub fn pack(
    packages: &Packages,
    broker: &Path,
    load: &Path,
    planted: Option<&str>,
) -> anyhow::Result<Vec<u8>> {
    let mut archive = Archive::default();
    for folder in ["dev", "proc", "sys", "data", "tmp"] {
        archive.folder(Path::new(folder));
    }
    archive.file(Path::new("bin/busybox"), &std::fs::read(packages.busybox())?);
    let mut libraries = Vec::new();
    for (name, program) in [("bin/logpond", broker), ("bin/load", load)] {
        archive.file(Path::new(name), &std::fs::read(program)?);
        libraries.extend(libraries_of(program)?);
    }
    libraries.sort();
    libraries.dedup();
    for library in libraries {
        archive.file(&library, &std::fs::read(&library)?);
    }
    let modules = Modules::find(&packages.modules())?;
    let mut loaded = Vec::new();
    for driver in DRIVERS {
        modules.with_needed(driver, &mut loaded)?;
    }
    let mut names = Vec::new();
    for (name, bytes) in loaded {
        archive.file(Path::new(&format!("modules/{name}.ko")), &bytes);
        names.push(name);
    }
    archive.file(Path::new("init"), init(&names.join(" "), planted).as_bytes());
    Ok(archive.finish())
}

/// The first program of the guest. When it ends the kernel gives up, and the machine with it.
fn init(modules: &str, planted: Option<&str>) -> String {
    let planted = planted.unwrap_or_default();
    format!(
        "#!/bin/busybox sh
set -e
b=/bin/busybox
$b mount -t proc proc /proc
$b mount -t sysfs sysfs /sys
$b mount -t devtmpfs dev /dev
for module in {modules}; do $b insmod /modules/$module.ko; done
$b ip link set lo up
$b mount -t ext4 -o nodiscard,errors=panic /dev/vda /data
export LOGPOND_BIN=/bin/logpond
export LOGPOND_PLANTED='{planted}'
exec /bin/load
"
    )
}

/// Shared libraries, the loader among them.
fn libraries_of(program: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let listed = run(Command::new("ldd").arg(program))?;
    let words = listed.split_whitespace();
    Ok(words
        .filter(|word| word.starts_with('/'))
        .map(PathBuf::from)
        .collect())
}

/// The kernel's modules by name.
struct Modules {
    files: HashMap<String, PathBuf>,
}

impl Modules {
    fn find(folder: &Path) -> anyhow::Result<Self> {
        let mut files = HashMap::new();
        let mut folders = vec![folder.to_owned()];
        while let Some(folder) = folders.pop() {
            let entries = std::fs::read_dir(&folder);
            for entry in entries.with_context(|| folder.display().to_string())? {
                let path = entry?.path();
                if path.is_dir() {
                    folders.push(path);
                } else if let Some(name) = path
                    .file_name()
                    .and_then(|name| name.to_str()?.strip_suffix(".ko"))
                {
                    files.insert(name.replace('-', "_"), path.clone());
                }
            }
        }
        Ok(Self { files })
    }

    /// Appends a module behind all that it needs. What has no file is part of the kernel.
    fn with_needed(&self, name: &str, loaded: &mut Vec<(String, Vec<u8>)>) -> anyhow::Result<()> {
        let Some(path) = self.files.get(name) else {
            return Ok(());
        };
        if loaded.iter().any(|(other, _)| other == name) {
            return Ok(());
        }
        let bytes = std::fs::read(path)?;
        for needed in needed_by(&bytes) {
            self.with_needed(&needed, loaded)?;
        }
        loaded.push((name.to_owned(), bytes));
        Ok(())
    }
}

/// What a module says that it needs.
fn needed_by(module: &[u8]) -> Vec<String> {
    let word = b"\0depends=";
    let Some(at) = module.windows(word.len()).position(|window| window == word) else {
        return Vec::new();
    };
    let names = module[at + word.len()..].split(|byte| *byte == 0).next();
    let names = String::from_utf8_lossy(names.unwrap_or_default()).replace('-', "_");
    names
        .split(',')
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_comes_behind_what_it_needs_and_once() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, needs: &str| {
            let bytes = format!("\x7fELF\0depends={needs}\0name=x\0");
            std::fs::write(folder.path().join(name), bytes).unwrap();
        };
        write("a.ko", "b-b,c");
        write("b-b.ko", "c,built_in");
        write("c.ko", "");
        let mut loaded = Vec::new();
        let modules = Modules::find(folder.path()).unwrap();
        modules.with_needed("a", &mut loaded).unwrap();
        modules.with_needed("c", &mut loaded).unwrap();
        let names: Vec<_> = loaded.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["c", "b_b", "a"]);
    }
}
