//! One client connection's view of the broker: its channels, its consumers, what is on its way to it.
//!
//! Invariants:
//! - A session belongs to one task; what others do to it waits in its outbox under the shard's lock.
//! - An error that closes a channel has closed it in here before the caller hears of it.
//! - When a session ends, however it ends, everything unacknowledged is back in its queues, and what
//!   belonged to it alone is deleted.
//!
//! Elsewhere: `publish`, `reply` (direct reply-to), `settle` (acknowledgements), `deliver` (what comes out), `lapse` (deliveries
//! that nobody acknowledges), `get`, `consume`, `admin` (declarations), `transaction`.

mod admin;
mod channel;
mod consume;
mod deliver;
mod get;
mod lapse;
mod locked;
mod publish;
mod reply;
mod settle;
mod transaction;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::task::Waker;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use logpond_store::Reader;
use logpond_store::disk::{Disk, Now};

use self::channel::{Channel, Channels, Mode};
use self::deliver::Inbox;
use self::locked::{Locked, Outcome};
use crate::auth::{Action, Login};
use crate::broker::Broker;
use crate::census::Admission;
use crate::command::{Body, ChannelId, Command, Extent, Portion};
use crate::consumer::ConsumerKey;
use crate::effect::{Flow, Reading, Returned};
use crate::errors::{AmqpError, Answer, ReplyCode, Scope, access_refused, precondition_failed};
use crate::outbox::{SessionKey, SessionState};
use crate::queue::QueueKind;
use crate::room_line::{Asker, Crowd};
use crate::routes::RouteCache;
use crate::topology::Vhost;
use crate::unacked::Run;

/// Answer to `queue.declare`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueDeclared {
    /// The queue's name, chosen by the broker if none was asked for.
    pub name: Arc<str>,
    /// Messages ready for delivery.
    pub message_count: u32,
    /// Consumers.
    pub consumer_count: u32,
}

/// One connection to one virtual host; owned by the connection's task. Dropping it is an unclean close.
pub struct Session<D: Disk> {
    broker: Arc<Broker<D>>,
    reader: Reader<D>,
    core: Core,
    last_now: Now,
}

/// A session without the broker and without the disk.
struct Core {
    vhost: Arc<Vhost>,
    login: Login,
    admission: Admission,
    key: SessionKey,
    channels: Channels,
    /// What the consumers are told, by key.
    tags: HashMap<ConsumerKey, Told, FixedState>,
    routes: RouteCache,
    inbox: Inbox,
    /// Channels with publishes that wait for their confirm, each once.
    unconfirmed: Vec<ChannelId>,
    /// Messages whose reading failed: leased until the session ends.
    withheld: Vec<Run>,
    /// Memory for runs that are being settled.
    runs: Vec<Run>,
    /// When an outstanding delivery lapses, at the earliest.
    lapse_ms: Option<u64>,
    /// Only who publishes waits for room: acknowledgements are what makes it.
    has_published: bool,
    crowd: Crowd,
    /// Whether it rejected something since it last looked for dead letters.
    has_rejected: bool,
    state: Life,
}

/// What deliveries to a consumer say beside the message.
struct Told {
    tag: Arc<str>,
    /// That of its queue.
    kind: QueueKind,
    /// How long the consumer may take to acknowledge.
    timeout_ms: Option<u64>,
}

/// Whether anything is still to be done for the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    Open,
    /// A connection error was raised: commands are ignored.
    Failed,
    /// Everything was given back.
    Ended,
}

impl Core {
    fn channel(&mut self, id: ChannelId) -> Answer<&mut Channel> {
        self.channels.get_mut(id).ok_or_else(not_open)
    }
}

fn not_open() -> AmqpError {
    AmqpError::connection(ReplyCode::ChannelError, "expected 'channel.open'")
}

