//! The store on a simulated disk: what `cargo xtask sim` does at length, in a few seconds with a fixed seed.

use std::time::Duration;

use logpond_testkit::sim::{Campaign, Statistics, run_seed};

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
fn a_seed_repeats_itself() {
    let counts = || {
        let mut statistics = Statistics::default();
        run_seed(7, &mut statistics).expect("seed 7 is sound");
        statistics.fields()
    };
    assert_eq!(counts(), counts());
}
