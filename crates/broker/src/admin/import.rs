//! Applying a document of definitions.
//!
//! Invariants:
//! - The whole document is understood before anything of it is applied.
//! - Everything goes through the same checks as a client's declarations.
//! - An exchange or queue that exists already stays as it is; where it is another than the document's, that is told.

use std::sync::{Arc, PoisonError};

use logpond_store::disk::{Disk, Now};

use super::bindings::{BindingRequest, Endpoint};
use super::queues::with_default_kind;
use crate::auth::{DraftError, UserLimits};
use crate::broker::Broker;
use crate::command::{ExchangeDeclare, QueueDeclare};
use crate::definitions::{
    BindingDefinition, Definitions, DefinitionsError, DestinationName, ExchangeDefinition, Loss,
    QueueDefinition, VhostDefinition,
};
use crate::entries::{
    VhostEntry, VhostLimitsEntry, VhostQueueKindEntry, vhost_key, vhost_limits_key, vhost_queue_kind_key,
};
use crate::errors::{AmqpError, Answer, not_found, precondition_failed, storage_failed};
use crate::queue::QueueKind;
use crate::resource::{Resource, without_line_breaks};
use crate::topology::{Vhost, VhostLimits};

/// What an import did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// Users written.
    pub users: usize,
    /// Virtual hosts in the document.
    pub vhosts: usize,
    /// Policies in the document, operator policies among them.
    pub policies: usize,
    /// Exchanges in the document.
    pub exchanges: usize,
    /// Queues in the document.
    pub queues: usize,
    /// Bindings in the document.
    pub bindings: usize,
    /// What stands in the document, is not used, and is not missed either, in words.
    pub ignored: Vec<String>,
    /// What the document asks for and does not exist here, in words. Tell the user: whatever relies on it will not work.
    pub left_out: Vec<String>,
}