impl<D: Disk> Session<D> {
    pub(crate) fn new(
        broker: Arc<Broker<D>>,
        vhost: Arc<Vhost>,
        login: Login,
        admission: Admission,
        waker: Waker,
    ) -> Self {
        let mut guard = broker.store.lock();
        let (_, state) = guard.parts();
        let key = state.sessions.insert(SessionState::new(waker));
        let crowd = state.room_line.crowd();
        drop(guard);
        let core = Core {
            vhost,
            login,
            admission,
            key,
            channels: Channels::default(),
            tags: HashMap::default(),
            routes: RouteCache::new(key.number()),
            inbox: Inbox::default(),
            unconfirmed: Vec::new(),
            withheld: Vec::new(),
            runs: Vec::new(),
            lapse_ms: None,
            has_published: false,
            crowd,
            has_rejected: false,
            state: Life::Open,
        };
        let reader = broker.store.reader();
        Self {
            broker,
            reader,
            core,
            last_now: Now::default(),
        }
    }

    /// `channel.open`.
    ///
    /// # Errors
    /// 504 when it is open already, 530 when the user has too many.
    pub fn open_channel(&mut self, channel: ChannelId) -> Answer<()> {
        if self.core.channels.open(channel) {
            let limit = self.broker.accounts.limits(self.core.login.user()).max_channels;
            return self.core.admission.open_channel(limit).map_err(|limit| {
                self.core.channels.remove(channel);
                let user = self.core.login.user();
                let text = format!(
                    "number of channels opened for user '{user}' has reached the maximum allowed user limit of {limit}"
                );
                self.fail(AmqpError::connection(ReplyCode::NotAllowed, text))
            });
        }
        Err(self.fail(AmqpError::connection(
            ReplyCode::ChannelError,
            "second 'channel.open' seen",
        )))
    }

    /// `channel.close`: what is unacknowledged goes back, consumers end. Also right for a channel that failed.
    pub fn close_channel(&mut self, channel: ChannelId, now: Now) {
        self.last_now = now;
        if self.core.channels.get(channel).is_none() {
            return;
        }
        let mut locked = Locked::new(&self.broker, &mut self.core, now);
        locked.end_channel(channel);
        locked.release(0, now);
    }

