//! RabbitMQ's definitions (JSON) as plain values: what is to be created, and what of the file we leave out.
//!
//! Both formats are read: of a whole cluster, and of a single virtual host. Nothing is applied here; whoever
//! applies them goes through the same checks as a client's commands.
//!
//! Invariants:
//! - Either the whole document is understood, or the first thing that is not is named by its path.
//! - What is understood but not used stands in [`Definitions::ignored`]; nothing is dropped in silence.
//! - Streams, which do not exist here, are left out with the bindings that lead to them, each by name: the rest of a document is
//!   worth having without them.

mod absent;
mod arguments;
mod content;
mod credential;
mod error;
mod item;
pub mod limits;
mod permissions;
mod policies;
mod reader;

pub use content::{
    BindingDefinition, Credential, Definitions, DestinationName, ExchangeDefinition, Ignored, Loss,
    QueueDefinition, UserDefinition, VhostDefinition,
};
pub use error::DefinitionsError;
