//! Compares what recovery found with what it must have found.

use logpond_store::Attempts;

use super::model::{Candidate, Contents, Entry, QueueModel};
use super::observer::{Observed, Seen};

/// The contents to go on with, if `observed` is exactly one of the states that were possible. `mark_step` tells of each queue
/// how many entries behind the last delivered one may be marked as redelivered.
pub(super) fn accept(
    observed: &Observed,
    candidates: &[Candidate],
    mark_step: &dyn Fn(u64) -> usize,
) -> Result<Contents, String> {
    let mut reasons = Vec::new();
    for candidate in candidates {
        match compare(observed, candidate, mark_step) {
            Ok(contents) => return Ok(contents),
            Err(reason) => reasons.push(reason),
        }
    }
    reasons.dedup();
    Err(reasons.join("; or else "))
}

fn compare(
    observed: &Observed,
    candidate: &Candidate,
    mark_step: &dyn Fn(u64) -> usize,
) -> Result<Contents, String> {
    let mut contents = Contents::new();
    for (id, expected) in &candidate.contents {
        let found = observed.get(id).ok_or_else(|| format!("queue {id} is missing"))?;
        let uncertain = |seq| candidate.uncertain.contains(&(*id, seq));
        let found = compare_queue(found, expected, uncertain, mark_step(*id));
        contents.insert(*id, found.map_err(|reason| format!("queue {id}: {reason}"))?);
    }
    match observed.keys().find(|id| !candidate.contents.contains_key(id)) {
        Some(id) => Err(format!("queue {id} should not be there")),
        None => Ok(contents),
    }
}

fn compare_queue(
    found: &[Seen],
    expected: &QueueModel,
    uncertain: impl Fn(u64) -> bool,
    mark_step: usize,
) -> Result<QueueModel, String> {
    let mut entries = std::collections::BTreeMap::new();
    for seen in found {
        let seq = seen.seq;
        let Some(entry) = expected.entries.get(&seq) else {
            return Err(format!(
                "entry {seq} (message {}) should not be there",
                seen.message
            ));
        };
        if entry.message != seen.message {
            return Err(format!(
                "entry {seq} is message {} instead of {}",
                seen.message, entry.message
            ));
        }
        if entry.delivered && !seen.redelivered {
            return Err(format!(
                "entry {seq} was delivered before and is not marked as redelivered"
            ));
        }
        if !is_between(&entry.attempts, &seen.attempts, &entry.attempts_most) {
            return Err(format!(
                "entry {seq} came back {:?}, and says {:?}",
                (entry.attempts, entry.attempts_most),
                seen.attempts
            ));
        }
        let undelivered = || {
            expected
                .entries
                .range(expected.delivered_end.min(seq)..seq)
                .count()
        };
        if seen.redelivered && !entry.delivered && undelivered() > mark_step {
            return Err(format!(
                "entry {seq} is marked as redelivered, far behind everything that was delivered"
            ));
        }
        entries.insert(
            seq,
            Entry {
                delivered: seen.redelivered,
                // A checkpoint may know more than the log will ever say.
                attempts_most: seen.attempts,
                ..*entry
            },
        );
    }
    if let Some(seq) = expected
        .entries
        .keys()
        .find(|seq| !entries.contains_key(seq) && !uncertain(**seq))
    {
        return Err(format!(
            "entry {seq} (message {}) is lost",
            expected.entries[seq].message
        ));
    }
    let marked_end = found
        .iter()
        .filter(|seen| seen.redelivered)
        .map(|seen| seen.seq + 1)
        .max()
        .unwrap_or(0);
    Ok(QueueModel {
        delivered_end: expected.delivered_end.max(marked_end),
        entries,
        ..expected.clone()
    })
}

/// Whether no count is below what blocks say, and none above what happened.
fn is_between(least: &Attempts, found: &Attempts, most: &Attempts) -> bool {
    (least.returned..=most.returned).contains(&found.returned)
        && (least.failed..=most.failed).contains(&found.failed)
}
