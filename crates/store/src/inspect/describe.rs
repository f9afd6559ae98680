//! Records in words: from decoded bytes to plain values.

use super::contents::{RecordInfo, RecordKind, ReferenceInfo};
use super::walk::Block;
use crate::attempts::Attempts;
use crate::checkpoint::set_of;
use crate::format::byte_count;
use crate::format::message::Persistence;
use crate::format::record::{self, AckReason, QueueAction, Ranges, RangesKind, Record};
use crate::ids::{QueueId, SegmentNumber, Seq};

/// The sound records of a block.
pub(super) fn records(segment: SegmentNumber, block: &Block) -> Vec<RecordInfo> {
    let ranges = block.contents.records.iter();
    ranges
        .map(|range| {
            let offset = block.offset + byte_count(range.start);
            record(segment, offset, &block.bytes[range.clone()])
        })
        .collect()
}

/// The intact record of exactly these bytes, which stand at `offset`.
pub(super) fn record(segment: SegmentNumber, offset: u64, bytes: &[u8]) -> RecordInfo {
    let kind = record::decode(bytes).map_or(RecordKind::Unknown, kind_of);
    RecordInfo {
        segment,
        offset,
        bytes: byte_count(bytes.len()),
        kind,
    }
}

fn kind_of(record: Record<'_>) -> RecordKind {
    match record {
        Record::Message(message) => RecordKind::Message {
            id: message.message_id,
            timestamp_ms: message.timestamp_ms,
            priority: message.priority.get().unwrap_or_default(),
            transient: message.persistence == Persistence::Transient,
            properties_bytes: byte_count(message.properties.len()),
            body_bytes: byte_count(message.body.len()),
            references: message
                .references()
                .map(|reference| ReferenceInfo {
                    queue: reference.queue,
                    seq: reference.seq,
                    expires_ms: reference.expires_ms,
                })
                .collect(),
        },
        Record::Ranges { kind, ranges } => match kind {
            RangesKind::Ack(reason) => RecordKind::Ack {
                reason: reason_of(reason),
                ranges: list(&ranges),
            },
            RangesKind::Requeue => RecordKind::Requeue {
                ranges: ranges
                    .iter()
                    .map(|range| {
                        let (range, attempts) = Attempts::unpack(range);
                        (range.queue, range.first, range.count, attempts)
                    })
                    .collect(),
            },
            RangesKind::Delivered => RecordKind::Delivered {
                marks: ranges.iter().map(|range| (range.queue, range.first)).collect(),
            },
            RangesKind::Skip => RecordKind::Skip {
                ranges: list(&ranges),
            },
        },
        Record::Queue(queue) => RecordKind::Queue {
            action: match queue.action {
                QueueAction::Create => "create",
                QueueAction::State => "state",
                QueueAction::Delete => "delete",
            },
            queue: queue.id,
            transient: queue.transient,
            next_seq: queue.next_seq,
            floor: queue.floor,
            acked: set_of(queue.acked).unwrap_or_default().len(),
            description: String::from_utf8_lossy(queue.meta).into_owned(),
        },
        Record::Mark { wall_ms } => RecordKind::Mark { wall_ms },
    }
}

fn list(ranges: &Ranges<'_>) -> Vec<(QueueId, Seq, u64)> {
    ranges
        .iter()
        .map(|range| (range.queue, range.first, range.count))
        .collect()
}

const fn reason_of(reason: AckReason) -> &'static str {
    match reason {
        AckReason::Acked => "acked",
        AckReason::Expired => "expired",
        AckReason::Dropped => "dropped",
        AckReason::Purged => "purged",
        AckReason::Rejected => "rejected",
    }
}
