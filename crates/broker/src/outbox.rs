//! What waits for one session: leased messages on their way to its consumers, and notices.
//!
//! Invariants:
//! - `runs` partition `leases` in order: the counts of all runs add up to the number of leases.
//! - A dead run's messages went back to their queue already; it only keeps its place until the swap.
//! - A session is woken at most once between two of its polls.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::task::Waker;

use logpond_store::{BlockNumber, Lease, QueueId, Sources};

use crate::command::ChannelId;
use crate::consumer::{AckMode, ConsumerKey};
use crate::limits::{OUTBOX_BLOCKS_MAX, OUTBOX_BYTES_MAX, OUTBOX_MESSAGES_MAX};
use crate::registry::Key;
use crate::replies::ReplyBox;

/// Names a session, also after it went.
pub(crate) type SessionKey = Key<SessionState>;

/// Consecutive messages of an outbox that belong together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OutRun {
    pub consumer: ConsumerKey,
    pub channel: ChannelId,
    pub queue: QueueId,
    pub ack_mode: AckMode,
    pub count: usize,
    pub live: bool,
}

/// Messages on their way to a session's consumers.
#[derive(Default)]
pub(crate) struct Outbox {
    pub runs: Vec<OutRun>,
    pub leases: Vec<Lease>,
    pub sources: Sources,
    pub bytes: u64,
}

impl Outbox {
    /// How many messages and bytes still fit.
    pub(crate) fn room(&self) -> Option<(u32, u64)> {
        let messages = OUTBOX_MESSAGES_MAX.saturating_sub(self.leases.len());
        let bytes = OUTBOX_BYTES_MAX.saturating_sub(self.bytes);
        if messages == 0 || bytes == 0 || self.sources.len() >= OUTBOX_BLOCKS_MAX {
            return None;
        }
        Some((u32::try_from(messages).unwrap_or(u32::MAX), bytes))
    }

    /// Accounts for the leases from `from` on, which were just appended for `run`.
    pub(crate) fn appended(&mut self, from: usize, run: OutRun) {
        let new = &self.leases[from..];
        self.bytes += new.iter().map(|lease| u64::from(lease.len)).sum::<u64>();
        let count = new.len();
        match self.runs.last_mut() {
            Some(last) if last.live && last.consumer == run.consumer => last.count += count,
            _ => self.runs.push(OutRun { count, ..run }),
        }
        debug_assert_eq!(
            self.runs.iter().map(|run| run.count).sum::<usize>(),
            self.leases.len()
        );
    }

    /// Kills the runs that `matches`, from the given run and lease on, and hands out their leases.
    pub(crate) fn kill(
        &mut self,
        at: Position,
        mut matches: impl FnMut(&OutRun) -> bool,
        mut taken: impl FnMut(&OutRun, &[Lease]),
    ) {
        let mut lease = at.lease;
        for (index, run) in self.runs.iter_mut().enumerate().skip(at.run) {
            let count = if index == at.run {
                run.count - at.within
            } else {
                run.count
            };
            if run.live && matches(run) {
                run.live = false;
                taken(run, &self.leases[lease..lease + count]);
            }
            lease += count;
        }
    }

    /// Forgets everything, keeps its memory.
    pub(crate) fn clear(&mut self) {
        self.runs.clear();
        self.leases.clear();
        self.sources.clear();
        self.bytes = 0;
    }
}

/// How far an outbox was worked off.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Position {
    /// The current run.
    pub run: usize,
    /// How many of the current run are done.
    pub within: usize,
    /// How many leases are done in all.
    pub lease: usize,
}

/// What a session has to tell its client apart from messages.
#[derive(Clone, Debug)]
pub(crate) enum Notice {
    /// A consumer's queue went.
    Cancelled {
        channel: ChannelId,
        consumer: ConsumerKey,
        tag: Arc<str>,
    },
}

/// What the shard knows of a session.
pub(crate) struct SessionState {
    waker: Waker,
    woken: bool,
    pub outbox: Outbox,
    pub notices: Vec<Notice>,
    pub replies: ReplyBox,
    /// Queues with messages for this session that did not fit into its outbox, longest waiting first, each once.
    pub stalled: VecDeque<QueueId>,
    /// The first block whose durability the session waits for.
    pub confirm_block: Option<BlockNumber>,
    /// From when it was to wait for room in the store until it published: see [`RoomLine`](crate::room_line::RoomLine).
    pub place_in_line: Option<u64>,
    /// Queues that belong to it alone, and exist.
    pub owned: BTreeSet<QueueId>,
}

impl SessionState {
    pub(crate) fn new(waker: Waker) -> Self {
        Self {
            waker,
            woken: false,
            outbox: Outbox::default(),
            notices: Vec::new(),
            replies: ReplyBox::default(),
            stalled: VecDeque::new(),
            confirm_block: None,
            place_in_line: None,
            owned: BTreeSet::new(),
        }
    }

    /// Notes that the session has something to do.
    pub(crate) fn wake(&mut self, wakers: &mut Vec<Waker>) {
        if !self.woken {
            self.woken = true;
            wakers.push(self.waker.clone());
        }
    }

    /// Notes that a queue has messages for which the outbox has no room.
    pub(crate) fn stall(&mut self, queue: QueueId) {
        // The last one first: its other consumers are refused right after the first.
        if self.stalled.back() != Some(&queue) && !self.stalled.contains(&queue) {
            self.stalled.push_back(queue);
        }
    }

    /// Forgets a queue that has no consumer any more which waits for room.
    pub(crate) fn unstall(&mut self, queue: QueueId) {
        self.stalled.retain(|other| *other != queue);
    }

    /// The session looks by itself soon, so nobody needs to wake it.
    pub(crate) fn is_looking(&mut self) {
        self.woken = true;
    }

    /// The session has seen everything; what comes from now on wakes it.
    pub(crate) fn has_looked(&mut self) {
        self.woken = false;
    }
}
