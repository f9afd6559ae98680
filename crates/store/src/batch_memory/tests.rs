//! Batches, small and large ones behind each other.

use super::*;
use crate::disk::DIRECT_IO_ALIGNMENT;
use crate::format::message::Persistence;
use crate::format::pad8;
use crate::priority::Priority;

fn reserve() -> &'static Reserve {
    Box::leak(Box::new(Reserve::new()))
}

fn filled(reserve: &'static Reserve, records: usize, len: usize) -> (BatchMemory, Vec<u8>) {
    let (mut memory, mut all) = (BatchMemory::of(reserve), Vec::new());
    for at in 0..records {
        let body = vec![u8::try_from(at % 251).unwrap(); len];
        let message = UnplacedMessage {
            properties: &[],
            body: &body,
            persistence: Persistence::Persistent,
            priority: Priority::NONE,
            life_ms: None,
        };
        let len = pad8(message.shape(1).record_len());
        memory.push(len, &[QueueId::new(1)], &message);
        message::encode_message(&mut all, &[QueueId::new(1)], &message);
    }
    (memory, all)
}

#[test]
fn the_memory_of_a_large_batch_becomes_a_block_with_its_records_where_they_belong() {
    for (records, len) in [(20, 100_000), (3_000, 1_000), (1, 5_000_000)] {
        let (mut memory, all) = filled(reserve(), records, len);
        assert_eq!(memory.records(), all);
        let block = memory.take_block().expect("it is large");
        assert_eq!(block.as_ptr().align_offset(DIRECT_IO_ALIGNMENT), 0);
        assert_eq!(&block[HEADER_LEN..], all);
        assert!(block.capacity() >= block.len().next_multiple_of(DIRECT_IO_ALIGNMENT));
        assert_eq!(memory.records(), b"");
    }
}

#[test]
fn a_small_batch_keeps_its_memory() {
    let (mut memory, all) = filled(reserve(), 10, 100);
    assert!(memory.take_block().is_none());
    assert_eq!(memory.records(), all);
}

#[test]
fn memory_of_which_most_is_unused_stays_with_the_batch() {
    let (mut memory, all) = filled(reserve(), 7, 100_000);
    memory.large.reserve(64 << 20);
    assert!(memory.take_block().is_none());
    assert_eq!(memory.records(), all);
}

#[test]
fn a_batch_begins_in_the_memory_of_one_that_was_as_large() {
    let reserve = reserve();
    let (mut first, _) = filled(reserve, 30, 100_000);
    let block = first.take_block().expect("it is large");
    let address = block.as_ptr();
    reserve.give(block);
    let (mut second, all) = filled(reserve, 30, 100_000);
    assert!(second.small.is_empty());
    assert_eq!(second.records(), all);
    assert_eq!(second.take_block().expect("it is large").as_ptr(), address);
}

#[test]
fn small_batches_behind_a_large_one_leave_its_memory_where_it_is() {
    let reserve = reserve();
    let (mut large, _) = filled(reserve, 30, 100_000);
    reserve.give(large.take_block().expect("it is large"));
    let (small, all) = filled(reserve, 3, 100);
    assert!(small.large.is_empty());
    assert_eq!(small.records(), all);
}

#[test]
fn a_batch_that_stayed_smaller_than_expected_gives_the_memory_back_and_nobody_expects_more_then() {
    let reserve = reserve();
    let (mut large, _) = filled(reserve, 30, 100_000);
    reserve.give(large.take_block().expect("it is large"));
    let pieces = reserve.kept().pieces.len();
    let (mut other, all) = filled(reserve, 2, 100_000);
    assert_eq!(reserve.kept().pieces.len(), pieces - 1);
    assert!(other.take_block().is_none());
    assert_eq!(other.records(), all);
    drop(other);
    assert_eq!(reserve.kept().pieces.len(), pieces);
    assert!(filled(reserve, 2, 100_000).0.large.is_empty());
}
