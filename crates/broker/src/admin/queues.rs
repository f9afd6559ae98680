//! `queue.declare` and `queue.delete`.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Arc;

use logpond_routing::{Arguments, Name, Value};
use logpond_store::catalog::Changes;
use logpond_store::disk::{Disk, Now};
use logpond_store::{Counts, Guard, QueueDurability, QueueId};

use crate::arguments::{self, QUEUE_TYPE};
use crate::broker::Broker;
use crate::command::QueueDeclare;
use crate::entries::{QueueEntry, queue_key};
use crate::equivalence::same_field;
use crate::errors::{
    AmqpError, Answer, ReplyCode, access_refused, not_found, precondition_failed, storage_failed,
};
use crate::outbox::SessionKey;
use crate::queue::{Queue, QueueKind, QueueSpec};
use crate::queue_policy::QueuePolicy;
use crate::replies::REPLY_TO;
use crate::resource::{Resource, without_line_breaks};
use crate::session::QueueDeclared;
use crate::state::BrokerState;
use crate::topology::{Gone, Vhost, queue_ref};

/// On which conditions a queue is to be deleted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deletion {
    /// Only when it has no consumers.
    pub if_unused: bool,
    /// Only when it has no messages.
    pub if_empty: bool,
}

impl<D: Disk> Broker<D> {
    /// Looks a queue up for a session, which must not be locked out of it.
    pub(crate) fn find_queue(
        &self,
        vhost: &Vhost,
        state: &BrokerState,
        name: &str,
        asking: SessionKey,
    ) -> Answer<Arc<QueueSpec>> {
        let queue = vhost.topology().queue(name).and_then(|id| state.queues.get(&id));
        let queue = queue.ok_or_else(|| not_found(Resource::queue(name, &vhost.name)))?;
        check_owner(queue, Some(asking), Strictness::Lax)?;
        Ok(Arc::clone(&queue.spec))
    }

    /// Declares a queue, or checks that the existing one is the same. `authorise` hears its name.
    pub(crate) fn declare_queue(
        &self,
        vhost: &Vhost,
        request: &QueueDeclare<'_>,
        asking: Option<SessionKey>,
        now: Now,
        authorise: impl FnOnce(&str) -> Answer<()>,
    ) -> Answer<QueueDeclared> {
        let name = without_line_breaks(request.name);
        if name.starts_with(REPLY_TO) {
            return self.declared_reply_name(vhost, &name);
        }
        if request.passive {
            authorise(&name)?;
            return self.declared_passively(vhost, &name, asking, now);
        }
        if name.starts_with("amq.") {
            return Err(access_refused(format_args!(
                "queue name '{name}' contains reserved prefix 'amq.*'"
            )));
        }
        let name: Arc<str> = if name.is_empty() {
            arguments::check_nameless(request.arguments)?;
            self.unique_name("amq.gen-").into()
        } else {
            name.as_ref().into()
        };
        authorise(&name)?;
        let resource = Resource::queue(&name, &vhost.name);
        // What goes with its connection is not durable, whatever was asked for.
        let request = &QueueDeclare {
            durable: request.durable && !request.exclusive,
            ..request.clone()
        };
        let owner = if request.exclusive { asking } else { None };
        let _administration = self.administer();
        if let Some(id) = vhost.topology().queue(&name) {
            let mut guard = self.store.lock();
            let (shard, state) = guard.parts();
            let queue = state.queues.get(&id).ok_or_else(|| not_found(resource))?;
            check_owner(queue, owner, Strictness::Strict)?;
            check_same(&resource, request, &queue.spec)?;
            let answer = declared(queue, shard.counts(id));
            state.used(id, now);
            return Ok(answer);
        }
        let kind = arguments::queue_kind(&resource, request.arguments)?;
        check_kind(&resource, request, kind)?;
        if let Some(limit) = vhost.limits().max_queues
            && u64::try_from(vhost.topology().routes.queue_count()).is_ok_and(|count| count >= limit)
        {
            return Err(precondition_failed(format_args!(
                "cannot declare queue '{name}': queue limit in vhost '{}' ({limit}) is reached",
                vhost.name
            )));
        }
        arguments::check(&resource, kind, request.arguments)?;
        let spec = QueueSpec {
            id: self.store.next_queue_id(),
            vhost: Arc::clone(&vhost.name),
            name,
            kind,
            durable: request.durable,
            auto_delete: request.auto_delete,
            exclusive: request.exclusive,
            arguments: request.arguments.clone(),
        };
        self.create(vhost, spec, owner, now)
    }

    /// Every declaration of a name for replies is a passive one. What exists has one consumer.
    fn declared_reply_name(&self, vhost: &Vhost, name: &str) -> Answer<QueueDeclared> {
        let mut guard = self.store.lock();
        let (_, state) = guard.parts();
        if name != REPLY_TO && state.reply_consumers.find(&vhost.name, name.as_bytes()).is_none() {
            return Err(not_found(Resource::queue(name, &vhost.name)));
        }
        Ok(QueueDeclared {
            name: name.into(),
            message_count: 0,
            consumer_count: 1,
        })
    }

