//! The whole run: broker after broker on one data directory, each killed; in the end everything is drained
//! and judged.
//!
//! Elsewhere: when a broker is killed (`moment`), what clients do (`publisher`, `consumer`), who judges (`ledger`).

use super::judgement::judgements;
use super::ledger::Ledger;
use super::moment::{Moment, Thresholds};
use super::sessions::Sessions;
use super::topology::{WORK, connect, declare, depth, queue_name};
use super::traffic::Traffic;
use super::workload::{QUEUE_COUNT, Workload};
use crate::broker_process::{BrokerProcess, Launch};
use crate::random::Random;
use crate::report::{Finding, Report};
use anyhow::Context;
use indicatif::{ProgressBar, ProgressStyle};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

/// One kill under load in so many is at a segment roll, and one is followed by a kill during recovery.
const SPECIAL_EVERY: u32 = 8;
/// Kills under load that miss their moment before the run gives up, per kill asked for.
const MISSES_MAX_PER_KILL: u32 = 2;
/// With more than this in its queues, a broker first sees consumers alone.
const BACKLOG_MESSAGES_MAX: u64 = 150_000;
/// How long everything must be empty before it counts as drained.
const SILENCE: Duration = Duration::from_secs(1);
/// Longest that a drain may take.
const DRAIN_PATIENCE: Duration = Duration::from_secs(600);
/// How often a drain is looked at.
const DRAIN_GLANCE: Duration = Duration::from_millis(100);

/// What a run consists of.
#[derive(Clone, Debug)]
pub struct CampaignOptions {
    /// Kills under load that reach the thresholds.
    pub kills: u32,
    /// What everything random is made from.
    pub seed: u64,
    /// Messages confirmed since the broker's start, before it is killed.
    pub confirmed_min: u64,
    /// Messages in flight when it is killed.
    pub in_flight_min: u64,
    /// Size of the broker's segments: small, so that it rolls often.
    pub segment_bytes: u64,
    /// Where the data directory is made.
    pub folder: PathBuf,
    /// Keep the data directory of a run without violations.
    pub keep: bool,
    /// Copy the data directory after each kill, to find out later in which life something went wrong.
    pub images: bool,
}

/// What was done to the brokers.
#[derive(Clone, Debug, Default)]
struct Kills {
    loaded: u32,
    at_roll: u32,
    in_recovery: u32,
    missed: u32,
    deaf_clients: usize,
    in_flight_least: Option<u64>,
    confirmed_least: Option<u64>,
    starts: Vec<Duration>,
}

/// Runs a campaign.
pub fn run(options: &CampaignOptions) -> anyhow::Result<Report> {
    let data = options.folder.join(format!("crash-{}", options.seed));
    if data.exists() {
        std::fs::remove_dir_all(&data).with_context(|| format!("cannot remove {}", data.display()))?;
    }
    let launch =
        Launch::from_environment(&data)?.set(format!("store.segment_bytes={}", options.segment_bytes));
    let _ = std::fs::remove_file(launch.log());
    eprintln!(
        "seed {}, data in {}, log in {}",
        options.seed,
        data.display(),
        launch.log().display()
    );
    let mut campaign = Campaign {
        options,
        launch,
        random: Random::of(options.seed, 100),
        runtime: tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?,
        traffic: Arc::new(Traffic::new(Workload::new(options.seed))),
        kills: Kills::default(),
        is_declared: false,
        images: 0,
    };
    campaign.kill_all()?;
    campaign.drain_and_restart()?;
    let report = campaign.into_report()?;
    if report.is_good() && !options.keep {
        std::fs::remove_dir_all(&data)?;
    }
    Ok(report)
}

struct Campaign<'a> {
    options: &'a CampaignOptions,
    launch: Launch,
    random: Random,
    runtime: Runtime,
    traffic: Arc<Traffic>,
    kills: Kills,
    is_declared: bool,
    images: u32,
}

