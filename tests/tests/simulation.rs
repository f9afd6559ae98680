//! The store on a simulated disk: what `cargo xtask sim` does at length, in a few seconds with a fixed seed.

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use logpond_testkit::flips::{Campaign as Flips, Ending, Subject};
use logpond_testkit::sim::{
    Campaign, Exhaustive, RecoveryCrashes, Statistics, fail_each_call_of_a_start, run_seed,
};

#[test]
fn no_crash_loses_what_was_confirmed_or_invents_what_was_not_published() {
    let campaign = Campaign {
        first_seed: 1,
        time: Duration::from_secs(10),
        threads: 2,
        stop_at_first: true,
    };
    let verdict = campaign.run();
    if let Some(violation) = verdict.violations.first() {
        panic!("seed {}: {}", violation.seed, violation.text);
    }
    let statistics = verdict.statistics;
    for (name, count) in statistics.fields() {
        assert!(count > 0, "the simulation never met: {name}");
    }
}

#[test]
fn no_workload_of_two_operations_is_hurt_by_a_crash_at_any_call() {
    let exhaustive = Exhaustive {
        length: 2,
        recovery: RecoveryCrashes::Nowhere,
        step: 2,
        threads: 2,
        stop_at_first: true,
    };
    let found = exhaustive
        .run(&AtomicBool::new(false), &|_| {})
        .expect("the stores that workloads begin with are made");
    assert_eq!(found.violations, [""; 0]);
    assert!(
        found.workloads > 100 && found.crash_points > 1000 && found.images > 3000,
        "{found}"
    );
    let reached = found.reached;
    assert!(
        reached.rolls > 0 && reached.checkpoints > 0 && reached.copies > 0 && reached.recycles > 0,
        "{found}"
    );
}

#[test]
fn a_start_that_cannot_read_or_change_a_file_names_it_and_takes_nothing_from_the_next() {
    let calls = fail_each_call_of_a_start().unwrap();
    assert!(calls > 100, "{calls} calls");
}

#[test]
fn a_seed_repeats_itself() {
    let counts = || {
        let mut statistics = Statistics::default();
        run_seed(7, &mut statistics).expect("seed 7 is sound");
        statistics.fields()
    };
    assert_eq!(counts(), counts());
}

#[test]
fn a_flipped_bit_costs_the_record_it_hits_and_is_reported_to_the_byte() {
    for ending in [Ending::Closed, Ending::Killed] {
        let subject = Subject::new(1, ending).expect("the store holds what was put into it");
        let campaign = Flips {
            first: 0,
            step: 2003,
            threads: 2,
            limit: Duration::from_secs(60),
        };
        let verdict = campaign.run(&subject, &|_, _| {});
        if let Some(broken) = verdict.violations.first() {
            let (file, offset, bit) = (&broken.file, broken.offset, broken.bit);
            panic!("{ending:?}, {file} byte {offset} bit {bit}: {}", broken.text);
        }
        assert!(verdict.flips > 300, "only {} flips", verdict.flips);
    }
}
