//! Declaring, binding and deleting: rare, under one lock, and durable before the answer.
//!
//! Invariants:
//! - Create: the catalog first, then the journal, then the answer. Delete: the other way round. So an
//!   interrupted one leaves at worst a definition without messages, never messages without a definition.
//! - What a session may do is checked by the session; here is what would contradict itself.

mod bindings;
mod exchanges;
mod import;
mod queues;

pub(crate) use bindings::{BindingRequest, Endpoint};
pub(crate) use exchanges::ALTERNATE_EXCHANGE;
pub use import::{ImportError, Imported};
pub(crate) use queues::{Deletion, count, with_default_kind};

use logpond_routing::ExchangeKind;
use logpond_store::catalog::Changes;
use logpond_store::disk::Disk;

use crate::broker::Broker;
use crate::entries::{binding_key, delay_key, exchange_key};
use crate::errors::{Answer, storage_failed};
use crate::topology::{Gone, Vhost};

impl<D: Disk> Broker<D> {
    /// Makes changes of the catalog durable, if there are any.
    pub(crate) fn commit_definitions(&self, changes: Changes) -> Answer<()> {
        if changes.is_empty() {
            return Ok(());
        }
        self.store.catalog().commit(changes).map_err(storage_failed)
    }

    /// Adds the removal of what is gone to `changes`. What waited for exchanges that are gone goes at once.
    fn forget(&self, vhost: &Vhost, gone: &Gone, changes: &mut Changes) -> Answer<()> {
        let delaying = gone
            .exchanges
            .iter()
            .filter(|(_, spec)| spec.kind == ExchangeKind::Delayed);
        for (name, _) in delaying.clone() {
            self.delete_delay_queue(vhost, name)?;
        }
        let keys = gone
            .exchanges
            .iter()
            .map(|(name, _)| exchange_key(&vhost.name, name.as_bytes()))
            .chain(
                gone.bindings
                    .iter()
                    .map(|binding| binding_key(&vhost.name, binding)),
            )
            .chain(delaying.map(|(name, _)| delay_key(&vhost.name, name.as_bytes())));
        let catalog = self.store.catalog();
        for key in keys.filter(|key| catalog.get(key).is_some()) {
            changes.delete(&key);
        }
        Ok(())
    }
}
