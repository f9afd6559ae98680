//! A channel: its mode, its consumers, and what it owes.

use std::collections::BTreeMap;
use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::reply::ReplyTo;
use super::transaction::Transaction;
use crate::command::ChannelId;
use crate::confirms::Confirms;
use crate::consumer::ConsumerKey;
use crate::limits::CHANNELS_INDEXED;
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

/// The open channels of a session. A high number makes no large table.
#[derive(Default)]
pub(super) struct Channels {
    /// Those with numbers below [`CHANNELS_INDEXED`], by number.
    near: Vec<Option<Box<Channel>>>,
    far: BTreeMap<u16, Box<Channel>>,
}

impl Channels {
    pub(super) fn get(&self, id: ChannelId) -> Option<&Channel> {
        match place(id) {
            Place::Near(at) => self.near.get(at)?.as_deref(),
            Place::Far(number) => self.far.get(&number).map(|channel| &**channel),
        }
    }

    pub(super) fn get_mut(&mut self, id: ChannelId) -> Option<&mut Channel> {
        match place(id) {
            Place::Near(at) => self.near.get_mut(at)?.as_deref_mut(),
            Place::Far(number) => self.far.get_mut(&number).map(|channel| &mut **channel),
        }
    }

    /// Opens a channel; false if it is open.
    pub(super) fn open(&mut self, id: ChannelId) -> bool {
        if self.get(id).is_some() {
            return false;
        }
        match place(id) {
            Place::Near(at) => {
                if self.near.len() <= at {
                    self.near.resize_with(at + 1, || None);
                }
                self.near[at] = Some(Box::default());
            }
            Place::Far(number) => {
                self.far.insert(number, Box::default());
            }
        }
        true
    }

    pub(super) fn remove(&mut self, id: ChannelId) -> Option<Box<Channel>> {
        match place(id) {
            Place::Near(at) => self.near.get_mut(at)?.take(),
            Place::Far(number) => self.far.remove(&number),
        }
    }

    /// The open channels' numbers.
    pub(super) fn ids(&self) -> Vec<ChannelId> {
        let near = (0..=u16::MAX)
            .zip(&self.near)
            .filter(|(_, slot)| slot.is_some())
            .map(|(number, _)| number);
        near.chain(self.far.keys().copied()).map(ChannelId::new).collect()
    }
}

/// Where a channel is kept.
enum Place {
    Near(usize),
    Far(u16),
}

#[inline]
fn place(id: ChannelId) -> Place {
    let at = usize::from(id.get());
    if at < CHANNELS_INDEXED {
        Place::Near(at)
    } else {
        Place::Far(id.get())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_high_number_makes_no_large_table() {
        let numbers = [1, 2_047, 2_048, u16::MAX].map(ChannelId::new);
        let mut channels = Channels::default();
        for id in numbers {
            assert!(channels.open(id) && !channels.open(id));
        }
        assert_eq!(channels.ids(), numbers);
        assert!(channels.near.len() <= CHANNELS_INDEXED);
        for id in numbers {
            assert!(channels.get_mut(id).is_some() && channels.remove(id).is_some());
            assert!(channels.get(id).is_none() && channels.remove(id).is_none());
        }
        assert!(channels.far.is_empty());
    }
}
