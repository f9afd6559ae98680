//! Syncing the files of an engine that cannot: from outside, as a program would that wants to use it all the same.
//!
//! Invariant: after [`Outside::sync`] every byte that the engine had handed to the system before is durable, and so is every
//! name in its directory.

use anyhow::Context;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::File;
use std::path::{Path, PathBuf};

/// The files of one directory.
pub struct Outside {
    dir: PathBuf,
    files: BTreeMap<PathBuf, File>,
}

impl Outside {
    /// Of this directory.
    pub fn of(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
            files: BTreeMap::new(),
        }
    }

    /// Syncs all of them: for one that has nothing to write the call costs next to nothing.
    pub fn sync(&mut self) -> anyhow::Result<()> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.dir)? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                names.push(entry.path());
            }
        }
        self.files.retain(|path, _| names.contains(path));
        let mut is_new = false;
        for path in names {
            if let Entry::Vacant(place) = self.files.entry(path) {
                let path = place.key();
                let file = File::open(path).with_context(|| path.display().to_string())?;
                place.insert(file);
                is_new = true;
            }
        }
        for file in self.files.values() {
            file.sync_data()?;
        }
        if is_new {
            File::open(&self.dir)?.sync_all()?;
        }
        Ok(())
    }
}
