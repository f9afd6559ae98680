//! The names of an open store, and which of them somebody is making or deleting.
//!
//! Invariants:
//! - The lock is never held during a wait for the disk: whoever looks does not wait for whoever makes or deletes.
//! - A name is made or deleted by one at a time. Others who want to do that wait for this name alone.
//! - A name is there when its queue is durable, and until its deletion is.

use super::names::Names;
use std::collections::BTreeSet;
use std::sync::{Condvar, Mutex, MutexGuard};

/// See the module's description.
pub(super) struct Register {
    names: Mutex<Names>,
    claimed: Mutex<BTreeSet<String>>,
    released: Condvar,
}

/// A name that nobody else makes or deletes until this is dropped.
pub(super) struct Claim<'a> {
    register: &'a Register,
    name: String,
}

impl Register {
    pub(super) const fn new(names: Names) -> Self {
        Self {
            names: Mutex::new(names),
            claimed: Mutex::new(BTreeSet::new()),
            released: Condvar::new(),
        }
    }

    /// All names, for a look or a change of a moment.
    pub(super) fn names(&self) -> MutexGuard<'_, Names> {
        self.names.lock().expect("no holder of this lock panics")
    }

    /// Waits until nobody else makes or deletes this name.
    pub(super) fn claim(&self, name: &str) -> Claim<'_> {
        let mut claimed = self.claimed();
        while !claimed.insert(name.to_owned()) {
            claimed = self
                .released
                .wait(claimed)
                .expect("no holder of this lock panics");
        }
        Claim {
            register: self,
            name: name.to_owned(),
        }
    }

    fn claimed(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.claimed.lock().expect("no holder of this lock panics")
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.register.claimed().remove(&self.name);
        self.register.released.notify_all();
    }
}
