//! All kinds of faults, each at its first, second, … n-th call.

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::injection::Injection;
use super::run as single;
use crate::report::{Finding, Report};

/// So many runs that failed leave their folder: each holds what a publisher wrote in a minute at most.
const KEPT_MAX: usize = 3;

/// What to inject.
#[derive(Clone, Debug)]
pub struct CampaignOptions {
    /// The last call that fails, counted from 1.
    pub nth_max: u32,
    /// Every so many calls one run.
    pub step: u32,
    /// Runs at a time.
    pub jobs: usize,
    /// Only kinds whose name contains this.
    pub only: String,
    /// Where data directories and traces are made.
    pub folder: PathBuf,
}

/// Runs everything, with progress on stderr.
pub fn run(options: &CampaignOptions) -> anyhow::Result<Report> {
    let mut findings = Vec::new();
    let mut runs = 0;
    let kept = AtomicUsize::new(0);
    for (mode, call, fault) in Injection::kinds() {
        let name = format!("{mode}: {call} {fault}");
        if !name.contains(&options.only) {
            continue;
        }
        let nths = (1..=options.nth_max).step_by(usize::try_from(options.step.max(1))?);
        let injections: Vec<Injection> = nths
            .map(|nth| Injection {
                mode,
                call,
                fault,
                nth,
            })
            .collect();
        runs += injections.len();
        let failures = all(&injections, options, &kept);
        let detail = match failures.first() {
            None => format!("{} runs", injections.len()),
            Some(first) => format!("{} of {} runs failed; {first}", failures.len(), injections.len()),
        };
        eprintln!("{name}: {detail}");
        findings.push(Finding::new(name, failures.is_empty(), detail));
    }
    Ok(Report::new(
        format!("{runs} runs with one failing call each"),
        findings,
    ))
}

/// What went wrong, in the order of the injections.
fn all(injections: &[Injection], options: &CampaignOptions, kept: &AtomicUsize) -> Vec<String> {
    let next = AtomicUsize::new(0);
    let failures = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..options.jobs.max(1) {
            scope.spawn(|| {
                while let Some(injection) = injections.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Err(error) = one(injection, options, kept) {
                        eprintln!("{injection}: {error:#}");
                        let mut failures = failures.lock().expect("no holder panics");
                        failures.push((injection.nth, format!("{injection}: {error:#}")));
                    }
                }
            });
        }
    });
    let mut failures = failures.into_inner().expect("no holder panics");
    failures.sort();
    failures.into_iter().map(|(_, text)| text).collect()
}

/// One run; its folder stays when it failed, unless enough are `kept` already.
fn one(injection: &Injection, options: &CampaignOptions, kept: &AtomicUsize) -> anyhow::Result<()> {
    let folder = single::kept(&options.folder, injection);
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    std::fs::create_dir_all(&folder)?;
    let result = single::run(injection, &folder);
    if result.is_ok() || kept.fetch_add(1, Ordering::Relaxed) >= KEPT_MAX {
        std::fs::remove_dir_all(&folder)?;
    }
    result
}
