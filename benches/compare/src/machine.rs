//! What the measurements were made on, and with which versions.

use serde::Serialize;
use std::path::Path;

/// The machine, as far as it matters.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    pub processors: usize,
    pub processor: String,
    pub kernel: String,
    pub file_system: String,
}

impl Machine {
    /// This one; the file system is that of `dir`.
    pub fn here(dir: &Path) -> Self {
        Self {
            processors: std::thread::available_parallelism().map_or(0, Into::into),
            processor: processor().unwrap_or_default(),
            kernel: read("/proc/sys/kernel/osrelease"),
            file_system: file_system(dir).unwrap_or_default(),
        }
    }
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path)
        .unwrap_or_default()
        .trim()
        .to_owned()
}

fn processor() -> Option<String> {
    let info = read("/proc/cpuinfo");
    let line = info.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(": ")?.1.to_owned())
}

/// The type of the file system that is mounted nearest above `dir`.
fn file_system(dir: &Path) -> Option<String> {
    let dir = dir.canonicalize().ok()?;
    let mounts = read("/proc/self/mounts");
    let mounts = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(1);
        Some((fields.next()?.to_owned(), fields.next()?.to_owned()))
    });
    let above = mounts.filter(|(at, _)| dir.starts_with(at));
    Some(above.max_by_key(|(at, _)| at.len())?.1)
}

/// The version of a package that this program was built with.
pub fn version(package: &str) -> String {
    let locked = include_str!("../Cargo.lock");
    let name = format!("name = \"{package}\"");
    let mut lines = locked.lines().skip_while(|line| *line != name).skip(1);
    let version = lines.next().and_then(|line| line.strip_prefix("version = "));
    version.unwrap_or("unknown").trim_matches('"').to_owned()
}