impl Campaign<'_> {
    fn kill_all(&mut self) -> anyhow::Result<()> {
        let style = ProgressStyle::with_template("{bar:30} {pos}/{len} kills, {elapsed} {msg}")?;
        let progress = ProgressBar::new(u64::from(self.options.kills)).with_style(style);
        let mut attempt = 0;
        while self.kills.loaded < self.options.kills {
            anyhow::ensure!(
                self.kills.missed <= self.options.kills * MISSES_MAX_PER_KILL,
                "{} kills missed their moment: the load does not reach the thresholds",
                self.kills.missed
            );
            let moment = if attempt % SPECIAL_EVERY == 1 {
                Moment::SegmentRoll
            } else {
                Moment::UnderLoad
            };
            self.one_life(moment)?;
            if attempt % SPECIAL_EVERY == 2 {
                self.kill_during_recovery()?;
            }
            attempt += 1;
            progress.set_position(u64::from(self.kills.loaded));
            progress.set_message(self.summary(&self.traffic.ledger()));
            if progress.is_hidden() && attempt % 10 == 0 {
                eprintln!(
                    "{} of {} kills; {}",
                    self.kills.loaded,
                    self.options.kills,
                    self.summary(&self.traffic.ledger())
                );
            }
        }
        progress.finish();
        Ok(())
    }

    /// Starts a broker, lets clients work, kills it.
    fn one_life(&mut self, moment: Moment) -> anyhow::Result<()> {
        self.traffic.begin_round();
        let mut broker = self.start()?;
        self.expect_queues(&broker)?;
        let mut sessions = Sessions::new(self.runtime.handle().clone());
        sessions.start_consumers(&self.traffic, &broker.url(), &mut self.random);
        self.wait_until_backlog_is_small()?;
        sessions.start_publishers(&self.traffic, &broker.url());
        let thresholds = Thresholds {
            confirmed_min: self.options.confirmed_min,
            in_flight_min: self.options.in_flight_min,
        };
        let is_the_moment = moment.wait(&self.traffic, thresholds, self.launch.data(), &mut self.random)?;
        self.traffic.set_dying();
        broker.kill()?;
        self.part(sessions)?;
        self.take_image()?;
        self.count(moment, is_the_moment, thresholds);
        Ok(())
    }

    fn part(&mut self, sessions: Sessions) -> anyhow::Result<()> {
        self.kills.deaf_clients += sessions.join()?.len();
        Ok(())
    }

    fn count(&mut self, moment: Moment, is_the_moment: bool, thresholds: Thresholds) {
        // Counted after the kill: what the broker can no longer confirm was in flight.
        let in_flight = self.traffic.unresolved_count() + self.traffic.in_flight_count();
        let confirmed = self.traffic.confirmed_count();
        let is_loaded = in_flight >= thresholds.in_flight_min && confirmed >= thresholds.confirmed_min;
        if !is_loaded || !is_the_moment {
            self.kills.missed += 1;
            return;
        }
        self.kills.loaded += 1;
        self.kills.at_roll += u32::from(moment == Moment::SegmentRoll);
        let least = |old: Option<u64>, new: u64| Some(old.map_or(new, |old| old.min(new)));
        self.kills.in_flight_least = least(self.kills.in_flight_least, in_flight);
        self.kills.confirmed_least = least(self.kills.confirmed_least, confirmed);
    }

    /// Kills a broker that has not listened yet.
    fn kill_during_recovery(&mut self) -> anyhow::Result<()> {
        self.traffic.set_dying();
        let typical = self
            .kills
            .starts
            .iter()
            .rev()
            .take(5)
            .max()
            .copied()
            .unwrap_or(Duration::from_millis(20));
        let mut longest_us = u64::try_from(typical.as_micros()).unwrap_or(u64::MAX);
        for _ in 0..8 {
            let starting = self.launch.start()?;
            std::thread::sleep(Duration::from_micros(self.random.below(longest_us)));
            if starting.kill_before_listening()? {
                self.kills.in_recovery += 1;
                return self.take_image();
            }
            longest_us /= 2;
        }
        Ok(())
    }

    fn take_image(&mut self) -> anyhow::Result<()> {
        if !self.options.images {
            return Ok(());
        }
        self.images += 1;
        let image = self
            .launch
            .data()
            .with_extension(format!("image-{:04}", self.images));
        if image.exists() {
            std::fs::remove_dir_all(&image)?;
        }
        let copied = Command::new("cp")
            .arg("-r")
            .arg(self.launch.data())
            .arg(&image)
            .status()?;
        anyhow::ensure!(
            copied.success(),
            "cannot copy the data directory to {}",
            image.display()
        );
        Ok(())
    }

    fn start(&mut self) -> anyhow::Result<BrokerProcess> {
        let broker = self.launch.start_and_wait()?;
        self.kills.starts.push(broker.executed().elapsed());
        Ok(broker)
    }

    /// Declares the queues at first, and expects them to be there later.
    fn expect_queues(&mut self, broker: &BrokerProcess) -> anyhow::Result<()> {
        let url = broker.url();
        if self.is_declared {
            for queue in self
                .depths(&url)?
                .iter()
                .enumerate()
                .filter_map(|(q, depth)| depth.is_none().then_some(q))
            {
                self.traffic.ledger().queue_missing(queue);
            }
        }
        self.runtime.block_on(async {
            let connection = connect(&url).await?;
            // Kept until the end: a dropped channel closes itself, and the connection's close stumbles over it.
            let channel = connection.create_channel().await?;
            declare(&channel).await?;
            connection.close(200, "declared".into()).await
        })?;
        self.is_declared = true;
        Ok(())
    }

    fn depths(&self, url: &str) -> anyhow::Result<Vec<Option<u32>>> {
        let depths = self.runtime.block_on(async {
            let connection = connect(url).await?;
            let mut depths = Vec::new();
            for queue in 0..QUEUE_COUNT {
                depths.push(depth(&connection, queue_name(queue)).await?);
            }
            connection.close(200, "asked".into()).await?;
            lapin::Result::Ok(depths)
        })?;
        Ok(depths)
    }

    /// Whether messages wait for the worker.
    fn is_at_work(&self, url: &str) -> anyhow::Result<bool> {
        let depth = self.runtime.block_on(async {
            let connection = connect(url).await?;
            let depth = depth(&connection, WORK.into()).await?;
            connection.close(200, "asked".into()).await?;
            lapin::Result::Ok(depth)
        })?;
        Ok(depth.unwrap_or(0) > 0)
    }

    fn wait_until_backlog_is_small(&self) -> anyhow::Result<()> {
        let until = Instant::now() + DRAIN_PATIENCE;
        while backlog(&self.traffic.ledger()) > BACKLOG_MESSAGES_MAX {
            anyhow::ensure!(Instant::now() < until, "consumers do not get the backlog down");
            std::thread::sleep(DRAIN_GLANCE);
        }
        Ok(())
    }

    /// Drains everything, then restarts twice: what was acknowledged must stay so.
    fn drain_and_restart(&mut self) -> anyhow::Result<()> {
        self.traffic.begin_round();
        self.traffic.set_quiet();
        let mut broker = self.start()?;
        self.expect_queues(&broker)?;
        let mut sessions = Sessions::new(self.runtime.handle().clone());
        sessions.start_consumers(&self.traffic, &broker.url(), &mut self.random);
        self.wait_until_drained(&broker.url())?;
        self.traffic.set_dying();
        broker.kill()?;
        self.part(sessions)?;
        let broker = self.start()?;
        self.expect_empty(&broker)?;
        broker.stop()?;
        let broker = self.start()?;
        self.expect_empty(&broker)?;
        broker.stop()
    }

    fn wait_until_drained(&self, url: &str) -> anyhow::Result<()> {
        let until = Instant::now() + DRAIN_PATIENCE;
        let mut silent_since = Instant::now();
        let mut delivered = 0;
        while silent_since.elapsed() < SILENCE {
            anyhow::ensure!(
                Instant::now() < until,
                "the queues are not empty after {DRAIN_PATIENCE:?}"
            );
            std::thread::sleep(DRAIN_GLANCE);
            let now_delivered = self.traffic.ledger().delivered();
            let is_empty = self.depths(url)?.iter().all(|depth| depth.unwrap_or(0) == 0);
            let works = self.is_at_work(url)?;
            if !is_empty || works || self.traffic.is_unsettled() || now_delivered != delivered {
                silent_since = Instant::now();
            }
            delivered = now_delivered;
        }
        Ok(())
    }

    fn expect_empty(&self, broker: &BrokerProcess) -> anyhow::Result<()> {
        for (queue, depth) in self.depths(&broker.url())?.into_iter().enumerate() {
            match depth {
                None => self.traffic.ledger().queue_missing(queue),
                Some(0) => {}
                Some(count) => self.traffic.ledger().acks_undone(queue, u64::from(count)),
            }
        }
        Ok(())
    }

    fn summary(&self, ledger: &Ledger) -> String {
        format!(
            "{} published, {} confirmed, {} delivered ({} redelivered), {} kills missed their moment",
            ledger.published(),
            ledger.confirmed(),
            ledger.delivered(),
            ledger.redelivered(),
            self.kills.missed,
        )
    }

    fn into_report(self) -> anyhow::Result<Report> {
        let complaints = self.traffic.complaints();
        let log = std::fs::read_to_string(self.launch.log()).unwrap_or_default();
        let traffic = Arc::into_inner(self.traffic).context("a client is still at work")?;
        let ways = Finding::new(
            "every way was taken",
            traffic.paths.are_all_walked(),
            traffic.paths.told(),
        );
        let kills = self.kills;
        let ledger = traffic.into_ledger().finish();
        let mut findings = judgements(&ledger);
        findings.push(ways);
        findings.push(Finding::new(
            "kills under load",
            true,
            format!(
                "{} kills, each with at least {} in flight and {} confirmed since the start",
                kills.loaded,
                kills.in_flight_least.unwrap_or(0),
                kills.confirmed_least.unwrap_or(0)
            ),
        ));
        let enough = self.options.kills.div_ceil(10);
        let special = kills.at_roll + kills.in_recovery;
        let detail = format!(
            "{} at a segment roll, {} before the listener answered",
            kills.at_roll, kills.in_recovery
        );
        findings.push(Finding::new(
            "kills in recovery or roll",
            special >= enough,
            detail,
        ));
        let panics = log.lines().filter(|line| line.contains("panicked at")).count();
        findings.push(Finding::new(
            "the broker never panics",
            panics == 0,
            format!("{panics} panics in its log"),
        ));
        let calm = complaints
            .first()
            .map_or("none broke while the broker lived", String::as_str);
        findings.push(Finding::new("clients' sessions", complaints.is_empty(), calm));
        let mut starts = kills.starts;
        starts.sort_unstable();
        let slowest = starts.last().copied().unwrap_or_default();
        let median = starts.get(starts.len() / 2).copied().unwrap_or_default();
        let summary = format!(
            "seed {}; {} published, {} confirmed, {} delivered ({} redelivered); \
             exec to listening: median {median:.1?}, slowest {slowest:.1?}; \
             {} kills missed their moment, {} times a client did not notice one",
            self.options.seed,
            ledger.published(),
            ledger.confirmed(),
            ledger.delivered(),
            ledger.redelivered(),
            kills.missed,
            kills.deaf_clients,
        );
        Ok(Report::new(summary, findings))
    }
}

/// Messages that are confirmed and have not come out, roughly: a fan-out counts for one queue.
fn backlog(ledger: &Ledger) -> u64 {
    ledger.confirmed().saturating_sub(ledger.first_deliveries())
}