    /// Applies a batch of commands in order, under one lock. `parts` are the slices that [`Body::Parts`]
    /// refers to, `portion` says whether more commands follow at once. `returned` is called for each mandatory message without a
    /// queue, `failed` for a command's channel or connection error; after one, later commands of that channel are ignored and the
    /// channel counts as closed.
    pub fn apply(
        &mut self,
        commands: &[Command<'_>],
        parts: &[&[u8]],
        portion: Portion,
        now: Now,
        returned: &mut impl FnMut(&Returned<'_>),
        failed: &mut impl FnMut(&Command<'_>, AmqpError),
    ) -> Flow {
        self.last_now = now;
        if self.core.state != Life::Open || commands.is_empty() {
            return Flow::Continue;
        }
        let mut locked = Locked::new(&self.broker, &mut self.core, now);
        locked.portion = portion;
        locked.is_looking();
        let mut published = 0;
        for command in commands {
            let outcome = match command {
                Command::Publish(publish) => {
                    published += 1;
                    locked.publish(publish, parts, now, returned)
                }
                Command::Ack { channel, tag, extent } => {
                    locked.settle_tags(*channel, *tag, *extent, Outcome::Acked)
                }
                Command::Nack {
                    channel,
                    tag,
                    extent,
                    give_back,
                } => locked.settle_tags(*channel, *tag, *extent, (*give_back).into()),
                Command::Reject {
                    channel,
                    tag,
                    give_back,
                } => locked.settle_tags(*channel, *tag, Extent::One, (*give_back).into()),
            };
            if let Err(error) = outcome {
                let scope = error.scope;
                locked.end_channel(command.channel());
                failed(command, error);
                if scope == Scope::Connection {
                    locked.core.state = Life::Failed;
                    break;
                }
            }
        }
        locked.core.has_published |= published > 0;
        let flow = locked.ask_for_room(if published > 0 {
            Asker::Published
        } else {
            Asker::Comes
        });
        locked.release(published, now);
        flow
    }

    /// `basic.recover` and `basic.recover-async`: everything outstanding on the channel goes back.
    ///
    /// # Errors
    /// 540 for `requeue=false`.
    pub fn recover(&mut self, channel: ChannelId, requeue: bool, now: Now) -> Answer<()> {
        self.on_channel(channel, now, |session| {
            if !requeue {
                return Err(AmqpError::not_implemented("requeue=false"));
            }
            let mut locked = Locked::new(&session.broker, &mut session.core, now);
            locked.recover(channel);
            locked.release(0, now);
            Ok(())
        })
    }

    /// `confirm.select`.
    ///
    /// # Errors
    /// 406 on a transactional channel.
    pub fn confirm_select(&mut self, channel: ChannelId, now: Now) -> Answer<()> {
        self.on_channel(channel, now, |session| {
            let mode = &mut session.core.channel(channel)?.mode;
            match mode {
                Mode::Transactional(_) => Err(precondition_failed("cannot switch from tx to confirm mode")),
                Mode::Confirm(_) => Ok(()),
                Mode::Plain => {
                    *mode = Mode::Confirm(crate::confirms::Confirms::default());
                    Ok(())
                }
            }
        })
    }

    /// Whether a confirm is still owed to the client.
    pub fn is_unconfirmed(&self) -> bool {
        !self.core.unconfirmed.is_empty()
    }

    /// How much may be read from the client before its session is asked again, once it was told to go on. Takes no lock, so that it
    /// may be asked before each read: what many publishers send at once would all be in memory otherwise.
    pub fn reading(&self) -> Reading {
        match (self.core.crowd.is_there(), self.core.has_published) {
            (false, _) => Reading::Freely,
            (true, false) => Reading::Little,
            (true, true) => Reading::AfterPoll,
        }
    }

    /// `connection.close`: everything unacknowledged goes back, exclusive queues go. Dropping does the same.
    pub fn close(mut self, now: Now) {
        self.end(now);
    }

    fn end(&mut self, now: Now) {
        if std::mem::replace(&mut self.core.state, Life::Ended) == Life::Ended {
            return;
        }
        let key = self.core.key;
        let mut locked = Locked::new(&self.broker, &mut self.core, now);
        locked.settle_sent();
        for channel in locked.core.channels.ids() {
            locked.end_channel(channel);
        }
        locked.end_consumers();
        locked.return_withheld(|_| true);
        let owned = locked
            .state()
            .remove_session(key)
            .map(|session| session.owned)
            .unwrap_or_default();
        locked.release(0, now);
        if !owned.is_empty() {
            self.broker.delete_owned(key, &owned, now);
        }
    }

    /// Runs a method of an open channel; an error closes what it says before it is passed on.
    fn on_channel<T>(
        &mut self,
        channel: ChannelId,
        now: Now,
        method: impl FnOnce(&mut Self) -> Answer<T>,
    ) -> Answer<T> {
        self.last_now = now;
        if self.core.state != Life::Open {
            return Err(AmqpError::connection(
                ReplyCode::ChannelError,
                "the connection has failed",
            ));
        }
        let outcome = match self.core.channels.get(channel) {
            Some(_) => method(self),
            None => Err(not_open()),
        };
        outcome.map_err(|error| match error.scope {
            Scope::Channel => {
                self.close_channel(channel, now);
                error
            }
            Scope::Connection => self.fail(error),
        })
    }

    fn fail(&mut self, error: AmqpError) -> AmqpError {
        self.core.state = Life::Failed;
        error
    }

    /// Whether the user may do this.
    fn authorise(&self, action: Action<'_>) -> Answer<()> {
        authorise(&self.broker, &self.core, action)
    }
}

fn authorise<D: Disk>(broker: &Broker<D>, core: &Core, action: Action<'_>) -> Answer<()> {
    broker
        .accounts
        .check(core.login.user(), &core.vhost.name, action)
        .map_err(access_refused)
}

impl<D: Disk> Drop for Session<D> {
    fn drop(&mut self) {
        let now = self.last_now;
        self.end(now);
    }
}
