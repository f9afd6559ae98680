//! The engines that are compared.

mod fjall;
mod logpond;
mod mrecordlog;
mod raft_engine;
mod redb;
mod sled;
mod yaque;

use crate::peer::{Description, Peer};
use std::path::Path;

/// Opens an engine in an empty directory.
pub type Open = fn(&Path) -> anyhow::Result<Box<dyn Peer>>;

/// All of them, Logpond first.
pub const ALL: [(Description, Open); 7] = [
    (logpond::DESCRIPTION, logpond::open),
    (yaque::DESCRIPTION, yaque::open),
    (mrecordlog::DESCRIPTION, mrecordlog::open),
    (fjall::DESCRIPTION, fjall::open),
    (redb::DESCRIPTION, redb::open),
    (sled::DESCRIPTION, sled::open),
    (raft_engine::DESCRIPTION, raft_engine::open),
];
