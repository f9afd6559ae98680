//! The queues of a shard by id. Messages of one batch mostly go to the same queue, so the last one is
//! remembered.

use crate::ids::QueueId;
use crate::queue::Queue;
use hashbrown::HashMap;
use slab_slots::Slots;

#[derive(Default)]
pub(crate) struct QueueTable {
    slots: HashMap<QueueId, usize, foldhash::fast::FixedState>,
    queues: Slots,
    last: Option<(QueueId, usize)>,
}

impl QueueTable {
    pub(crate) fn insert(&mut self, queue: Queue) {
        let id = queue.id;
        let slot = self.queues.put(queue);
        self.slots.insert(id, slot);
    }

    pub(crate) fn remove(&mut self, id: QueueId) -> Option<Queue> {
        self.last = None;
        let slot = self.slots.remove(&id)?;
        self.queues.take(slot)
    }

    pub(crate) fn contains(&self, id: QueueId) -> bool {
        self.slots.contains_key(&id)
    }

    pub(crate) fn get(&self, id: QueueId) -> Option<&Queue> {
        let slot = match self.last {
            Some((last, slot)) if last == id => slot,
            _ => *self.slots.get(&id)?,
        };
        self.queues.get(slot)
    }

    /// The queue, unless it is deleted.
    pub(crate) fn open(&self, id: QueueId) -> Option<&Queue> {
        self.get(id).filter(|queue| !queue.is_deleted)
    }

    /// The queue, unless it is deleted.
    pub(crate) fn open_mut(&mut self, id: QueueId) -> Option<&mut Queue> {
        self.get_mut(id).filter(|queue| !queue.is_deleted)
    }

    pub(crate) fn get_mut(&mut self, id: QueueId) -> Option<&mut Queue> {
        let slot = match self.last {
            Some((last, slot)) if last == id => slot,
            _ => *self.slots.get(&id)?,
        };
        self.last = Some((id, slot));
        self.queues.get_mut(slot)
    }

    /// All queues, in the order of their slots.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Queue> {
        self.queues.iter()
    }

    /// All queues, to change.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Queue> {
        self.queues.iter_mut()
    }
}

mod slab_slots {
    //! Queues in numbered slots that are used again.

    use super::Queue;

    #[derive(Default)]
    pub(super) struct Slots {
        slots: Vec<Option<Box<Queue>>>,
        free: Vec<usize>,
    }

    impl Slots {
        pub(super) fn put(&mut self, queue: Queue) -> usize {
            let queue = Some(Box::new(queue));
            match self.free.pop() {
                Some(slot) => {
                    self.slots[slot] = queue;
                    slot
                }
                None => {
                    self.slots.push(queue);
                    self.slots.len() - 1
                }
            }
        }

        pub(super) fn take(&mut self, slot: usize) -> Option<Queue> {
            let queue = self.slots.get_mut(slot)?.take()?;
            self.free.push(slot);
            Some(*queue)
        }

        pub(super) fn get(&self, slot: usize) -> Option<&Queue> {
            self.slots.get(slot)?.as_deref()
        }

        pub(super) fn get_mut(&mut self, slot: usize) -> Option<&mut Queue> {
            self.slots.get_mut(slot)?.as_deref_mut()
        }

        pub(super) fn iter(&self) -> impl Iterator<Item = &Queue> {
            self.slots.iter().filter_map(Option::as_deref)
        }

        pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Queue> {
            self.slots.iter_mut().filter_map(Option::as_deref_mut)
        }
    }
}
