//! A queue as errors tell of it: by its name where that is known.

use crate::ids::QueueId;
use std::fmt;

/// A queue, as an error tells of it. Printed as its name in quotes, or as its id where the name is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueIdentity {
    /// Its id.
    pub id: QueueId,
    /// Its name; `None` where nobody knows it, as that of a queue that was deleted.
    pub name: Option<String>,
}

impl QueueIdentity {
    pub(super) fn new(id: QueueId, name: &str) -> Self {
        let name = Some(name.to_owned());
        Self { id, name }
    }
}

impl From<QueueId> for QueueIdentity {
    fn from(id: QueueId) -> Self {
        Self { id, name: None }
    }
}

impl fmt::Display for QueueIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "'{name}'"),
            None => self.id.fmt(f),
        }
    }
}
