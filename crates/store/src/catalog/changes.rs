//! What a frame of the catalog holds, and a batch of changes on its way there.

use serde::{Deserialize, Serialize};

use crate::codec;
use crate::frame::{FRAME_PAYLOAD_BYTES_MAX, FrameError};

/// The value of one frame (docs/format.md, "Catalog"). The order of variants and fields is the format.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Entry {
    /// The first frame: whose catalog this is.
    Header { store: u128 },
    /// Applied in order, all or nothing.
    Changes(Vec<Change>),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Change {
    Put { key: Vec<u8>, value: Vec<u8> },
    Delete { key: Vec<u8> },
}

impl Change {
    pub(super) fn key(&self) -> &[u8] {
        match self {
            Self::Put { key, .. } | Self::Delete { key } => key,
        }
    }
}

/// Changes that become durable together, or not at all.
#[derive(Debug, Default)]
pub struct Changes {
    list: Vec<Change>,
}

impl Changes {
    /// No changes yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { list: Vec::new() }
    }

    /// Sets an entry.
    pub fn put(&mut self, key: &[u8], value: &impl Serialize) -> Result<(), FrameError> {
        let mut bytes = Vec::new();
        codec::encode_into(&mut bytes, value, FRAME_PAYLOAD_BYTES_MAX.into())?;
        self.list.push(Change::Put {
            key: key.to_vec(),
            value: bytes,
        });
        Ok(())
    }

    /// Removes an entry; a missing one is no error.
    pub fn delete(&mut self, key: &[u8]) {
        self.list.push(Change::Delete { key: key.to_vec() });
    }

    /// Whether nothing would change.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub(super) fn into_list(self) -> Vec<Change> {
        self.list
    }
}
