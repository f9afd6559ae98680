//! One client connection: from the accepted socket to its end.

mod arguments;
mod batch;
mod blockage;
mod channels;
mod content;
mod effects;
mod greeting;
mod handshake;
mod heartbeat;
mod link;
mod output;
mod refusal;
mod requests;
mod sasl;
mod server_properties;
mod task;
mod wire;

pub(crate) use batch::CommandSpace;
pub(crate) use refusal::Refusal;
pub use server_properties::RABBITMQ_VERSION;
pub(crate) use task::{Arrival, serve};
