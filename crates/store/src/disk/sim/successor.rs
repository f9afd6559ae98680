//! What the next process finds on the disk: after a power loss, after a kill, or beside this one.
//!
//! Invariant: of what was synced, bytes and names, nothing is missing in any of them.

use super::crash::Fate;
use super::device::SimDisk;
use super::inode::Inode;
use super::loss::Loss;
use super::rng::Rng;
use super::state::State;
use std::hash::{DefaultHasher, Hash, Hasher};

impl SimDisk {
    /// What a power loss leaves, on a machine that was just turned on. Drop maps first: what they hold counts only then.
    #[must_use]
    pub fn after_crash(&self, rng: &mut Rng) -> Self {
        let state = self.state();
        let common = Fate::pick(rng);
        let mixed = rng.chance(32768);
        let fate = |rng: &mut Rng| if mixed { Fate::pick(rng) } else { common };
        let name_fate = fate(rng);
        let names = state.names.after_crash(name_fate, rng);
        let mut reachable = vec![false; state.inodes.len()];
        names.files().for_each(|file| reachable[file] = true);
        let inodes = state
            .inodes
            .iter()
            .zip(reachable)
            .map(|(inode, reachable)| {
                if !reachable {
                    Inode::default()
                } else if inode.pending.is_empty() {
                    inode.rebooted(Fate::AllKept, rng).0
                } else {
                    let fate = fate(rng);
                    inode.rebooted(fate, rng).0
                }
            })
            .collect();
        self.with(State {
            rng: rng.fork(),
            inodes,
            names,
            ..state.successor()
        })
    }

    /// What exactly this loss leaves, on a machine that was just turned on. Drop maps first.
    #[must_use]
    pub fn after_loss(&self, loss: Loss) -> Self {
        let state = self.state();
        let mut counted = loss.counted();
        let names = state.names.after_loss(&mut counted);
        let mut reachable = vec![false; state.inodes.len()];
        names.files().for_each(|file| reachable[file] = true);
        let inode = |(inode, reachable): (&Inode, bool)| {
            let rebooted = inode.after_loss(&mut counted);
            if reachable { rebooted } else { Inode::default() }
        };
        let inodes = state.inodes.iter().zip(reachable).map(inode).collect();
        self.with(State {
            rng: state.rng.clone(),
            inodes,
            names,
            ..state.successor()
        })
    }

    /// A number that differs for disks that hold different files, or other bytes in them.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        let state = self.state();
        let mut hasher = DefaultHasher::new();
        for (path, file) in state.names.paths() {
            path.hash(&mut hasher);
            if let Some(file) = file {
                state.inodes[file].current.fingerprint().hash(&mut hasher);
            }
        }
        hasher.finish()
    }

    /// What the next process finds when this one was killed: the machine, and its page cache, went on.
    #[must_use]
    pub fn after_kill(&self) -> Self {
        let mut state = self.state();
        state.off = true;
        let inodes = state.inodes.iter().map(Inode::after_kill).collect();
        let rng = state.rng.fork();
        self.with(State {
            rng,
            inodes,
            names: state.names.clone(),
            ..state.successor()
        })
    }

    /// A copy of everything, to go on in two ways. Maps must have been dropped.
    #[must_use]
    pub fn fork(&self) -> Self {
        let state = self.state();
        let inodes = state.inodes.clone();
        self.with(State {
            rng: state.rng.clone(),
            inodes,
            names: state.names.clone(),
            ..state.successor()
        })
    }
}
