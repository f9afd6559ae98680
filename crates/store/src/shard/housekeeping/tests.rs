//! When the housekeeper comes back.

use super::*;
use crate::disk::sim::SimDisk;
use crate::engine::Engine;
use crate::options::Options;

/// A store in which removals wait for the device, as after the end of a large queue.
fn removing(disk: &SimDisk) -> Engine<SimDisk> {
    let (engine, _) = Engine::open(disk.clone(), Options::tiny(), ()).unwrap();
    while engine.step() {}
    let mut guard = engine.lock();
    let (segment, now) = (64 << 20, disk.now());
    let removal = &mut guard.shard().chores.removal;
    let granted = removal.grant(80, segment, now);
    removal.note(segment * byte_count(granted), now);
    assert_eq!(removal.awaited_for(now), Some(64));
    drop(guard);
    engine
}

#[test]
fn who_keeps_house_in_a_store_that_has_ended_does_not_come_back_for_removals() {
    let disk = SimDisk::new(1);
    let engine = removing(&disk);
    let mut guard = engine.lock();
    let shard = guard.shard();
    shard.poison(&PoisonCause::new("writing", "a file", io::Error::other("failed")));
    assert!(shard.next_job(disk.now(), CheckpointWish::WhenDue).is_none());
    assert_eq!(shard.chores.removal.awaited_for(disk.now()), None);
}

#[test]
fn who_finds_a_job_under_way_does_not_come_back_for_removals() {
    let disk = SimDisk::new(1);
    let engine = removing(&disk);
    let mut guard = engine.lock();
    let shard = guard.shard();
    assert!(shard.next_job(disk.now(), CheckpointWish::Now).is_some());
    shard.chores.removal.grant(80, 64 << 20, disk.now());
    assert!(shard.next_job(disk.now(), CheckpointWish::WhenDue).is_none());
    assert_eq!(shard.chores.removal.awaited_for(disk.now()), None);
}