    fn declared_passively(
        &self,
        vhost: &Vhost,
        name: &str,
        asking: Option<SessionKey>,
        now: Now,
    ) -> Answer<QueueDeclared> {
        let mut guard = self.store.lock();
        let (shard, state) = guard.parts();
        let queue = vhost.topology().queue(name).and_then(|id| state.queues.get(&id));
        let queue = queue.ok_or_else(|| not_found(Resource::queue(name, &vhost.name)))?;
        check_owner(queue, asking, Strictness::Lax)?;
        let id = queue.spec.id;
        let answer = declared(queue, shard.counts(id));
        state.used(id, now);
        Ok(answer)
    }

    fn create(
        &self,
        vhost: &Vhost,
        spec: QueueSpec,
        owner: Option<SessionKey>,
        now: Now,
    ) -> Answer<QueueDeclared> {
        let meta = spec.meta();
        self.check_description(&spec, &meta)?;
        let durability = if spec.is_kept() {
            let key = queue_key(&vhost.name, &spec.name);
            self.store
                .catalog()
                .put(&key, &QueueEntry::from(&spec))
                .map_err(storage_failed)?;
            QueueDurability::Durable
        } else {
            QueueDurability::Transient
        };
        let spec = Arc::new(spec);
        let mut guard = self.store.lock();
        let (shard, state) = guard.parts();
        let block = shard
            .create_queue(spec.id, durability, &meta)
            .map_err(storage_failed)?;
        let queue = Queue::new(Arc::clone(&spec), owner);
        let answer = declared(&queue, None);
        state.queues.insert(spec.id, queue);
        let policies = vhost.policies().for_queue(spec.kind, &spec.name);
        let policy = QueuePolicy::of(&spec, &policies);
        state
            .set_policy(shard, spec.id, policy, now)
            .map_err(storage_failed)?;
        if let Some(session) = owner.and_then(|owner| state.sessions.get_mut(owner)) {
            session.owned.insert(spec.id);
        }
        let Ok(_) = vhost.change(|routes| {
            Ok::<_, Infallible>(routes.add_queue(Name::from(spec.name.as_ref()), queue_ref(spec.id)))
        });
        self.release(guard, 1, now);
        if durability == QueueDurability::Durable {
            self.wait_durable(block)?;
        }
        Ok(answer)
    }

    /// Before the catalog names a queue that the journal cannot have.
    fn check_description(&self, spec: &QueueSpec, meta: &[u8]) -> Answer<()> {
        let limit = self.store.lock().shard().queue_meta_bytes_max();
        if u64::try_from(meta.len()).is_ok_and(|bytes| bytes <= limit) {
            return Ok(());
        }
        Err(precondition_failed(format_args!(
            "name and arguments of {spec} take {} bytes, and may take {limit}",
            meta.len()
        )))
    }

    /// Deletes a queue for a session (or for an administrator): how many messages went with it.
    pub(crate) fn delete_queue(
        &self,
        vhost: &Vhost,
        name: &str,
        deletion: Deletion,
        asking: Option<SessionKey>,
        now: Now,
    ) -> Answer<u32> {
        let name = without_line_breaks(name);
        let _administration = self.administer();
        let mut guard = self.store.lock();
        let (shard, state) = guard.parts();
        let Some(queue) = vhost.topology().queue(&name).and_then(|id| state.queues.get(&id)) else {
            return Ok(0);
        };
        if asking.is_some() {
            check_owner(queue, asking, Strictness::Lax)?;
        }
        let unsupported = match deletion {
            Deletion { if_unused: true, .. } => Some("if-unused"),
            Deletion { if_empty: true, .. } => Some("if-empty"),
            Deletion { .. } => None,
        };
        if let Some(flag) = unsupported.filter(|_| queue.spec.kind == QueueKind::Quorum) {
            return Err(AmqpError::not_implemented(format_args!(
                "cannot delete {}. queue.delete operations with {flag} flag set are not supported by quorum queues",
                queue.spec
            )));
        }
        let counts = shard.counts(queue.spec.id).unwrap_or_default();
        if deletion.if_unused && !queue.rota.is_empty() {
            return Err(precondition_failed(format_args!("{} in use", queue.spec)));
        }
        if deletion.if_empty && counts.ready > 0 {
            return Err(precondition_failed(format_args!("{} not empty", queue.spec)));
        }
        let spec = Arc::clone(&queue.spec);
        self.remove(guard, vhost, &spec, now)?;
        Ok(count(counts.ready))
    }

    /// Deletes an auto-delete queue whose last consumer went, unless a new one came meanwhile.
    pub(crate) fn delete_abandoned(&self, id: QueueId, now: Now) {
        self.delete_unused(id, now, |queue| queue.rota.is_empty());
    }

    /// Deletes a queue, if it still is as the caller saw it.
    pub(crate) fn delete_unused(&self, id: QueueId, now: Now, is_unused: impl FnOnce(&Queue) -> bool) {
        let _administration = self.administer();
        let mut guard = self.store.lock();
        let (_, state) = guard.parts();
        let Some(queue) = state.queues.get(&id).filter(|queue| is_unused(queue)) else {
            return;
        };
        let spec = Arc::clone(&queue.spec);
        self.remove_and_log(guard, &spec, now);
    }

