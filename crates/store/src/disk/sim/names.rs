//! Directories: names that are durable, names as the process sees them, and the operations between the two.
//!
//! Invariants:
//! - `current` is `durable` with all of `pending` applied in order.
//! - An operation belongs to the directory whose sync makes it durable.

use std::collections::BTreeMap;
use std::io;

use super::crash::Fate;
use super::loss::{Arrival, Counted};
use super::rng::Rng;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Node {
    File(usize),
    Directory,
}

#[derive(Clone, Debug)]
enum Operation {
    Link { name: String, node: Node },
    Unlink { name: String },
    Rename { to: String, node: Node },
}

#[derive(Clone, Debug, Default)]
struct Directory {
    durable: BTreeMap<String, Node>,
    current: BTreeMap<String, Node>,
    pending: Vec<Operation>,
}

#[derive(Clone, Debug)]
pub(super) struct Names {
    directories: BTreeMap<String, Directory>,
}

fn apply(names: &mut BTreeMap<String, Node>, operation: &Operation) {
    match operation {
        Operation::Link { name, node } => {
            names.insert(name.clone(), *node);
        }
        Operation::Unlink { name } => {
            names.remove(name);
        }
        // What is renamed is a file, not whatever has the name by then, and a file has one name in a directory.
        Operation::Rename { to, node } => {
            names.retain(|_, other| other != node);
            names.insert(to.clone(), *node);
        }
    }
}

impl Directory {
    fn change(&mut self, operation: Operation) {
        apply(&mut self.current, &operation);
        self.pending.push(operation);
    }

    /// Names after a crash: of the pending operations some prefix has arrived, or any part of them.
    fn after_crash(&self, fate: Fate, rng: &mut Rng) -> BTreeMap<String, Node> {
        let mut names = self.durable.clone();
        if self.pending.is_empty() {
            return names;
        }
        let moment = rng.index(self.pending.len() + 1);
        for (index, operation) in self.pending.iter().enumerate() {
            let kept = match fate {
                Fate::AllLost => false,
                Fate::AllKept => true,
                Fate::Prefix => index < moment,
                Fate::EachWrite | Fate::EachSector => rng.chance(32768),
            };
            // Operations may arrive in part: a file whose creation is lost may still have been renamed.
            if kept {
                apply(&mut names, operation);
            }
        }
        names
    }

    /// Names after an exact crash; a name operation is never torn.
    fn after_loss(&self, counted: &mut Counted) -> BTreeMap<String, Node> {
        let mut names = self.durable.clone();
        for operation in &self.pending {
            if counted.next() == Arrival::Kept {
                apply(&mut names, operation);
            }
        }
        names
    }
}

impl Names {
    pub(super) fn new() -> Self {
        Self {
            directories: BTreeMap::from([(String::new(), Directory::default())]),
        }
    }

    fn directory(&mut self, path: &str) -> io::Result<&mut Directory> {
        self.directories
            .get_mut(path)
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    pub(super) fn lookup(&self, path: &str) -> Option<Node> {
        let (dir, name) = split(path);
        self.directories.get(dir)?.current.get(name).copied()
    }

    /// How many names lead to a file.
    pub(super) fn count(&self, file: usize) -> usize {
        let all = self.directories.values().flat_map(|dir| dir.current.values());
        all.filter(|node| **node == Node::File(file)).count()
    }

    pub(super) fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        let dir = self.directories.get(dir).ok_or(io::ErrorKind::NotFound)?;
        Ok(dir.current.keys().cloned().collect())
    }

    pub(super) fn link(&mut self, path: &str, node: Node) -> io::Result<()> {
        let (dir, name) = split(path);
        let name = name.to_owned();
        let directory = self.directory(dir)?;
        if directory.current.contains_key(&name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        directory.change(Operation::Link { name, node });
        if node == Node::Directory {
            self.directories.insert(path.to_owned(), Directory::default());
        }
        Ok(())
    }

    pub(super) fn unlink(&mut self, path: &str) -> io::Result<()> {
        let (dir, name) = split(path);
        let directory = self.directory(dir)?;
        match directory.current.get(name) {
            Some(Node::File(_)) => directory.change(Operation::Unlink {
                name: name.to_owned(),
            }),
            Some(Node::Directory) => return Err(io::ErrorKind::IsADirectory.into()),
            None => return Err(io::ErrorKind::NotFound.into()),
        }
        Ok(())
    }

    pub(super) fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        let ((from_dir, from_name), (to_dir, to_name)) = (split(from), split(to));
        let node = self.lookup(from).ok_or(io::ErrorKind::NotFound)?;
        if node == Node::Directory {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let to_name = to_name.to_owned();
        if from_dir == to_dir {
            self.directory(from_dir)?
                .change(Operation::Rename { to: to_name, node });
        } else {
            self.directory(to_dir)?
                .change(Operation::Link { name: to_name, node });
            self.directory(from_dir)?.change(Operation::Unlink {
                name: from_name.to_owned(),
            });
        }
        Ok(())
    }

    pub(super) fn sync(&mut self, dir: &str) -> io::Result<()> {
        let directory = self.directory(dir)?;
        for operation in directory.pending.drain(..) {
            apply(&mut directory.durable, &operation);
        }
        Ok(())
    }

    /// Every path, with the number of its file; without one it is a directory.
    pub(super) fn paths(&self) -> impl Iterator<Item = (String, Option<usize>)> {
        self.directories.iter().flat_map(|(dir, directory)| {
            directory.current.iter().map(move |(name, node)| {
                let path = if dir.is_empty() {
                    name.clone()
                } else {
                    format!("{dir}/{name}")
                };
                match node {
                    Node::File(file) => (path, Some(*file)),
                    Node::Directory => (path, None),
                }
            })
        })
    }

    pub(super) fn pending_count(&self) -> usize {
        self.directories
            .values()
            .map(|directory| directory.pending.len())
            .sum()
    }

    /// The names that a crash leaves.
    pub(super) fn after_crash(&self, fate: Fate, rng: &mut Rng) -> Self {
        self.rebooted(|directory| directory.after_crash(fate, rng))
    }

    /// The names that an exact crash leaves.
    pub(super) fn after_loss(&self, counted: &mut Counted) -> Self {
        self.rebooted(|directory| directory.after_loss(counted))
    }

    /// A directory whose own name is lost is lost with all that is in it.
    fn rebooted(&self, mut left: impl FnMut(&Directory) -> BTreeMap<String, Node>) -> Self {
        let mut directories = BTreeMap::new();
        for (path, directory) in &self.directories {
            let (parent, name) = split(path);
            let reachable = path.is_empty()
                || directories
                    .get(parent)
                    .is_some_and(|parent: &Directory| parent.current.contains_key(name));
            // All are asked, so that operations keep their numbers.
            let names = left(directory);
            if reachable {
                let rebooted = Directory {
                    durable: names.clone(),
                    current: names,
                    pending: Vec::new(),
                };
                directories.insert(path.clone(), rebooted);
            }
        }
        Self { directories }
    }

    /// The files that some name, durable or not, leads to, or that a pending operation could bring back.
    pub(super) fn files(&self) -> impl Iterator<Item = usize> {
        self.directories.values().flat_map(|directory| {
            let pending = directory.pending.iter().filter_map(|operation| match operation {
                Operation::Link { node, .. } => Some(node),
                _ => None,
            });
            let nodes = directory
                .durable
                .values()
                .chain(directory.current.values())
                .chain(pending);
            nodes.filter_map(|node| {
                if let Node::File(file) = node {
                    Some(*file)
                } else {
                    None
                }
            })
        })
    }
}

fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}
