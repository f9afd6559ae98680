//! What a session remembers is bounded, in routes and in what they lead to.

use logpond_store::QueueId;

use super::{Chosen, RouteCache};
use crate::limits::ROUTE_QUEUES_MAX;

/// Remembers routes to so many queues each.
fn remember(cache: &mut RouteCache, keys: std::ops::Range<usize>, queue_count: usize) {
    let ids = (0..queue_count).map(|id| QueueId::new(u64::try_from(id).unwrap()));
    cache.passing.queues = ids.collect();
    for key in keys {
        cache.remember(b"x", key.to_string().as_bytes());
    }
}

fn remembers(cache: &mut RouteCache, key: usize) -> bool {
    cache.recall(b"x", key.to_string().as_bytes()).is_some()
}

#[test]
fn routes_are_forgotten_when_they_lead_to_too_many_queues() {
    let mut cache = RouteCache::default();
    let each = ROUTE_QUEUES_MAX / 4;
    remember(&mut cache, 0..4, each);
    assert!((0..4).all(|key| remembers(&mut cache, key)));
    remember(&mut cache, 4..5, each);
    assert!(!(0..4).any(|key| remembers(&mut cache, key)));
    let chosen = cache.recall(b"x", b"4").unwrap();
    assert_eq!(cache.route(chosen).queues.len(), each);
    remember(&mut cache, 5..1000, each);
    assert!(cache.routes.queue_count() <= ROUTE_QUEUES_MAX);
}

#[test]
fn a_route_to_too_many_queues_is_taken_and_not_remembered() {
    let mut cache = RouteCache::default();
    remember(&mut cache, 0..1, 1);
    remember(&mut cache, 1..2, ROUTE_QUEUES_MAX + 1);
    assert!(remembers(&mut cache, 0));
    assert!(!remembers(&mut cache, 1));
    assert_eq!(cache.route(Chosen::Passing).queues.len(), ROUTE_QUEUES_MAX + 1);
}