    /// Deletes the queues that belong to a session which ends.
    pub(crate) fn delete_owned(&self, owner: SessionKey, queues: &BTreeSet<QueueId>, now: Now) {
        let _administration = self.administer();
        for id in queues {
            let mut guard = self.store.lock();
            let (_, state) = guard.parts();
            let Some(queue) = state.queues.get(id).filter(|queue| queue.owner == Some(owner)) else {
                continue;
            };
            let spec = Arc::clone(&queue.spec);
            self.remove_and_log(guard, &spec, now);
        }
    }

    fn remove_and_log(&self, mut guard: Guard<'_, D, BrokerState>, spec: &QueueSpec, now: Now) {
        if guard.shard().poisoned().is_some() {
            // The store was closed, or has failed and said so: what is to go, goes at the next start.
            return;
        }
        let Some(vhost) = self.vhost(&spec.vhost) else {
            return;
        };
        if let Err(error) = self.remove(guard, &vhost, spec, now) {
            tracing::error!(queue = %spec, %error, "the queue could not be deleted");
        }
    }

    /// Takes the queue out of the journal, the topology and, when that is durable, the catalog.
    fn remove(
        &self,
        mut guard: Guard<'_, D, BrokerState>,
        vhost: &Vhost,
        spec: &QueueSpec,
        now: Now,
    ) -> Answer<()> {
        let (shard, state) = guard.parts();
        let block = shard.delete_queue(spec.id).map_err(storage_failed)?;
        state.remove_queue(spec.id);
        let mut gone = Gone::default();
        let Ok(()) = vhost.change(|routes| {
            let removed = routes.remove_queue(spec.name.as_bytes(), queue_ref(spec.id));
            gone.follow(routes, removed);
            Ok::<_, Infallible>(())
        });
        self.release(guard, 1, now);
        let mut changes = Changes::default();
        self.forget(vhost, &gone, &mut changes)?;
        if spec.is_kept() {
            self.wait_durable(block)?;
            changes.delete(&queue_key(&vhost.name, &spec.name));
        }
        self.commit_definitions(changes)
    }
}

/// Whether an exclusive declaration is asked of a queue that is not exclusive.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Strictness {
    Strict,
    Lax,
}

fn check_owner(queue: &Queue, asking: Option<SessionKey>, strictness: Strictness) -> Answer<()> {
    if queue.owner == asking || (queue.owner.is_none() && strictness == Strictness::Lax) {
        return Ok(());
    }
    Err(AmqpError::channel(
        ReplyCode::ResourceLocked,
        format_args!(
            "cannot obtain exclusive access to locked {}. It could be originally declared on another \
             connection or the exclusive property value does not match that of the original declaration.",
            queue.spec
        ),
    ))
}

fn check_same(resource: &Resource<'_>, request: &QueueDeclare<'_>, current: &QueueSpec) -> Answer<()> {
    same_field("durable", resource, &request.durable, &current.durable)?;
    same_field(
        "auto_delete",
        resource,
        &request.auto_delete,
        &current.auto_delete,
    )?;
    arguments::same(resource, current.kind, request.arguments, &current.arguments)
}

/// A quorum queue is made to stay.
fn check_kind(resource: &Resource<'_>, request: &QueueDeclare<'_>, kind: QueueKind) -> Answer<()> {
    let problem = match kind {
        QueueKind::Classic => return Ok(()),
        QueueKind::Quorum if request.auto_delete => "auto-delete",
        QueueKind::Quorum if request.exclusive => "exclusive-owner",
        QueueKind::Quorum if !request.durable => "non-durable",
        QueueKind::Quorum => return Ok(()),
    };
    Err(precondition_failed(format_args!(
        "invalid property '{problem}' for {resource}"
    )))
}

/// The arguments with the virtual host's kind of queue, if they name none and the declaration fits that kind.
pub(crate) fn with_default_kind(vhost: &Vhost, request: &QueueDeclare<'_>) -> Option<Arguments> {
    let kind = vhost.default_kind();
    let fits = request.durable && !request.exclusive && !request.auto_delete;
    if kind == QueueKind::Classic || !fits || request.arguments.get(QUEUE_TYPE).is_some() {
        return None;
    }
    let mut arguments = request.arguments.clone();
    arguments.insert(QUEUE_TYPE, Value::str(kind.as_str()));
    Some(arguments)
}

fn declared(queue: &Queue, counts: Option<Counts>) -> QueueDeclared {
    QueueDeclared {
        name: Arc::clone(&queue.spec.name),
        message_count: count(counts.unwrap_or_default().ready),
        consumer_count: u32::try_from(queue.rota.len()).unwrap_or(u32::MAX),
    }
}

/// The wire counts in 32 bits.
pub(crate) fn count(messages: u64) -> u32 {
    u32::try_from(messages).unwrap_or(u32::MAX)
}
