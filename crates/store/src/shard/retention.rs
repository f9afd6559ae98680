//! Segments that are kept because of what was acknowledged in them.
//!
//! Invariants:
//! - While any queue keeps what was acknowledged, no segment goes before it is known what lies in it.
//! - What is kept stays where it is: it is recycled later, and until then neither copied nor evacuated. So what is dead stays
//!   dead by the same records as ever.
//! - Only the time of recycling depends on this. Neither the log nor the index knows of it, and a replay decides nothing.
//!
//! Elsewhere: reading it (`history`), recycling (`recycle`), why it is done by segments (docs/decisions/0009).

use super::Shard;
use crate::disk::{Disk, Now};
use crate::error::AppendError;
use crate::history::{Blocks, HeldSegment, messages};
use crate::ids::{QueueId, SegmentNumber};
use crate::limits::{EVACUATION_STEP_BYTES, RETENTION_CHECK_MS};
use crate::retention::Retention;
use crate::segments::{Contents, Segment, segment_path};
use hashbrown::{HashMap, HashSet};
use std::cmp::Reverse;

/// What retention remembers.
pub(crate) struct Keeper<D: Disk> {
    /// Queues that keep what was acknowledged; some of them may be deleted by now.
    queues: HashSet<QueueId>,
    /// Counts how often it was forgotten what lies in segments, because another queue began to keep.
    generation: u64,
    /// When (monotonic ms) to look again what is kept.
    look_at_ms: u64,
    survey: Option<SurveyJob<D>>,
}

/// A step in finding out what lies in a segment, performed without the lock.
pub(crate) struct SurveyJob<D: Disk> {
    number: SegmentNumber,
    blocks: Blocks<D>,
    queues: HashSet<QueueId>,
    generation: u64,
    contents: Contents,
    is_over: bool,
}

impl<D: Disk> Keeper<D> {
    pub(crate) fn new() -> Self {
        Self {
            queues: HashSet::new(),
            generation: 0,
            look_at_ms: 0,
            survey: None,
        }
    }
}

impl<D: Disk> SurveyJob<D> {
    /// Reads on. What cannot be read keeps nothing.
    pub(crate) fn perform(mut self) -> Self {
        let mut read = 0;
        while read < EVACUATION_STEP_BYTES {
            let (segment, offset) = self.blocks.position();
            match self.blocks.next() {
                Ok(Some((lsn, payload))) => {
                    for (_, len, message) in messages(payload, lsn) {
                        for reference in message.references() {
                            if self.queues.contains(&reference.queue) {
                                let share = self.contents.shares.entry(reference.queue).or_default();
                                share.bytes += u64::from(len);
                                share.newest_ms = share.newest_ms.max(message.timestamp_ms);
                            }
                        }
                    }
                    read += crate::format::byte_count(payload.len());
                }
                Ok(None) => {
                    self.is_over = true;
                    break;
                }
                Err(error) => {
                    tracing::warn!(file = %segment_path(segment), offset, %error, "what is kept cannot be read");
                    self.is_over = true;
                    break;
                }
            }
        }
        self
    }
}

impl<D: Disk> Shard<D> {
    /// From now on acknowledged messages of the queue are kept readable for so long, or no longer than others with `None`. To be
    /// said after each start, before anything else is done, as limits are: what is not kept then may go. A delete ends it.
    ///
    /// # Errors
    /// When there is no such queue, or the store is poisoned.
    pub fn set_retention(&mut self, id: QueueId, retention: Option<Retention>) -> Result<(), AppendError> {
        self.check_alive()?;
        let queue = self
            .state
            .queues
            .open_mut(id)
            .ok_or(AppendError::UnknownQueue(id))?;
        queue.retention = retention;
        let has_messages = queue.next_seq > 0;
        self.keeper.look_at_ms = 0;
        if retention.is_some() && self.keeper.queues.insert(id) && has_messages {
            // What is known of segments does not tell of this queue.
            self.keeper.generation += 1;
            for segment in self.state.segments.iter_mut() {
                segment.contents = None;
            }
        }
        Ok(())
    }

    /// Whether the segment must stay because of what was acknowledged in it, or because that is not known.
    pub(super) fn is_held_back(&self, segment: &Segment<D::File>) -> bool {
        !self.keeper.queues.is_empty() && (segment.is_kept || segment.contents.is_none())
    }

    /// Decides again which segments are kept, when it is time.
    pub(super) fn look_what_is_kept(&mut self, now: Now) {
        if now.mono_ms < self.keeper.look_at_ms || self.keeper.queues.is_empty() {
            return;
        }
        self.keeper.look_at_ms = now.mono_ms + RETENTION_CHECK_MS;
        let mut shares: HashMap<QueueId, Vec<(u64, SegmentNumber, u64)>> = HashMap::new();
        for segment in self.state.segments.iter() {
            for (id, share) in segment.contents.iter().flat_map(|contents| &contents.shares) {
                let found = (share.newest_ms, segment.file.number, share.bytes);
                shares.entry(*id).or_default().push(found);
            }
        }
        let queues = &self.state.queues;
        let retention = |id: &QueueId| queues.open(*id).and_then(|queue| queue.retention);
        self.keeper.queues.retain(|id| retention(id).is_some());
        let mut kept = HashSet::new();
        for (id, mut found) in shares {
            let Some(Retention { age_ms, bytes }) = retention(&id) else {
                continue;
            };
            found.sort_unstable_by_key(|share| Reverse(*share));
            let mut newer = 0;
            for (newest_ms, number, share) in found {
                let is_young = age_ms.is_none_or(|age| newest_ms.saturating_add(age) > now.wall_ms);
                if !is_young || bytes.is_some_and(|bytes| newer >= bytes) {
                    break;
                }
                newer += share;
                kept.insert(number);
            }
        }
        for segment in self.state.segments.iter_mut() {
            segment.is_kept = kept.contains(&segment.file.number);
        }
    }

    /// Finds out what lies in segments that could go otherwise.
    pub(super) fn survey_job(&mut self) -> Option<SurveyJob<D>> {
        if self.keeper.queues.is_empty() {
            // It holds the segment that it reads.
            self.keeper.survey = None;
            return None;
        }
        let generation = self.keeper.generation;
        let under_way = self.keeper.survey.take();
        if let Some(job) = under_way.filter(|job| job.generation == generation) {
            return Some(job);
        }
        let current = self.tail.segment().number;
        let is_dead = |segment: &&Segment<D::File>| {
            let number = segment.file.number;
            segment.contents.is_none()
                && segment.live.entries == 0
                && number != current
                && !self.evacuator.is_target(number)
        };
        let dead = self.state.segments.iter().find(is_dead);
        let sparse = || self.sparsest().filter(|segment| segment.contents.is_none());
        let segment = dead.or_else(sparse)?;
        Some(SurveyJob {
            number: segment.file.number,
            blocks: Blocks::new(HeldSegment::new(segment), self.tail.salt()),
            queues: self.keeper.queues.clone(),
            generation,
            contents: Contents::default(),
            is_over: false,
        })
    }

    pub(super) fn finish_survey(&mut self, job: SurveyJob<D>) {
        if !job.is_over {
            self.keeper.survey = Some(job);
            return;
        }
        if job.generation == self.keeper.generation
            && let Some(segment) = self.state.segments.get_mut(job.number)
        {
            segment.contents = Some(job.contents);
            self.keeper.look_at_ms = 0;
        }
    }
}
