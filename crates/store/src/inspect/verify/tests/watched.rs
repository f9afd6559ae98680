//! A disk that does something else before each of its calls that find files.

use crate::disk::sim::SimDisk;
use crate::disk::{Disk, FileKind, LockError, Now};
use std::io;
use std::sync::{Arc, Mutex};

type Before = Box<dyn FnMut(u64, &str) + Send>;

#[derive(Clone)]
pub(super) struct Watched {
    disk: SimDisk,
    /// How many calls there were, and what is done before the next.
    before: Arc<Mutex<(u64, Before)>>,
}

impl Watched {
    /// `before` is told how many calls there were, and what the next one asks for.
    pub(super) fn new(disk: &SimDisk, before: impl FnMut(u64, &str) + Send + 'static) -> Self {
        Self {
            disk: disk.clone(),
            before: Arc::new(Mutex::new((0, Box::new(before)))),
        }
    }

    pub(super) fn calls(&self) -> u64 {
        self.before.lock().unwrap().0
    }

    fn disk(&self, path: &str) -> &SimDisk {
        let (calls, before) = &mut *self.before.lock().unwrap();
        before(*calls, path);
        *calls += 1;
        &self.disk
    }
}

impl Disk for Watched {
    type File = <SimDisk as Disk>::File;
    type Map = <SimDisk as Disk>::Map;
    type Lock = <SimDisk as Disk>::Lock;

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        self.disk(dir).list(dir)
    }

    fn open(&self, path: &str, kind: FileKind) -> io::Result<Self::File> {
        self.disk(path).open(path, kind)
    }

    fn create_dir(&self, path: &str) -> io::Result<()> {
        self.disk.create_dir(path)
    }

    fn create(&self, path: &str, kind: FileKind) -> io::Result<Self::File> {
        self.disk.create(path, kind)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        self.disk.remove(path)
    }

    fn link(&self, from: &str, target: &Self, to: &str) -> io::Result<()> {
        self.disk.link(from, &target.disk, to)
    }

    fn link_count(&self, path: &str) -> io::Result<u64> {
        self.disk.link_count(path)
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        self.disk.sync_dir(dir)
    }

    fn map(&self, file: &Self::File, len: usize) -> io::Result<Self::Map> {
        self.disk.map(file, len)
    }

    fn lock(&self) -> Result<Self::Lock, LockError> {
        self.disk.lock()
    }

    fn random(&self) -> u128 {
        self.disk.random()
    }

    fn now(&self) -> Now {
        self.disk.now()
    }

    fn free_bytes(&self) -> io::Result<u64> {
        self.disk.free_bytes()
    }

    fn rewrites_in_place(&self) -> bool {
        self.disk.rewrites_in_place()
    }
}
