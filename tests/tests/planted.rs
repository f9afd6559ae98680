//! Known bugs, planted: an exhaustive run that finds nothing must be one that could have.
//!
//! A bug is planted in the whole process, so this file has one test.

use std::sync::atomic::AtomicBool;

use logpond_store::planted::{Planted, plant};
use logpond_testkit::sim::{Exhaustive, RecoveryCrashes};

/// What workloads of two operations reach on a disk that works.
const WITHIN_REACH: [Planted; 4] = [
    Planted::SkipSync,
    Planted::SkipDirectorySync,
    Planted::ConfirmBeforeSync,
    Planted::ForgetReferenceInFanOut,
];

#[test]
fn an_exhaustive_run_finds_planted_bugs() {
    for bug in WITHIN_REACH {
        plant(Some(bug));
        let found = Exhaustive {
            length: 2,
            recovery: RecoveryCrashes::Nowhere,
            step: 1,
            threads: 2,
            stop_at_first: true,
        }
        .run(&AtomicBool::new(false), &|_| {})
        .expect("the stores that workloads begin with are made");
        plant(None);
        let first = found.violations.first();
        let first = first.unwrap_or_else(|| panic!("{} was not found: {found}", bug.describe()));
        println!("{}: {first}", bug.describe());
    }
}
