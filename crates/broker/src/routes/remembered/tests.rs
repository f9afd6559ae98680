//! What is remembered is found by its address, with all that it leads to.

use foldhash::fast::FixedState;
use logpond_store::QueueId;

use super::{Found, RememberedRoutes};

fn found(queues: &[u64], delays: &[u64]) -> Found {
    let ids = |ids: &[u64]| ids.iter().copied().map(QueueId::new).collect();
    Found {
        queues: ids(queues),
        delays: ids(delays),
        durable: !queues.is_empty(),
        is_limited: !delays.is_empty(),
        may_refuse: !delays.is_empty(),
    }
}

fn key(number: u64) -> String {
    format!("order.{number}")
}

#[test]
fn each_of_many_routes_is_found_by_its_address_with_what_it_leads_to() {
    let mut routes = RememberedRoutes::new(FixedState::with_seed(1));
    for number in 0..1000 {
        let found = match number % 3 {
            0 => found(&[], &[]),
            1 => found(&[number], &[]),
            _ => found(&[number, 1], &[number + 1]),
        };
        let place = routes.add(b"orders", key(number).as_bytes(), &found).unwrap();
        assert!(routes.is_at(place, b"orders", key(number).as_bytes()));
    }
    assert_eq!(routes.len(), 1000);
    for number in 0..1000 {
        let key = key(number);
        let place = routes.find(b"orders", key.as_bytes()).unwrap();
        assert!(routes.is_at(place, b"orders", key.as_bytes()));
        assert!(!routes.is_at(place, b"order", format!("s{key}").as_bytes()));
        let route = routes.get(place).unwrap();
        let (queues, delays) = match number % 3 {
            0 => (vec![], vec![]),
            1 => (vec![number], vec![]),
            _ => (vec![number, 1], vec![number + 1]),
        };
        let numbers = |ids: &[QueueId]| ids.iter().map(|id| id.get()).collect::<Vec<_>>();
        assert_eq!((numbers(route.queues), numbers(route.delays)), (queues, delays));
        assert_eq!(
            (route.durable, route.may_refuse),
            (number % 3 != 0, number % 3 == 2)
        );
        let address = crate::envelope::address(b"orders", key.as_bytes());
        assert_eq!(route.address, address.as_deref());
    }
    assert_eq!(routes.find(b"orders", b"order.1000"), None);
    assert_eq!(routes.find(b"order", b"order.1"), None);
}

#[test]
fn nothing_is_found_after_all_was_forgotten() {
    let mut routes = RememberedRoutes::new(FixedState::with_seed(1));
    let place = routes.add(b"", b"q", &found(&[1], &[])).unwrap();
    routes.clear();
    assert_eq!(routes.find(b"", b"q"), None);
    assert!(!routes.is_at(place, b"", b"q"));
    assert!(routes.get(place).is_none());
}

#[test]
fn a_route_whose_key_is_no_short_string_is_not_remembered() {
    let mut routes = RememberedRoutes::new(FixedState::with_seed(1));
    assert_eq!(routes.add(b"", &[b'k'; 256], &found(&[1], &[])), None);
    assert_eq!(routes.len(), 0);
}

#[test]
fn names_of_all_lengths_are_told_apart() {
    let mut routes = RememberedRoutes::new(FixedState::with_seed(1));
    let name = |len: usize| vec![b'n'; len];
    let lengths = [0, 1, 7, 8, 9, 254, 255];
    let pairs = || {
        lengths
            .iter()
            .flat_map(|one| lengths.iter().map(move |other| (*one, *other)))
    };
    for ((exchange, key), number) in pairs().zip(1..) {
        routes
            .add(&name(exchange), &name(key), &found(&[number], &[]))
            .unwrap();
    }
    for ((exchange, key), number) in pairs().zip(1..) {
        let place = routes.find(&name(exchange), &name(key)).unwrap();
        assert!(routes.is_at(place, &name(exchange), &name(key)));
        assert_eq!(routes.get(place).unwrap().queues, [QueueId::new(number)]);
    }
    assert_eq!(routes.add(&name(256), b"", &found(&[1], &[])), None);
}
