//! A broker that can be measured: what it is, how it is started, how it is spoken to.

use super::server::Server;
use super::tool::Tool;
use std::path::Path;

/// A broker that can be measured.
pub trait Peer {
    /// As it is called in records and on the command line.
    fn name(&self) -> &'static str;

    /// Which version, and built or packaged by whom.
    fn version(&self) -> &str;

    /// What a confirmed message has been through.
    fn confirm_means(&self) -> &'static str;

    /// What else the rows mean for it, where that is not what they mean for everybody.
    fn remarks(&self) -> &'static str;

    /// Starts it on a folder of its own, which may hold what an earlier start left.
    fn start(&self, folder: &Path) -> anyhow::Result<Server>;

    /// How it is spoken to.
    fn protocol(&self) -> Protocol<'_>;
}

/// How a broker is spoken to.
pub enum Protocol<'p> {
    /// AMQP 0-9-1 by the project's own generator; queues are declared with these arguments.
    Amqp(&'p [(&'static str, &'static str)]),
    /// Its own protocol, by a client of its own project.
    Tool(&'p Tool),
}

/// One that was asked for and cannot be measured.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Missing {
    /// Which.
    pub name: &'static str,
    /// Why.
    pub why: String,
}