/// Why an import stopped. What stands before the named item was applied.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The document is not understood; nothing was applied.
    #[error(transparent)]
    Document(#[from] DefinitionsError),
    /// A user or permission could not be written.
    #[error(transparent)]
    Accounts(#[from] DraftError),
    /// An item was refused.
    #[error("{item}: {error}")]
    Refused {
        /// Which one.
        item: String,
        /// Why.
        error: AmqpError,
    },
}

impl<D: Disk> Broker<D> {
    /// Applies a document of RabbitMQ's definitions (JSON).
    ///
    /// # Errors
    /// When the document is not understood, or something of it is refused.
    pub fn import_definitions(&self, json: &[u8], now: Now) -> Result<Imported, ImportError> {
        let definitions = Definitions::parse(json, None)?;
        let without = |loss| {
            let of_it = definitions.ignored.iter().filter(move |item| item.loss == loss);
            of_it.map(ToString::to_string).collect()
        };
        let mut summary = Imported {
            users: definitions.users.len(),
            vhosts: definitions.vhosts.len(),
            policies: definitions.policies.len(),
            exchanges: definitions.exchanges.len(),
            queues: definitions.queues.len(),
            bindings: definitions.bindings.len(),
            ignored: without(Loss::Nothing),
            left_out: without(Loss::Feature),
        };
        for vhost in &definitions.vhosts {
            refused(&format!("vhost '{}'", vhost.name), self.import_vhost(vhost))?;
        }
        self.import_accounts(&definitions)?;
        for (vhost, limits) in &definitions.vhost_limits {
            refused(
                &format!("limits of vhost '{vhost}'"),
                self.set_vhost_limits(vhost, *limits),
            )?;
        }
        for policy in &definitions.policies {
            let item = format!("policy '{}' in vhost '{}'", policy.name, policy.vhost);
            refused(&item, self.put_policy(policy.clone(), now))?;
        }
        for exchange in &definitions.exchanges {
            let item = Resource::exchange(exchange.name.as_bytes(), &exchange.vhost).to_string();
            let kept = refused(&item, self.import_exchange(exchange))?;
            summary
                .left_out
                .extend(kept.map(|why| kept_as_it_is(&item, &why)));
        }
        for queue in &definitions.queues {
            let item = Resource::queue(&queue.name, &queue.vhost).to_string();
            let kept = refused(&item, self.import_queue(queue, now))?;
            summary
                .left_out
                .extend(kept.map(|why| kept_as_it_is(&item, &why)));
        }
        for binding in &definitions.bindings {
            let source = Resource::exchange(binding.source.as_bytes(), &binding.vhost);
            refused(&format!("binding from {source}"), self.import_binding(binding))?;
        }
        Ok(summary)
    }

    fn import_vhost(&self, definition: &VhostDefinition) -> Answer<()> {
        self.declare_vhost(&definition.name)?;
        let Some(named) = &definition.default_queue_type else {
            return Ok(());
        };
        let kind = QueueKind::of(named.as_bytes()).ok_or_else(|| match named.as_str() {
            "stream" => AmqpError::not_implemented("default_queue_type=stream"),
            _ => precondition_failed(format_args!("invalid default_queue_type '{named}'")),
        })?;
        self.set_default_queue_type(&definition.name, kind)
    }

    /// Sets the kind of queues that are declared without one in a virtual host.
    fn set_default_queue_type(&self, name: &str, kind: QueueKind) -> Answer<()> {
        let vhost = self.known_vhost(name)?;
        let _administration = self.administer();
        if vhost.default_kind() == kind {
            return Ok(());
        }
        let entry = VhostQueueKindEntry {
            vhost: name.to_owned(),
            kind,
        };
        let key = vhost_queue_kind_key(name);
        self.store.catalog().put(&key, &entry).map_err(storage_failed)?;
        vhost.set_default_kind(kind);
        Ok(())
    }

    /// Creates a virtual host, unless it exists.
    ///
    /// # Errors
    /// When the catalog cannot be written.
    pub fn declare_vhost(&self, name: &str) -> Answer<()> {
        let _administration = self.administer();
        if self.vhost(name).is_some() {
            return Ok(());
        }
        let entry = VhostEntry {
            name: name.to_owned(),
        };
        self.store
            .catalog()
            .put(&vhost_key(name), &entry)
            .map_err(storage_failed)?;
        let vhost = Arc::new(Vhost::new(name, self.seed()));
        self.vhosts
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(Arc::clone(&vhost.name), vhost);
        Ok(())
    }

    /// Sets how much a virtual host may have at once.
    ///
    /// # Errors
    /// 404 without the virtual host.
    pub fn set_vhost_limits(&self, name: &str, limits: VhostLimits) -> Answer<()> {
        let vhost = self.known_vhost(name)?;
        let _administration = self.administer();
        let entry = VhostLimitsEntry {
            vhost: name.to_owned(),
            limits,
        };
        let key = vhost_limits_key(name);
        self.store.catalog().put(&key, &entry).map_err(storage_failed)?;
        vhost.set_limits(limits);
        Ok(())
    }

    fn import_accounts(&self, definitions: &Definitions) -> Result<(), DraftError> {
        let _administration = self.administer();
        let mut draft = self.accounts.draft();
        for user in &definitions.users {
            let is_new = self.accounts.directory().user(&user.name).is_none();
            draft.put_user(user.clone().into_user(self.salt())?)?;
            if user.limits != UserLimits::default() {
                draft.put_limits(user.limits.clone())?;
            }
            for permission in user.permissions.iter().filter(|_| is_new) {
                draft.put_permission(permission.clone())?;
            }
        }
        for permission in &definitions.permissions {
            draft.put_permission(permission.clone())?;
        }
        for permission in &definitions.topic_permissions {
            draft.put_topic_permission(permission.clone())?;
        }
        let (directory, changes) = draft.into_parts();
        if !changes.is_empty() {
            self.store.catalog().commit(changes)?;
            self.accounts.publish(directory);
        }
        Ok(())
    }

    /// Declares an exchange. One that exists is kept; how it differs, if it does.
    fn import_exchange(&self, exchange: &ExchangeDefinition) -> Answer<Option<AmqpError>> {
        let vhost = self.known_vhost(&exchange.vhost)?;
        let name = without_line_breaks(&exchange.name);
        let exists = vhost.topology().exchange(name.as_bytes()).is_some();
        let spec = &exchange.spec;
        let request = ExchangeDeclare {
            name: &exchange.name,
            kind: spec.kind.as_str(),
            passive: false,
            durable: spec.durable,
            auto_delete: spec.auto_delete,
            internal: spec.internal,
            arguments: &spec.arguments,
        };
        match self.declare_exchange(&vhost, &request) {
            Err(difference) if exists => Ok(Some(difference)),
            declared => declared.map(|()| None),
        }
    }

    /// Declares a queue. One that exists is kept; how it differs, if it does.
    fn import_queue(&self, queue: &QueueDefinition, now: Now) -> Answer<Option<AmqpError>> {
        let vhost = self.known_vhost(&queue.vhost)?;
        let exists = vhost
            .topology()
            .queue(&without_line_breaks(&queue.name))
            .is_some();
        let mut request = QueueDeclare {
            name: &queue.name,
            passive: false,
            durable: queue.durable,
            exclusive: false,
            auto_delete: queue.auto_delete,
            arguments: &queue.arguments,
        };
        let arguments = with_default_kind(&vhost, &request);
        if let Some(arguments) = &arguments {
            request.arguments = arguments;
        }
        match self.declare_queue(&vhost, &request, None, now, |_| Ok(())) {
            Err(difference) if exists => Ok(Some(difference)),
            declared => declared.map(|_| None),
        }
    }

    fn import_binding(&self, binding: &BindingDefinition) -> Answer<()> {
        let vhost = self.known_vhost(&binding.vhost)?;
        let destination = match &binding.destination {
            DestinationName::Exchange(name) => Endpoint::Exchange(name),
            DestinationName::Queue(name) => {
                let mut guard = self.store.lock();
                let (_, state) = guard.parts();
                let queue = vhost.topology().queue(name).and_then(|id| state.queues.get(&id));
                let queue = queue.ok_or_else(|| not_found(Resource::queue(name, &vhost.name)))?;
                Endpoint::Queue(Arc::clone(&queue.spec))
            }
        };
        let request = BindingRequest {
            source: &binding.source,
            destination,
            routing_key: binding.routing_key.as_bytes(),
            arguments: &binding.arguments,
        };
        self.bind(&vhost, &request)
    }

    pub(crate) fn known_vhost(&self, name: &str) -> Answer<Arc<Vhost>> {
        self.vhost(name)
            .ok_or_else(|| not_found(format_args!("vhost '{name}'")))
    }
}

fn kept_as_it_is(item: &str, difference: &AmqpError) -> String {
    format!("{item} exists and stays as it is: {difference}")
}

fn refused<T>(item: &str, answer: Answer<T>) -> Result<T, ImportError> {
    answer.map_err(|error| ImportError::Refused {
        item: item.to_owned(),
        error,
    })
}
