//! Records applied in the orders in which a rebuild from the log meets them.

use super::*;
use crate::builder::{BlockBuilder, Place};
use crate::checksum::Salt;
use crate::disk::Now;
use crate::disk::sim::SimDisk;
use crate::disk::{Disk, FileKind};
use crate::format::message::{MessageParts, Origin, Persistence, Reference};
use crate::format::record::{AckReason, QueueAction, QueueRecord, Range};
use crate::ids::{BlockNumber, Epoch, Lsn, SegmentNumber, Seq};
use crate::limits::{BLOCK_HEADER_BYTES, SEGMENT_HEADER_BYTES};
use crate::pool::BufferPool;
use crate::priority::Priority;
use crate::segments::{Segment, SegmentFile};
use std::sync::Arc;

const QUEUE: QueueId = QueueId::new(1);
const SEGMENT: SegmentNumber = SegmentNumber::new(1);
const FIRST: Lsn = Lsn::new(0);

/// A state that is being rebuilt from the one segment that is left of a log.
struct Rebuild {
    state: State<SimDisk>,
    pool: BufferPool,
    end: Lsn,
    blocks: u64,
}

impl Rebuild {
    fn new() -> Self {
        let disk = SimDisk::new(1);
        disk.create_dir("shard-00").unwrap();
        disk.create_dir(INDEX_DIR).unwrap();
        let file = disk.create("segment", FileKind::Journal).unwrap();
        let mut state = State::new(Pages::new(disk, 64 << 10));
        state.rebuilding = true;
        let file = SegmentFile::new(SEGMENT, FIRST, Epoch::new(1), 64 << 10, file);
        state
            .segments
            .push(Segment::new(Arc::new(file), FIRST.plus(SEGMENT_HEADER_BYTES)));
        Self {
            state,
            pool: BufferPool::new(0),
            end: FIRST.plus(SEGMENT_HEADER_BYTES),
            blocks: 0,
        }
    }

    /// The next block of the log, with what `fill` puts into it.
    fn meets(&mut self, fill: impl FnOnce(&mut BlockBuilder, &mut BufferPool)) {
        self.blocks += 1;
        let buf = self.pool.take(0);
        let mut builder = BlockBuilder::new(BlockNumber::new(self.blocks), buf);
        fill(&mut builder, &mut self.pool);
        builder.close(&mut self.pool);
        let place = Place {
            segment: SEGMENT,
            offset: self.end.get(),
            lsn: self.end,
            durable_lsn: self.end,
            previous_crc: 0,
            epoch: Epoch::new(1),
            max_timestamp_ms: 0,
        };
        let block = builder.place(place).seal(Salt::of(1));
        let lsn = block.header.lsn.plus(BLOCK_HEADER_BYTES);
        self.state.apply_payload(block.payload(), lsn, SEGMENT).unwrap();
        self.end = block.header.end();
    }

    fn meets_message(&mut self, seq: u64) {
        let parts = MessageParts {
            origin: Origin::Published,
            persistence: Persistence::Persistent,
            priority: Priority::NONE,
            message_id: seq,
            timestamp_ms: 1,
            properties: &[],
            body: &[b"order"],
        };
        let references = [Reference::of((QUEUE.get(), seq, 0))];
        self.meets(|builder, pool| {
            builder.message(&parts.shape(&references), &parts, &references, pool);
        });
    }

    fn meets_ack(&mut self, seq: u64) {
        let range = Range {
            queue: QUEUE,
            first: Seq::new(seq),
            count: 1,
        };
        self.meets(|builder, _| builder.ack(AckReason::Acked, range, Now::default()));
    }

    /// The queue's state as it was before what stands directly in front of it was applied.
    fn meets_state(&mut self, next_seq: u64) {
        let record = QueueRecord {
            action: QueueAction::State,
            transient: false,
            id: QUEUE,
            next_seq: Seq::new(next_seq),
            floor: Seq::new(0),
            delivery_mark: Seq::new(0),
            acked: b"",
            redelivered: b"",
            attempts: b"",
            meta: b"orders",
        };
        self.meets(|builder, pool| builder.queue(&record, pool));
    }

    fn live(&self) -> u64 {
        self.state.queues.get(QUEUE).map_or(0, |queue| queue.live)
    }
}

#[test]
fn an_acknowledgement_in_front_of_its_queues_name_holds() {
    let mut rebuild = Rebuild::new();
    // The segment in which the queue was created is recycled, and its state was repeated while this was being written.
    rebuild.meets_ack(0);
    rebuild.meets_state(2);
    // What is evacuated is met last.
    rebuild.meets_message(0);
    rebuild.meets_message(1);
    assert_eq!(rebuild.live(), 1);
    assert!(rebuild.state.unnamed.is_empty());
}

#[test]
fn a_rebuild_takes_what_the_log_skipped_for_dead_and_a_copy_that_comes_last_for_alive() {
    let mut rebuild = Rebuild::new();
    rebuild.meets_state(0);
    let range = |first, count| Range {
        queue: QUEUE,
        first: Seq::new(first),
        count,
    };
    rebuild.meets(|builder, _| {
        builder.skip(range(1, 3));
        builder.ack(AckReason::Acked, range(5, 1), Now::default());
    });
    rebuild.meets_message(4);
    // It was evacuated, and its original is recycled.
    rebuild.meets_message(0);
    assert_eq!(rebuild.live(), 2);
    let queue = rebuild.state.queues.get(QUEUE).unwrap();
    assert_eq!(
        (queue.floor, queue.acked.iter().collect::<Vec<_>>()),
        (0, vec![1, 2, 3, 5])
    );
    assert_eq!((queue.unlogged.logged_end, queue.next_seq), (5, 6));
}

#[test]
fn a_delivery_mark_in_front_of_its_queues_name_holds() {
    let mut rebuild = Rebuild::new();
    rebuild.meets(|builder, _| builder.delivered(QUEUE, Seq::new(8)));
    rebuild.meets_state(2);
    assert_eq!(rebuild.state.queues.get(QUEUE).unwrap().mark, 8);
}

#[test]
fn a_queue_that_only_acknowledgements_speak_of_stays_without_a_name() {
    let mut rebuild = Rebuild::new();
    rebuild.meets_ack(0);
    assert!(rebuild.state.unnamed.contains(&QUEUE));
    assert_eq!(rebuild.state.queue_ids_used, QUEUE.get());
}
