//! RabbitMQ's definitions (JSON) as plain values: what is to be created, and what of the file we leave out.
//!
//! Both formats are read: of a whole cluster, and of a single virtual host. Nothing is applied here; whoever
//! applies them goes through the same checks as a client's commands.
//!
//! Invariants:
//! - Either the whole document is understood, or the first thing that is not is named by its path.
//! - What is understood but not used stands in [`Definitions::ignored`]; nothing is dropped in silence.

mod arguments;
mod content;
mod error;
mod item;
pub mod limits;
mod reader;

pub use content::{
    BindingDefinition, Credential, Definitions, DestinationName, ExchangeDefinition, Ignored,
    QueueDefinition, UserDefinition, VhostDefinition,
};
pub use error::DefinitionsError;
