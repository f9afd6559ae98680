//! An initial file system as the kernel wants it: a cpio archive of the "newc" kind, not compressed.
//!
//! Invariant: folders come before what lies in them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

const FOLDER: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;
const TRAILER: &str = "TRAILER!!!";

/// An archive in memory.
#[derive(Default)]
pub struct Archive {
    bytes: Vec<u8>,
    entries: u32,
    folders: BTreeSet<PathBuf>,
}

impl Archive {
    /// Adds a folder, and those it lies in.
    pub fn folder(&mut self, path: &Path) {
        let path = path.strip_prefix("/").unwrap_or(path);
        if let Some(parent) = path.parent() {
            if parent != Path::new("") {
                self.folder(parent);
            }
            if self.folders.insert(path.to_owned()) {
                self.entry(&path.to_string_lossy(), FOLDER, &[]);
            }
        }
    }

    /// Adds a file that can be executed.
    pub fn file(&mut self, path: &Path, content: &[u8]) {
        let path = path.strip_prefix("/").unwrap_or(path);
        if let Some(parent) = path.parent() {
            self.folder(parent);
        }
        self.entry(&path.to_string_lossy(), PROGRAM, content);
    }

    /// All of it.
    pub fn finish(mut self) -> Vec<u8> {
        self.entry(TRAILER, 0, &[]);
        self.bytes
    }

    fn entry(&mut self, name: &str, mode: u32, content: &[u8]) {
        self.entries += 1;
        let len = |bytes: usize| u32::try_from(bytes).expect("a file of the guest is below 4 GiB");
        let numbers = [
            self.entries,
            mode,
            0,
            0,
            1,
            0,
            len(content.len()),
            0,
            0,
            0,
            0,
            len(name.len() + 1),
            0,
        ];
        self.bytes.extend(b"070701");
        for number in numbers {
            self.bytes.extend(format!("{number:08x}").bytes());
        }
        self.bytes.extend(name.bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend(content);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_come_first_and_once_and_the_trailer_last() {
        let mut archive = Archive::default();
        archive.file(Path::new("/a/b/c"), b"hello");
        archive.file(Path::new("a/d"), b"");
        let bytes = archive.finish();
        let names: Vec<&str> = ["a\0", "a/b\0", "a/b/c\0", "a/d\0", "TRAILER!!!\0"].into();
        let text = String::from_utf8_lossy(&bytes);
        let places: Vec<_> = names
            .iter()
            .map(|name| text.find(&format!("00000000{name}")))
            .collect();
        assert!(
            places.is_sorted() && places.iter().all(Option::is_some),
            "{places:?}"
        );
        assert_eq!(text.matches("070701").count(), names.len());
        assert_eq!(bytes.len() % 4, 0);
    }
}
