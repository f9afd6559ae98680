//! A channel: its mode, its consumers, and what it owes.

use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::reply::ReplyTo;
use super::transaction::Transaction;
use crate::command::ChannelId;
use crate::confirms::Confirms;
use crate::consumer::ConsumerKey;
use crate::unacked::Unacked;

/// How publishes of a channel are answered.
pub(super) enum Mode {
    /// Not at all.
    Plain,
    /// Each with a confirm.
    Confirm(Confirms),
    /// All together by commit-ok.
    Transactional(Box<Transaction>),
}

/// A channel of a session.
pub(super) struct Channel {
    pub mode: Mode,
    pub unacked: Unacked,
    /// For consumers to come; `None` for any number.
    pub prefetch: Option<u32>,
    pub consumers: HashMap<Arc<str>, ConsumerKey, FixedState>,
    pub last_queue: Arc<str>,
    /// Its consumer of direct replies.
    pub reply_to: Option<ReplyTo>,
    next_delivery_tag: u64,
}

impl Default for Channel {
    fn default() -> Self {
        Self {
            mode: Mode::Plain,
            unacked: Unacked::default(),
            prefetch: None,
            consumers: HashMap::default(),
            last_queue: "".into(),
            reply_to: None,
            next_delivery_tag: 1,
        }
    }
}

impl Channel {
    /// The tag of the next delivery.
    pub(super) fn take_delivery_tag(&mut self) -> u64 {
        let tag = self.next_delivery_tag;
        self.next_delivery_tag += 1;
        tag
    }
}

/// The open channels of a session, by number.
#[derive(Default)]
pub(super) struct Channels {
    slots: Vec<Option<Box<Channel>>>,
}

impl Channels {
    pub(super) fn get(&self, id: ChannelId) -> Option<&Channel> {
        self.slots.get(usize::from(id.get()))?.as_deref()
    }

    pub(super) fn get_mut(&mut self, id: ChannelId) -> Option<&mut Channel> {
        self.slots.get_mut(usize::from(id.get()))?.as_deref_mut()
    }

    /// Opens a channel; false if it is open.
    pub(super) fn open(&mut self, id: ChannelId) -> bool {
        let at = usize::from(id.get());
        if self.slots.len() <= at {
            self.slots.resize_with(at + 1, || None);
        }
        let is_new = self.slots[at].is_none();
        if is_new {
            self.slots[at] = Some(Box::default());
        }
        is_new
    }

    pub(super) fn remove(&mut self, id: ChannelId) -> Option<Box<Channel>> {
        self.slots.get_mut(usize::from(id.get()))?.take()
    }

    /// The open channels' numbers.
    pub(super) fn ids(&self) -> Vec<ChannelId> {
        (0..=u16::MAX)
            .zip(&self.slots)
            .filter(|(_, slot)| slot.is_some())
            .map(|(number, _)| ChannelId::new(number))
            .collect()
    }
}
