//! What publishers, consumers and whoever kills the broker share.

use super::ledger::Ledger;
use super::paths::Paths;
use super::workload::{QUEUE_COUNT, Workload};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};

/// How many complaints of clients are kept.
const COMPLAINTS_MAX: usize = 50;

/// The state of a run, as seen by its clients.
pub struct Traffic {
    /// Which messages there are.
    pub workload: Workload,
    /// Which ways they went.
    pub paths: Paths,
    ledger: Mutex<Ledger>,
    in_flight: AtomicU64,
    confirmed: AtomicU64,
    unresolved: AtomicU64,
    quiet: AtomicBool,
    dying: AtomicBool,
    complaints: Mutex<Vec<String>>,
    unsettled: Vec<AtomicU64>,
}

impl Traffic {
    /// Before the first message.
    pub fn new(workload: Workload) -> Self {
        Self {
            workload,
            paths: Paths::default(),
            ledger: Mutex::new(Ledger::new(workload)),
            in_flight: AtomicU64::new(0),
            confirmed: AtomicU64::new(0),
            unresolved: AtomicU64::new(0),
            quiet: AtomicBool::new(false),
            dying: AtomicBool::new(false),
            complaints: Mutex::new(Vec::new()),
            unsettled: (0..QUEUE_COUNT).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    /// The checker.
    pub fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger
            .lock()
            .expect("nothing panics while it holds the ledger")
    }

    /// The checker, when the run is over.
    pub fn into_ledger(self) -> Ledger {
        self.ledger
            .into_inner()
            .expect("nothing panics while it holds the ledger")
    }

    /// Begins the life of a broker: counts of its life start at zero.
    pub fn begin_round(&self) {
        for counter in [&self.in_flight, &self.confirmed, &self.unresolved] {
            counter.store(0, Ordering::SeqCst);
        }
        self.dying.store(false, Ordering::SeqCst);
    }

    /// The broker is about to be killed: from now on clients may see their connections break.
    pub fn set_dying(&self) {
        self.dying.store(true, Ordering::SeqCst);
    }

    /// A client's session ended. While the broker should live, that is worth a complaint.
    pub fn session_ended(&self, who: &str, why: &lapin::Error) {
        if !self.dying.load(Ordering::SeqCst) {
            let mut complaints = self
                .complaints
                .lock()
                .expect("nothing panics while it holds this");
            if complaints.len() < COMPLAINTS_MAX {
                complaints.push(format!("{who}: {why}"));
            }
        }
    }

    /// What clients complained about.
    pub fn complaints(&self) -> Vec<String> {
        self.complaints
            .lock()
            .expect("nothing panics while it holds this")
            .clone()
    }

    /// A message is handed to the client library.
    pub fn sent(&self) {
        self.in_flight.fetch_add(1, Ordering::SeqCst);
    }

    /// A confirm was seen.
    pub fn confirmed(&self) {
        self.confirmed.fetch_add(1, Ordering::SeqCst);
        self.in_flight.fetch_sub(1, Ordering::SeqCst);
    }

    /// The broker went before it confirmed, or it refused.
    pub fn unresolved(&self) {
        self.unresolved.fetch_add(1, Ordering::SeqCst);
        self.in_flight.fetch_sub(1, Ordering::SeqCst);
    }

    /// Messages sent and neither confirmed nor given up.
    pub fn in_flight_count(&self) -> u64 {
        self.in_flight.load(Ordering::SeqCst)
    }

    /// Messages confirmed in this round.
    pub fn confirmed_count(&self) -> u64 {
        self.confirmed.load(Ordering::SeqCst)
    }

    /// Messages of this round that were never confirmed.
    pub fn unresolved_count(&self) -> u64 {
        self.unresolved.load(Ordering::SeqCst)
    }

    /// Consumers acknowledge everything and give nothing back from now on.
    pub fn set_quiet(&self) {
        self.quiet.store(true, Ordering::SeqCst);
    }

    /// Whether consumers shall be well-behaved.
    pub fn is_quiet(&self) -> bool {
        self.quiet.load(Ordering::SeqCst)
    }

    /// A consumer holds so many deliveries that it has not settled.
    pub fn set_unsettled(&self, queue: usize, count: u64) {
        self.unsettled[queue].store(count, Ordering::SeqCst);
    }

    /// Whether any consumer holds a delivery that it has not settled.
    pub fn is_unsettled(&self) -> bool {
        self.unsettled
            .iter()
            .any(|count| count.load(Ordering::SeqCst) > 0)
    }
}
